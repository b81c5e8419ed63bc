//! The controller: the one object that a kernel holds.
//!
//! - While a call runs, the device may use the caller's memory. When it returns, with
//!   whatever result, the device is done with it.
//! - A controller that fails is disabled and kept from memory before the failing call
//!   returns. From then on it is *dead*: calls say so and touch nothing.
//! - Dropping a controller stops it first. Only then does its memory go back.

use crate::command::{self, Command};
use crate::counters::Counters;
use crate::error::{CommandError, Error, Failure, RequestError, Violation, Waiting};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::namespace::Namespace;
use crate::platform::Platform;
use crate::port::Port;
use crate::queue::QueuePair;
use crate::transfer::IoQueue;
use crate::watch::{COMMAND_MICROSECONDS, Watch};
use crate::wire::SubmissionEntry;
use alloc::vec::Vec;

/// An NVMe controller that is in use by this driver.
#[derive(Debug)]
pub struct Controller<P: Platform> {
    pub(crate) port: Port<P>,
    pub(crate) admin: QueuePair<P::Shared, ()>,
    /// `None` until the controller has been identified for the first time.
    pub(crate) io: Option<IoQueue<P::Shared>>,
    /// One page for identify data.
    pub(crate) page: P::Shared,
    pub(crate) identity: Identity,
    /// In the order of their identifiers.
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) namespaces_left_out: bool,
    pub(crate) counters: Counters,
    /// Why the controller cannot be used. `None` while it can be used, and while it is
    /// being brought up.
    pub(crate) dead: Option<Failure>,
}

impl<P: Platform> Controller<P> {
    /// Who the controller is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The active namespaces in the order of their identifiers, also those that this
    /// driver cannot use.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// True if there may be more namespaces than [`namespaces`](Self::namespaces) shows:
    /// the driver keeps at most 1024, and stops where a list of the controller makes no
    /// sense.
    pub fn namespaces_left_out(&self) -> bool {
        self.namespaces_left_out
    }

    /// What one command of a namespace can transfer.
    pub fn limits(&self, nsid: u32) -> Result<Limits, Error> {
        Ok(self.namespace(nsid)?.limits)
    }

    /// What the driver has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Why the controller is dead. `None` if it lives.
    pub fn dead(&self) -> Option<Failure> {
        self.dead
    }

    /// Makes everything that was written to the namespace durable.
    ///
    /// Without a volatile write cache everything is durable already, and no command is
    /// sent.
    pub fn flush(&mut self, nsid: u32) -> Result<(), Error> {
        self.alive()?;
        self.namespace(nsid)?;
        if !self.identity.write_cache {
            return Ok(());
        }
        let Some(io) = &mut self.io else {
            return Err(self.fail(Failure::SetUp));
        };
        // Each call leaves nothing outstanding, so there is room if the head has followed.
        if !io.pair.push(command::flush(nsid), 0) {
            return Err(self.fail(Failure::Protocol(Violation::SubmissionStuck)));
        }
        io.pair.ring(&self.port, &mut self.counters);
        self.counters.flushes += 1;
        let watch = Watch::new(Waiting::Io, COMMAND_MICROSECONDS);
        let done = io.pair.wait(&self.port, watch);
        io.pair.ring(&self.port, &mut self.counters);
        let (_, entry) = done.map_err(|failure| self.fail(failure))?;
        self.accept(Command::Flush, nsid, None, entry.status)
    }

    /// Shuts the controller down, so that power may go.
    ///
    /// Everything in its volatile write cache is durable then. Later calls say that the
    /// controller is out of use; [`reset`](Self::reset) brings it back.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        self.alive()?;
        // A controller that refuses to delete a queue may be shut down all the same.
        for (name, entry) in [
            (
                Command::DeleteSubmissionQueue,
                command::delete_submission_queue(IoQueue::<P::Shared>::ID),
            ),
            (
                Command::DeleteCompletionQueue,
                command::delete_completion_queue(IoQueue::<P::Shared>::ID),
            ),
        ] {
            match self.admin(name, 0, entry) {
                Ok(_) | Err(Error::Command(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.port
            .shut_down(self.identity.shutdown_microseconds)
            .map_err(|failure| self.fail(failure))?;
        // Disabling the controller now would start it again. It has nothing left to do
        // with memory, and this makes sure of it.
        self.port.platform().stop_dma();
        self.dead = Some(Failure::ShutDown);
        Ok(())
    }

    /// Sends an admin command and waits for it. Returns dwords 0 and 1 of its completion.
    pub(crate) fn admin(
        &mut self,
        name: Command,
        nsid: u32,
        entry: SubmissionEntry,
    ) -> Result<u64, Error> {
        // One admin command at a time, so there is room if the head has followed.
        if !self.admin.push(entry, ()) {
            return Err(self.fail(Failure::Protocol(Violation::SubmissionStuck)));
        }
        self.admin.ring(&self.port, &mut self.counters);
        self.counters.admin += 1;
        let watch = Watch::new(Waiting::Admin(name), COMMAND_MICROSECONDS);
        let done = self.admin.wait(&self.port, watch);
        self.admin.ring(&self.port, &mut self.counters);
        let ((), entry) = done.map_err(|failure| self.fail(failure))?;
        self.accept(name, nsid, None, entry.status)?;
        Ok(entry.result)
    }

    /// Turns the status of a completed command into a result.
    fn accept(
        &mut self,
        command: Command,
        nsid: u32,
        block: Option<u64>,
        status: crate::Status,
    ) -> Result<(), Error> {
        if status.is_success() {
            return Ok(());
        }
        self.counters.errors += 1;
        Err(Error::Command(CommandError {
            command,
            nsid,
            block,
            status,
        }))
    }

    /// Keeps a failed controller from memory, and declares it dead.
    pub(crate) fn fail(&mut self, failure: Failure) -> Error {
        self.port.quiesce();
        self.counters.failures += 1;
        self.dead = Some(failure);
        Error::Failed(failure)
    }

    /// Says whether the controller can be used.
    pub(crate) fn alive(&self) -> Result<(), Error> {
        match self.dead {
            None => Ok(()),
            Some(failure) => Err(Error::Dead(failure)),
        }
    }

    /// A namespace that can be used.
    pub(crate) fn namespace(&self, nsid: u32) -> Result<&Namespace, Error> {
        let missing = Error::Request(RequestError::NoSuchNamespace { nsid });
        let index = self
            .namespaces
            .binary_search_by_key(&nsid, |namespace| namespace.id)
            .map_err(|_| missing)?;
        let namespace = &self.namespaces[index];
        match namespace.unusable {
            None => Ok(namespace),
            Some(reason) => Err(Error::Request(RequestError::UnusableNamespace {
                nsid,
                reason,
            })),
        }
    }
}

impl<P: Platform> Drop for Controller<P> {
    /// Stops the controller, so that its memory may go.
    fn drop(&mut self) {
        if self.dead.is_none() {
            self.port.quiesce();
        }
    }
}
