//! UDP.

mod carrying;
mod port;
mod way;

use super::engine::Engine;
use super::handle::Stack;
use super::slots::Id;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Poll, ready};
use port::Arrived;
pub(super) use port::Ports;

/// Why a datagram is not sent, or none can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpError {
    /// The port is somebody else's.
    InUse,
    /// Too long for a packet, or for what waits to be sent.
    Length,
    /// There is no way there, or the interface is gone.
    Unreachable,
}

impl fmt::Display for UdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "the port is in use",
            Self::Length => "the datagram is too long",
            Self::Unreachable => "there is no way there",
        })
    }
}

impl core::error::Error for UdpError {}

/// A port of UDP, until it is dropped.
pub struct UdpSocket {
    stack: Stack,
    port: u16,
    id: Id,
    /// What was taken out of the stack at once, and is read from here, one after the other: so there is a lock for all
    /// that has come in a turn, and none for each.
    taken: RefCell<Arrived>,
}

impl Stack {
    /// A port of UDP on all addresses; 0 is any that is free.
    ///
    /// # Errors
    /// If it is in use, or the interface is gone.
    pub fn udp(&self, port: u16) -> Result<UdpSocket, UdpError> {
        self.with(|engine| {
            if engine.is_gone {
                return Err(UdpError::Unreachable);
            }
            let port = match port {
                0 => free_port(engine).ok_or(UdpError::InUse)?,
                port => port,
            };
            let id = engine.ports.bind(port).ok_or(UdpError::InUse)?;
            Ok(UdpSocket {
                stack: self.clone(),
                port,
                id,
                taken: RefCell::new(Arrived::new()),
            })
        })
    }

    /// Receives what is sent to a group from now on.
    ///
    /// # Errors
    /// If it is no group, or there are too many.
    pub fn join(&self, group: IpAddr) -> Result<(), UdpError> {
        self.with(|engine| {
            let joined = engine.iface.join_multicast_group(group);
            engine.touch_main();
            joined.map_err(|_| UdpError::Unreachable)
        })
    }

    /// Receives no more of it.
    ///
    /// # Errors
    /// If it is no group.
    pub fn leave(&self, group: IpAddr) -> Result<(), UdpError> {
        self.with(|engine| {
            let left = engine.iface.leave_multicast_group(group);
            engine.touch_main();
            left.map_err(|_| UdpError::Unreachable)
        })
    }
}

fn free_port(engine: &mut Engine) -> Option<u16> {
    let first = engine.draw() % 16_384;
    (0..16_384)
        .map(|number| (49_152 + (first + number) % 16_384) as u16)
        .find(|port| engine.ports.bound(*port).is_none())
}

impl UdpSocket {
    /// Most bytes of an IP packet: a datagram and its headers, 28 of IPv4 or 48 of IPv6.
    pub fn mtu(&self) -> usize {
        self.stack
            .with(|engine| usize::from(engine.card.properties().mtu))
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Sends a datagram. Ready when it is on its way; nobody knows whether it arrives.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), UdpError> {
        self.send_all(&[(bytes, to)]).await
    }

    /// Sends datagrams, one after the other. Ready when all are on their way. Those that find room at once need one lock
    /// together.
    ///
    /// # Errors
    /// If one cannot be sent: those before it are on their way, and those behind it are not.
    pub async fn send_all(&self, datagrams: &[(&[u8], SocketAddr)]) -> Result<(), UdpError> {
        let mut left = datagrams.iter();
        poll_fn(|cx| {
            self.stack.with(|engine| {
                engine.look_at_the_clock();
                while let Some((bytes, to)) = left.as_slice().first() {
                    ready!(engine.send_datagram(self.id, bytes, *to, cx.waker()))?;
                    left.next();
                }
                Poll::Ready(Ok(()))
            })
        })
        .await
    }

    /// The next datagram: its length, and who has sent it. What is longer than `into` is cut.
    ///
    /// # Errors
    /// If the interface is gone.
    pub async fn receive_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr), UdpError> {
        poll_fn(|cx| {
            let mut taken = self.taken.borrow_mut();
            if let Some(next) = taken.take(into) {
                return Poll::Ready(Ok(next));
            }
            self.stack.with(|engine| {
                let is_gone = engine.is_gone;
                let Some(port) = engine.ports.get_mut(self.id) else {
                    return Poll::Ready(Err(UdpError::Unreachable));
                };
                core::mem::swap(&mut port.arrived, &mut *taken);
                match taken.take(into) {
                    Some(next) => Poll::Ready(Ok(next)),
                    None if is_gone => Poll::Ready(Err(UdpError::Unreachable)),
                    None => {
                        port.waits_to_read(cx.waker());
                        Poll::Pending
                    }
                }
            })
        })
        .await
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        // Its memory is freed, and who has waited is told, when the stack is free again.
        drop(self.stack.with(|engine| engine.ports.remove(self.id)));
    }
}
