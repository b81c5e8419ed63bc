//! The device's side of a packed virtqueue, with the two wrap counters that the specification has (section
//! 2.8.1). What a place looks like is rust-vmm's word; the crate has no packed queue.

use super::bits;
use super::ram::Ram;
use super::rings::Piece;
use std::collections::HashMap;
use virtio_queue::desc::packed::Descriptor;
use vm_memory::{Bytes, GuestAddress};

/// A place in the ring, and the lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    at: u16,
    wrap: bool,
}

impl Position {
    const START: Self = Self { at: 0, wrap: true };

    fn advance(&mut self, size: u16, by: u16) {
        for _ in 0..by {
            self.at += 1;
            if self.at == size {
                *self = Self {
                    at: 0,
                    wrap: !self.wrap,
                };
            }
        }
    }

    /// As an event says it.
    fn word(self) -> u16 {
        self.at | u16::from(self.wrap) << 15
    }
}

/// How far the device has come.
pub(crate) struct Packed {
    size: u16,
    /// Ring, driver event, device event.
    addresses: [u64; 3],
    features: u64,
    seen: Position,
    used: Position,
    /// Where it was when it last thought of interrupting.
    told: Position,
    /// Places of the chains that are out, by their identifiers.
    spans: HashMap<u16, u16>,
    /// It has said what is not so. Driver and device may be at different places now, and it takes nothing more.
    has_lied: bool,
}

impl Packed {
    pub(crate) fn new(ram: &Ram, size: u16, addresses: [u64; 3], features: u64) -> Self {
        let [ring, driver, device] = addresses;
        for (start, bytes, align) in [
            (ring, 16 * u64::from(size), 16),
            (driver, 4, 4),
            (device, 4, 4),
        ] {
            assert!(start.is_multiple_of(align) && ram.is_owned(start, bytes));
        }
        Self {
            size,
            addresses,
            features,
            seen: Position::START,
            used: Position::START,
            told: Position::START,
            spans: HashMap::new(),
            has_lied: false,
        }
    }

    fn place(&self, ram: &Ram, at: u16) -> Descriptor {
        let address = GuestAddress(self.addresses[0] + 16 * u64::from(at));
        ram.memory.read_obj(address).expect("inside")
    }

    fn is_available(&self, ram: &Ram) -> bool {
        let flags = self.place(ram, self.seen.at).flags();
        let (avail, used) = (flags >> 7 & 1 == 1, flags >> 15 == 1);
        avail == self.seen.wrap && used != self.seen.wrap
    }

    /// Takes the next available chain, and objects to what a driver must not do (sections 2.8.6 and 2.8.7).
    pub(crate) fn take(&mut self, ram: &Ram) -> Option<(u16, Vec<Piece>)> {
        if self.has_lied || !self.is_available(ram) {
            return None;
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let mut span = 0;
        let id = loop {
            assert!(self.is_available(ram), "a chain that is available in part");
            let place = self.place(ram, self.seen.at);
            self.seen.advance(self.size, 1);
            span += 1;
            assert!(span <= self.size, "a chain too long");
            let flags = place.flags() & 0x7f7f;
            if flags == 4 {
                assert!(
                    self.features & bits::INDIRECT != 0,
                    "no table was agreed on"
                );
                assert!(span == 1, "a table in a chain");
                self.walk(ram, &place, &mut pieces);
                break place.id();
            }
            assert!(flags & !3 == 0, "flags {flags:#x}");
            add(&mut pieces, &place);
            if !place.has_next() {
                break place.id();
            }
        };
        assert!(id < self.size, "identifier {id}");
        assert!(pieces.len() <= usize::from(self.size), "a chain too long");
        let again = self.spans.insert(id, span);
        assert!(again.is_none(), "the chain {id} is available twice");
        Some((id, pieces))
    }

    /// All descriptors of a table, in their order. Nothing is said of each but who writes.
    fn walk(&self, ram: &Ram, table: &Descriptor, pieces: &mut Vec<Piece>) {
        let (start, len) = (table.addr().0, table.len());
        assert!(len.is_multiple_of(16) && len != 0);
        assert!(ram.is_owned(start, len.into()), "the table is nobody's");
        for at in 0..u64::from(len / 16) {
            let entry: Descriptor = ram
                .memory
                .read_obj(GuestAddress(start + 16 * at))
                .expect("inside");
            assert!(entry.flags() & !2 == 0 && entry.id() == 0, "{entry:?}");
            add(pieces, &entry);
        }
    }

    /// Says that a chain was used. Of one that is not out, the device thinks that it had one place.
    pub(crate) fn put(&mut self, ram: &Ram, id: u32, len: u32) {
        let span = self.spans.remove(&(id as u16));
        self.has_lied |= span.is_none();
        let span = span.unwrap_or(1);
        let place = self.addresses[0] + 16 * u64::from(self.used.at);
        ram.device_writes(place + 8, &len.to_le_bytes());
        ram.device_writes(place + 12, &(id as u16).to_le_bytes());
        let flags: u16 = if self.used.wrap { 0x8080 } else { 0 };
        ram.device_writes(place + 14, &flags.to_le_bytes());
        self.used.advance(self.size, span);
    }

    /// Writes over its own part of the queue's memory: when it wants to be told, or the place where it would say what
    /// it has used.
    pub(crate) fn poke(&mut self, ram: &Ram, at: u16, value: u16) {
        let half = u64::from(at % 5);
        if half < 2 {
            ram.device_writes(self.addresses[2] + 2 * half, &value.to_le_bytes());
            return;
        }
        self.has_lied = true;
        let place = self.addresses[0] + 16 * u64::from(self.used.at);
        let flags: u16 = if self.used.wrap { 0x8080 } else { 0 };
        ram.device_writes(place + 8 + 2 * (half - 2), &value.to_le_bytes());
        ram.device_writes(place + 14, &flags.to_le_bytes());
    }

    /// Whether the driver wants to be interrupted for what was used since this was asked last.
    pub(crate) fn is_interrupt_wanted(&mut self, ram: &Ram) -> bool {
        let half = |at: u64| u16::from_le_bytes(ram.get(at));
        let event = half(self.addresses[1]);
        let mut position = std::mem::replace(&mut self.told, self.used);
        match half(self.addresses[1] + 2) {
            0 => true,
            1 => false,
            2 => {
                assert!(
                    self.features & bits::EVENT_IDX != 0,
                    "no events were agreed on"
                );
                assert!(event & 0x7fff < self.size, "an event behind the ring");
                // By walking, not by the formula that the driver uses.
                let mut is_passed = false;
                while position != self.used {
                    is_passed |= position.word() == event;
                    position.advance(self.size, 1);
                }
                is_passed
            }
            other => panic!("an event of kind {other}"),
        }
    }

    /// Goes to sleep. Returns whether there is something after all.
    pub(crate) fn sleep(&mut self, ram: &Ram) -> bool {
        let device = self.addresses[2];
        if self.features & bits::EVENT_IDX != 0 {
            ram.device_writes(device, &self.seen.word().to_le_bytes());
            ram.device_writes(device + 2, &2_u16.to_le_bytes());
        }
        !self.has_lied && self.is_available(ram)
    }
}

fn add(pieces: &mut Vec<Piece>, place: &Descriptor) {
    let is_writable = place.is_write_only();
    let after = pieces.last().is_some_and(|last| last.is_writable);
    assert!(is_writable || !after, "read after written");
    assert!(place.len() != 0, "an empty descriptor");
    pieces.push(Piece {
        start: place.addr().0,
        len: place.len(),
        is_writable,
    });
}
