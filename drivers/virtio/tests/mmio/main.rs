//! What the drivers do to devices on PCI, done to the same devices behind registers in a window of memory; and what a
//! window may have instead of a device.
//!
//! The tests are those in `../disk`, over another transport. Those are left out that are about what only PCI has.

#[path = "../disk/balloon.rs"]
mod balloon;
#[path = "../disk/bring_up.rs"]
mod bring_up;
#[path = "../disk/caching.rs"]
mod caching;
#[path = "../disk/card/mod.rs"]
mod card;
#[path = "../disk/console/mod.rs"]
mod console;
#[path = "../disk/games/mod.rs"]
mod games;
#[path = "../disk/hostile.rs"]
mod hostile;
#[path = "../disk/model/mod.rs"]
mod model;
#[path = "../disk/module.rs"]
mod module;
#[path = "../disk/naming.rs"]
mod naming;
#[path = "../disk/notices.rs"]
mod notices;
#[path = "../disk/pictures/mod.rs"]
mod pictures;
#[path = "../disk/play.rs"]
mod play;
#[path = "../disk/recovery.rs"]
mod recovery;
#[path = "../disk/share/mod.rs"]
mod share;
#[path = "../disk/source.rs"]
mod source;
#[path = "../disk/transfers.rs"]
mod transfers;
mod windows;

/// How the devices are reached.
const TRANSPORT: virtio::transport::Transport = virtio::transport::Transport::Mmio;
