//! The device: what it is, and what it has.

use super::bits;
use super::helpers::Helper;
use super::mischief::Mischief;
use super::ports::Ports;
use super::ram::Ram;
use super::rings::{Queue, Reader};
use super::screens::Graphics;
use super::server::Server;
use super::wire::Wire;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Disk,
    /// Persistent memory, which is somewhere else: what goes through here is flushes.
    Module,
    /// A network card.
    Card,
    /// It fills memory with random bytes.
    Source,
    /// A memory balloon.
    Balloon,
    /// A folder of the host's.
    Share,
    /// Ports for streams of bytes.
    Console,
    /// It shows pictures.
    Graphics,
}

/// A virtio disk, or another device.
pub(crate) struct Device {
    pub(crate) part: Part,
    pub(crate) ram: Rc<Ram>,
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    pub(crate) config: Vec<u8>,
    pub(crate) disk: Vec<u8>,
    /// What the disk is called, if it knows.
    pub(crate) serial: Option<[u8; 20]>,
    pub(crate) wire: Wire,
    pub(crate) helper: Helper,
    pub(crate) server: Server,
    pub(crate) ports: Ports,
    pub(crate) graphics: Graphics,
    pub(crate) queues: Vec<Queue>,
    /// The device is in the machine, and may reach memory.
    pub(crate) is_present: bool,
    pub(crate) can_dma: bool,
    /// What a window reads where nobody answers.
    pub(crate) nothing: u8,
    /// What it does wrong, and how often.
    pub(crate) mischief: Option<(Mischief, u32)>,
    /// It was told to lie, so a driver may believe what is not so, and is not objected to.
    pub(crate) is_liar: bool,
    /// What it has done wrong so far, and how often.
    pub(crate) wrongs: BTreeMap<&'static str, u32>,
    /// It does not confirm resets: so many reads of the status say what it was.
    pub(crate) slow_reset: u32,
    /// So many looks at the register of a queue's reset say that it goes on.
    pub(crate) slow_queue_reset: u32,
    /// Times that a queue was reset alone.
    pub(crate) queue_resets: Vec<u32>,
    /// Bytes of the common registers.
    pub(crate) registers: usize,
    /// It cannot be kept from memory.
    pub(crate) is_unstoppable: bool,
    /// Its write cache stays as it is.
    pub(crate) keeps_cache: bool,
    /// It does not accept any features.
    pub(crate) refuses_features: bool,
    /// It has no room for interrupt vectors.
    pub(crate) refuses_vectors: bool,
    /// The configuration changes each time that it is looked at.
    pub(crate) is_unsteady: bool,
    /// It answers the last request first.
    pub(crate) is_backwards: bool,
    /// Who reads its virtqueues.
    pub(crate) reader: Reader,
    /// The values that were written to the status.
    pub(crate) steps: Vec<u8>,
    /// Values that the status takes before it is what was written: of a reset that takes its time.
    pub(crate) lingering: VecDeque<u8>,
    pub(crate) status: u8,
    pub(crate) generation: u8,
    pub(crate) notifications: u64,
    pub(crate) register_reads: u64,
    /// Interrupts that were raised and not looked at, by vector.
    pub(crate) raised: Vec<bool>,
    /// How often its line has risen and was heard, if it has a line in place of vectors.
    pub(crate) calls: Option<u32>,
    pub(crate) flushes: u64,
    pub(super) selected: [u32; 3],
    pub(super) config_vector: u16,
    /// What the cache was before the driver turned it on or off. After a reset it is so again.
    pub(super) cache_at_first: Option<u8>,
    /// What somebody else does at the next read of the configuration at this place, when that has its value.
    pub(crate) meanwhile: Option<(usize, Box<dyn FnOnce()>)>,
}

/// Where in a disk's configuration it is whether its cache is on.
pub(crate) const CACHE: usize = 32;

/// What every device of the tests offers unless they say otherwise.
pub(crate) const USUAL: u64 = bits::VERSION_1
    | bits::EVENT_IDX
    | bits::INDIRECT
    | bits::SEG_MAX
    | bits::BLK_SIZE
    | bits::FLUSH
    | bits::DISCARD
    | bits::WRITE_ZEROES;

impl Device {
    /// A disk with so many sectors, each of which holds what tells it apart.
    pub(crate) fn new(ram: &Rc<Ram>, sectors: u64) -> Self {
        let disk = (0..sectors * 512).map(|at| (at / 512 * 7 + at % 251) as u8);
        let mut device = Self {
            part: Part::Disk,
            ram: ram.clone(),
            offered: USUAL,
            accepted: 0,
            config: vec![0; 60],
            disk: disk.collect(),
            serial: None,
            wire: Wire::default(),
            helper: Helper::default(),
            server: Server::default(),
            ports: Ports::default(),
            graphics: Graphics::default(),
            queues: vec![Queue::new(64)],
            is_present: true,
            can_dma: false,
            nothing: 0xff,
            mischief: None,
            is_liar: false,
            wrongs: BTreeMap::new(),
            slow_reset: 0,
            slow_queue_reset: 0,
            queue_resets: Vec::new(),
            registers: 60,
            is_unstoppable: false,
            keeps_cache: false,
            refuses_features: false,
            refuses_vectors: false,
            is_unsteady: false,
            is_backwards: false,
            reader: Reader::Own,
            steps: Vec::new(),
            lingering: VecDeque::new(),
            status: 0,
            generation: 0,
            notifications: 0,
            register_reads: 0,
            raised: vec![false; 4],
            calls: None,
            flushes: 0,
            selected: [0; 3],
            config_vector: 0xffff,
            cache_at_first: None,
            meanwhile: None,
        };
        device.set64(0, sectors);
        device.set32(12, 62); // seg_max
        device.set32(20, 512); // blk_size
        device.config[34] = 1; // num_queues
        device.set32(36, 1 << 20); // max_discard_sectors
        device.set32(40, 1);
        device.set32(44, 8);
        device.set32(48, 1 << 20); // max_write_zeroes_sectors
        device.set32(52, 1);
        device
    }

    /// Persistent memory that is said to be there.
    pub(crate) fn module(ram: &Rc<Ram>, start: u64, len: u64) -> Self {
        let mut device = Self::new(ram, 0);
        device.part = Part::Module;
        device.offered = bits::VERSION_1 | bits::EVENT_IDX | bits::INDIRECT | bits::RING_PACKED;
        device.config = vec![0; 16];
        device.set64(0, start);
        device.set64(8, len);
        device
    }

    /// A network card with so many pairs of queues.
    pub(crate) fn card(ram: &Rc<Ram>, pairs: u16) -> Self {
        let mut device = Self::new(ram, 0);
        device.part = Part::Card;
        device.offered = super::wire::USUAL;
        device.config = vec![0; 12];
        device.config[..6].copy_from_slice(&[0x52, 0x54, 0, 1, 2, 3]);
        device.config[6] = 1; // the link is up
        device.config[8..10].copy_from_slice(&pairs.to_le_bytes());
        device.config[10..12].copy_from_slice(&1500_u16.to_le_bytes());
        let queues = 2 * pairs + 1;
        device.queues = (0..queues).map(|_| Queue::new(64)).collect();
        device.raised = vec![false; usize::from(queues) + 1];
        device
    }

    pub(crate) fn set32(&mut self, at: usize, value: u32) {
        self.config[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn set64(&mut self, at: usize, value: u64) {
        self.config[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// The configuration has changed: says so.
    pub(crate) fn change(&mut self) {
        self.generation += 1;
        self.raise(self.config_vector);
    }

    pub(crate) fn raise(&mut self, vector: u16) {
        if let Some(calls) = &mut self.calls {
            assert_eq!(vector, 0xffff, "there are no vectors");
            *calls += 1;
        }
        if let Some(raised) = self.raised.get_mut(usize::from(vector)) {
            *raised = true;
        }
    }
}
