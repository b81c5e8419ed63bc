//! What the drivers do to devices on PCI, done to the same devices behind registers in a window of memory; and what a
//! window may have instead of a device.
//!
//! The tests are those in `../devices`, over another transport. Those are left out that are about what only PCI has.

#[path = "../devices/balloon.rs"]
mod balloon;
#[path = "../devices/bring_up.rs"]
mod bring_up;
#[path = "../devices/caching.rs"]
mod caching;
#[path = "../devices/card/mod.rs"]
mod card;
#[path = "../devices/console/mod.rs"]
mod console;
#[path = "../devices/games/mod.rs"]
mod games;
#[path = "../devices/hostile.rs"]
mod hostile;
#[path = "../devices/model/mod.rs"]
mod model;
#[path = "../devices/module.rs"]
mod module;
#[path = "../devices/naming.rs"]
mod naming;
#[path = "../devices/notices.rs"]
mod notices;
#[path = "../devices/pictures/mod.rs"]
mod pictures;
#[path = "../devices/play.rs"]
mod play;
#[path = "../devices/recovery.rs"]
mod recovery;
#[path = "../devices/share/mod.rs"]
mod share;
#[path = "../devices/source.rs"]
mod source;
#[path = "../devices/transfers.rs"]
mod transfers;
mod windows;

/// How the devices are reached.
const TRANSPORT: virtio::transport::Transport = virtio::transport::Transport::Mmio;
