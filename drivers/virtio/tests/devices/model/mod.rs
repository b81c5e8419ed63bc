//! A machine with one virtio disk, or another device.

pub(crate) mod data;
pub(crate) mod device;
pub(crate) mod helpers;
mod mischief;
mod mmio;
mod packed;
mod pages;
mod platform;
pub(crate) mod ports;
pub(crate) mod ram;
mod registers;
mod requests;
mod rings;
mod screens;
pub(crate) mod server;
pub(crate) mod wire;
pub(crate) mod world;

pub(crate) use data::Data;
pub(crate) use device::Device;
pub(crate) use mischief::Mischief;
pub(crate) use pages::Pages;
pub(crate) use platform::Machine;
pub(crate) use rings::Reader;
pub(crate) use world::World;

/// A queue of at most so many entries.
pub(crate) fn queue(most: u16) -> rings::Queue {
    rings::Queue::new(most)
}

/// Virtio feature bits, by their numbers in the specification.
pub(crate) mod bits {
    pub(crate) const MUST_TELL_HOST: u64 = 1 << 0;
    pub(crate) const STATS_VQ: u64 = 1 << 1;
    pub(crate) const FREE_PAGE_HINT: u64 = 1 << 3;
    pub(crate) const PAGE_REPORTING: u64 = 1 << 5;
    pub(crate) const MULTIPORT: u64 = 1 << 1;
    pub(crate) const SHMEM_REGION: u64 = 1 << 0;
    pub(crate) const SIZE_MAX: u64 = 1 << 1;
    pub(crate) const SEG_MAX: u64 = 1 << 2;
    pub(crate) const RO: u64 = 1 << 5;
    pub(crate) const BLK_SIZE: u64 = 1 << 6;
    pub(crate) const FLUSH: u64 = 1 << 9;
    pub(crate) const CONFIG_WCE: u64 = 1 << 11;
    pub(crate) const MQ: u64 = 1 << 12;
    pub(crate) const DISCARD: u64 = 1 << 13;
    pub(crate) const WRITE_ZEROES: u64 = 1 << 14;
    pub(crate) const CSUM: u64 = 1 << 0;
    pub(crate) const GUEST_CSUM: u64 = 1 << 1;
    pub(crate) const MTU: u64 = 1 << 3;
    pub(crate) const MAC: u64 = 1 << 5;
    pub(crate) const GUEST_TSO4: u64 = 1 << 7;
    pub(crate) const GUEST_TSO6: u64 = 1 << 8;
    pub(crate) const GUEST_UFO: u64 = 1 << 10;
    pub(crate) const HOST_TSO4: u64 = 1 << 11;
    pub(crate) const HOST_TSO6: u64 = 1 << 12;
    pub(crate) const MRG_RXBUF: u64 = 1 << 15;
    pub(crate) const STATUS: u64 = 1 << 16;
    pub(crate) const CTRL_VQ: u64 = 1 << 17;
    pub(crate) const CTRL_RX: u64 = 1 << 18;
    pub(crate) const CTRL_VLAN: u64 = 1 << 19;
    pub(crate) const GUEST_ANNOUNCE: u64 = 1 << 21;
    pub(crate) const NET_MQ: u64 = 1 << 22;
    pub(crate) const CTRL_MAC_ADDR: u64 = 1 << 23;
    pub(crate) const HASH_REPORT: u64 = 1 << 57;
    pub(crate) const RSS: u64 = 1 << 60;
    pub(crate) const INDIRECT: u64 = 1 << 28;
    pub(crate) const EVENT_IDX: u64 = 1 << 29;
    pub(crate) const VERSION_1: u64 = 1 << 32;
    pub(crate) const RING_PACKED: u64 = 1 << 34;
    pub(crate) const IN_ORDER: u64 = 1 << 35;
    pub(crate) const RING_RESET: u64 = 1 << 40;
}
