//! Tests that run in a virtual machine, each in one of its own.
//!
//! What can be tested on the host is tested there. Here is what needs the real thing: the CPU's
//! page tables and exceptions, all of a machine's memory, QEMU's firmware and devices.
//! Results of DMA are checked by content, with canaries around them, and by the host, who sees
//! guest memory and disks from outside.

mod balloon;
mod bare;
mod bare_disk;
mod boot;
mod clock;
mod confined;
mod console;
mod control;
mod controller_memory;
mod cores;
mod costs;
mod crew;
mod deep_stream;
mod disks;
mod durability;
mod edu;
mod entropy;
mod executor;
mod guest;
mod held;
mod hotplug;
mod interrupts;
mod iommu;
mod kinds;
mod lines;
mod logs;
mod memory;
mod messages;
mod metadata;
mod microvm;
mod namespaces;
mod nic;
mod packed;
mod pci;
mod pins;
mod programs;
mod protection;
mod replug;
mod ring3;
mod sgl;
mod share;
mod sharing;
mod shootdown;
mod slow_disks;
mod stack;
mod streams;
mod tap;
mod transfers;
mod vectors;
mod virtio;
mod virtio_cache;
mod virtio_trouble;
mod wakes;
mod zones;

use crate::block::BlockDevice;
use crate::dma::{DmaMemory, Domain};
use crate::memory::frames::Frames;
use crate::memory::scattered::Scattered;
use crate::storage::{Volume, volumes};
use alloc::sync::Arc;
use alloc::vec::Vec;
use phyr::DmaAddr;

/// The disk that the test's machine has.
fn disk() -> Arc<dyn BlockDevice> {
    disk_number(0)
}

/// One of several disks.
fn disk_number(number: usize) -> Arc<dyn BlockDevice> {
    let is_disk = |volume: &Volume| volume.model.is_some();
    volumes()
        .into_iter()
        .filter(is_disk)
        .nth(number)
        .expect("the machine has the disk")
        .device
}

/// `pages` pages side by side in virtual memory, of which no two touch in physical memory, and
/// which come in descending order: nothing can be joined.
fn scattered(pages: usize) -> Scattered {
    Scattered::map(apart(pages)).expect("there are addresses")
}

/// `pages` pages of which no two touch, in descending order.
fn apart(pages: usize) -> Vec<Frames> {
    let mut all: Vec<Frames> = Vec::new();
    for _ in 0..pages * 2 {
        all.push(Frames::allocate(4096).expect("the machine has memory"));
    }
    all.sort_by_key(|frames| core::cmp::Reverse(frames.phyr().addr()));
    let mut keep = false;
    all.retain(|_| {
        keep = !keep;
        keep
    });
    all
}

/// A page that a driver shares with a device.
fn shared(domain: &Domain) -> DmaMemory {
    DmaMemory::allocate(4096, domain, DmaAddr::new(u64::MAX)).expect("the machine has memory")
}
