//! Persistent memory of the hypervisor's: a virtio device, whose memory lasts by a flush.

use super::super::disk;
use super::{BLOCK, KIB, MIB, both_ways_with, provider};
use crate::block::blocking::wait;
use crate::machine::machine;
use crate::memory::regions::{Kind, PersistError, providers};
use crate::storage;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::task::Poll;
use phyr::Phyr;
use vm_test::{host, pattern, seed, vm_test};

#[vm_test(machine = "nvme,size=16M,pmem=64M", timeout = 60)]
fn b5_the_hypervisors_memory_both_ways() {
    // The device is looked for together with the disks.
    let _ = disk();
    assert_eq!(provider("pmem0").kind(), Kind::Persistent);
    assert_eq!(provider("pmem0").phyr().len(), 64 * MIB);
    for (at, len, block) in [
        (8 * KIB, BLOCK, 1),
        (4 * MIB + 1536, 12 * KIB, 100),
        (32 * MIB, 2 * MIB, 1000),
        (64 * MIB - 64 * KIB, 64 * KIB, 20_000),
    ] {
        both_ways_with("pmem0", "virtio-pmem0", at, len, block);
        wait(provider("pmem0").persist()).unwrap();
    }
}
