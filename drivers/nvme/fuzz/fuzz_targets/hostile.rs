//! The driver against a device that the fuzzer plays.
//!
//! `cargo fuzz run hostile --sanitizer none` in `drivers/nvme`. The game and the model are those of
//! the driver's tests, which also play what is kept in `corpus`.

#![no_main]
#![expect(dead_code, reason = "the model can do more than a game needs")]
#![expect(unused_imports, reason = "the model is made for more than a game")]

#[path = "../../tests/controller/model/mod.rs"]
mod model;
#[path = "../../tests/controller/play/mod.rs"]
mod play;

/// Heap allocations are not counted here.
mod allocation {
    pub(crate) fn of_the_model<T>(f: impl FnOnce() -> T) -> T {
        f()
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| play::play(bytes));
