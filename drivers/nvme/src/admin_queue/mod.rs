//! The admin queue: several commands at a time, and requests for events that wait in it.
//!
//! - Each command owns its data page until it is complete, also if whoever sent it has gone.
//! - Asynchronous Event Requests are commands that may never be answered. They take slots,
//!   have no time limit, and leave their answer in a list.
//!
//! Here is the queue and its table. How somebody sends a command and waits for it is in
//! [`calls`], and where its data comes from in [`data`].

mod calls;
mod data;

use crate::command::Command;
use crate::doorbell::Shadows;
use crate::error::{CommandError, Error, Failure, Violation};
use crate::platform::{Platform, SharedMemory};
use crate::port::Port;
use crate::rings::Rings;
use crate::slots::Slots;
use crate::wire::SubmissionEntry;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};
use data::Reserve;

/// Entries of the admin queues.
pub(crate) const ADMIN_ENTRIES: u16 = 32;

/// Most Asynchronous Event Requests that wait at the same time.
pub(crate) const MAX_EVENT_REQUESTS: u16 = 4;

/// What one slot is for.
#[derive(Debug)]
enum Stage {
    Free,
    /// An Asynchronous Event Request.
    Event,
    /// A command that the device has.
    Out {
        waker: Option<Waker>,
        is_abandoned: bool,
    },
    /// A command that is complete.
    Over(Result<u64, Error>),
}

/// One slot.
#[derive(Debug)]
struct Entry<M> {
    command: Command,
    nsid: u32,
    stage: Stage,
    /// Where the command's data is.
    data: Option<M>,
    serial: u32,
}

/// The admin queue pair.
#[derive(Debug)]
pub(crate) struct AdminQueue<M> {
    rings: Rings<M>,
    slots: Slots,
    table: Box<[Entry<M>]>,
    /// Dwords 0 and 1 of the events that nobody has looked at.
    events: VecDeque<u64>,
    event_requests: u16,
    /// As many of them as the controller takes, as far as is known.
    event_limit: u16,
    /// The controller knows the rings, and has not broken a rule.
    is_live: bool,
    /// Commands sent so far.
    sent: u64,
    reserve: Reserve<M>,
}

/// A command in the queue.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    slot: usize,
    serial: u32,
}

impl<M: SharedMemory> AdminQueue<M> {
    /// Takes memory for the queue.
    pub(crate) fn allocate<P>(platform: &P) -> Result<Self, crate::OutOfMemory>
    where
        P: Platform<Shared = M>,
    {
        let rings = Rings::allocate(platform, 0, ADMIN_ENTRIES, None)?;
        let slots = Slots::new(usize::from(ADMIN_ENTRIES) - 1);
        let free = |_| Entry {
            command: Command::Abort,
            nsid: 0,
            stage: Stage::Free,
            data: None,
            serial: 0,
        };
        Ok(Self {
            table: (0..slots.len()).map(free).collect(),
            rings,
            slots,
            events: VecDeque::with_capacity(usize::from(MAX_EVENT_REQUESTS)),
            event_requests: 0,
            event_limit: MAX_EVENT_REQUESTS,
            is_live: false,
            sent: 0,
            reserve: Reserve::allocate(platform)?,
        })
    }

    pub(crate) fn rings(&self) -> &Rings<M> {
        &self.rings
    }

    /// Rings by shadows from now on as well, or by registers alone.
    pub(crate) fn connect(&mut self, shadows: Option<Arc<Shadows<M>>>) {
        self.rings.connect(shadows);
    }

    /// The controller is about to be stopped: no doorbell is rung any more. What is out ends
    /// when it has stopped.
    pub(crate) fn hold(&mut self) {
        self.is_live = false;
    }

    /// Before the controller is brought up: makes sure that there is memory for that.
    pub(crate) fn refill<P: Platform<Shared = M>>(&mut self, platform: &P) {
        self.reserve.refill(platform);
    }

    /// The controller knows the rings from now on.
    pub(crate) fn go_live(&mut self) {
        self.is_live = true;
    }

    /// The device has stopped: ends every command, and makes the rings as new.
    pub(crate) fn clean(&mut self, reason: Failure) {
        self.is_live = false;
        self.slots.forget();
        for slot in 0..self.table.len() {
            match self.table[slot].stage {
                Stage::Event => self.release(slot),
                Stage::Out { .. } => self.end(slot, Err(Error::Failed(reason))),
                Stage::Free | Stage::Over(_) => {}
            }
        }
        self.events.clear();
        self.event_requests = 0;
        self.event_limit = MAX_EVENT_REQUESTS;
        self.rings.reset();
    }

    /// The device may go on using memory: keeps what it may use. Returns how much that is.
    pub(crate) fn lose(&mut self, reason: Failure) -> u64 {
        let mut lost = 0;
        for entry in &mut self.table {
            if matches!(entry.stage, Stage::Out { .. }) {
                lost += u64::from(entry.data.is_some());
                core::mem::forget(entry.data.take());
            }
        }
        self.clean(reason);
        lost
    }

    /// Dwords 0 and 1 of an event.
    pub(crate) fn event(&mut self) -> Option<u64> {
        self.events.pop_front()
    }

    /// Commands sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends a command. `None` if there is no room, with the data back.
    fn submit<P: Platform>(
        &mut self,
        port: &Port<P>,
        command: Command,
        mut entry: SubmissionEntry,
        data: Option<M>,
    ) -> Result<Result<Ticket, Option<M>>, Failure> {
        if !self.is_live {
            return Err(Failure::SetUp);
        }
        if self.rings.is_full() {
            let waiting = usize::from(self.event_requests);
            return match self.slots.outstanding() > waiting {
                true => Ok(Err(data)),
                false => Err(Failure::Protocol(Violation::SubmissionStuck)),
            };
        }
        let Some(slot) = self.slots.take() else {
            return Ok(Err(data));
        };
        let cell = &mut self.table[slot];
        cell.command = command;
        cell.nsid = entry.nsid;
        cell.data = data;
        cell.serial = cell.serial.wrapping_add(1);
        cell.stage = match command {
            Command::AsynchronousEventRequest => Stage::Event,
            _ => Stage::Out {
                waker: None,
                is_abandoned: false,
            },
        };
        let serial = cell.serial;
        entry.cdw0.set_cid(self.slots.issue(slot));
        self.rings.push(&entry);
        self.rings.ring(port);
        self.sent += 1;
        Ok(Ok(Ticket { slot, serial }))
    }

    /// Takes all completions that are there.
    pub(crate) fn reap<P: Platform>(&mut self, port: &Port<P>) -> Result<(), Violation> {
        let result = self.reap_all();
        if result.is_err() {
            self.is_live = false;
        } else if self.is_live {
            self.rings.ring(port);
        }
        result
    }

    fn reap_all(&mut self) -> Result<(), Violation> {
        while self.is_live
            && let Some(done) = self.rings.next()?
        {
            let slot = self.slots.complete(done.cid)?;
            let entry = &self.table[slot];
            if matches!(entry.stage, Stage::Event) {
                self.event_requests = self.event_requests.saturating_sub(1);
                match done.status.is_success() {
                    true => self.events.push_back(done.result),
                    // One too many, or there are no events at all.
                    false => self.event_limit = self.event_requests,
                }
                self.release(slot);
                continue;
            }
            let result = match done.status.is_success() {
                true => Ok(done.result),
                false => Err(Error::Command(CommandError {
                    command: entry.command,
                    nsid: entry.nsid,
                    block: None,
                    status: done.status,
                })),
            };
            self.end(slot, result);
        }
        Ok(())
    }

    /// A command is over.
    fn end(&mut self, slot: usize, result: Result<u64, Error>) {
        let entry = &mut self.table[slot];
        let stage = core::mem::replace(&mut entry.stage, Stage::Over(result));
        if result.is_err()
            && let Some(data) = entry.data.take()
        {
            // Nobody wants it.
            self.reserve.put(data);
        }
        if let Stage::Out {
            waker,
            is_abandoned,
        } = stage
        {
            if is_abandoned {
                self.release(slot);
            } else if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn release(&mut self, slot: usize) {
        self.table[slot].stage = Stage::Free;
        if let Some(data) = self.table[slot].data.take() {
            self.reserve.put(data);
        }
        self.slots.release(slot);
    }

    /// The result of a command that is over, and its data. Else wakes `cx` when it is.
    fn poll(
        &mut self,
        ticket: Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<u64, Error>, Option<M>)> {
        let entry = &mut self.table[ticket.slot];
        debug_assert_eq!(entry.serial, ticket.serial);
        match &mut entry.stage {
            Stage::Out { waker, .. } => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Stage::Over(result) => {
                let result = *result;
                let data = entry.data.take();
                self.release(ticket.slot);
                Poll::Ready((result, data))
            }
            Stage::Free | Stage::Event => Poll::Pending,
        }
    }

    /// Nobody waits for a command any more. Its data is kept until it is complete.
    fn abandon(&mut self, ticket: Ticket) {
        let entry = &mut self.table[ticket.slot];
        if entry.serial != ticket.serial {
            return;
        }
        match &mut entry.stage {
            Stage::Out { is_abandoned, .. } => *is_abandoned = true,
            Stage::Over(_) => self.release(ticket.slot),
            Stage::Free | Stage::Event => {}
        }
    }

    /// Ready when a command is over. Else wakes `cx` when it is.
    fn poll_is_over(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.table[ticket.slot].stage {
            Stage::Out { waker, .. } => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}
