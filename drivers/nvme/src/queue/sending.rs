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
use super::{Body, Mode, Ticket};
use crate::command::{Command as Op, DataPointer, Direction};
use crate::error::{Error, RequestError, Violation};
use crate::memory::Memory;
use crate::operation::{Request, Shape};
use crate::page::{PAGE, page_offset};
use crate::platform::Platform;
use core::task::Waker;
use phyr::{DmaRange, Place};

impl<P: Platform, B: Memory> Body<P, B> {
    /// All that a short request needs is here, in one function that becomes part of its caller: what
    /// a caller has made is then copied once, to its place in the table.
    // ANCHOR: short
    #[inline(always)]
    pub(super) fn submit(
        &mut self,
        request: &mut Request<B>,
        waker: &Waker,
    ) -> Result<Ticket, Error> {
        let Some(range) = self.short(request) else {
            return self.submit_any(request, waker);
        };
        let Some(home) = self.slots.take() else {
            return Err(Error::Full);
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
    fn submit_any(&mut self, request: &mut Request<B>, waker: &Waker) -> Result<Ticket, Error> {
        if let Mode::Dead(failure) = self.mode {
            return Err(Error::Dead(failure));
        }
        self.check(request)?;
        let Some(home) = self.slots.take() else {
            return Err(Error::Full);
        };
        let is_quiet = self.mode == Mode::Live && self.waiting.is_empty() && !self.rings.is_full();
        let active = &mut self.requests[home];
        active.place = match &request.data {
            Some(data) => data.ranges().cursor().place(),
            None => Place::default(),
        };
        active.begin(request, waker);
        active.metadata = request.metadata.take();
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
