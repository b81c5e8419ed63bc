//! What a queue does when the controller is in trouble, and before that: a look at the clock.
//!
//! A command has no timer. The queue counts *scans*, sixteen in the time that a command may take,
//! and each command knows before which one it was sent. So a command that has seen sixteen scans has been out
//! for at least fifteen times the pause between two, also if the core was late.
//!
//! A command that is out for too long goes through three stages, and at each the completion
//! ring is looked at once more before: an interrupt may be lost, and then nothing else is
//! wrong. First the controller is asked to abort it. If that is no use, the controller is
//! reset.
//!
//! When the device has stopped, each command that was out is sent again if it may be, or ends
//! with an error. Its memory is safe by then: a request never ends before.

use super::table::{Active, Stage};
use super::{Body, Mode, Turn};
use crate::error::{Error, Failure, Waiting};
use crate::link::Order;
use crate::memory::Memory;
use crate::platform::Platform;
use crate::shared::{Member, SCANS};
use core::sync::atomic::Ordering;

impl<P: Platform, B: Memory> Body<P, B> {
    #[inline(always)]
    pub(super) fn turn(&mut self) -> Turn {
        if self.member.link.pending().is_some() {
            self.obey();
        }
        // Most looks find nothing, and are not to cost more than a look.
        let completed = match self.rings.has_next() {
            true => self.reap(),
            false => 0,
        };
        self.pump();
        // Whoever was woken by what is complete sends more in nearly all cases: one ring for both, in the
        // next turn.
        if completed == 0 || self.rings.has_commands() {
            self.ring();
        }
        if !self.room.is_empty() && self.slots.free() > 0 {
            self.wake_room();
        }
        Turn {
            completed,
            outstanding: self.slots.outstanding(),
        }
    }

    #[inline]
    pub(super) fn ring(&mut self) {
        if self.rings.has_news() {
            self.ring_if_live();
        }
    }

    fn ring_if_live(&mut self) {
        // An order that nobody has looked at may be to ring no more.
        if self.mode != Mode::Live || self.member.link.pending().is_some() {
            return;
        }
        let rung = self.rings.ring(&self.shared.port);
        self.counters.submission_doorbells += u64::from(rung.submission);
        self.counters.completion_doorbells += u64::from(rung.completion);
    }

    /// Does what the recovering core says.
    #[cold]
    fn obey(&mut self) {
        while let Some(pending) = self.member.link.pending() {
            match pending.order() {
                Order::Hold => self.mode = Mode::Held,
                Order::Clean => self.clean(),
                Order::Live => {
                    self.mode = Mode::Live;
                    self.rings.connect(self.shared.shadows());
                    self.counters.resets += 1;
                }
                Order::Dead => {
                    let reason = self.shared.reason();
                    self.mode = Mode::Dead(reason);
                    self.is_lost = false;
                    self.end_all(reason);
                }
                Order::Lost => {
                    let reason = self.shared.reason();
                    self.mode = Mode::Dead(reason);
                    self.is_lost = true;
                    self.lose(reason);
                }
            }
            self.member.link.answer(pending);
            self.shared.nudge();
        }
    }

    /// The device has stopped: takes all commands back, and makes the rings as new.
    fn clean(&mut self) {
        let reason = self.shared.reason();
        self.mode = Mode::Held;
        self.is_lost = false;
        self.slots.forget();
        for slot in 0..self.commands.len() {
            let command = &mut self.commands[slot];
            if command.stage != Stage::Out {
                continue;
            }
            let may_again = command.tries < self.shared.options.retries
                && self.requests[usize::from(command.home)]
                    .used()
                    .is_some_and(|active| active.operation.idempotent && !active.is_abandoned);
            if may_again {
                command.tries += 1;
                command.not_before = 0;
                command.stage = Stage::Again;
                self.again.push_back(slot as u8);
            } else {
                self.give_up(slot, Error::Failed(reason));
            }
        }
        self.rings.reset();
    }

    /// The device has stopped for good: ends all requests.
    fn end_all(&mut self, reason: Failure) {
        self.slots.forget();
        self.again.clear();
        for slot in 0..self.commands.len() {
            if self.commands[slot].stage != Stage::None {
                self.give_up(slot, Error::Failed(reason));
            }
        }
        for home in 0..self.requests.len() {
            if let Some(active) = self.requests[home].used_mut()
                && !active.is_over
            {
                let error = match active.given {
                    0 => Error::Dead(reason),
                    _ => Error::Failed(reason),
                };
                active.note(active.given, error);
                self.end_if_over(home);
            }
        }
        self.wake_room();
    }

    /// The device may go on using memory: ends all requests and keeps what it may use.
    fn lose(&mut self, reason: Failure) {
        let mut lost = 0;
        for active in self.requests.iter_mut().filter_map(Active::used_mut) {
            if active.commands == 0 {
                continue;
            }
            for memory in [active.data.take(), active.metadata.take()] {
                lost += u64::from(memory.is_some());
                core::mem::forget(memory);
            }
            active.error = Some((0, Error::Lost(reason)));
        }
        self.shared.lost.fetch_add(lost, Ordering::Relaxed);
        self.end_all(reason);
    }

    // ANCHOR: scan
    #[cold]
    pub(super) fn scan(&mut self) -> Turn {
        let turn = self.turn();
        self.scans = self.scans.wrapping_add(1);
        if self.mode != Mode::Live {
            return turn;
        }
        let mut is_late = false;
        for slot in 0..self.slots.len() {
            if !self.slots.is_outstanding(slot) {
                continue;
            }
            let age = self.scans.wrapping_sub(self.commands[slot].sent);
            let age = age.saturating_sub(self.patience(slot));
            if age > SCANS + SCANS / 4 {
                self.trouble(Failure::Timeout(Waiting::Io));
                return turn;
            }
            is_late |= age > SCANS / 4;
            if age > SCANS && !self.commands[slot].is_aborted {
                self.ask_to_abort(slot);
            }
        }
        // Commands that wait for their time may be due now.
        self.pump();
        self.ring();
        if is_late && self.rings.knock(&self.shared.port) {
            self.counters.submission_doorbells += 1;
        }
        turn
    }
    // ANCHOR_END: scan

    /// Scans that a command has beyond others, because it moves so much.
    fn patience(&self, slot: usize) -> u32 {
        const BYTES_OF_A_SCAN: u64 = 64 << 20;
        let command = &self.commands[slot];
        let request = self.requests[usize::from(command.home)].used();
        let block_bytes = request.map_or(0, |request| request.operation.cut.block_bytes);
        (command.blocks * u64::from(block_bytes) / BYTES_OF_A_SCAN) as u32
    }

    /// Asks for an Abort command, one at a time.
    fn ask_to_abort(&mut self, slot: usize) {
        let wish = Member::ABORT | u32::from(self.slots.cid(slot));
        let abort = &self.member.abort;
        if abort.load(Ordering::Relaxed) == 0 {
            abort.store(wish, Ordering::Release);
            self.commands[slot].is_aborted = true;
            self.counters.aborts += 1;
            self.shared.nudge();
        }
    }

    /// Before the queue's memory goes. Returns whether the device cannot reach it any more.
    pub(super) fn let_go(&mut self) -> bool {
        let is_ordered = self.member.link.pending().is_some();
        let is_done = matches!(self.mode, Mode::Dead(_)) && !self.is_lost && !is_ordered;
        let is_safe = is_done || self.shared.cut_off(Failure::Dropped);
        if !is_safe {
            let kept = self.requests.iter().filter_map(Active::used);
            let kept = kept.flat_map(|active| [&active.data, &active.metadata]);
            let kept = kept.filter(|memory| memory.is_some()).count() as u64;
            self.shared.lost.fetch_add(kept, Ordering::Relaxed);
        }
        self.member.is_gone.store(true, Ordering::Release);
        self.shared.nudge();
        is_safe
    }
}
