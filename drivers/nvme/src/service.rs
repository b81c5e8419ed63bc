//! The task that watches over a controller.
//!
//! It sleeps until something nudges it, the admin queue's interrupt comes, or it is time for a
//! look at the controller's status. Then it takes the completions of the admin queue, deals
//! with events, sends the Abort commands that queues have asked for, and resets a controller
//! that is in trouble.

use crate::admin::{LogPage, get_log_page};
use crate::command::Command;
use crate::error::{Error, Failure};
use crate::event::{Event, Response};
use crate::first::first;
use crate::notices::Notice;
use crate::platform::Platform;
use crate::shared::{Member, Shared};
use crate::wire::SubmissionEntry;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::sync::atomic::Ordering;
use core::task::Poll;

impl<P: Platform> Shared<P> {
    /// See [`Controller::service`](crate::Controller::service).
    pub(crate) async fn serve(self: &Arc<Self>) {
        let platform = self.port.platform();
        loop {
            // What goes wrong here is in `trouble` afterwards. And trouble that comes up while
            // an answer is waited for may be why there is none.
            let trouble = poll_fn(|cx| {
                self.service.register(cx.waker());
                match self.state.lock().trouble {
                    Some(_) => Poll::Ready(()),
                    None => Poll::Pending,
                }
            });
            first(self.look(), trouble).await;
            let trouble = {
                let mut state = self.state.lock();
                let is_dead = state.is_dead;
                let is_idle = !state.is_recovering;
                let trouble = state.trouble.take_if(|_| is_idle);
                trouble.filter(|_| !is_dead)
            };
            if let Some(failure) = trouble {
                let _ = self.recover(failure).await;
                continue;
            }
            let nudged = poll_fn(|cx| {
                self.service.register(cx.waker());
                match self.is_nudged.swap(false, Ordering::AcqRel) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            let pause = platform.pause(self.options.scan_microseconds());
            first(nudged, first(platform.interrupted(), pause)).await;
        }
    }

    /// One look at everything.
    async fn look(self: &Arc<Self>) -> Result<(), Error> {
        let generation = {
            let state = self.state.lock();
            if state.is_dead || state.is_recovering || state.trouble.is_some() {
                return Ok(());
            }
            state.failures
        };
        self.port.health().map_err(|failure| self.failed(failure))?;
        self.reap_admin()?;
        self.abort_all().await?;
        self.introduce_all(generation).await?;
        self.handle_events().await?;
        self.request_events(self.wanted_events())
    }

    /// Sends the Abort commands that queues have asked for.
    ///
    /// Whether they are of any use is seen by the queue: the command completes, or it does
    /// not, and then the queue asks for more.
    async fn abort_all(self: &Arc<Self>) -> Result<(), Error> {
        for member in self.members() {
            let wish = member.abort.load(Ordering::Acquire);
            if wish & Member::ABORT == 0 {
                continue;
            }
            let cid = wish & 0xffff;
            let entry = SubmissionEntry {
                cdw10_11: u64::from(member.id) | u64::from(cid) << 16,
                ..Command::Abort.entry()
            };
            let limit = self.options.timeout;
            let sent = self.admin(Command::Abort, entry, None, limit).await;
            member.abort.store(0, Ordering::Release);
            match sent {
                Ok(_) | Err(Error::Command(_) | Error::Failed(Failure::Timeout(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn handle_events(self: &Arc<Self>) -> Result<(), Error> {
        loop {
            let result = match &mut *self.admin.lock() {
                Some(admin) => admin.event(),
                None => None,
            };
            let Some(result) = result else {
                return Ok(());
            };
            let event = Event::decode(result);
            // The controller does not repeat an event before its log page was read.
            if let Some(page) = event.log_page() {
                const ALL_NAMESPACES: u32 = u32::MAX;
                let bytes = match page {
                    LogPage::ChangedNamespaces | LogPage::ChangedZones => 4096,
                    _ => 512,
                };
                let entry = get_log_page(page, ALL_NAMESPACES, bytes, 0, false);
                let read = self.admin_read(Command::GetLogPage, entry, bytes as usize);
                match read.await {
                    Ok(_) | Err(Error::Command(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            match event.response() {
                Response::Report => {}
                Response::Rescan => self.identify_namespaces().await?,
                Response::Reset => self.report(Failure::Event),
            }
            self.state.lock().notices.push(Notice::Event(event));
        }
    }
}
