//! Getting a device back that has failed.
//!
//! One task does it, step by step, and each queue does its part on its own core:
//!
//! 1. *Hold.* Each queue stops notifying, and says so.
//! 2. *Stop.* The device is reset, and has let go of all memory when its status reads 0. One that
//!    does not confirm that is kept from memory by the platform. From here on no memory of a
//!    request is in danger. If even the platform cannot tell, that memory is kept for ever.
//! 3. *Clean.* Each queue takes its commands back, and makes its ring as new.
//! 4. *Start.* Features are agreed on as before, and the device is told of the queues.
//! 5. *Live.* Each queue sends what waits.
//!
//! All queues must be known before the device is let go, so step 4 waits for all cores. One that is
//! busy for long delays the others.

use super::shared::{Member, Shared};
use super::{Kind, agree, read};
use crate::error::{Failure, Waiting};
use crate::link::Order;
use crate::platform::Platform;
use crate::transport::Step;
use crate::watch::{Watch, first};
use alloc::sync::Arc;
use core::future::poll_fn;
use core::sync::atomic::Ordering;
use core::task::Poll;

/// Microseconds to wait for cores that need not have answered.
const ANSWER_MICROSECONDS: u64 = 1_000_000;

impl<P: Platform, K: Kind> Shared<P, K> {
    /// Watches over the device, and gets it back after a failure. Resolves when it is out of use.
    pub(crate) async fn service(&self) {
        loop {
            let (trouble, sick) = {
                let mut state = self.state.lock();
                if state.is_dead {
                    return;
                }
                let trouble = state.trouble.take();
                let sick = match trouble {
                    Some(_) => None,
                    None => state.sick.pop(),
                };
                (trouble, sick)
            };
            if let Some(failure) = trouble {
                self.recover(failure).await;
                continue;
            }
            if let Some((member, failure)) = sick {
                self.recover_queue(&member, failure).await;
                continue;
            }
            let nudged = poll_fn(|cx| {
                self.service.register(cx.waker());
                match self.is_nudged.swap(false, Ordering::AcqRel) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            let period = self.platform.pause(self.options.scan_microseconds());
            first(nudged, first(self.platform.interrupted(), period)).await;
            self.look();
        }
    }

    /// Looks at the device, as long as it runs.
    fn look(&self) {
        {
            let state = self.state.lock();
            if !state.is_live || state.is_dead {
                return;
            }
        }
        let common = self.common();
        if let Some(failure) = common.ailment() {
            self.report(failure);
            return;
        }
        let generation = common.generation();
        let (before, features) = {
            let state = self.state.lock();
            if state.generation == generation {
                return;
            }
            (state.properties, state.features)
        };
        match read::<P, K>(&self.platform, &features) {
            Ok(mut now) if K::continues(&now, &before) => {
                let mut state = self.state.lock();
                K::notice(&self.standing, self.platform.config(), &mut now);
                (state.properties, state.generation) = (now, generation);
                drop(state);
                self.changed();
            }
            Ok(_) => self.report(Failure::Changed),
            Err(failure) => self.report(failure),
        }
    }

    pub(super) async fn recover(&self, failure: Failure) {
        self.order(Order::Hold).await;
        // All are reset now.
        self.state.lock().sick.clear();
        let mut failure = failure;
        let mut tries = 0;
        loop {
            if !self.stop().await {
                return self.end(failure, Order::Lost).await;
            }
            if !self.platform.is_present() {
                failure = Failure::Gone;
            }
            let is_hopeless = matches!(
                failure,
                Failure::Gone | Failure::ShutDown | Failure::Changed
            );
            if is_hopeless || tries >= self.options.resets.max(1) {
                return self.end(failure, Order::Dead).await;
            }
            tries += 1;
            self.state.lock().reason = failure;
            self.order(Order::Clean).await;
            match self.start_again().await {
                Ok(()) => break,
                Err(again) => failure = again,
            }
        }
        self.state.lock().resets += 1;
        self.order(Order::Live).await;
        self.changed();
    }

    /// The device is out of use, for this reason.
    async fn end(&self, failure: Failure, order: Order) {
        {
            let mut state = self.state.lock();
            state.reason = failure;
            (state.is_dead, state.is_live) = (true, false);
        }
        self.order(order).await;
        self.changed();
    }

    /// A set-up that failed: the device is stopped, and out of use.
    pub(crate) async fn give_up(&self, failure: Failure) {
        match self.stop().await {
            true => self.end(failure, Order::Dead).await,
            false => self.end(failure, Order::Lost).await,
        }
    }

    /// Resets the device, and keeps it from memory. Returns whether it is certain that it does not
    /// use memory any more.
    async fn stop(&self) -> bool {
        let is_reset = self.common().reset().await.is_ok();
        // A confirmed reset is enough. This is for a device that breaks its word.
        let is_cut_off = self.platform.stop_dma();
        is_reset || is_cut_off
    }

    async fn start_again(&self) -> Result<(), Failure> {
        // Also a device that was only kept from memory before: it must have forgotten all queues
        // when it gets a way to memory again.
        self.common().reset().await?;
        let (features, generation, mut properties) = agree::<P, K>(&self.platform, &self.options)?;
        {
            let mut state = self.state.lock();
            if features != state.features || !K::continues(&properties, &state.properties) {
                return Err(Failure::Changed);
            }
            let config = self.platform.config();
            K::renew(&self.standing, config, &mut properties);
            K::notice(&self.standing, config, &mut properties);
            (state.properties, state.generation) = (properties, generation);
        }
        self.introduce_all()
    }

    /// Tells a device that has agreed on features of all queues, and lets it go.
    pub(crate) fn introduce_all(&self) -> Result<(), Failure> {
        let common = self.common();
        let state = self.state.lock();
        for member in &state.members {
            self.introduce(member)?;
        }
        self.platform.start_dma();
        common.step(Step::DriverOk)
    }

    /// Tells the device of a queue, unless it is gone. Behind the lock.
    pub(super) fn introduce(&self, member: &Member) -> Result<(), Failure> {
        if member.is_gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        member.is_known.store(true, Ordering::Relaxed);
        let introduced = self.common().introduce(&member.rings, &self.notify)?;
        let at = introduced.notify_at as u32;
        member.notify_at.store(at, Ordering::Release);
        let has_vector = introduced.has_vector;
        member.has_vector.store(has_vector, Ordering::Release);
        Ok(())
    }

    /// Tells all queues what to do, and waits for them: for some time, or, before the device is told
    /// of their rings, until all have done it.
    pub(crate) async fn order(&self, order: Order) {
        self.order_to(&self.members(), order).await;
    }

    /// The same for some of them.
    pub(super) async fn order_to(&self, members: &[Arc<Member>], order: Order) {
        for member in members {
            member.command(order);
        }
        let mut watch = Watch::new(&self.platform, ANSWER_MICROSECONDS);
        while !members.iter().all(|member| member.is_settled()) {
            if watch.turn(&self.platform).await.is_ok() {
                continue;
            }
            if order != Order::Clean {
                break;
            }
            watch = Watch::new(&self.platform, ANSWER_MICROSECONDS);
        }
    }
}

impl Failure {
    /// A request that nobody answers.
    pub(crate) const LATE: Self = Self::Timeout(Waiting::Request);
}
