//! From requests to chains.
//!
//! A chain is a header that the device reads, the data, and a status byte that it writes (section
//! 5.2.6). Header and status of a slot never move, so their descriptors are written once, and a
//! command of one piece takes eight stores in the ring and its area.

use super::slot::{AREA, Active, SEGMENT, STATUS};
use super::{Body, Mode, Refused, Ticket};
use crate::blk::cache::Moment;
use crate::blk::config::SECTOR;
use crate::blk::request::{Command, Request};
use crate::chain::{INDIRECT, NEXT, WRITE, descriptor};
use crate::error::{Error, RequestError};
use crate::memory::{Memory, Ranges};
use crate::platform::{Platform, SharedMemory};
use crate::ring::DESCRIPTOR;
use core::task::{Context, Poll, Waker};
use phyr::{DmaCursor, DmaRange, Place};

/// Bytes of a header.
const HEADER: u32 = 16;

/// Bytes of a segment of a discard.
const SEGMENT_BYTES: u32 = 16;

/// A status that no device writes.
pub(super) const NO_STATUS: u64 = 0xff;

impl<P: Platform, B: Memory> Body<P, B> {
    /// Writes the descriptors that never change: all ends, and the starts of tables.
    pub(super) fn link_chains(&self) {
        let plan = self.plan;
        for slot in 0..plan.slots {
            let area = self.area_bus + AREA as u64 * u64::from(slot);
            let status = descriptor(area + STATUS as u64, 1, WRITE, 0);
            let last = slot * plan.chain + plan.chain - 1;
            self.ring.describe(last, status);
            self.store_in_table(slot, 0, descriptor(area, HEADER, NEXT, 1));
        }
    }

    #[inline]
    fn store_in_table(&self, slot: u16, number: u16, words: [u64; 2]) {
        if let Some(tables) = &self.tables {
            let entry = usize::from(slot) * usize::from(self.plan.table) + usize::from(number);
            let words = self.ring.in_table(words);
            tables.store64(DESCRIPTOR * entry, words[0]);
            tables.store64(DESCRIPTOR * entry + 8, words[1]);
        }
    }

    #[inline]
    pub(super) fn submit(
        &mut self,
        request: Request<B>,
        waker: &Waker,
    ) -> Result<Ticket, Refused<B>> {
        if let Err(error) = self.check(&request) {
            return Err(Refused { request, error });
        }
        let Some(number) = self.free.pop() else {
            let error = Error::Full;
            return Err(Refused { request, error });
        };
        let place = match &request.data {
            Some(data) => data.ranges().cursor().place(),
            None => Place::default(),
        };
        let slot = &mut self.slots[usize::from(number)];
        slot.serial = slot.serial.wrapping_add(1);
        slot.tries = 0;
        let ticket = Ticket {
            slot: usize::from(number),
            serial: slot.serial,
        };
        slot.active = Some(Active {
            operation: request.operation,
            data: request.data,
            done: 0,
            part: 0,
            place,
            behind: place,
            sent_at: Moment::CACHED,
            was_sent: false,
            is_abandoned: false,
            over: None,
            waker: Some(waker.clone()),
        });
        match self.mode {
            Mode::Live => self.send(number),
            _ => self.waiting.push_back(number),
        }
        Ok(ticket)
    }

    /// Whether a request can be sent.
    #[inline]
    fn check(&self, request: &Request<B>) -> Result<(), Error> {
        if let Mode::Dead(failure) = self.mode {
            return Err(Error::Dead(failure));
        }
        let operation = &request.operation;
        let Some(data) = &request.data else {
            return match operation.bytes() {
                0 => Ok(()),
                _ => Err(RequestError::Length.into()),
            };
        };
        let ranges = data.ranges();
        if operation.command.access() != Some(data.access()) {
            return Err(RequestError::Access.into());
        }
        if ranges.bytes() != operation.bytes() {
            return Err(RequestError::Length.into());
        }
        match ranges {
            Ranges::One(range) if self.plan.cut.takes(range) => Ok(()),
            ranges => Ok(self.plan.cut.check(ranges.cursor())?),
        }
    }

    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.free.is_empty() || matches!(self.mode, Mode::Dead(_)) {
            return Poll::Ready(());
        }
        if !self.room.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.room.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Sends what waits.
    #[inline]
    pub(super) fn pump(&mut self) {
        while self.mode == Mode::Live
            && let Some(number) = self.waiting.pop_front()
        {
            self.send(number);
        }
    }

    /// Makes the next command of a slot that has none out, and puts its chain into the ring.
    #[inline]
    fn send(&mut self, number: u16) {
        let index = usize::from(number);
        let Some(active) = &self.slots[index].active else {
            return;
        };
        let (operation, done) = (active.operation, active.done);
        let command = match operation.sectors - done {
            0 => Command::Flush,
            _ => operation.command,
        };
        let mut sector = 0;
        let (part, data) = match command {
            Command::Read | Command::Write => {
                sector = operation.sector + done;
                let bytes = self.describe_data(number, command);
                (bytes / SECTOR, bytes)
            }
            Command::Identify => (1, self.describe_data(number, command)),
            Command::Discard | Command::WriteZeroes => (self.describe_segment(number, command), 0),
            Command::Flush => {
                self.describe_header(number, self.status_of(number));
                (0, 0)
            }
        };
        let area = AREA * index;
        self.area
            .store64(area, u64::from(u32::from(command.kind())));
        self.area.store64(area + 8, sector);
        self.area.store64(area + STATUS, NO_STATUS);
        let slot = &mut self.slots[index];
        slot.is_out = true;
        slot.sent = self.scans;
        slot.data = match command {
            Command::Read | Command::Identify => data as u32,
            _ => 0,
        };
        if let Some(active) = &mut slot.active {
            active.part = part;
            active.was_sent = true;
            if operation.durable && command != Command::Flush {
                let now = self.shared.standing.moment();
                active.sent_at = match done {
                    0 => now,
                    _ if active.sent_at == now => now,
                    _ => Moment::CACHED,
                };
            }
        }
        self.outstanding += 1;
        self.counters.commands += 1;
        self.ring.push(self.head_of(number));
    }

    /// The first descriptor of a slot.
    #[inline]
    fn head_of(&self, number: u16) -> u16 {
        number * self.plan.chain
    }

    /// The last one, which is the status.
    #[inline]
    fn status_of(&self, number: u16) -> u16 {
        self.head_of(number) + self.plan.chain - 1
    }

    /// Where the device finds a slot's area.
    #[inline]
    fn area_of(&self, number: u16) -> u64 {
        self.area_bus + AREA as u64 * u64::from(number)
    }

    #[inline]
    fn describe_header(&self, number: u16, next: u16) {
        let words = descriptor(self.area_of(number), HEADER, NEXT, next);
        self.ring.describe(self.head_of(number), words);
    }

    /// Describes data from where the request has come to. Returns the bytes of this command.
    #[inline]
    fn describe_data(&mut self, number: u16, command: Command) -> u64 {
        let flags = match command {
            Command::Read | Command::Identify => NEXT | WRITE,
            _ => NEXT,
        };
        let active = self.slots[usize::from(number)].active.as_ref();
        let Some((active, data)) = active.and_then(|active| Some((active, active.data.as_ref()?)))
        else {
            return 0;
        };
        let ranges = data.ranges();
        if let Ranges::One(range) = ranges
            && self.plan.cut.takes(range)
        {
            let first = self.head_of(number) + 1;
            let words = piece(range, flags, self.status_of(number));
            self.ring.describe(first, words);
            self.describe_header(number, first);
            return range.len();
        }
        let mut cursor = ranges.cursor_at(active.place);
        let (bytes, pieces) = self.plan.cut.next_run(cursor.clone());
        match pieces <= self.plan.chain - 2 {
            true => self.describe_in_ring(number, &mut cursor, bytes, pieces, flags),
            false => self.describe_in_table(number, &mut cursor, bytes, pieces, flags),
        }
        let behind = cursor.place();
        if let Some(active) = &mut self.slots[usize::from(number)].active {
            active.behind = behind;
        }
        self.counters.indirect += u64::from(pieces > self.plan.chain - 2);
        bytes
    }

    /// Describes data in the slot's own descriptors.
    fn describe_in_ring(
        &self,
        number: u16,
        cursor: &mut DmaCursor<'_>,
        bytes: u64,
        pieces: u16,
        flags: u16,
    ) {
        let mut at = self.head_of(number) + 1;
        let (last, status) = (at + pieces - 1, self.status_of(number));
        self.describe_header(number, at);
        self.plan.cut.pieces(cursor, bytes, |range| {
            let next = if at == last { status } else { at + 1 };
            self.ring.describe(at, piece(range, flags, next));
            at += 1;
        });
    }

    /// Describes data in the slot's table, which counts its descriptors from 0. The status is behind the data
    /// wherever that ends: a packed queue's table has no gaps.
    fn describe_in_table(
        &self,
        number: u16,
        cursor: &mut DmaCursor<'_>,
        bytes: u64,
        pieces: u16,
        flags: u16,
    ) {
        let mut at = 1;
        self.plan.cut.pieces(cursor, bytes, |range| {
            self.store_in_table(number, at, piece(range, flags, at + 1));
            at += 1;
        });
        let status = self.area_of(number) + STATUS as u64;
        self.store_in_table(number, at, descriptor(status, 1, WRITE, 0));
        let size = u64::from(self.plan.table) * DESCRIPTOR as u64;
        let table = self.tables_bus + size * u64::from(number);
        let len = DESCRIPTOR as u32 * u32::from(pieces + 2);
        let words = descriptor(table, len, INDIRECT, 0);
        self.ring.describe(self.head_of(number), words);
    }

    /// Describes blocks that move no data. Returns the sectors of this command.
    fn describe_segment(&self, number: u16, command: Command) -> u64 {
        let Some(active) = &self.slots[usize::from(number)].active else {
            return 0;
        };
        let operation = &active.operation;
        let most = match command {
            Command::Discard => self.plan.max_discard,
            _ => self.plan.max_zeroes,
        };
        let sectors = (operation.sectors - active.done).min(u64::from(most));
        let offset = AREA * usize::from(number) + SEGMENT;
        self.area.store64(offset, operation.sector + active.done);
        let flags = u64::from(operation.unmap);
        self.area.store64(offset + 8, sectors | flags << 32);
        let first = self.head_of(number) + 1;
        let segment = self.area_of(number) + SEGMENT as u64;
        let words = descriptor(segment, SEGMENT_BYTES, NEXT, self.status_of(number));
        self.ring.describe(first, words);
        self.describe_header(number, first);
        sectors
    }
}

/// The descriptor of a piece that is no longer than one can say.
#[inline]
fn piece(range: DmaRange, flags: u16, next: u16) -> [u64; 2] {
    descriptor(range.addr().get(), range.len() as u32, flags, next)
}
