//! The device's registers: what is set up, started and reset through them.

use super::bits;
use super::device::{CACHE, Device, Part};
use super::mischief::Mischief;
use super::rings::{Queue, Reader};

impl Device {
    fn reset(&mut self) {
        self.accepted = 0;
        if let Some(is_on) = self.cache_at_first.take() {
            self.config[CACHE] = is_on;
        }
        for queue in &mut self.queues {
            *queue = Queue::new(queue.most);
        }
        self.config_vector = 0xffff;
        self.graphics.forget();
        self.ports.forget();
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

    /// The driver writes to the configuration.
    pub(crate) fn write_config(&mut self, offset: usize, bytes: usize, value: u32) {
        if !self.is_present {
            return;
        }
        match self.part {
            Part::Balloon => {
                assert_eq!((offset, bytes), (4, 4), "`actual` is written");
                self.set32(4, value);
            }
            Part::Disk => {
                assert_eq!((offset, bytes), (CACHE, 1), "`writeback` is written");
                assert!(self.accepted & bits::CONFIG_WCE != 0 && value <= 1);
                assert!(self.status & 8 != 0, "before anything was agreed on");
                let before = self.config[CACHE];
                self.cache_at_first.get_or_insert(before);
                if !self.keeps_cache {
                    self.config[CACHE] = value as u8;
                }
            }
            other => panic!("the configuration of a {other:?} is not written"),
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
