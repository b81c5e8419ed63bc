//! What keeps a stack going: one future, on the core that has the interface's queues.

use super::engine::Turn;
use super::handle::Stack;
use crate::executor;
use core::future::poll_fn;
use core::task::Poll;

impl Stack {
    /// Keeps the stack going, until the interface is gone. On a core that has queues of the interface, and once.
    pub async fn drive(&self) {
        self.with(|engine| engine.supply());
        poll_fn(|cx| {
            match self.with(|engine| engine.poll(executor::time(), cx)) {
                Turn::Gone => return Poll::Ready(()),
                Turn::Again => cx.waker().wake_by_ref(),
                Turn::Until(u64::MAX) => {}
                Turn::Until(at) => executor::wake_at(at, cx.waker()),
            }
            Poll::Pending
        })
        .await;
    }
}
