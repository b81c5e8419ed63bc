//! The controller: what a kernel holds besides its queues.
//!
//! A handle can be cloned, and all of its calls may be made from any core. One task runs
//! [`service`](Controller::service), which watches over the controller.
//!
//! - A queue belongs to a core. The controller only knows where its rings are, and talks to
//!   it through two words.
//! - A controller that fails is reset, up to a few times in a row. Requests wait for that, or
//!   end with an error; in no case does their memory go back before the device has stopped.
//! - A controller that does not come back is *dead*: it cannot reach memory, and all
//!   requests are refused at once. [`reset`](Controller::reset) tries again.

use crate::Command;
use crate::admin::{LogPage, get_log_page};
use crate::admin_queue::AdminQueue;
use crate::error::{Error, Failure};
use crate::identity::Identity;
use crate::lending::Lent;
use crate::lock::Mutex;
use crate::memory::Memory;
use crate::namespace::Namespace;
use crate::notices::{Notice, Notices};
use crate::platform::Platform;
use crate::port::Port;
use crate::queue::Queue;
use crate::registers::Version;
use crate::shared::{Options, Shared, State};
use crate::wire::IdentifyController;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::sync::atomic::Ordering;
use core::task::Poll;

/// Microseconds that an admin command may take unless it is known to take longer.
pub(crate) const ADMIN_MICROSECONDS: u64 = 10_000_000;

/// An NVMe controller that is in use by this driver.
pub struct Controller<P: Platform> {
    pub(crate) shared: Arc<Shared<P>>,
}

impl<P: Platform> Clone for Controller<P> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<P: Platform> Controller<P> {
    /// Takes a controller over and brings it up, from whatever state it is in.
    ///
    /// If this fails, the device cannot reach memory any more.
    pub async fn new(platform: P, options: Options) -> Result<Self, Error> {
        let port = Port::open(platform)?;
        let admin = AdminQueue::allocate(port.platform())?;
        let nobody = IdentifyController::decode(&[0; IdentifyController::BYTES]);
        let state = State {
            identity: Identity::new(&nobody, Version::new()),
            namespaces: Vec::new(),
            namespaces_left_out: false,
            granted: 0,
            members: Vec::new(),
            controller_memory: None,
            trouble: None,
            reason: Failure::SetUp,
            is_dead: false,
            is_recovering: false,
            waiters: Vec::new(),
            notices: Notices::default(),
            failures: 0,
            resets: 0,
            begun: 0,
        };
        let shared = Arc::new(Shared {
            port,
            options,
            admin: Mutex::new(Some(admin)),
            state: Mutex::new(state),
            shadows: Mutex::new(None),
            lent: Mutex::new(None),
            is_shadowed: Default::default(),
            service: atomic_waker::AtomicWaker::new(),
            is_nudged: Default::default(),
            is_stopped: Default::default(),
            lost: Default::default(),
            retry_delays: Default::default(),
        });
        if let Err(failure) = shared.port.settle().await {
            shared.stop(failure).await;
            return Err(Error::Failed(failure));
        }
        match shared.start().await {
            Ok(()) => Ok(Self { shared }),
            Err(error) => {
                shared.stop(Failure::SetUp).await;
                Err(error)
            }
        }
    }

    /// Who the controller is.
    pub fn identity(&self) -> Identity {
        self.shared.state.lock().identity
    }

    /// The active namespaces in the order of their identifiers, as they were last seen, also
    /// those that this driver cannot use.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.shared.state.lock().namespaces.clone()
    }

    /// The active namespace with this identifier.
    pub fn namespace(&self, nsid: u32) -> Option<Namespace> {
        let state = self.shared.state.lock();
        let mut namespaces = state.namespaces.iter();
        namespaces.find(|namespace| namespace.id == nsid).copied()
    }

    /// True if there may be more namespaces than [`namespaces`](Self::namespaces) shows:
    /// the driver keeps at most 1024, and stops where a list of the controller makes no
    /// sense.
    pub fn namespaces_left_out(&self) -> bool {
        self.shared.state.lock().namespaces_left_out
    }

    /// I/O queue pairs that there may be: no more than the controller has granted, nor than
    /// were asked for. Never 0.
    ///
    /// Where there are more cores than that, cores share a queue behind a lock: see
    /// [`Reach`](crate::Reach).
    pub fn queues(&self) -> u16 {
        self.shared.state.lock().granted
    }

    /// Why the controller is dead. `None` if it lives, or is being reset.
    pub fn failure(&self) -> Option<Failure> {
        let state = self.shared.state.lock();
        state.is_dead.then_some(state.reason)
    }

    /// Times that the controller failed.
    pub fn failures(&self) -> u64 {
        self.shared.state.lock().failures
    }

    /// Times that the controller was reset and came back.
    pub fn resets(&self) -> u64 {
        self.shared.state.lock().resets
    }

    /// Pieces of memory that are kept for ever, because the device may still use them.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Bytes of host memory that the controller has for itself.
    pub fn host_memory(&self) -> u64 {
        self.shared.lent.lock().as_ref().map_or(0, Lent::bytes)
    }

    /// Admin commands sent so far.
    pub fn admin_commands(&self) -> u64 {
        let admin = self.shared.admin.lock();
        admin.as_ref().map_or(0, AdminQueue::sent)
    }

    /// Makes an I/O queue pair, with an interrupt vector or without.
    ///
    /// Where only vector 0 works ([`single_vector`](crate::Quirks::single_vector)), that is the one.
    ///
    /// # Errors
    ///
    /// [`Error::Full`]: there are [`queues`](Self::queues) of them already. Others: see there.
    pub async fn queue<B: Memory>(&self, vector: Option<u16>) -> Result<Queue<P, B>, Error> {
        self.alive()?;
        self.shared.create_queue(vector).await
    }

    /// The next notice, of those that nobody has taken. Waits for one.
    ///
    /// Notices come while [`service`](Self::service) runs.
    pub async fn next_notice(&self) -> Notice {
        poll_fn(
            |cx| match self.shared.state.lock().notices.pop(cx.waker()) {
                Some(notice) => Poll::Ready(notice),
                None => Poll::Pending,
            },
        )
        .await
    }

    /// Resets the controller and brings it up again, dead or not.
    ///
    /// Requests in its queues go on afterwards. Namespaces are read anew. Each queue takes
    /// part on its own core: by [`attend`](crate::attend), or at its next
    /// [`turn`](Queue::turn).
    pub async fn reset(&self) -> Result<(), Error> {
        self.shared.recover(Failure::Reset).await
    }

    /// Watches over the controller for as long as it is polled: events, commands that are out
    /// for too long, failures. A task for one core.
    pub async fn service(&self) {
        self.shared.serve().await;
    }

    /// Shuts the controller down, so that power may go.
    ///
    /// Everything in its volatile write cache is durable then. Requests that are in queues end
    /// with an error. Later ones are refused; [`reset`](Self::reset) brings the controller
    /// back.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.alive()?;
        self.shared.shut_down().await
    }

    /// Reads the list of namespaces anew. If they have changed, there is a notice.
    pub async fn rescan(&self) -> Result<(), Error> {
        self.alive()?;
        let before = self.namespaces();
        self.shared.identify_namespaces().await?;
        let mut state = self.shared.state.lock();
        if state.namespaces != before {
            state.notices.push(Notice::Namespaces);
        }
        Ok(())
    }

    /// Reads the first `bytes` bytes of a log page, at most 8192 and a multiple of 4.
    ///
    /// `nsid` is FFFFFFFFh for the controller's own. Events that led there are not cleared.
    pub async fn log_page(&self, page: LogPage, nsid: u32, bytes: u32) -> Result<Vec<u8>, Error> {
        self.alive()?;
        let entry = get_log_page(page, nsid, bytes, 0, true);
        let read = self
            .shared
            .admin_read(Command::GetLogPage, entry, bytes as usize);
        Ok(read.await?.1)
    }

    /// Says whether the controller can be used.
    pub(crate) fn alive(&self) -> Result<(), Error> {
        match self.failure() {
            None => Ok(()),
            Some(failure) => Err(Error::Dead(failure)),
        }
    }
}
