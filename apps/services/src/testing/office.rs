//! A port of UDP that is made of two queues.

use crate::iperf::Datagrams;
use kernel::net::stack::UdpError;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Poll, Waker};

type Letter = (Vec<u8>, SocketAddr);

/// Keeps datagrams both ways, until they are asked for.
pub(crate) struct Office {
    mtu: usize,
    coming: RefCell<VecDeque<Letter>>,
    going: RefCell<VecDeque<Letter>>,
    waiting: RefCell<Vec<Waker>>,
    is_gone: Cell<bool>,
}

/// Most datagrams that wait to be asked for.
const ROOM: usize = 4;

impl Office {
    /// One with packets of this size.
    pub(crate) fn new(mtu: usize) -> Self {
        Self {
            mtu,
            coming: RefCell::default(),
            going: RefCell::default(),
            waiting: RefCell::default(),
            is_gone: Cell::new(false),
        }
    }

    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// The interface is gone.
    pub(crate) fn close(&self) {
        self.is_gone.set(true);
        self.wake();
    }

    /// Somebody sends this.
    pub(crate) fn put(&self, from: SocketAddr, bytes: &[u8]) {
        self.coming.borrow_mut().push_back((bytes.to_vec(), from));
        self.wake();
    }

    /// The next one that goes out.
    pub(crate) async fn got(&self) -> Letter {
        let letter = poll_fn(|cx| match self.going.borrow_mut().pop_front() {
            Some(letter) => Poll::Ready(letter),
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await;
        self.wake();
        letter
    }

    /// Whether all that was sent has been received.
    pub(crate) fn is_read(&self) -> bool {
        self.coming.borrow().is_empty()
    }
}

impl Datagrams for Office {
    fn mtu(&self) -> usize {
        self.mtu
    }

    async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), UdpError> {
        poll_fn(|cx| {
            let mut going = self.going.borrow_mut();
            if going.len() < ROOM {
                going.push_back((bytes.to_vec(), to));
                drop(going);
                self.wake();
                return Poll::Ready(Ok(()));
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    async fn receive_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr), UdpError> {
        poll_fn(|cx| {
            if let Some((bytes, from)) = self.coming.borrow_mut().pop_front() {
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                return Poll::Ready(Ok((len, from)));
            }
            if self.is_gone.get() {
                return Poll::Ready(Err(UdpError::Unreachable));
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}
