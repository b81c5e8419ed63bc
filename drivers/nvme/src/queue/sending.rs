//! From a request to commands.
//!
//! A request is checked as a whole before anything of it is sent. Then it takes a slot, its
//! home, and its commands are made while there is room: a slot, and an entry of the ring.
//! What does not fit waits in a row. Requests in the row take turns, command by command, so a
//! long one delays the others only by a command each.
//!
//! The request that matters most is short: memory in one piece, on at most two pages. It
//! fits into one command, its PRPs are two numbers, and nothing has to be cut.

use super::table::{Active, Command, Stage};
use super::{Body, Mode, Refused, Ticket};
use crate::command::{Command as Op, DataPointer, Direction};
use crate::error::{Error, RequestError, Unmappable, Violation};
use crate::memory::Memory;
use crate::nvm::{CopyRange, copy};
use crate::operation::{MAX_RANGES, Operation, RANGE_BLOCKS, Request, Shape};
use crate::page::{PAGE, page_offset};
use crate::platform::{Platform, SharedMemory};
use crate::pointer::Means;
use crate::protection::{Checks, Tags};
use crate::prp::ListMemory;
use core::task::Waker;
use phyr::{DmaCursor, DmaRange, Limits, Place};

/// The next command of a request.
struct Next {
    /// Blocks that it takes.
    blocks: u64,
    /// Where its data starts.
    place: Place,
}

impl<P: Platform, B: Memory> Body<P, B> {
    /// All that a short request needs is here, in one function that becomes part of its caller: what
    /// a caller hands over is then never moved as a whole.
    // ANCHOR: short
    #[inline(always)]
    pub(super) fn submit(
        &mut self,
        request: Request<B>,
        waker: &Waker,
    ) -> Result<Ticket, Refused<B>> {
        let Some(range) = self.short(&request) else {
            return self.submit_any(request, waker);
        };
        let Some(home) = self.slots.take() else {
            return refuse(request, Error::Full);
        };
        let active = &mut self.requests[home];
        let (command, blocks) = (request.operation.command, request.operation.blocks);
        let mut entry = request.operation.entry(0, blocks as u32);
        active.begin(request, waker);
        active.given = blocks;
        active.commands = 1;
        let serial = active.serial;
        self.commands[home] = Command {
            stage: Stage::Out,
            home: home as u8,
            sent: self.scans,
            blocks,
            ..Command::default()
        };
        let data = two_pages(range);
        entry.prp1 = data.prp1;
        entry.prp2 = data.prp2;
        entry.cdw0.set_cid(self.slots.issue(home));
        self.rings.push(&entry);
        self.counters.sent(command, range.len());
        Ok(Ticket { slot: home, serial })
    }

    /// The memory of a request, if it is in one piece on at most two pages, and if the request fits
    /// into one command that can be sent at once.
    #[inline(always)]
    fn short(&self, request: &Request<B>) -> Option<DmaRange> {
        let operation = &request.operation;
        let data = request.data.as_ref()?;
        let range = data.ranges().single()?;
        let start = range.addr().get();
        let fits = range.len() == operation.bytes()
            && operation.blocks <= u64::from(operation.cut.max_blocks)
            && page_offset(start) + range.len() <= 2 * PAGE
            && start % 4 == 0
            && operation.cut.may_be_short
            && operation.cut.traits.metadata_bytes() == 0
            && request.metadata.is_none()
            && data.access().allows(operation.command.direction());
        let is_quiet = self.mode == Mode::Live && self.waiting.is_empty() && !self.rings.is_full();
        (fits && is_quiet).then_some(range)
    }
    // ANCHOR_END: short

    /// Takes a request of any kind: it is sent as far as there is room, after those that wait.
    #[cold]
    fn submit_any(&mut self, request: Request<B>, waker: &Waker) -> Result<Ticket, Refused<B>> {
        if let Mode::Dead(failure) = self.mode {
            return refuse(request, Error::Dead(failure));
        }
        if let Err(error) = self.check(&request) {
            return refuse(request, error);
        }
        let Some(home) = self.slots.take() else {
            return refuse(request, Error::Full);
        };
        let is_quiet = self.mode == Mode::Live && self.waiting.is_empty() && !self.rings.is_full();
        let active = &mut self.requests[home];
        active.place = match &request.data {
            Some(data) => data.ranges().cursor().place(),
            None => Place::default(),
        };
        active.begin(request, waker);
        let serial = active.serial;
        self.wait(home);
        if is_quiet {
            self.pump();
        }
        Ok(Ticket { slot: home, serial })
    }

    /// Says whether a request can be sent.
    fn check(&self, request: &Request<B>) -> Result<(), Error> {
        let operation = &request.operation;
        let refused = |reason| Err(Error::Request(reason));
        if operation.blocks == 0 || operation.cut.max_blocks == 0 {
            return refused(RequestError::Length {
                bytes: 0,
                block_size: operation.cut.block_bytes,
            });
        }
        // A command that moves data without any would move it to or from address 0. Some have
        // data of the queue's, and what is done to a zone has none, whatever the opcode says.
        let moves = operation.command.direction() != Direction::Nothing
            && !matches!(operation.shape, Shape::Ranges | Shape::Sources(_))
            && operation.command != Op::ZoneManagementSend;
        if moves && operation.bytes() == 0 {
            return refused(RequestError::Access);
        }
        for (memory, bytes) in [
            (&request.data, operation.bytes()),
            (&request.metadata, operation.metadata_bytes()),
        ] {
            match memory {
                None if bytes == 0 => {}
                None => return refused(RequestError::Access),
                Some(memory) => {
                    if bytes == 0 || !memory.access().allows(operation.command.direction()) {
                        return refused(RequestError::Access);
                    }
                    let given = memory.ranges().bytes();
                    if given != bytes {
                        return refused(RequestError::Length {
                            bytes: given,
                            block_size: operation.cut.block_bytes,
                        });
                    }
                }
            }
        }
        if let Some(data) = &request.data {
            let limits = self.limits(operation);
            limits.check(data.ranges().cursor())?;
            let run = limits.next_run(data.ranges().cursor());
            if operation.is_single && run != operation.bytes() {
                return refused(RequestError::TooLong {
                    blocks: operation.blocks,
                    most: run / u64::from(operation.cut.block_bytes.max(1)),
                });
            }
        }
        Ok(())
    }

    /// What one command of an operation may describe.
    fn limits(&self, operation: &Operation) -> Limits {
        let block = u64::from(operation.cut.block_bytes);
        let max_bytes = block * u64::from(operation.cut.max_blocks);
        self.means(operation).rules(block, max_bytes)
    }

    /// What there is to describe the memory of one command.
    fn means(&self, operation: &Operation) -> Means {
        Means {
            lists: operation.cut.traits.lists(),
            max_pages: u64::from(operation.cut.max_pages.min(self.max_pages)),
            max_pieces: u64::from(self.max_pieces),
        }
    }

    /// Puts a request into the row of those that have more to send.
    pub(super) fn wait(&mut self, home: usize) {
        if let Some(active) = self.requests[home].used_mut()
            && !active.is_waiting
        {
            active.is_waiting = true;
            self.waiting.push_back(home as u8);
        }
    }

    /// Sends what waits, as far as there is room.
    #[inline]
    pub(super) fn pump(&mut self) {
        if self.mode == Mode::Live && !(self.again.is_empty() && self.waiting.is_empty()) {
            self.pump_all();
        }
    }

    #[cold]
    fn pump_all(&mut self) {
        for _ in 0..self.again.len() {
            let Some(slot) = self.again.pop_front() else {
                break;
            };
            let is_due = self.commands[usize::from(slot)].not_before <= self.scans;
            if !is_due || self.rings.is_full() {
                self.again.push_back(slot);
            } else if let Err(error) = self.send_again(usize::from(slot)) {
                self.give_up(usize::from(slot), error);
            }
        }
        let mut without_slot = 0;
        while !self.rings.is_full()
            && without_slot < self.waiting.len()
            && let Some(home) = self.waiting.pop_front()
        {
            let home = usize::from(home);
            let Some(active) = self.requests[home].used_mut() else {
                continue;
            };
            active.is_waiting = false;
            if !active.wants_more() {
                continue;
            }
            let slot = match self.commands[home].stage {
                Stage::None => Some(home),
                // Whoever waits for a first slot goes before whoever wants another one.
                _ if self.slots.free() <= self.room.len() => None,
                Stage::Out | Stage::Again => self.slots.take(),
            };
            let Some(slot) = slot else {
                // The request's own slot comes back in any case.
                active.is_waiting = true;
                self.waiting.push_back(home as u8);
                without_slot += 1;
                continue;
            };
            without_slot = 0;
            match self.send_next(slot, home) {
                Ok(()) => self.wait_if_more(home),
                Err(error) => self.refuse_next(slot, home, error),
            }
        }
        let is_stuck = self.rings.is_full() && self.slots.outstanding() == 0;
        if is_stuck {
            // All commands are complete, and the device says that it has not read them.
            self.violation(Violation::SubmissionStuck);
        }
    }

    fn wait_if_more(&mut self, home: usize) {
        if self.requests[home].used().is_some_and(Active::wants_more) {
            self.wait(home);
        }
    }

    /// Makes the next command of a request, in a slot that has none.
    fn send_next(&mut self, slot: usize, home: usize) -> Result<(), Error> {
        let Some(active) = self.requests[home].used() else {
            return Ok(());
        };
        let next = self.next_command(active);
        let offset = active.given;
        let command = &mut self.commands[slot];
        *command = Command {
            home: home as u8,
            offset,
            blocks: next.blocks,
            ..Command::default()
        };
        let behind = self.put(slot, home, next.place)?;
        if let Some(active) = self.requests[home].used_mut() {
            active.given += self.commands[slot].blocks;
            active.place = behind;
            active.commands += 1;
        }
        Ok(())
    }

    /// Sends the command of a slot once more.
    fn send_again(&mut self, slot: usize) -> Result<(), Error> {
        let home = usize::from(self.commands[slot].home);
        let offset = self.commands[slot].offset;
        let Some(active) = self.requests[home].used() else {
            return Ok(());
        };
        let bytes = offset * u64::from(active.operation.cut.block_bytes);
        let place = match &active.data {
            Some(data) => data.ranges().cursor_behind(bytes).place(),
            None => Place::default(),
        };
        self.counters.retries += 1;
        self.put(slot, home, place).map(|_| ())
    }

    /// How much the next command takes.
    fn next_command(&self, active: &Active<B>) -> Next {
        let operation = &active.operation;
        let left = active.left();
        let most = match operation.shape {
            Shape::Ranges | Shape::Sources(_) => {
                let of_range = RANGE_BLOCKS.min(u64::from(operation.cut.max_blocks));
                of_range * MAX_RANGES.min(u64::from(operation.cut.max_pages))
            }
            // What must be one command crosses what it likes.
            Shape::Blocks if !operation.is_single => {
                let first = operation.cdw10_11.wrapping_add(active.given);
                operation.cut.most_at(first)
            }
            Shape::Blocks | Shape::Whole => u64::from(operation.cut.max_blocks),
        };
        let blocks = match &active.data {
            None => most,
            Some(data) => {
                let cursor = data.ranges().cursor_at(active.place);
                self.limits(operation).next_run(cursor) / u64::from(operation.cut.block_bytes)
            }
        };
        Next {
            blocks: blocks.min(most).min(left),
            place: active.place,
        }
    }

    /// Puts the command of a slot into the ring. Returns where its data ends.
    ///
    /// Its blocks may become fewer if the metadata does not lie in one piece.
    fn put(&mut self, slot: usize, home: usize, place: Place) -> Result<Place, Error> {
        let Some(active) = self.requests[home].used() else {
            return Ok(place);
        };
        let operation = &active.operation;
        let means = self.means(operation);
        let command = &mut self.commands[slot];
        let mut metadata_bus = 0;
        if let Some(metadata) = &active.metadata {
            let size = u64::from(operation.cut.traits.metadata_bytes());
            let mut cursor = metadata.ranges().cursor_behind(command.offset * size);
            let piece = cursor.next_joined(command.blocks * size);
            let offset = command.offset * size;
            let piece = piece.filter(|piece| piece.len() >= size);
            let piece = piece.ok_or(Unmappable::InsideBlock { offset })?;
            if !piece.addr().is_aligned(4) {
                return Err(Unmappable::Misaligned { offset }.into());
            }
            metadata_bus = piece.addr().get();
            command.blocks = command.blocks.min(piece.len() / size);
        }
        if command.blocks == 0 {
            let offset = command.offset * u64::from(operation.cut.block_bytes);
            return Err(Unmappable::Length { offset }.into());
        }
        let mut entry = operation.entry(command.offset, command.blocks as u32);
        entry.mptr = metadata_bus;
        let list = ListMemory {
            bus: self.lists_bus + (slot * self.list_pages) as u64 * PAGE,
            pages: self.list_pages,
        };
        let base = slot * self.list_pages * PAGE as usize;
        let lists = &self.lists;
        let mut bytes = 0;
        let mut behind = place;
        if let Some(data) = &active.data {
            let mut cursor: DmaCursor<'_> = data.ranges().cursor_at(place);
            bytes = command.blocks * u64::from(operation.cut.block_bytes);
            let described = means.describe(&mut cursor, bytes, list, |at, value| {
                lists.store64(base + at, value);
            });
            // The cut keeps to what can be described. It would be about the memory if not.
            let (pointer, psdt) = described.ok_or(Unmappable::InsideBlock {
                offset: command.offset * u64::from(operation.cut.block_bytes),
            })?;
            entry.cdw0.set_psdt(psdt);
            entry.prp1 = pointer.prp1;
            entry.prp2 = pointer.prp2;
            behind = cursor.place();
        } else if operation.shape == Shape::Ranges {
            let first = operation.cdw10_11 + command.offset;
            let ranges = write_ranges(first, command.blocks, operation, |index, value| {
                lists.store64(base + index * 8, value);
            });
            entry.prp1 = list.bus;
            entry.cdw10_11 = DEALLOCATE << 32 | (ranges - 1);
        } else if let Shape::Sources(_) = operation.shape {
            let first = operation.from + command.offset;
            entry.prp1 = list.bus;
            entry.cdw12_13 |= write_sources(first, command.blocks, operation, |index, value| {
                lists.store64(base + index * 8, value);
            });
        }
        command.stage = Stage::Out;
        command.sent = self.scans;
        command.is_aborted = false;
        entry.cdw0.set_cid(self.slots.issue(slot));
        self.rings.push(&entry);
        self.counters.sent(operation.command, bytes);
        Ok(behind)
    }

    /// A request's next command cannot be made: the request ends with what was sent.
    fn refuse_next(&mut self, slot: usize, home: usize, error: Error) {
        if slot != home {
            self.slots.release(slot);
        }
        if let Some(active) = self.requests[home].used_mut() {
            active.note(active.given, error);
        }
        self.end_if_over(home);
    }
}

/// Attribute Deallocate (AD) of a Dataset Management command, in dword 11.
const DEALLOCATE: u64 = 1 << 2;

/// Writes the ranges of a Dataset Management command, two words each: attributes and length,
/// first block. Returns their number.
fn write_ranges(
    first: u64,
    blocks: u64,
    operation: &Operation,
    mut store: impl FnMut(usize, u64),
) -> u64 {
    let most = RANGE_BLOCKS.min(u64::from(operation.cut.max_blocks));
    let mut done = 0;
    let mut ranges = 0;
    while done < blocks {
        let now = most.min(blocks - done);
        store(ranges * 2, now << 32);
        store(ranges * 2 + 1, first + done);
        done += now;
        ranges += 1;
    }
    ranges as u64
}

/// Writes the sources of a Copy command. Returns what dword 12 says of them: their number, how
/// they are described, and what is checked of them, which is what is checked of the copy.
/// There are never more of them than fit into a page.
fn write_sources(
    first: u64,
    blocks: u64,
    operation: &Operation,
    mut store: impl FnMut(usize, u64),
) -> u64 {
    const WRITE_CHECKS: u32 = 26;
    let Shape::Sources(guard) = operation.shape else {
        return 0;
    };
    let most = u64::from(operation.cut.max_blocks);
    let (mut done, mut ranges, mut index) = (0, 0, 0);
    while done < blocks {
        let now = most.min(blocks - done);
        let block = first + done;
        let source = CopyRange {
            block,
            blocks: now as u32,
            tags: operation.protection.map(|_| Tags::of_block(block, guard)),
        };
        let bytes = source.encode(guard);
        let (words, _) = bytes[..CopyRange::bytes(guard)].as_chunks::<8>();
        for word in words {
            store(index, u64::from_le_bytes(*word));
            index += 1;
        }
        done += now;
        ranges += 1;
    }
    let checks = Checks::from((operation.cdw12_13 >> WRITE_CHECKS) as u8 & 0xf);
    copy(operation.nsid, 0, ranges, guard, checks).cdw12_13
}

#[cold]
fn refuse<B>(request: Request<B>, error: Error) -> Result<Ticket, Refused<B>> {
    Err(Refused { request, error })
}

/// The PRPs of memory in one piece on at most two pages.
#[inline]
fn two_pages(range: DmaRange) -> DataPointer {
    let start = range.addr().get();
    let is_one = page_offset(start) + range.len() <= PAGE;
    DataPointer {
        prp1: start,
        prp2: match is_one {
            true => 0,
            false => (start & !(PAGE - 1)).wrapping_add(PAGE),
        },
    }
}
