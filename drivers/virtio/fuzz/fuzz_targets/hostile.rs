//! The drivers against devices that the fuzzer plays.
//!
//! `cargo fuzz run hostile --sanitizer none` in `drivers/virtio`. The first byte says which device it is. The games and
//! the model are those of the drivers' tests.

#![no_main]
#![expect(dead_code, reason = "the model can do more than a game needs")]
#![expect(unused_imports, reason = "the model is made for more than a game")]

#[path = "../../tests/devices/games/mod.rs"]
mod games;
#[path = "../../tests/devices/model/mod.rs"]
mod model;

#[path = "../../tests/devices/card/world.rs"]
mod world;

/// Of the network driver's tests, the machine that has a card.
mod card {
    pub(crate) use crate::world;
}

/// How the devices are reached.
const TRANSPORT: virtio::transport::Transport = virtio::transport::Transport::Pci;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    games::play(bytes);
});
