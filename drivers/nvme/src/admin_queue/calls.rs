//! Sending an admin command, and waiting for it.
//!
//! Nobody rings for somebody else: who submits also rings, and who waits also looks. Admin
//! commands are rare, and this keeps bring-up and recovery free of other tasks.

use super::Ticket;
use crate::command::Command;
use crate::error::{Error, Failure, Waiting};
use crate::first::first;
use crate::platform::Platform;
use crate::shared::Shared;
use crate::watch::Watch;
use crate::wire::SubmissionEntry;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll};

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
                match &mut *self.admin.lock() {
                    Some(admin) => admin.poll_is_over(ticket, cx),
                    None => Poll::Ready(()),
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
