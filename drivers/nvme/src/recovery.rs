//! Getting a controller back that has failed.
//!
//! One core does it, step by step, and each queue does its part on its own core:
//!
//! 1. *Hold.* Each queue stops ringing doorbells, and says so.
//! 2. *Stop.* The controller is disabled (CC.EN) until it confirms that (CSTS.RDY). One that
//!    does not confirm it is kept from memory by the platform. From here on no memory of a
//!    request is in danger. If even the platform cannot tell, that memory is kept for ever.
//! 3. *Clean.* Each queue takes its commands back: those that may be sent again wait for that,
//!    the others end with an error. It makes its rings as new.
//! 4. *Start.* The controller is brought up as it was at first, and learns of the rings.
//! 5. *Live.* Each queue sends what waits.
//!
//! A core that is busy for long does not hold up the others: after a second, step 2 goes on
//! without its answer, since a doorbell that is rung for a disabled controller is lost and
//! does no harm. But its queue is not created before its rings are clean: the service does
//! that when the answer comes.

use crate::command::{self, Command};
use crate::error::{Error, Failure, Waiting};
use crate::introduction::Introduction;
use crate::link::Order;
use crate::notices::Notice;
use crate::platform::Platform;
use crate::shared::{Member, Shared};
use crate::watch::Watch;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::sync::atomic::Ordering;
use core::task::Poll;

/// Microseconds to wait for the answer of a queue.
const ANSWER_MICROSECONDS: u64 = 1_000_000;

impl<P: Platform> Shared<P> {
    /// Resets the controller and brings it back. If somebody else does that already, waits
    /// for the end of it.
    ///
    /// A caller that asks for a reset is content with one that has begun since, also if it has
    /// failed: a hundred callers do not wait for a hundred attempts.
    pub(crate) async fn recover(self: &Arc<Self>, failure: Failure) -> Result<(), Error> {
        let begun = self.state.lock().begun;
        while !self.claim(failure) {
            let result = self.recovered().await;
            let is_tried = self.state.lock().begun != begun;
            if result.is_ok() || failure != Failure::Reset || is_tried {
                return result;
            }
        }
        let claim = Claim { shared: self };
        let result = self.recover_now(failure).await;
        let mut state = self.state.lock();
        state.is_dead = result.is_err();
        if state.is_dead {
            state.trouble = None;
        }
        let notice = match result {
            Ok(()) => {
                state.resets += 1;
                Notice::Reset
            }
            Err(_) => Notice::Dead,
        };
        state.notices.push(notice);
        drop(state);
        core::mem::forget(claim);
        self.disclaim();
        result
    }

    /// Takes the part of the one that resets the controller. False if somebody has it.
    fn claim(&self, failure: Failure) -> bool {
        let mut state = self.state.lock();
        if state.is_recovering {
            return false;
        }
        state.is_recovering = true;
        state.is_dead = false;
        state.reason = failure;
        state.failures += 1;
        state.begun += u64::from(failure == Failure::Reset);
        state.trouble = None;
        true
    }

    fn disclaim(&self) {
        let waiters = {
            let mut state = self.state.lock();
            state.is_recovering = false;
            core::mem::take(&mut state.waiters)
        };
        for waiter in waiters {
            waiter.wake();
        }
        self.nudge();
    }

    /// Waits until nobody resets the controller.
    pub(crate) async fn recovered(&self) -> Result<(), Error> {
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if !state.is_recovering {
                return Poll::Ready(match state.is_dead {
                    true => Err(Error::Dead(state.reason)),
                    false => Ok(()),
                });
            }
            state.waiters.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    async fn recover_now(self: &Arc<Self>, failure: Failure) -> Result<(), Error> {
        self.order(Order::Hold).await;
        let mut tries = 0;
        let mut failure = failure;
        loop {
            if !self.stop(failure).await {
                self.state.lock().is_dead = true;
                self.order(Order::Lost).await;
                return Err(Error::Failed(failure));
            }
            if !self.port.platform().is_present() {
                failure = Failure::Gone;
            }
            let is_hopeless = failure == Failure::Gone;
            // A caller that asks for a reset gets at least one.
            let most = self.options.resets.max(u8::from(failure == Failure::Reset));
            if is_hopeless || tries >= most {
                {
                    // Before the first request ends, so that its caller sees why.
                    let mut state = self.state.lock();
                    state.reason = failure;
                    state.is_dead = true;
                }
                self.order(Order::Dead).await;
                return Err(Error::Failed(failure));
            }
            tries += 1;
            self.order(Order::Clean).await;
            // Stopping was the answer to all trouble so far. What comes from here on is new: a
            // queue goes on before the last one is known, and stops if it is lied to.
            self.state.lock().trouble = None;
            let mut started = self.start().await;
            if started.is_ok() {
                let generation = self.state.lock().failures;
                started = self.introduce_all(generation).await;
            }
            match started {
                Ok(()) => return Ok(()),
                Err(Error::Failed(again)) => failure = again,
                Err(_) => failure = Failure::SetUp,
            }
        }
    }

    /// Disables the controller, and keeps it from memory. Takes the admin commands back.
    ///
    /// Returns whether it is certain that the device does not use memory any more.
    pub(crate) async fn stop(&self, reason: Failure) -> bool {
        // Others may wait for answers, or look for events, while this waits.
        if let Some(admin) = &mut *self.admin.lock() {
            admin.hold();
        }
        let is_disabled = self.port.disable().await.is_ok();
        // A confirmed disable is enough. This is for a device that breaks its word.
        let is_cut_off = self.port.platform().stop_dma();
        let is_certain = is_disabled || is_cut_off;
        self.is_stopped.store(is_certain, Ordering::Release);
        for member in self.members() {
            member.is_created.store(false, Ordering::Release);
            member.abort.store(0, Ordering::Release);
        }
        self.end_admin(reason, is_certain);
        is_certain
    }

    /// Takes the admin commands back, or ends them without their memory if the device may
    /// still use it.
    fn end_admin(&self, reason: Failure, is_certain: bool) {
        if let Some(admin) = &mut *self.admin.lock() {
            match is_certain {
                true => admin.clean(reason),
                false => {
                    let lost = admin.lose(reason);
                    self.lost.fetch_add(lost, Ordering::Relaxed);
                }
            }
        }
    }

    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        let mut state = self.state.lock();
        let is_there = |member: &Arc<Member>| !member.is_gone.load(Ordering::Acquire);
        state.members.retain(is_there);
        state.members.clone()
    }

    /// Tells all queues what to do, and waits for them for some time.
    async fn order(&self, order: Order) {
        let members = self.members();
        for member in &members {
            member.command(order);
        }
        let platform = self.port.platform();
        let mut watch = Watch::new(platform, Waiting::Queues, ANSWER_MICROSECONDS);
        while !members.iter().all(|member| member.is_settled()) {
            if watch.turn(platform).await.is_err() {
                break;
            }
        }
    }

    /// Makes all queues known to the controller whose rings are clean and not known yet, and
    /// lets them go on, unless it is reset once more after the reset with this number.
    pub(crate) async fn introduce_all(self: &Arc<Self>, generation: u64) -> Result<(), Error> {
        let mut refused = None;
        for member in self.members() {
            let is_clean = member.link.is_answered() && member.link.last() == Order::Clean;
            if member.is_created.load(Ordering::Acquire) || !is_clean {
                continue;
            }
            match self.introduce(&member, generation).await {
                // Whoever has overtaken this does it again.
                Ok(()) | Err(Introduction::Overtaken) => {}
                // Fewer queues than before. This one's requests end with an error.
                Err(Introduction::Refused(error)) => {
                    member.command(Order::Dead);
                    refused = Some(error);
                }
                Err(Introduction::Failed(error)) => return Err(error),
            }
        }
        // But without any queue the controller is of no use.
        let is_created = |member: &Arc<Member>| member.is_created.load(Ordering::Acquire);
        match refused {
            Some(error) if !self.members().iter().any(is_created) => Err(error),
            _ => Ok(()),
        }
    }

    /// Shuts the controller down.
    pub(crate) async fn shut_down(self: &Arc<Self>) -> Result<(), Error> {
        if !self.claim(Failure::ShutDown) {
            return self.recovered().await;
        }
        let claim = Claim { shared: self };
        self.order(Order::Hold).await;
        let result = self.shut_down_now().await;
        if let Err(Error::Failed(failure)) = result {
            self.state.lock().reason = failure;
        }
        // Disabling the controller now would start it again if it has shut down. It has
        // nothing left to do with memory then, and this makes sure of it.
        let reason = self.reason();
        let is_certain = match result {
            Ok(()) => {
                let is_cut_off = self.port.platform().stop_dma();
                self.is_stopped.store(is_cut_off, Ordering::Release);
                self.end_admin(reason, is_cut_off);
                is_cut_off
            }
            Err(_) => self.stop(reason).await,
        };
        self.order(match is_certain {
            true => Order::Dead,
            false => Order::Lost,
        })
        .await;
        {
            let mut state = self.state.lock();
            state.is_dead = true;
            state.trouble = None;
        }
        core::mem::forget(claim);
        self.disclaim();
        result
    }

    async fn shut_down_now(self: &Arc<Self>) -> Result<(), Error> {
        // A controller that refuses to delete a queue may be shut down all the same.
        for member in self.members() {
            for (name, entry) in [
                (
                    Command::DeleteSubmissionQueue,
                    command::delete_submission_queue(member.id),
                ),
                (
                    Command::DeleteCompletionQueue,
                    command::delete_completion_queue(member.id),
                ),
            ] {
                match self.simple(name, entry).await {
                    Ok(_) | Err(Error::Command(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.take_back().await?;
        let latency = self.state.lock().identity.shutdown_microseconds;
        self.port.shut_down(latency).await.map_err(Error::Failed)
    }
}

/// Whoever resets the controller. Going away half-way, it leaves the work to the service.
struct Claim<'a, P: Platform> {
    shared: &'a Shared<P>,
}

impl<P: Platform> Drop for Claim<'_, P> {
    fn drop(&mut self) {
        self.shared.report(Failure::SetUp);
        self.shared.disclaim();
    }
}
