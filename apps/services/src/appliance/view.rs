//! What the pages ask of the machine.

use crate::iperf;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use kernel::block::BlockDevice;
use kernel::fs::Folder;
use phyr::Phyr;

/// A machine, seen from its pages.
pub trait View {
    /// How things are at this moment.
    fn state(&self) -> State;

    /// The disks and partitions at this moment.
    fn volumes(&self) -> Vec<Volume>;

    /// The folders of the host's at this moment.
    fn shares(&self) -> Vec<Arc<dyn Folder>>;
}

/// A disk or a partition.
#[derive(Clone)]
pub struct Volume {
    /// Its blocks, and its name.
    pub device: Arc<dyn BlockDevice>,
    /// Whether it claims to have an ext4 file system.
    pub has_ext4: bool,
}

/// How things are.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Since the kernel started its clock.
    pub uptime: Duration,
    /// All physical memory, and who has it, in the order of its addresses.
    pub memory: Vec<Extent>,
    /// RAM that nobody has, in bytes; all of it is among `memory` unless there are very many pieces.
    pub free: u64,
    /// Bytes of the heap that somebody has.
    pub heap: u64,
    /// Bytes of RAM that the heap has taken so far, whether somebody has them or not. It keeps them.
    pub heap_taken: u64,
    /// The cores.
    pub cores: Vec<Core>,
    /// Bytes that files and disks have delivered by DMA into their destination, and by way of other memory.
    pub delivered: (u64, u64),
    /// The network cards.
    pub cards: Vec<Card>,
    /// What connections have done.
    pub network: Network,
    /// What iperf3 was told, if it is answered.
    pub iperf: Option<Arc<iperf::Counters>>,
}

/// What connections have done, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Network {
    /// Connections at this moment, also those that are being opened or closed. Those that are over are not.
    pub open: u64,
    /// Bytes of data that left from where they lay.
    pub referred: u64,
    /// Bytes of data that were copied on their way.
    pub copied: u64,
    /// Segments that were sent once more.
    pub retransmitted: u64,
    /// Frames that could not be read.
    pub damaged: u64,
    /// Connections that there was no room for.
    pub refused: u64,
    /// Connections that were being opened and made room for others.
    pub evicted: u64,
    /// Datagrams that nobody has read in time.
    pub overflowed: u64,
}

/// Some physical memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Where it is.
    pub phyr: Phyr,
    /// What it is.
    pub kind: Kind,
    /// Who has it, in words.
    pub owner: String,
}

/// What memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RAM that nobody has.
    Free,
    /// RAM that somebody has.
    Used,
    /// Memory of the firmware.
    Firmware,
    /// Memory of a device.
    Device,
}

impl Kind {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Used => "used",
            Self::Firmware => "firmware",
            Self::Device => "device",
        }
    }
}

/// A core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Core {
    /// Its number.
    pub number: usize,
    /// Times it polled a task.
    pub polls: u64,
    /// Times it halted because there was nothing to do.
    pub halts: u64,
    /// The interrupts of devices that it has noticed.
    pub interrupts: u64,
}

/// A network card, and what its queues of all cores have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Whether there is anybody at the other end.
    pub is_up: bool,
    /// Frames sent, and their bytes.
    pub sent: (u64, u64),
    /// Frames received, and their bytes.
    pub received: (u64, u64),
    /// Frames that arrived and were not handed on.
    pub dropped: u64,
}
