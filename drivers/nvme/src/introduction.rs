//! Making I/O queues, and making them known to the controller (NVMe base specification 2.0, sections
//! 5.4 and 5.5).
//!
//! A queue is memory first, and holds. It becomes one of the members, so that a reset that comes in
//! between finds it. Then the controller learns of its rings, the completion queue first. After a
//! reset all members are introduced again.

use crate::command::{self, Command};
use crate::error::Error;
use crate::limits::Limits;
use crate::link::Order;
use crate::memory::Memory;
use crate::platform::Platform;
use crate::queue::Queue;
use crate::rings::Rings;
use crate::shared::{Member, Shared};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// Why the controller does not know a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Introduction {
    /// The controller has refused it. It does not use the queue's memory.
    Refused(Error),
    /// Something went wrong. It may use the queue's memory.
    Failed(Error),
    /// The controller was reset in between. Whoever did that tells it of all queues.
    Overtaken,
}

impl Introduction {
    /// Of an error of a command that would have created a queue.
    fn of(error: Error) -> Self {
        match error {
            Error::Command(_) => Self::Refused(error),
            error => Self::Failed(error),
        }
    }
}

impl<P: Platform> Shared<P> {
    /// Entries of an I/O queue.
    pub(crate) fn entries(&self) -> u16 {
        let most = match self.state.lock().identity.quirks.one_at_a_time() {
            // A ring of two entries holds one.
            true => 2,
            false => self.port.cap().mqes().saturating_add(1),
        };
        self.options.entries.clamp(2, 256).min(most)
    }

    /// Makes a new I/O queue pair.
    pub(crate) async fn create_queue<B: Memory>(
        self: &Arc<Self>,
        vector: Option<u16>,
    ) -> Result<Queue<P, B>, Error> {
        let quirks = self.state.lock().identity.quirks;
        let vector = match quirks.single_vector() {
            true => vector.map(|_| 0),
            false => vector,
        };
        let mut may_be_remote = true;
        loop {
            let (mut queue, generation, is_remote) = self.new_member(vector, may_be_remote).await?;
            let member = queue.member().clone();
            match self.introduce(&member, generation).await {
                // If a reset came in between, it is one of the queues that this brings back.
                Ok(()) | Err(Introduction::Overtaken) => {
                    queue.turn();
                    return Ok(queue);
                }
                Err(Introduction::Refused(error)) => {
                    queue.is_unknown();
                    if !is_remote {
                        return Err(error);
                    }
                    // Perhaps it is only the place that the controller does not like.
                    may_be_remote = false;
                }
                Err(Introduction::Failed(error)) => return Err(error),
            }
        }
    }

    /// Allocates a queue and puts it into the list, while nobody resets the controller. Returns
    /// how often that was reset before, and whether the queue is in the controller's memory.
    async fn new_member<B: Memory>(
        self: &Arc<Self>,
        vector: Option<u16>,
        may_be_remote: bool,
    ) -> Result<(Queue<P, B>, u64, bool), Error> {
        loop {
            self.recovered().await?;
            let entries = self.entries();
            let (id, limits) = {
                let mut state = self.state.lock();
                let is_there = |member: &Arc<Member>| !member.is_gone.load(Ordering::Acquire);
                state.members.retain(is_there);
                let is_free = |id: &u16| state.members.iter().all(|member| member.id != *id);
                let id = (1..=state.granted).find(is_free).ok_or(Error::Full)?;
                (id, Limits::of(&state.identity, entries - 1))
            };
            let bytes = Rings::<P::Shared>::submission_bytes(entries);
            let remote = match may_be_remote {
                true => self.controller_memory(id, bytes),
                false => None,
            };
            let is_remote = remote.is_some();
            let mut queue = Queue::allocate(self.clone(), id, entries, vector, limits, remote)?;
            {
                let mut state = self.state.lock();
                let is_taken = state.members.iter().any(|member| member.id == id);
                if !is_taken && !state.is_recovering {
                    state.members.push(queue.member().clone());
                    return Ok((queue, state.failures, is_remote));
                }
            }
            queue.is_unknown();
        }
    }

    /// Makes a queue's rings known to the controller, the completion queue first, and lets the
    /// queue go on.
    ///
    /// A reset may come in between, after the one with number `generation`. Then what the
    /// controller has said was about rings that it has forgotten, and to go on would be to
    /// talk about those that it may know again by now.
    pub(crate) async fn introduce(
        self: &Arc<Self>,
        member: &Member,
        generation: u64,
    ) -> Result<(), Introduction> {
        let is_overtaken = || self.state.lock().failures != generation;
        let (id, entries) = (member.id, member.entries);
        let mut entry = command::create_completion_queue(id, entries, member.completion);
        if let Some(vector) = member.vector {
            const INTERRUPTS_ENABLED: u64 = 1 << 33;
            entry.cdw10_11 |= INTERRUPTS_ENABLED | u64::from(vector) << 48;
        }
        let created = self.simple(Command::CreateCompletionQueue, entry).await;
        if is_overtaken() {
            return Err(Introduction::Overtaken);
        }
        created.map_err(Introduction::of)?;
        let entry = command::create_submission_queue(id, entries, member.submission);
        if let Err(error) = self.simple(Command::CreateSubmissionQueue, entry).await {
            if is_overtaken() {
                return Err(Introduction::Overtaken);
            }
            // The completion queue must not stay behind in memory that goes back.
            let entry = command::delete_completion_queue(id);
            let deleted = self.simple(Command::DeleteCompletionQueue, entry).await;
            if is_overtaken() {
                return Err(Introduction::Overtaken);
            }
            return Err(match deleted {
                Ok(_) => Introduction::of(error),
                Err(_) => Introduction::Failed(error),
            });
        }
        {
            // Whoever starts a reset does so with this lock, and gives its orders later.
            let state = self.state.lock();
            if state.failures != generation {
                return Err(Introduction::Overtaken);
            }
            member.is_created.store(true, Ordering::Release);
            member.link.command(Order::Live);
        }
        member.attendant.wake();
        Ok(())
    }
}
