//! The device: registers, status, and what it does wrong when it is told to.

use super::bits;
use super::helpers::Helper;
use super::ports::Ports;
use super::ram::Ram;
use super::rings::{Queue, Reader};
use super::screens::Graphics;
use super::server::Server;
use super::wire::Wire;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a device does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// It says that it has used this chain.
    UsedId(u32),
    /// It says so twice of each.
    Twice,
    /// It has written so many bytes more than it may.
    Longer(u32),
    /// It has written no byte, and says so.
    Nothing,
    /// It says that it has written less than all.
    Shorter,
    /// It is so many entries further than it is.
    Index(u16),
    /// It answers with this status.
    Status(u8),
    /// It does not answer.
    Silent,
    /// It does not hear that it is notified.
    Deaf,
    /// It does not interrupt.
    Mute,
    /// It says that a frame lies in so many pieces of memory.
    Buffers(u16),
    /// It writes this byte into the header of a frame, at this place.
    Header(usize, u8),
}

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
    selected: [u32; 3],
    config_vector: u16,
}

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
            slow_reset: 0,
            slow_queue_reset: 0,
            queue_resets: Vec::new(),
            registers: 60,
            is_unstoppable: false,
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

    /// Takes a turn at doing wrong, if it is to do this.
    pub(crate) fn misbehaves(&mut self, is_it: impl Fn(Mischief) -> bool) -> Option<Mischief> {
        let (what, times) = self.mischief.filter(|(what, _)| is_it(*what))?;
        self.mischief = (times > 1).then_some((what, times - 1));
        Some(what)
    }

    fn reset(&mut self) {
        self.accepted = 0;
        for queue in &mut self.queues {
            *queue = Queue::new(queue.most);
        }
        self.config_vector = 0xffff;
        for _ in 0..self.slow_reset {
            self.lingering.push_back(self.status.max(1));
        }
        self.status = 0;
    }

    /// All features that it offers.
    pub(crate) fn offers(&self) -> u64 {
        match self.reader {
            Reader::Packed => self.offered | bits::RING_PACKED,
            Reader::Own | Reader::RustVmm => self.offered,
        }
    }

    /// The queue that the next access is about.
    pub(crate) fn selected_queue(&self) -> Option<&Queue> {
        self.queues.get(self.selected[2] as usize)
    }

    /// Reads a register of the common configuration, in bytes.
    pub(crate) fn read(&mut self, offset: usize) -> u32 {
        self.register_reads += 1;
        if !self.is_present {
            return u32::from_le_bytes([self.nothing; 4]);
        }
        let [device_select, _, queue] = self.selected;
        let queue = self.queues.get(queue as usize);
        let of_queue = |value: fn(&Queue) -> u16| queue.map_or(0, value).into();
        match offset {
            0x04 => self
                .offers()
                .checked_shr(32 * device_select)
                .unwrap_or_default() as u32,
            0x12 => self.queues.len() as u32,
            0x14 => self.lingering.pop_front().unwrap_or(self.status).into(),
            0x15 => {
                self.generation += u8::from(self.is_unsteady);
                self.generation.into()
            }
            0x18 => of_queue(|queue| queue.size),
            0x1a => of_queue(|queue| queue.vector),
            0x1c => of_queue(|queue| queue.is_enabled.into()),
            0x1e => self.selected[2],
            0x3a => {
                assert!(
                    self.accepted & bits::RING_RESET != 0,
                    "that was not agreed on"
                );
                let queue = &mut self.queues[self.selected[2] as usize];
                queue.resetting = queue.resetting.saturating_sub(1);
                u32::from(queue.resetting > 0)
            }
            _ => panic!("the driver reads the register {offset:#x}"),
        }
    }

    /// Writes a register of the common configuration.
    pub(crate) fn write(&mut self, offset: usize, value: u32) {
        if !self.is_present {
            return;
        }
        let is_set_up = self.status & 4 != 0;
        let refuses_vectors = self.refuses_vectors;
        let queue = self.queues.get_mut(self.selected[2] as usize);
        match offset {
            0x00 => self.selected[0] = value,
            0x08 => self.selected[1] = value,
            0x0c => {
                assert!(self.status & 8 == 0, "features are written too late");
                self.accepted |= u64::from(value) << (32 * self.selected[1]);
            }
            0x10 => self.config_vector = value as u16,
            0x14 => self.set_status(value as u8),
            0x16 => self.selected[2] = value,
            0x3a => self.reset_queue(value),
            _ => {
                let queue = queue.expect("a queue that there is");
                let may = !is_set_up || queue.is_reset && queue.resetting == 0;
                assert!(may, "a queue is set up while the device runs");
                match offset {
                    0x1c if is_set_up => {
                        assert_eq!(value, 1);
                        (queue.is_enabled, queue.is_reset) = (true, false);
                        queue.start(&self.ram, self.accepted, self.reader);
                    }
                    0x18 => queue.size = value as u16,
                    0x1a if refuses_vectors => queue.vector = 0xffff,
                    0x1a => queue.vector = value as u16,
                    0x1c => queue.is_enabled = value == 1,
                    0x20..0x38 => queue.set_address(offset - 0x20, value),
                    _ => panic!("the driver writes the register {offset:#x}"),
                }
            }
        }
    }

    /// Resets the queue that is selected. It forgets all that it was told.
    fn reset_queue(&mut self, value: u32) {
        assert!(
            self.accepted & bits::RING_RESET != 0,
            "that was not agreed on"
        );
        assert!(value == 1 && self.status & 4 != 0);
        let number = self.selected[2] as usize;
        let queue = &mut self.queues[number];
        assert!(queue.is_enabled, "it was never told of it");
        *queue = Queue::new(queue.most);
        queue.is_reset = true;
        queue.resetting = self.slow_queue_reset;
        self.queue_resets.push(number as u32);
    }

    fn set_status(&mut self, status: u8) {
        self.steps.push(status);
        if status == 0 {
            self.reset();
            return;
        }
        assert!(self.lingering.is_empty(), "the reset was not waited for");
        assert_eq!(status & self.status, self.status, "a bit is cleared");
        self.status = status;
        if status & 8 != 0 && status & 4 == 0 {
            let unknown = self.accepted & !self.offers();
            assert_eq!(unknown, 0, "features were accepted that are not offered");
            if self.refuses_features || self.accepted & bits::VERSION_1 == 0 {
                self.status &= !8;
            }
        }
        if status & 4 != 0 {
            assert!(self.can_dma, "the device runs without a way to memory");
            let (ram, accepted, reader) = (self.ram.clone(), self.accepted, self.reader);
            for queue in self.queues.iter_mut().filter(|queue| queue.is_enabled) {
                queue.start(&ram, accepted, reader);
            }
        }
    }

    /// A queue is notified.
    pub(crate) fn notify(&mut self, queue: usize) {
        self.notifications += 1;
        let is_deaf = self.misbehaves(|what| what == Mischief::Deaf).is_some();
        if self.is_present && !is_deaf {
            self.queues[queue].is_notified = true;
        }
    }

    /// Does what there is to do. Returns whether there was anything.
    pub(crate) fn work(&mut self) -> bool {
        let mut any = false;
        for number in 0..self.queues.len() {
            let is_awake = self.status & 4 != 0 && self.is_present && self.can_dma;
            let is_awake = is_awake && self.queues[number].is_enabled;
            if is_awake && core::mem::take(&mut self.queues[number].is_notified) {
                any |= self.serve(number);
            }
        }
        any
    }
}
