//! Getting one queue back, where the device can reset it alone (RING_RESET, section 2.6.1).
//!
//! The steps are those of the whole device's [recovery](super::recovery), over one link: *hold*; the queue is
//! reset; *clean*; the device is told of it again; *live*. Features stay agreed on, and the other queues go on.
//! Whatever goes wrong on the way is a matter for a reset of the whole device.
//!
//! The device lets go of a queue's memory when it says that the reset is complete. So this is only for kinds of
//! devices that are known to keep that: it is among the wishes of a [`Kind`], or not.

use super::Kind;
use super::shared::{Member, Shared};
use crate::error::{Error, Failure, Waiting};
use crate::link::Order;
use crate::platform::Platform;
use alloc::sync::Arc;
use core::slice;
use virtio_spec::F;

impl Failure {
    /// Whether it is one queue's, so that a reset of that queue may be enough.
    const fn is_of_queue(self) -> bool {
        matches!(
            self,
            Self::Violation(_) | Self::Timeout(Waiting::Request) | Self::Reset
        )
    }
}

impl<P: Platform, K: Kind> Shared<P, K> {
    /// Something has happened in a queue that needs a reset: of the queue, or else of the device.
    pub(crate) fn report_of(&self, member: &Arc<Member>, failure: Failure) {
        {
            let mut state = self.state.lock();
            let features: F = state.features.features().into();
            if features.contains(F::RING_RESET) && failure.is_of_queue() {
                state.sick.push((member.clone(), failure));
                drop(state);
                return self.nudge();
            }
        }
        self.report(failure);
    }

    /// Resets the queue of this number, and waits until it is back. Where the device cannot do that, all of it is
    /// reset.
    pub(crate) async fn reset_one(&self, queue: u16) -> Result<(), Error> {
        let members = self.members();
        let member = members.iter().find(|member| member.rings.queue == queue);
        let member = member.ok_or(Error::NoQueue)?;
        let resets = {
            let state = self.state.lock();
            state.resets + state.queue_resets
        };
        self.report_of(member, Failure::Reset);
        self.until(|state| state.is_dead || state.resets + state.queue_resets != resets)
            .await;
        match self.failure() {
            Some(failure) => Err(Error::Dead(failure)),
            None => Ok(()),
        }
    }

    /// Gets a queue back, or else the device.
    pub(super) async fn recover_queue(&self, member: &Arc<Member>, failure: Failure) {
        match self.reset_queue(member, failure).await {
            Ok(()) => {
                self.state.lock().queue_resets += 1;
                self.changed();
            }
            Err(again) => self.recover(again).await,
        }
    }

    async fn reset_queue(&self, member: &Arc<Member>, failure: Failure) -> Result<(), Failure> {
        let only = slice::from_ref(member);
        self.order_to(only, Order::Hold).await;
        self.common().reset_queue(member.rings.queue).await?;
        self.state.lock().reason = failure;
        self.order_to(only, Order::Clean).await;
        {
            // Behind the lock: one that goes meanwhile is not told to the device.
            let _state = self.state.lock();
            self.introduce(member)?;
        }
        self.order_to(only, Order::Live).await;
        Ok(())
    }

    /// Times that a queue was reset alone and came back.
    pub(crate) fn queue_resets(&self) -> u64 {
        self.state.lock().queue_resets
    }
}
