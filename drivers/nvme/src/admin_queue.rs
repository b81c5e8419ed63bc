//! The admin queue: several commands at a time, and requests for events that wait in it.
//!
//! - Each command owns its data page until it is complete, also if whoever sent it has gone.
//! - Asynchronous Event Requests are commands that may never be answered. They take slots,
//!   have no time limit, and leave their answer in a list.
//! - Nobody rings for somebody else: who submits also rings, and who waits also looks. Admin
//!   commands are rare, and this keeps bring-up and recovery free of other tasks.

use crate::command::Command;
use crate::doorbell::Shadows;
use crate::error::{CommandError, Error, Failure, Violation, Waiting};
use crate::first::first;
use crate::platform::{Platform, SharedMemory};
use crate::port::Port;
use crate::rings::Rings;
use crate::shared::Shared;
use crate::slots::Slots;
use crate::watch::Watch;
use crate::wire::SubmissionEntry;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

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
        self.table[slot].data = None;
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
}

/// Abandons a command unless its result was taken.
struct Guard<P: Platform> {
    shared: Arc<Shared<P>>,
    ticket: Option<Ticket>,
}

impl<P: Platform> Drop for Guard<P> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket
            && let Some(admin) = &mut *self.shared.admin.lock()
        {
            admin.abandon(ticket);
        }
    }
}

impl<P: Platform> Shared<P> {
    /// Sends an admin command, and waits for its answer for at most `limit` microseconds.
    ///
    /// Returns dwords 0 and 1 of its completion, and its data.
    pub(crate) async fn admin(
        self: &Arc<Self>,
        command: Command,
        entry: SubmissionEntry,
        mut data: Option<P::Shared>,
        limit: u64,
    ) -> Result<(u64, Option<P::Shared>), Error> {
        let platform = self.port.platform();
        let mut watch = Watch::new(platform, Waiting::Admin(command), limit);
        let ticket = loop {
            match self.submit_admin(command, entry, data)? {
                Ok(ticket) => break ticket,
                Err(back) => data = back,
            }
            self.reap_admin()?;
            watch.turn(platform).await.map_err(Error::Failed)?;
        };
        let mut guard = Guard {
            shared: self.clone(),
            ticket: Some(ticket),
        };
        loop {
            self.reap_admin()?;
            let poll = |cx: &mut Context<'_>| match &mut *self.admin.lock() {
                Some(admin) => admin.poll(ticket, cx),
                None => Poll::Pending,
            };
            if let Poll::Ready((result, data)) = poll_once(poll).await {
                guard.ticket = None;
                return result.map(|result| (result, data));
            }
            self.port.health().map_err(|failure| self.failed(failure))?;
            let woken = poll_fn(|cx| {
                // Woken by whoever has reaped the completion; the result is taken above.
                match poll_is_over(&mut self.admin.lock(), ticket, cx) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            let mut timeout = Ok(());
            first(woken, async { timeout = watch.turn(platform).await }).await;
            // No answer to Abort says nothing that is not known already.
            timeout.map_err(|failure| match command {
                Command::Abort => Error::Failed(failure),
                _ => self.failed(failure),
            })?;
        }
    }

    fn submit_admin(
        &self,
        command: Command,
        entry: SubmissionEntry,
        data: Option<P::Shared>,
    ) -> Result<Result<Ticket, Option<P::Shared>>, Error> {
        let submitted = match &mut *self.admin.lock() {
            Some(admin) => admin.submit(&self.port, command, entry, data),
            None => Err(Failure::SetUp),
        };
        match submitted {
            Ok(submitted) => Ok(submitted),
            Err(Failure::SetUp) => Err(Error::Dead(self.reason())),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Takes the completions of the admin queue.
    pub(crate) fn reap_admin(&self) -> Result<(), Error> {
        let reaped = match &mut *self.admin.lock() {
            Some(admin) => admin.reap(&self.port),
            None => Ok(()),
        };
        reaped.map_err(|violation| self.failed(Failure::Protocol(violation)))
    }

    /// Sends Asynchronous Event Requests until `wanted` are waiting.
    pub(crate) fn request_events(&self, wanted: u16) -> Result<(), Error> {
        let command = Command::AsynchronousEventRequest;
        loop {
            match &mut *self.admin.lock() {
                Some(admin)
                    if admin.is_live && admin.event_requests < wanted.min(admin.event_limit) =>
                {
                    admin.event_requests += 1;
                }
                _ => return Ok(()),
            }
            if self.submit_admin(command, command.entry(), None)?.is_err() {
                return Ok(());
            }
        }
    }

    /// The controller needs a reset. Returns the error of whoever has found that out.
    pub(crate) fn failed(&self, failure: Failure) -> Error {
        self.report(failure);
        Error::Failed(failure)
    }
}

/// Polls once, and gives out what there is.
async fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(poll(cx))).await
}

/// Whether a command is over. Else wakes `cx` when it is.
fn poll_is_over<M>(
    admin: &mut Option<AdminQueue<M>>,
    ticket: Ticket,
    cx: &mut Context<'_>,
) -> bool {
    let Some(admin) = admin else {
        return true;
    };
    match &mut admin.table[ticket.slot].stage {
        Stage::Out { waker, .. } => {
            *waker = Some(cx.waker().clone());
            false
        }
        _ => true,
    }
}
