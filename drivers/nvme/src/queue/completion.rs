//! From completions to results.
//!
//! Every completion is looked at by itself: a batch of a hundred may have one error in the
//! middle. A command that failed is sent again if the controller allows it, if it has not been
//! too often, and if it does no harm to do it twice. A request is over when no command of it is out and no more will be.

use super::table::Stage;
use super::{Body, Mode, Over, Ticket};
use crate::error::{CommandError, Error, Failure, RequestError, Violation};
use crate::memory::Memory;
use crate::platform::Platform;
use crate::retry::Meaning;
use crate::status::Status;
use crate::wire::CompletionEntry;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

impl<P: Platform, B: Memory> Body<P, B> {
    pub(super) fn reap(&mut self) -> usize {
        let mut count = 0;
        while self.mode == Mode::Live {
            match self.rings.next() {
                Ok(None) => break,
                Ok(Some(entry)) => {
                    count += 1;
                    if let Err(violation) = self.complete(entry) {
                        self.violation(violation);
                    }
                }
                Err(violation) => self.violation(violation),
            }
        }
        count
    }

    #[inline(always)]
    fn complete(&mut self, entry: CompletionEntry) -> Result<(), Violation> {
        let slot = self.slots.complete(entry.cid)?;
        let home = usize::from(self.commands[slot].home);
        if !entry.status.is_success() {
            self.failed(slot, entry.status);
            return Ok(());
        }
        if let Some(active) = self.requests[home].used_mut() {
            active.result = entry.result;
        }
        self.command_over(slot, home);
        Ok(())
    }

    /// A command is complete, with an error.
    #[cold]
    fn failed(&mut self, slot: usize, status: Status) {
        self.counters.errors += 1;
        let command = &mut self.commands[slot];
        let home = usize::from(command.home);
        let Some(active) = self.requests[home].used_mut() else {
            return;
        };
        let retry = status.retry_after(self.shared.retry_delays());
        // Nobody knows how much of it was done, unless it was not even begun.
        let is_harmless = active.operation.idempotent || status.meaning() == Meaning::Busy;
        let may_again = retry.is_some()
            && is_harmless
            && command.tries < self.shared.options.retries
            && active.error.is_none()
            && !active.is_abandoned;
        if may_again {
            command.tries += 1;
            command.not_before = match retry.unwrap_or_default() {
                0 => 0,
                milliseconds => self.scans + self.shared.scans_of(milliseconds),
            };
            command.stage = Stage::Again;
            self.again.push_back(slot as u8);
            return;
        }
        let first = active.operation.first_block();
        let error = Error::Command(CommandError {
            command: active.operation.command,
            nsid: active.operation.nsid,
            block: first.map(|first| first.saturating_add(command.offset)),
            status,
        });
        active.note(command.offset, error);
        self.command_over(slot, home);
    }

    /// Ends the command of a slot with an error of the driver's.
    pub(super) fn give_up(&mut self, slot: usize, error: Error) {
        let command = self.commands[slot];
        let home = usize::from(command.home);
        if let Some(active) = self.requests[home].used_mut() {
            active.note(command.offset, error);
        }
        self.command_over(slot, home);
    }

    /// A command is neither out nor to be sent again.
    #[inline(always)]
    pub(super) fn command_over(&mut self, slot: usize, home: usize) {
        self.commands[slot].stage = Stage::None;
        if slot != home {
            self.slots.release(slot);
        }
        if let Some(active) = self.requests[home].used_mut() {
            active.commands -= 1;
            if active.commands == 0 {
                self.end_if_over(home);
            }
        }
    }

    /// Ends a request if there is nothing more to do for it.
    #[inline(always)]
    pub(super) fn end_if_over(&mut self, home: usize) {
        let Some(active) = self.requests[home].used_mut() else {
            return;
        };
        if active.commands > 0 || active.wants_more() || active.is_over {
            return;
        }
        active.is_over = true;
        if active.is_waiting {
            active.is_waiting = false;
            self.waiting.retain(|other| usize::from(*other) != home);
        }
        if active.is_abandoned {
            drop(self.over(home));
        } else if let Some(waker) = active.waker.take() {
            waker.wake();
        }
    }

    /// A request that is over, to be taken out of the table.
    #[inline(always)]
    fn over(&mut self, home: usize) -> Over<'_, B> {
        Over {
            active: &mut self.requests[home],
            home,
            slots: &mut self.slots,
            room: &mut self.room,
        }
    }

    #[inline(always)]
    pub(super) fn poll(
        &mut self,
        ticket: &Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Over<'_, B>, Error>> {
        let active = self.requests.get_mut(ticket.slot);
        let Some(active) = active.filter(|active| active.is_of(ticket.serial)) else {
            return Poll::Ready(Err(Error::Request(RequestError::NoSuchRequest)));
        };
        if !active.is_over {
            match &mut active.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(Ok(Over {
            active,
            home: ticket.slot,
            slots: &mut self.slots,
            room: &mut self.room,
        }))
    }

    pub(super) fn abandon(&mut self, ticket: Ticket) {
        let active = self.requests.get_mut(ticket.slot);
        let Some(active) = active.filter(|active| active.is_of(ticket.serial)) else {
            return;
        };
        active.is_abandoned = true;
        active.waker = None;
        if active.is_over {
            drop(self.over(ticket.slot));
            return;
        }
        // What waits to be sent again has no effect that anybody waits for.
        let home = ticket.slot;
        for _ in 0..self.again.len() {
            let Some(slot) = self.again.pop_front() else {
                break;
            };
            let slot = usize::from(slot);
            match usize::from(self.commands[slot].home) == home {
                true => self.command_over(slot, home),
                false => self.again.push_back(slot as u8),
            }
        }
        self.end_if_over(home);
    }

    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.slots.free() > 0 || matches!(self.mode, Mode::Dead(_)) {
            return Poll::Ready(());
        }
        if !self.room.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.room.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn wake_room(&mut self) {
        wake_all(&mut self.room);
    }

    /// The device has broken a rule. Nothing it says is believed until it has been reset.
    #[cold]
    pub(super) fn violation(&mut self, violation: Violation) {
        self.trouble(Failure::Protocol(violation));
    }

    /// Says that the controller must be reset, and holds.
    #[cold]
    pub(super) fn trouble(&mut self, failure: Failure) {
        self.mode = Mode::Held;
        self.counters.failures += 1;
        self.shared.report(failure);
    }
}

#[cold]
pub(super) fn wake_all(waiting: &mut Vec<Waker>) {
    for waker in waiting.drain(..) {
        waker.wake();
    }
}
