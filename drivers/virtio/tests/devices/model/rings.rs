//! The device's side of a virtqueue: the model's own, for either format, and rust-vmm's.

use super::bits;
use super::device::{Device, Part};
use super::mischief::Mischief;
use super::packed::Packed;
use super::ram::Ram;
use virtio_queue::{Queue as VmmQueue, QueueT};

/// Who reads a virtqueue, and of which format it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The model, which objects to what the specification forbids.
    Own,
    /// rust-vmm's `virtio-queue`.
    RustVmm,
    /// The model, which offers packed queues.
    Packed,
}

impl Reader {
    pub(crate) const ALL: [Self; 3] = [Self::Own, Self::RustVmm, Self::Packed];
}

/// A piece of memory of a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) len: u32,
    pub(crate) is_writable: bool,
}

/// A queue, as the driver has set it up.
pub(crate) struct Queue {
    pub(crate) most: u16,
    pub(crate) size: u16,
    pub(crate) vector: u16,
    pub(crate) is_enabled: bool,
    pub(crate) is_notified: bool,
    /// It has written nonsense: the driver may believe that chains are done which are not.
    has_lied: bool,
    /// It was reset alone, and not set up again.
    pub(crate) is_reset: bool,
    /// It is being reset: so many looks at the register say so.
    pub(crate) resetting: u32,
    /// Descriptors, avail, used.
    addresses: [u64; 3],
    seen: u16,
    pub(crate) used: u16,
    features: u64,
    vmm: Option<VmmQueue>,
    packed: Option<Packed>,
    /// Chains that are being worked on.
    pub(crate) taken: Vec<(u16, Vec<Piece>)>,
}

impl Queue {
    pub(crate) fn new(most: u16) -> Self {
        Self {
            most,
            size: most,
            vector: 0xffff,
            is_enabled: false,
            is_notified: false,
            has_lied: false,
            is_reset: false,
            resetting: 0,
            addresses: [0; 3],
            seen: 0,
            used: 0,
            features: 0,
            vmm: None,
            packed: None,
            taken: Vec::new(),
        }
    }

    pub(crate) fn set_address(&mut self, offset: usize, half: u32) {
        let address = &mut self.addresses[offset / 8];
        match offset % 8 {
            0 => *address = *address >> 32 << 32 | u64::from(half),
            _ => *address = u64::from(half) << 32 | *address & 0xffff_ffff,
        }
    }

    pub(crate) fn start(&mut self, ram: &Ram, features: u64, reader: Reader) {
        assert!(self.size.is_power_of_two() && self.size <= self.most);
        self.features = features;
        if features & bits::RING_PACKED != 0 {
            self.packed = Some(Packed::new(ram, self.size, self.addresses, features));
            return;
        }
        let count = u64::from(self.size);
        let [descriptors, avail, used] = self.addresses;
        for (start, bytes, align) in [
            (descriptors, 16 * count, 16),
            (avail, 6 + 2 * count, 2),
            (used, 6 + 8 * count, 4),
        ] {
            assert!(start.is_multiple_of(align) && ram.is_owned(start, bytes));
        }
        if reader == Reader::RustVmm {
            let mut queue = VmmQueue::new(self.most).expect("a size");
            queue.set_size(self.size);
            let halves = |address: u64| (Some(address as u32), Some((address >> 32) as u32));
            let (low, high) = halves(descriptors);
            queue.set_desc_table_address(low, high);
            let (low, high) = halves(avail);
            queue.set_avail_ring_address(low, high);
            let (low, high) = halves(used);
            queue.set_used_ring_address(low, high);
            queue.set_event_idx(features & bits::EVENT_IDX != 0);
            queue.set_ready(true);
            assert!(queue.is_valid(&ram.memory));
            self.vmm = Some(queue);
        }
    }

    /// Where the driver says after which entry it wants to be interrupted.
    pub(crate) fn used_event(&self) -> u64 {
        if self.packed.is_some() {
            return self.addresses[1];
        }
        self.addresses[1] + 4 + 2 * u64::from(self.size)
    }

    fn half(&self, ram: &Ram, address: u64) -> u16 {
        u16::from_le_bytes(ram.get(address))
    }

    /// Takes the next available chain.
    pub(crate) fn take(&mut self, ram: &Ram) -> Option<(u16, Vec<Piece>)> {
        if let Some(queue) = &mut self.packed {
            return queue.take(ram);
        }
        if let Some(queue) = &mut self.vmm {
            let chain = queue.pop_descriptor_chain(&ram.memory)?;
            let head = chain.head_index();
            let pieces = chain.map(|descriptor| Piece {
                start: descriptor.addr().0,
                len: descriptor.len(),
                is_writable: descriptor.is_write_only(),
            });
            return Some((head, pieces.collect()));
        }
        let [_, avail, _] = self.addresses;
        if self.half(ram, avail + 2) == self.seen {
            return None;
        }
        let entry = u64::from(self.seen % self.size);
        let head = self.half(ram, avail + 4 + 2 * entry);
        self.seen = self.seen.wrapping_add(1);
        let again = self.taken.iter().any(|(other, _)| *other == head);
        assert!(
            self.has_lied || !again,
            "the chain {head} is available twice"
        );
        Some((head, self.walk(ram, head)))
    }

    /// Follows a chain, and objects to what a driver must not do (section 2.7.5).
    fn walk(&self, ram: &Ram, head: u16) -> Vec<Piece> {
        let (mut table, mut size) = (self.addresses[0], u64::from(self.size));
        let mut at = u64::from(head);
        let mut is_indirect = false;
        let mut pieces: Vec<Piece> = Vec::new();
        loop {
            assert!(at < size, "descriptor {at} of {size}");
            let start = u64::from_le_bytes(ram.get(table + 16 * at));
            let word = u64::from_le_bytes(ram.get(table + 16 * at + 8));
            let (len, flags, next) = (word as u32, word >> 32 & 0xffff, word >> 48);
            if flags & 4 != 0 {
                assert!(
                    self.features & bits::INDIRECT != 0,
                    "no table was agreed on"
                );
                assert!(!is_indirect && flags == 4 && pieces.is_empty());
                assert!(len.is_multiple_of(16) && len != 0);
                assert!(ram.is_owned(start, len.into()), "the table is nobody's");
                (table, size, at, is_indirect) = (start, u64::from(len / 16), 0, true);
                continue;
            }
            let is_writable = flags & 2 != 0;
            let after = pieces.last().is_some_and(|last| last.is_writable);
            assert!(is_writable || !after, "read after written");
            assert!(len != 0, "an empty descriptor");
            pieces.push(Piece {
                start,
                len,
                is_writable,
            });
            assert!(pieces.len() <= usize::from(self.size), "a chain too long");
            if flags & 1 == 0 {
                return pieces;
            }
            at = next;
        }
    }

    /// Says that a chain was used.
    fn put(&mut self, ram: &Ram, id: u32, len: u32) {
        if let Some(queue) = &mut self.packed {
            queue.put(ram, id, len);
            return;
        }
        if let Some(queue) = &mut self.vmm {
            queue.add_used(&ram.memory, id as u16, len).expect("inside");
            return;
        }
        let used = self.addresses[2];
        let entry = used + 4 + 8 * u64::from(self.used % self.size);
        ram.device_writes(entry, &id.to_le_bytes());
        ram.device_writes(entry + 4, &len.to_le_bytes());
        self.used = self.used.wrapping_add(1);
        ram.device_writes(used + 2, &self.used.to_le_bytes());
    }

    /// Says that it has used what it has not.
    fn jump(&mut self, ram: &Ram, more: u16) {
        if let Some(queue) = &mut self.packed {
            // There is no index to lie about. It names chains that are not out.
            queue.put(ram, self.size.wrapping_add(more).into(), 0);
            return;
        }
        let index = self.used.wrapping_add(more);
        ram.device_writes(self.addresses[2] + 2, &index.to_le_bytes());
    }

    /// Writes over its own part of the queue's memory, whatever is there.
    fn poke(&mut self, ram: &Ram, at: u16, value: u16) {
        if let Some(queue) = &mut self.packed {
            queue.poke(ram, at, value);
            return;
        }
        self.has_lied = true;
        let halves = 3 + 4 * self.size;
        let place = self.addresses[2] + 2 * u64::from(at % halves);
        ram.device_writes(place, &value.to_le_bytes());
    }

    /// Whether the driver wants to be interrupted for what was used since `old`.
    pub(crate) fn is_interrupt_wanted(&mut self, ram: &Ram, old: u16) -> bool {
        if let Some(queue) = &mut self.packed {
            return queue.is_interrupt_wanted(ram);
        }
        if let Some(queue) = &mut self.vmm {
            return queue.needs_notification(&ram.memory).expect("inside");
        }
        let avail = self.addresses[1];
        if self.features & bits::EVENT_IDX == 0 {
            return self.half(ram, avail) & 1 == 0;
        }
        let event = self.half(ram, self.used_event());
        // By walking, not by the formula that the driver uses.
        let mut index = old;
        while index != self.used {
            if index == event {
                return true;
            }
            index = index.wrapping_add(1);
        }
        false
    }

    /// Goes to sleep. Returns whether there is something after all.
    pub(crate) fn sleep(&mut self, ram: &Ram) -> bool {
        if let Some(queue) = &mut self.packed {
            return queue.sleep(ram);
        }
        if let Some(queue) = &mut self.vmm {
            return queue.enable_notification(&ram.memory).expect("inside");
        }
        let [_, avail, used] = self.addresses;
        if self.features & bits::EVENT_IDX != 0 {
            let event = used + 4 + 8 * u64::from(self.size);
            ram.device_writes(event, &self.seen.to_le_bytes());
        }
        self.half(ram, avail + 2) != self.seen
    }
}

impl Device {
    /// The device writes nonsense into a queue that it knows.
    pub(crate) fn poke(&mut self, number: usize, at: u16, value: u16) {
        let ram = self.ram.clone();
        let is_able = self.status & 4 != 0 && self.can_dma;
        if is_able && self.queues[number].is_enabled {
            self.note("writes nonsense into a queue");
            self.queues[number].poke(&ram, at, value);
        }
    }

    /// Works on a queue until nothing is available.
    pub(crate) fn serve(&mut self, number: usize) -> bool {
        match self.part {
            Part::Card => return self.serve_wire(number),
            Part::Console => return self.serve_port(number),
            _ => {}
        }
        let ram = self.ram.clone();
        let mut any = false;
        loop {
            while let Some(taken) = self.queues[number].take(&ram) {
                self.queues[number].taken.push(taken);
            }
            let mut taken = core::mem::take(&mut self.queues[number].taken);
            if taken.is_empty() || self.misbehaves(|what| what == Mischief::Silent).is_some() {
                self.queues[number].taken = taken;
                break;
            }
            if self.is_backwards {
                taken.reverse();
            }
            any = true;
            let old = self.queues[number].used;
            for (head, pieces) in taken {
                self.answer(number, head, &pieces);
            }
            let queue = &mut self.queues[number];
            let vector = queue.vector;
            let is_wanted = queue.is_interrupt_wanted(&ram, old);
            if is_wanted && self.misbehaves(|what| what == Mischief::Mute).is_none() {
                self.raise(vector);
            }
        }
        any |= self.queues[number].sleep(&ram);
        any
    }

    fn answer(&mut self, number: usize, head: u16, pieces: &[Piece]) {
        if self.part == Part::Balloon && number == 2 && self.accepted & bits::STATS_VQ != 0 {
            return self.learns(head, pieces);
        }
        let written = self.carry_out(number, pieces);
        self.say_used(number, head, written);
    }

    /// Says that a chain was used, or something else.
    pub(crate) fn say_used(&mut self, number: usize, head: u16, written: u32) {
        let ram = self.ram.clone();
        let queue = |device: &mut Self, id, len| device.queues[number].put(&ram, id, len);
        let id = u32::from(head);
        let about_used = |what| {
            !matches!(
                what,
                Mischief::Status(_)
                    | Mischief::Silent
                    | Mischief::Deaf
                    | Mischief::Mute
                    | Mischief::Buffers(_)
                    | Mischief::Header(..)
            )
        };
        let mischief = self.misbehaves(about_used);
        // A chain that is said to be used may be made available again, whatever the device has still to do with it.
        self.queues[number].has_lied |= matches!(
            mischief,
            Some(Mischief::UsedId(_) | Mischief::Twice | Mischief::Index(_))
        );
        match mischief {
            None => queue(self, id, written),
            Some(Mischief::UsedId(id)) => queue(self, id, written),
            Some(Mischief::Twice) => {
                queue(self, id, written);
                queue(self, id, written);
            }
            Some(Mischief::Longer(more)) => queue(self, id, written + more),
            Some(Mischief::Shorter) => queue(self, id, written.saturating_sub(100)),
            Some(Mischief::Nothing) => queue(self, id, 0),
            Some(Mischief::Index(more)) => self.queues[number].jump(&ram, more),
            Some(other) => unreachable!("{other:?}"),
        }
    }
}
