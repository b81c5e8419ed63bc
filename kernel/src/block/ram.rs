//! A disk made of memory, which completes requests when it is told to.
//!
//! It is a real block device, and it is a stage: what a real one does by chance, in bad order, or
//! once a year, this one does when a test says so. It [holds](RamDisk::hold) requests back and
//! completes them in any order, fails them, changes its size, and is removed.
//!
//! Data moves at completion. So a buffer that was freed or looked at too early is noticed.

mod state;

use super::{BlockDevice, BlockError, Completion, Geometry, Limits, Operation, Ranges, Request};
use super::{Refusal, Ticket};
use crate::lock::Mutex;
use alloc::string::String;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use state::{Content, Slot, State};

/// A disk made of memory.
pub struct RamDisk {
    name: String,
    state: Mutex<State>,
}

/// What a [`RamDisk`] has carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub reads: u64,
    /// Writes of either kind.
    pub writes: u64,
    /// Writes, also of zeros, that were to be durable at once.
    pub durable: u64,
    /// Flushes.
    pub flushes: u64,
    /// Blocks discarded.
    pub discarded: u64,
    /// Blocks zeroed.
    pub zeroed: u64,
    /// Blocks verified.
    pub verified: u64,
}

impl RamDisk {
    /// A disk with these bytes, which can do everything, and takes 64 requests at once.
    ///
    /// # Panics
    /// If `block_size` is not a power of two.
    pub fn new(name: &str, block_size: u32, bytes: Vec<u8>) -> Self {
        assert!(block_size.is_power_of_two());
        let ranges = Some(Ranges {
            granularity: 1,
            max_blocks: u64::MAX,
        });
        let limits = Limits {
            command: phyr::Limits::of_blocks(u64::from(block_size)),
            depth: 64,
            write_cache: true,
            durable_writes: true,
            discard: ranges,
            write_zeroes: ranges,
            compare: true,
            verify: true,
        };
        let geometry = Geometry {
            block_size,
            blocks: bytes.len() as u64 / u64::from(block_size),
            writable: true,
        };
        Self {
            name: name.into(),
            state: Mutex::new(State {
                bytes,
                geometry,
                limits,
                slots: Vec::new(),
                waiting: Vec::new(),
                held: false,
                removed: false,
                counts: Counts::default(),
                room: Vec::new(),
                generation: 0,
            }),
        }
    }

    /// The same disk, which cannot be written.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.state.get_mut().geometry.writable = false;
        self
    }

    /// The same disk, which can do no more than this.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.state.get_mut().limits = limits;
        self
    }

    /// From now on requests wait until they are completed by name.
    pub fn hold(&self) {
        self.state.lock().held = true;
    }

    /// How many requests wait, abandoned ones too.
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// How many slots are in use: by requests that wait, or that nobody has asked for yet.
    pub fn in_use(&self) -> usize {
        let state = self.state.lock();
        let used = |slot: &&Slot| !matches!(slot.content, Content::Free);
        state.slots.iter().filter(used).count()
    }

    /// Carries out the request that is the `number`th of those that wait, from 0, oldest first.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn complete(&self, number: usize) {
        self.end(number, None);
    }

    /// As [`complete`](Self::complete), but nothing is done, and the request fails.
    pub fn fail(&self, number: usize, error: BlockError) {
        self.end(number, Some(error));
    }

    fn end(&self, number: usize, error: Option<BlockError>) {
        let mut state = self.state.lock();
        let slot = state.waiting.remove(number);
        let wakers = state.end(slot, error);
        // The lock is not held while somebody else's code runs.
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What the `number`th request that waits will do to the content: where, and which byte.
    #[cfg(test)]
    pub(crate) fn change(&self, number: usize) -> Option<(core::ops::Range<usize>, u8)> {
        let state = self.state.lock();
        let (Content::Waiting(request) | Content::Abandoned(request)) =
            &state.slots[state.waiting[number]].content
        else {
            return None;
        };
        let size = state.geometry.block_size as usize;
        let start = request.block as usize * size;
        match &request.operation {
            Operation::Write(buffer, _) => Some((start..start + buffer.len(), buffer.bytes()[0])),
            Operation::WriteZeroes { blocks, .. } => {
                Some((start..start + *blocks as usize * size, 0))
            }
            _ => None,
        }
    }

    /// Completes what waits, and from now on everything at once.
    pub fn release(&self) {
        self.state.lock().held = false;
        while self.waiting() > 0 {
            self.complete(0);
        }
    }

    /// The disk is gone: what waits fails, and so does all that comes.
    pub fn remove(&self) {
        let room = {
            let mut state = self.state.lock();
            state.removed = true;
            core::mem::take(&mut state.room)
        };
        while self.waiting() > 0 {
            self.fail(0, BlockError::Removed);
        }
        // There is no use in waiting any more, also where nobody asks for what has failed.
        room.into_iter().for_each(Waker::wake);
    }

    /// The disk has so many blocks from now on. New ones are zeros.
    pub fn resize(&self, blocks: u64) {
        let mut state = self.state.lock();
        let bytes = blocks as usize * state.geometry.block_size as usize;
        state.bytes.resize(bytes, 0);
        state.geometry.blocks = blocks;
    }

    /// What has been carried out.
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// A copy of the content.
    pub fn content(&self) -> Vec<u8> {
        self.state.lock().bytes.clone()
    }
}

impl BlockDevice for RamDisk {
    fn name(&self) -> &str {
        &self.name
    }

    fn geometry(&self) -> Geometry {
        self.state.lock().geometry
    }

    fn limits(&self) -> Limits {
        self.state.lock().limits
    }

    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(BlockError::Removed.into());
        }
        request.check(&state.geometry, &state.limits)?;
        let free = |slot: &Slot| matches!(slot.content, Content::Free);
        let number = match state.slots.iter().position(free) {
            Some(number) => number,
            None if state.slots.len() < usize::from(state.limits.depth) => {
                state.slots.push(Slot {
                    generation: 0,
                    content: Content::Free,
                    waker: None,
                });
                state.slots.len() - 1
            }
            None => return Err(Refusal::Full),
        };
        state.generation = state.generation.wrapping_add(1);
        let generation = state.generation;
        state.slots[number] = Slot {
            generation,
            content: Content::Waiting(Request {
                block: request.block,
                operation: core::mem::replace(&mut request.operation, Operation::Flush),
            }),
            waker: Some(cx.waker().clone()),
        };
        if state.held {
            state.waiting.push(number);
        } else {
            let wakers = state.end(number, None);
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
        Ok(Ticket::new(u64::from(generation) << 32 | number as u64))
    }

    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion> {
        let mut state = self.state.lock();
        let slot = state.slot(ticket);
        match core::mem::replace(&mut slot.content, Content::Free) {
            Content::Done(done) => {
                slot.generation = 0;
                let room = core::mem::take(&mut state.room);
                drop(state);
                room.into_iter().for_each(Waker::wake);
                Poll::Ready(done)
            }
            waiting => {
                slot.content = waiting;
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn abandon(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        let slot = state.slot(&ticket);
        slot.waker = None;
        match core::mem::replace(&mut slot.content, Content::Free) {
            Content::Waiting(request) => slot.content = Content::Abandoned(request),
            done => {
                slot.generation = 0;
                let room = core::mem::take(&mut state.room);
                drop(state);
                drop(done);
                room.into_iter().for_each(Waker::wake);
            }
        }
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        let free = |slot: &Slot| matches!(slot.content, Content::Free);
        let spare = state.slots.len() < usize::from(state.limits.depth);
        if spare || state.removed || state.slots.iter().any(free) {
            return Poll::Ready(());
        }
        state.room.push(cx.waker().clone());
        Poll::Pending
    }

    fn outstanding(&self) -> usize {
        self.state.lock().waiting.len()
    }
}
