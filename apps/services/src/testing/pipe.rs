//! Two ends of a connection that is made of two queues.
//!
//! It keeps account of what was copied and what was sent as memory, so that a test can tell. What a reader
//! gets at once is as little or as much as the test wants.

use kernel::dma::Memory;
use kernel::net::{Stream, StreamError};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// One direction.
#[derive(Default)]
struct Queue {
    bytes: RefCell<VecDeque<u8>>,
    room: Cell<usize>,
    /// The writer has closed.
    closed: Cell<bool>,
    /// The writer has gone without closing, or the reader has gone.
    broken: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
    sent: RefCell<Vec<usize>>,
    copied: Cell<usize>,
}

impl Queue {
    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// What went through one direction.
#[derive(Clone)]
pub(crate) struct Trace(Rc<Queue>);

impl Trace {
    /// The lengths of all memory that was sent.
    pub(crate) fn sent(&self) -> Vec<usize> {
        self.0.sent.borrow().clone()
    }

    /// The bytes that were copied.
    pub(crate) fn copied(&self) -> usize {
        self.0.copied.get()
    }
}

/// One end of a connection.
pub(crate) struct End {
    from: Rc<Queue>,
    to: Rc<Queue>,
    /// Most bytes of one read.
    pub(crate) most: usize,
}

/// A connection with so much room in each direction.
pub(crate) fn pipe(room: usize) -> (End, End) {
    let queue = || {
        Rc::new(Queue {
            room: Cell::new(room),
            ..Queue::default()
        })
    };
    let (a, b) = (queue(), queue());
    let end = |from: &Rc<Queue>, to: &Rc<Queue>| End {
        from: from.clone(),
        to: to.clone(),
        most: usize::MAX,
    };
    (end(&a, &b), end(&b, &a))
}

impl End {
    /// What this end writes.
    pub(crate) fn trace(&self) -> Trace {
        Trace(self.to.clone())
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut rest = bytes;
        poll_fn(|cx| {
            let to = &*self.to;
            if to.closed.get() {
                return Poll::Ready(Err(StreamError::Closed));
            }
            if to.broken.get() {
                return Poll::Ready(Err(StreamError::Reset));
            }
            let mut queue = to.bytes.borrow_mut();
            let len = rest.len().min(to.room.get().saturating_sub(queue.len()));
            queue.extend(&rest[..len]);
            rest = &rest[len..];
            drop(queue);
            if len > 0 {
                to.wake();
            }
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            to.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Everything until the other end closes. The second is whether it did.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<u8>, bool) {
        let mut all = vec![];
        let mut some = [0; 4096];
        loop {
            match self.read(&mut some).await {
                Ok(0) => return (all, true),
                Ok(read) => all.extend_from_slice(&some[..read]),
                Err(_) => return (all, false),
            }
        }
    }

    /// Fills `into`; `false` if the other end closes before.
    pub(crate) async fn read_exact(&mut self, into: &mut [u8]) -> bool {
        let mut filled = 0;
        while filled < into.len() {
            match self.read(&mut into[filled..]).await {
                Ok(0) | Err(_) => return false,
                Ok(read) => filled += read,
            }
        }
        true
    }
}

impl Stream for End {
    fn read(&mut self, into: &mut [u8]) -> impl Future<Output = Result<usize, StreamError>> {
        poll_fn(|cx| {
            let from = &*self.from;
            let mut queue = from.bytes.borrow_mut();
            let len = queue.len().min(into.len()).min(self.most);
            if len > 0 {
                for (place, byte) in into.iter_mut().zip(queue.drain(..len)) {
                    *place = byte;
                }
                drop(queue);
                from.wake();
                return Poll::Ready(Ok(len));
            }
            if from.closed.get() {
                return Poll::Ready(Ok(0));
            }
            if from.broken.get() {
                return Poll::Ready(Err(StreamError::Reset));
            }
            from.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.to.copied.set(self.to.copied.get() + bytes.len());
        self.put(bytes).await
    }

    async fn send(&mut self, memory: Memory) -> Result<(), StreamError> {
        self.to.sent.borrow_mut().push(memory.len());
        let mut bytes = vec![0; memory.len()];
        memory
            .copy_to(0, &mut bytes)
            .map_err(|_| StreamError::OutOfMemory)?;
        self.put(&bytes).await
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| {
            if self.to.bytes.borrow().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if self.to.broken.get() {
                return Poll::Ready(Err(StreamError::Reset));
            }
            self.to.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    async fn close(&mut self) -> Result<(), StreamError> {
        self.to.closed.set(true);
        self.to.wake();
        Ok(())
    }

    fn peer(&self) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, 1), 4321).into()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.to.closed.get() {
            self.to.broken.set(true);
        }
        self.from.broken.set(true);
        self.to.wake();
        self.from.wake();
    }
}
