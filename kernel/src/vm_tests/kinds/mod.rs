//! Memory of every kind as source and target of a disk's requests.
//!
//! The name of a test says which kind, or what follows from there being several. A request that a device
//! reports as done proves nothing: QEMU reports that also where the data went nowhere. So each test
//! compares content, has known bytes on both sides of what is written, and asks a witness outside
//! of the machine: the file behind the memory, or a screenshot.

mod controller;
mod io_only;
mod matrix;
mod metadata;
mod mixed;
mod modules;
mod outlasting;
mod pmem;
mod screen;
mod shared;
mod taking_back;
mod video;

use super::disk;
use crate::block::blocking::wait;
use crate::memory::regions::{self, Provider, Region};
use alloc::sync::Arc;
use alloc::vec;
use core::ops::Range;
use vm_test::{host, pattern, seed};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const PAGE: u64 = 4096;
const BLOCK: u64 = 512;

/// The seed of what lies beside the data.
fn canary() -> u64 {
    seed() ^ 0xca0a_71e5
}

/// The memory of this name.
fn provider(name: &str) -> Arc<Provider> {
    regions::find(name).expect("the machine has such memory")
}

/// Fills a page on both sides of a part of a file.
fn set_canaries(file: &str, at: u64, len: u64) {
    set_canaries_within(file, provider(file).phyr().len(), at, len);
}

/// The same in a file of this length.
fn set_canaries_within(file: &str, end: u64, at: u64, len: u64) {
    for side in beside(end, at, len) {
        host::fill_file(
            file,
            side.start,
            side.end - side.start,
            canary(),
            side.start,
        );
    }
}

/// The host finds both sides as they were.
fn check_canaries(file: &str, at: u64, len: u64) {
    check_canaries_within(file, provider(file).phyr().len(), at, len);
}

/// The same in a file of this length.
fn check_canaries_within(file: &str, end: u64, at: u64, len: u64) {
    for side in beside(end, at, len) {
        let len = side.end - side.start;
        host::assert_file_pattern(file, side.start, len, canary(), side.start);
    }
}

/// A page on each side, where the memory has one.
fn beside(end: u64, at: u64, len: u64) -> [Range<u64>; 2] {
    let behind = at + len;
    [
        at.saturating_sub(PAGE)..at,
        behind..(behind + PAGE).min(end),
    ]
}

/// What the CPU reads is the pattern.
fn check_by_cpu(region: &Region, seed: u64, offset: u64) {
    let mut bytes = vec![0; region.phyr().len() as usize];
    region.read(0, &mut bytes).expect("the CPU reaches it");
    assert_eq!(pattern::first_difference(seed, offset, &bytes), None);
}

/// From the disk into memory with a file behind it, and from other bytes there back to the disk.
fn both_ways(file: &str, at: u64, len: u64, block: u64) {
    both_ways_with(file, file, at, len, block);
}

/// The same, where the memory and its file have different names.
fn both_ways_with(name: &str, file: &str, at: u64, len: u64, block: u64) {
    let disk = disk();
    let provider = provider(name);
    let end = provider.phyr().len();
    set_canaries_within(file, end, at, len);
    let region = provider.claim(at, len).expect("nobody has it");
    let region = wait(disk.read(block, region)).expect("the disk reads into it");
    host::assert_file_pattern(file, at, len, seed(), block * BLOCK);
    check_canaries_within(file, end, at, len);
    check_by_cpu(&region, seed(), block * BLOCK);

    let mine = seed() ^ 0x0bac_f111 ^ at;
    host::fill_file(file, at, len, mine, 0);
    check_by_cpu(&region, mine, 0);
    drop(wait(disk.write(block, region)).expect("the disk writes from it"));
    wait(disk.flush()).unwrap();
    host::assert_disk_pattern(0, block * BLOCK, len, mine, 0);
    // The blocks on both sides are as they were.
    for block in [block - 1, block + len / BLOCK] {
        host::assert_disk_pattern(0, block * BLOCK, BLOCK, seed(), block * BLOCK);
    }
    check_canaries_within(file, end, at, len);
    host::assert_file_pattern(file, at, len, mine, 0);
}
