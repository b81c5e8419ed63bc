//! Waiting for the first of two things.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

/// Waits until one of two futures is ready, and drops the other.
pub(crate) async fn first<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        let is_ready = a.as_mut().poll(cx).is_ready() || b.as_mut().poll(cx).is_ready();
        match is_ready {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}
