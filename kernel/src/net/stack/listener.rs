//! A port that is listened to, as programs have it.

use super::connection::Connection;
use super::handle::Stack;
use crate::net::StreamError;
use core::future::poll_fn;
use core::task::Poll;

/// A port that is listened to, until it is dropped.
pub struct Listener {
    stack: Stack,
    port: u16,
}

impl Listener {
    pub(super) const fn new(stack: Stack, port: u16) -> Self {
        Self { stack, port }
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The next connection that somebody has opened.
    ///
    /// # Errors
    /// If the interface is gone.
    pub async fn accept(&mut self) -> Result<Connection, StreamError> {
        poll_fn(|cx| {
            self.stack.with(|engine| {
                let is_gone = engine.is_gone;
                let Some(listening) = engine.listeners.get_mut(&self.port) else {
                    return Poll::Ready(Err(StreamError::Closed));
                };
                while let Some(id) = listening.ready.pop_front() {
                    if let Some(tcp) = engine.tcps.get_mut(id) {
                        tcp.listener = None;
                        let peer = tcp.ends.remote.into();
                        return Poll::Ready(Ok(Connection::new(self.stack.clone(), id, peer)));
                    }
                }
                if is_gone {
                    return Poll::Ready(Err(StreamError::Unreachable));
                }
                listening.waiting = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.unlisten(self.port));
    }
}
