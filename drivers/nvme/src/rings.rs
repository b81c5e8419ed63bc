//! The rings of a queue pair, in memory and with their doorbells.
//!
//! Entries go in by [`push`](Rings::push) and come out by [`next`](Rings::next). The device
//! hears of both only by [`ring`](Rings::ring): one doorbell write for each ring that has
//! changed, however much has, and none for a ring that has not.
//!
//! - A completion is handed out only if queue and submission head fit. One that does not fit
//!   means that the device cannot be trusted any more.
//! - The completion ring is as long as the submission ring, and there are fewer slots than
//!   entries. So completions never overflow, whenever their doorbell is rung.

use crate::atomics::{Ordering, fence};
use crate::doorbell::{Doorbells, Rung, Shadows};
use crate::error::Violation;
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::port::Port;
use crate::ring::{CompletionRing, SubmissionRing};
use crate::wire::{CompletionEntry, SubmissionEntry};
use alloc::sync::Arc;

/// A submission ring and the completion ring of the same number and length.
#[derive(Debug)]
pub(crate) struct Rings<M> {
    id: u16,
    entries: u16,
    submission: SubmissionRing,
    completion: CompletionRing,
    doorbells: Doorbells<M>,
    /// Memory of the submission ring, and of the completion ring.
    commands: M,
    completions: M,
    /// The submission ring is in the controller's memory.
    is_remote: bool,
}

impl<M: SharedMemory> Rings<M> {
    /// Takes memory for rings with `entries` entries, at least 2. `remote` is memory of the
    /// controller for the submission ring.
    pub(crate) fn allocate<P>(
        platform: &P,
        id: u16,
        entries: u16,
        remote: Option<M>,
    ) -> Result<Self, OutOfMemory>
    where
        P: Platform<Shared = M>,
    {
        let is_remote = remote.is_some();
        let commands = match remote {
            Some(remote) => remote,
            None => platform.allocate(SubmissionRing::bytes(entries))?,
        };
        Ok(Self {
            id,
            entries,
            submission: SubmissionRing::new(entries),
            completion: CompletionRing::new(entries),
            doorbells: Doorbells::Registers,
            commands,
            completions: platform.allocate(CompletionRing::bytes(entries))?,
            is_remote,
        })
    }

    /// Makes both rings as new, and rings by registers. The controller does not use them any
    /// more, or not yet.
    pub(crate) fn reset(&mut self) {
        for offset in (0..CompletionRing::bytes(self.entries)).step_by(8) {
            self.completions.store64(offset, 0);
        }
        self.submission = SubmissionRing::new(self.entries);
        self.completion = CompletionRing::new(self.entries);
        self.doorbells.reset();
    }

    /// Rings by shadows from now on, or by registers.
    pub(crate) fn connect(&mut self, shadows: Option<Arc<Shadows<M>>>) {
        self.doorbells = match shadows {
            Some(shadows) => {
                let (tail, head) = (self.submission.committed(), self.completion.committed());
                Doorbells::shadowed(shadows, self.id, tail, head)
            }
            None => Doorbells::Registers,
        };
    }

    /// Bytes of a submission ring.
    pub(crate) const fn submission_bytes(entries: u16) -> usize {
        SubmissionRing::bytes(entries)
    }

    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// Bus address of the submission queue.
    pub(crate) fn submission_bus(&self) -> u64 {
        self.commands.bus().addr().get()
    }

    /// Bus address of the completion queue.
    pub(crate) fn completion_bus(&self) -> u64 {
        self.completions.bus().addr().get()
    }

    /// True if no command can be pushed before the device has fetched one.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.submission.is_full()
    }

    /// Puts a command behind the others. The caller has seen that there is room.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: &SubmissionEntry) {
        self.submission.push(&self.commands, entry);
    }

    /// Whether there is a completion to be taken.
    #[inline(always)]
    pub(crate) fn has_next(&self) -> bool {
        self.completion.peek(&self.completions, 0).is_some()
    }

    /// Whether there are commands that the device was not told of.
    #[inline(always)]
    pub(crate) fn has_commands(&self) -> bool {
        self.submission.has_news()
    }

    /// Whether there is anything that the device was not told of.
    #[inline(always)]
    pub(crate) fn has_news(&self) -> bool {
        self.completion.has_news() || self.submission.has_news()
    }

    // ANCHOR: next
    /// Takes the next completion, if there is one.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<CompletionEntry>, Violation> {
        let Some(entry) = self.completion.peek(&self.completions, 0) else {
            return Ok(None);
        };
        self.completion.pop();
        if entry.sq_id != self.id {
            let sq_id = entry.sq_id;
            return Err(Violation::WrongQueue { sq_id });
        }
        self.submission.retire(entry.sq_head)?;
        Ok(Some(entry))
    }
    // ANCHOR_END: next

    /// Tells the device of all commands pushed, and of all completions taken.
    ///
    /// Completions first: the device has room for the answers before it has the commands.
    /// Returns which registers were written.
    #[inline]
    pub(crate) fn ring<P: Platform>(&mut self, port: &Port<P>) -> Rung {
        let head = self.completion.commit();
        let tail = self.submission.commit();
        if head.is_none() && tail.is_none() {
            return Rung::default();
        }
        if self.is_remote {
            // The processor may gather writes to memory of a device, and has to let go of them.
            fence(Ordering::SeqCst);
        }
        let rung = self.doorbells.announce(self.id, tail, head);
        if rung.completion {
            port.ring_completion(self.id, self.completion.committed());
        }
        if rung.submission {
            port.ring_submission(self.id, self.submission.committed());
        }
        rung
    }

    /// Rings the tail doorbell's register if only its shadow may have been: perhaps the device
    /// sleeps, and has not said so.
    pub(crate) fn knock<P: Platform>(&self, port: &Port<P>) -> bool {
        let is_shadowed = matches!(self.doorbells, Doorbells::Shadows { .. });
        if is_shadowed {
            port.ring_submission(self.id, self.submission.committed());
        }
        is_shadowed
    }
}
