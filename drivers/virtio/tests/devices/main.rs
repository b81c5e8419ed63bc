//! The drivers for disks, network cards, persistent memory, entropy, balloons, shared folders, consoles and pictures
//! against a model of a device, which does what it should, or what it is told.
//!
//! The model is in `model`. Its virtqueues are read by the model itself, which objects to
//! everything that a driver must not do, or by rust-vmm's `virtio-queue`, which others have written.
//! Memory belongs to somebody or to nobody; a device that reaches for memory that is nobody's was
//! told to by the driver, and the test fails.

mod balloon;
mod bring_up;
mod caching;
mod card;
mod console;
mod games;
mod hostile;
mod line;
mod model;
mod module;
mod naming;
mod notices;
mod pictures;
mod play;
mod recovery;
mod share;
mod source;
mod transfers;

/// How the devices are reached.
const TRANSPORT: virtio::transport::Transport = virtio::transport::Transport::Pci;
