//! Reading and writing: one list of bus ranges, as many commands as it takes.
//!
//! A transfer goes in turns. Each turn fills the queue with commands, rings the doorbells
//! once, waits for one completion, and takes whatever else has arrived by then. So a long
//! transfer keeps the queue full and pays for doorbells by the batch.
//!
//! - Nothing is sent before the whole request has been found to be possible.
//! - After an error nothing more is sent, but everything that was sent is waited for.
//! - Of several errors the one with the lowest block is reported: all blocks of the
//!   request before it were transferred.
//! - No memory is allocated. Each slot has its own list memory from the start.

use crate::command::{self, Command};
use crate::controller::Controller;
use crate::error::{CommandError, Error, Failure, RequestError, Unmappable, Violation, Waiting};
use crate::memory::{Source, Target};
use crate::page::PAGE;
use crate::plan::{self, Rules};
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::prp::{self, ListMemory, PrpError, list_pages};
use crate::queue::QueuePair;
use crate::watch::{COMMAND_MICROSECONDS, Watch};
use phyr::{DmaCursor, DmaList};

/// The I/O queue pair, with list memory for each slot.
#[derive(Debug)]
pub(crate) struct IoQueue<M> {
    /// The queues. For each command the driver keeps its first block.
    pub(crate) pair: QueuePair<M, u64>,
    /// List memory of all slots, one after the other.
    lists: M,
    /// Pages of list memory of one slot.
    list_pages: usize,
    /// Most memory pages of a command.
    max_pages: u64,
}

/// What all commands of one transfer have in common.
#[derive(Clone, Copy, Debug)]
struct Request {
    direction: Command,
    nsid: u32,
    block_shift: u32,
}

impl<M: SharedMemory> IoQueue<M> {
    /// Queue Identifier of both queues.
    pub(crate) const ID: u16 = 1;

    /// Takes memory for queues of `entries` entries, and for commands of up to `max_pages`
    /// memory pages.
    pub(crate) fn allocate<P>(
        platform: &P,
        entries: u16,
        max_pages: u64,
    ) -> Result<Self, OutOfMemory>
    where
        P: Platform<Shared = M>,
    {
        let pair = QueuePair::allocate(platform, Self::ID, entries)?;
        // At least one page, so that there is something to allocate.
        let list_pages = list_pages(max_pages as usize).max(1);
        let slots = usize::from(entries) - 1;
        Ok(Self {
            pair,
            lists: platform.allocate(slots * list_pages * PAGE as usize)?,
            list_pages,
            max_pages,
        })
    }

    /// Most memory pages of a command.
    pub(crate) fn max_pages(&self) -> u64 {
        self.max_pages
    }

    /// Puts a command for the next `bytes` bytes of `cursor` into the queue, in which there
    /// is room. Moves the cursor on.
    fn push(
        &mut self,
        request: Request,
        block: u64,
        cursor: &mut DmaCursor<'_>,
        bytes: u64,
    ) -> Result<(), PrpError> {
        let slot = self.pair.room().ok_or(PrpError::ListFull)?.slot;
        let offset = slot * self.list_pages * PAGE as usize;
        let list = ListMemory {
            bus: self.lists.bus().addr().get() + offset as u64,
            pages: self.list_pages,
        };
        let lists = &self.lists;
        let data = prp::build(cursor, bytes, list, |at, value| {
            lists.store64(offset + at, value);
        })?;
        let blocks = (bytes >> request.block_shift) as u32;
        let entry = command::transfer(request.direction, request.nsid, block, blocks, data);
        if !self.pair.push(entry, block) {
            return Err(PrpError::ListFull); // there was room a moment ago
        }
        Ok(())
    }
}

impl<P: Platform> Controller<P> {
    /// Reads blocks from `block` on until `memory` is full.
    ///
    /// `memory` is a whole number of blocks long. Its pieces may lie anywhere where they
    /// start at a multiple of 4 bytes; a block that is cut between two pieces must be cut
    /// at a page boundary of both. When this returns, the device is done with the memory.
    ///
    /// # Errors
    ///
    /// [`Error::Request`]: the request is not possible, and nothing was read.
    /// [`Error::Command`]: blocks before the one that it names were read; what the rest of
    /// the memory holds is unknown. [`Error::Failed`], [`Error::Dead`]: see there.
    pub fn read(&mut self, nsid: u32, block: u64, memory: &impl Target) -> Result<(), Error> {
        self.transfer(Command::Read, nsid, block, memory.ranges())
    }

    /// Writes all of `memory` to the blocks from `block` on.
    ///
    /// What is written may be lost with the power until [`flush`](Self::flush) returns.
    /// The memory must be as for [`read`](Self::read), and so are the errors.
    pub fn write(&mut self, nsid: u32, block: u64, memory: &impl Source) -> Result<(), Error> {
        self.alive()?;
        if self.namespace(nsid)?.write_protected {
            return Err(Error::Request(RequestError::WriteProtected { nsid }));
        }
        self.transfer(Command::Write, nsid, block, memory.ranges())
    }

    fn transfer(
        &mut self,
        direction: Command,
        nsid: u32,
        first_block: u64,
        memory: &DmaList,
    ) -> Result<(), Error> {
        self.alive()?;
        let rules = self.check(nsid, first_block, memory)?;
        let request = Request {
            direction,
            nsid,
            block_shift: rules.block_shift,
        };
        match self.run(request, rules, first_block, memory) {
            Ok(result) => result,
            Err(failure) => Err(self.fail(failure)),
        }
    }

    /// Finds out whether a request is possible. Returns the rules for its commands.
    fn check(&self, nsid: u32, block: u64, memory: &DmaList) -> Result<Rules, Error> {
        let namespace = self.namespace(nsid)?;
        let block_shift = namespace.block_shift();
        let bytes = memory.bytes();
        let blocks = bytes >> block_shift;
        if bytes == 0 || blocks << block_shift != bytes {
            return Err(Error::Request(RequestError::Length {
                bytes,
                block_size: namespace.block_size,
            }));
        }
        let capacity = namespace.blocks;
        if block.checked_add(blocks).is_none_or(|end| end > capacity) {
            return Err(Error::Request(RequestError::OutOfRange {
                block,
                blocks,
                capacity,
            }));
        }
        plan::check(memory, block_shift)?;
        Ok(Rules {
            block_shift,
            max_bytes: namespace.limits.max_transfer_bytes,
            max_pages: namespace.limits.max_pages,
        })
    }

    /// Sends a request's commands and waits for all of them.
    ///
    /// The outer error is the controller's failure, with commands still outstanding; the
    /// inner one is that of a command or of the request, with none outstanding.
    fn run(
        &mut self,
        request: Request,
        rules: Rules,
        first_block: u64,
        memory: &DmaList,
    ) -> Result<Result<(), Error>, Failure> {
        let Some(io) = &mut self.io else {
            return Err(Failure::SetUp);
        };
        let mut cursor = memory.cursor();
        let mut block = first_block;
        let mut errors = FirstError::default();
        loop {
            while errors.is_none() && io.pair.room().is_some() {
                let bytes = plan::next_run(cursor.clone(), &rules);
                if bytes == 0 {
                    break;
                }
                if io.push(request, block, &mut cursor, bytes).is_err() {
                    // The plan keeps to what PRPs can describe, so this does not happen.
                    // It would be about the memory if it did.
                    let offset = memory.bytes() - cursor.remaining();
                    errors.refused = Some(Unmappable::InsideBlock { offset });
                    break;
                }
                block += bytes >> rules.block_shift;
                self.counters.bytes += bytes;
                match request.direction {
                    Command::Write => self.counters.writes += 1,
                    _ => self.counters.reads += 1,
                }
            }
            io.pair.ring(&self.port, &mut self.counters);
            if io.pair.outstanding() == 0 {
                break;
            }
            let watch = Watch::new(Waiting::Io, COMMAND_MICROSECONDS);
            let mut done = Some(io.pair.wait(&self.port, watch)?);
            while let Some((block, entry)) = done {
                if !entry.status.is_success() {
                    self.counters.errors += 1;
                    errors.note(CommandError {
                        command: request.direction,
                        nsid: request.nsid,
                        block: Some(block),
                        status: entry.status,
                    });
                }
                done = io.pair.poll().map_err(Failure::Protocol)?;
            }
        }
        if errors.is_none() && cursor.remaining() > 0 {
            // Nothing is outstanding, and still there is no room in the queue.
            return Err(Failure::Protocol(Violation::SubmissionStuck));
        }
        Ok(errors.result())
    }
}

/// The error of a transfer that is to be reported.
#[derive(Default)]
struct FirstError {
    /// The error of the command with the lowest block.
    command: Option<CommandError>,
    /// Memory that no command can describe.
    refused: Option<Unmappable>,
}

impl FirstError {
    fn is_none(&self) -> bool {
        self.command.is_none() && self.refused.is_none()
    }

    fn note(&mut self, error: CommandError) {
        if self.command.is_none_or(|first| error.block < first.block) {
            self.command = Some(error);
        }
    }

    fn result(self) -> Result<(), Error> {
        match (self.command, self.refused) {
            (Some(error), _) => Err(Error::Command(error)),
            (None, Some(refused)) => Err(refused.into()),
            (None, None) => Ok(()),
        }
    }
}
