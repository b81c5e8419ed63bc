//! A machine with one virtio disk, or another device.

pub(crate) mod data;
mod device;
mod platform;
mod ram;
mod requests;
mod rings;
pub(crate) mod world;

pub(crate) use data::Data;
pub(crate) use device::{Device, Mischief};
pub(crate) use platform::Machine;
pub(crate) use rings::Reader;
pub(crate) use world::World;

/// A queue of at most so many entries.
pub(crate) fn queue(most: u16) -> rings::Queue {
    rings::Queue::new(most)
}

/// Virtio feature bits, by their numbers in the specification.
pub(crate) mod bits {
    pub(crate) const SHMEM_REGION: u64 = 1 << 0;
    pub(crate) const SIZE_MAX: u64 = 1 << 1;
    pub(crate) const SEG_MAX: u64 = 1 << 2;
    pub(crate) const RO: u64 = 1 << 5;
    pub(crate) const BLK_SIZE: u64 = 1 << 6;
    pub(crate) const FLUSH: u64 = 1 << 9;
    pub(crate) const MQ: u64 = 1 << 12;
    pub(crate) const DISCARD: u64 = 1 << 13;
    pub(crate) const WRITE_ZEROES: u64 = 1 << 14;
    pub(crate) const INDIRECT: u64 = 1 << 28;
    pub(crate) const EVENT_IDX: u64 = 1 << 29;
    pub(crate) const VERSION_1: u64 = 1 << 32;
    pub(crate) const RING_PACKED: u64 = 1 << 34;
}
