//! A connection, as programs have it.

use super::engine::Engine;
use super::handle::Stack;
use super::slots::Id;
use super::tcp::Tcp;
use crate::dma::Memory;
use crate::net::{Stream, StreamError};
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use smoltcp::socket::tcp::State;

/// A connection. What was written is still sent after it is dropped; what was not read then is lost, and the
/// other end is told so.
pub struct Connection {
    stack: Stack,
    id: Id,
    peer: SocketAddr,
}

impl Connection {
    pub(super) const fn new(stack: Stack, id: Id, peer: SocketAddr) -> Self {
        Self { stack, id, peer }
    }

    /// This end's address.
    pub fn local(&self) -> Option<SocketAddr> {
        self.stack
            .with(|engine| engine.tcps.get(self.id).map(|tcp| tcp.ends.local.into()))
    }

    /// Ends it at once. The other end is told.
    pub fn abort(self) {
        self.with(|tcp| tcp.fail(StreamError::Closed));
    }

    fn with<R>(&self, action: impl FnOnce(&mut Tcp) -> R) -> Option<R> {
        self.stack.with(|engine: &mut Engine| {
            let result = engine.tcps.get_mut(self.id).map(|tcp| action(tcp));
            engine.list(self.id);
            result
        })
    }

    /// Ready when the other end has agreed.
    pub(super) async fn opened(&self) -> Result<(), StreamError> {
        self.wait(|tcp, _| match tcp.is_open() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        })
        .await
    }

    /// Waits as a writer, until it is ready or the connection has failed. What it does is looked at in the next
    /// turn.
    async fn wait<R>(
        &self,
        mut ready: impl FnMut(&mut Tcp, usize) -> Poll<Result<R, StreamError>>,
    ) -> Result<R, StreamError> {
        poll_fn(|cx: &mut Context<'_>| {
            self.stack.with(|engine| {
                let most = engine.options.in_flight;
                let Some(tcp) = engine.tcps.get_mut(self.id) else {
                    return Poll::Ready(Err(StreamError::Closed));
                };
                if let Some(failure) = tcp.failure {
                    return Poll::Ready(Err(failure));
                }
                let end = tcp.flow.end();
                let result = ready(tcp, most);
                let has_more = tcp.flow.end() != end || tcp.closing;
                if result.is_pending() {
                    tcp.writer = Some(cx.waker().clone());
                }
                if has_more {
                    engine.list(self.id);
                }
                result
            })
        })
        .await
    }
}

impl Stream for Connection {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, StreamError> {
        poll_fn(|cx| {
            self.stack.with(|engine| {
                let Some(tcp) = engine.tcps.get_mut(self.id) else {
                    return Poll::Ready(Err(StreamError::Closed));
                };
                let before = tcp.socket().recv_queue();
                if before > 0 || into.is_empty() {
                    let taken = tcp.take(into);
                    // The engine tells the other end of room if it is worth it.
                    if before > tcp.socket().recv_capacity() / 2 {
                        engine.list(self.id);
                    }
                    return Poll::Ready(Ok(taken));
                }
                if tcp.peer_closed || tcp.state() == State::Closed && tcp.failure.is_none() {
                    return Poll::Ready(Ok(0));
                }
                if let Some(failure) = tcp.failure {
                    return Poll::Ready(Err(failure));
                }
                tcp.socket_mut().register_recv_waker(cx.waker());
                tcp.reader = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut left = bytes;
        self.wait(|tcp, most| {
            if tcp.closing {
                return Poll::Ready(Err(StreamError::Closed));
            }
            let room = most.saturating_sub(tcp.outbox.len());
            let (now, later) = left.split_at(left.len().min(room));
            left = later;
            match tcp.write(now) {
                false => Poll::Ready(Err(StreamError::OutOfMemory)),
                true if left.is_empty() => Poll::Ready(Ok(())),
                true => Poll::Pending,
            }
        })
        .await
    }

    async fn send(&mut self, memory: Memory) -> Result<(), StreamError> {
        let mut memory = Some(memory);
        self.wait(|tcp, most| {
            if tcp.closing {
                return Poll::Ready(Err(StreamError::Closed));
            }
            if tcp.outbox.len() >= most {
                return Poll::Pending;
            }
            match memory.take().is_none_or(|memory| tcp.send(memory)) {
                true => Poll::Ready(Ok(())),
                false => Poll::Ready(Err(StreamError::OutOfMemory)),
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        self.wait(|tcp, _| match tcp.is_acknowledged() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        })
        .await
    }

    async fn close(&mut self) -> Result<(), StreamError> {
        self.wait(|tcp, _| {
            tcp.closing = true;
            Poll::Ready(Ok(()))
        })
        .await
    }

    fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.detach(self.id));
    }
}
