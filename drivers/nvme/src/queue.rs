//! A queue pair: a submission ring, a completion ring, and what is outstanding.
//!
//! - Each outstanding command has a slot, and there are as many slots as the submission
//!   ring holds entries. So the completion ring, which is as long, never overflows.
//! - A completion is believed only if queue, submission head and command identifier all
//!   fit. One that does not fit means that the device cannot be trusted any more.

use crate::counters::Counters;
use crate::error::{Failure, Violation};
use crate::page::PAGE;
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::port::Port;
use crate::ring::{CompletionRing, SubmissionRing};
use crate::slots::{Slots, Ticket};
use crate::watch::Watch;
use crate::wire::{CompletionEntry, SubmissionEntry};

/// A queue pair whose two queues have the same identifier and length. `T` is what the
/// driver keeps for each outstanding command.
#[derive(Debug)]
pub(crate) struct QueuePair<M, T> {
    id: u16,
    entries: u16,
    submission: SubmissionRing,
    completion: CompletionRing,
    slots: Slots<T>,
    /// Both rings: first the submission ring, then the completion ring.
    memory: M,
}

impl<M: SharedMemory, T: Copy> QueuePair<M, T> {
    /// Takes memory for a queue pair with `entries` entries, from 2 to 256.
    pub(crate) fn allocate<P>(platform: &P, id: u16, entries: u16) -> Result<Self, OutOfMemory>
    where
        P: Platform<Shared = M>,
    {
        let bytes = completion_base(entries) + CompletionRing::bytes(entries);
        Ok(Self {
            id,
            entries,
            submission: SubmissionRing::new(entries),
            completion: CompletionRing::new(entries),
            slots: Slots::new(usize::from(entries) - 1),
            memory: platform.allocate(bytes)?,
        })
    }

    /// Makes both queues as new. The controller does not use them any more, or not yet.
    pub(crate) fn reset(&mut self) {
        let base = completion_base(self.entries);
        for offset in (0..CompletionRing::bytes(self.entries)).step_by(8) {
            self.memory.store64(base + offset, 0);
        }
        self.submission = SubmissionRing::new(self.entries);
        self.completion = CompletionRing::new(self.entries);
        self.slots.clear();
    }

    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// Bus address of the submission queue.
    pub(crate) fn submission_bus(&self) -> u64 {
        self.memory.bus().addr().get()
    }

    /// Bus address of the completion queue.
    pub(crate) fn completion_bus(&self) -> u64 {
        self.submission_bus() + completion_base(self.entries) as u64
    }

    /// Number of commands outstanding.
    pub(crate) fn outstanding(&self) -> usize {
        self.slots.outstanding()
    }

    /// The slot that the next command gets. Returns `None` if it has to wait.
    pub(crate) fn room(&self) -> Option<Ticket> {
        if self.submission.is_full() {
            return None;
        }
        self.slots.next()
    }

    /// Puts a command into the queue, in the slot that [`room`](Self::room) named.
    ///
    /// The device is not told of it yet. Returns false, and does nothing, without room. That
    /// may happen with nothing outstanding: the device decides how far the head moves.
    #[must_use]
    pub(crate) fn push(&mut self, mut entry: SubmissionEntry, keep: T) -> bool {
        if self.submission.is_full() {
            return false;
        }
        let Some(ticket) = self.slots.take(keep) else {
            return false;
        };
        entry.cdw0.set_cid(ticket.cid);
        self.submission.push(&self.memory, &entry);
        true
    }

    /// Tells the device of all commands pushed, and of all completions taken.
    ///
    /// One doorbell write for each of the two, and none if there is nothing to tell.
    pub(crate) fn ring<P: Platform>(&mut self, port: &Port<P>, counters: &mut Counters) {
        if let Some(head) = self.completion.commit() {
            port.ring_completion(self.id, head);
            counters.completion_doorbells += 1;
        }
        if let Some(tail) = self.submission.commit() {
            port.ring_submission(self.id, tail);
            counters.submission_doorbells += 1;
        }
    }

    /// Takes the next completion, if there is one.
    pub(crate) fn poll(&mut self) -> Result<Option<(T, CompletionEntry)>, Violation> {
        let base = completion_base(self.entries);
        let Some(entry) = self.completion.peek(&self.memory, base) else {
            return Ok(None);
        };
        self.completion.pop();
        if entry.sq_id != self.id {
            let sq_id = entry.sq_id;
            return Err(Violation::WrongQueue { sq_id });
        }
        self.submission.retire(entry.sq_head)?;
        Ok(Some((self.slots.complete(entry.cid)?, entry)))
    }

    /// Waits for the next completion.
    pub(crate) fn wait<P: Platform>(
        &mut self,
        port: &Port<P>,
        mut watch: Watch,
    ) -> Result<(T, CompletionEntry), Failure> {
        loop {
            if let Some(done) = self.poll().map_err(Failure::Protocol)? {
                return Ok(done);
            }
            let Err(failure) = watch.turn(port) else {
                continue;
            };
            // The answer may have come just before the time was over.
            return match (failure, self.poll()) {
                (Failure::Timeout(_), Ok(Some(done))) => Ok(done),
                _ => Err(failure),
            };
        }
    }
}

/// Where the completion ring starts in a pair's memory: on the page behind the other ring.
fn completion_base(entries: u16) -> usize {
    SubmissionRing::bytes(entries).next_multiple_of(PAGE as usize)
}
