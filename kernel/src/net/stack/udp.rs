//! UDP.

use super::engine::Engine;
use super::handle::Stack;
use alloc::vec;
use core::fmt;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{BindError, PacketBuffer, PacketMetadata, RecvError, SendError, Socket};

/// Datagrams that wait, each way.
const DATAGRAMS: usize = 32;

/// Their bytes.
const BYTES: usize = 32 * 1024;

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
    handle: SocketHandle,
    port: u16,
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
                port if is_in_use(engine, port) => return Err(UdpError::InUse),
                port => port,
            };
            let buffer =
                || PacketBuffer::new(vec![PacketMetadata::EMPTY; DATAGRAMS], vec![0; BYTES]);
            let mut socket = Socket::new(buffer(), buffer());
            let bound = socket.bind(port);
            bound.map_err(|_: BindError| UdpError::InUse)?;
            let handle = engine.main.add(socket);
            let stack = self.clone();
            Ok(UdpSocket {
                stack,
                handle,
                port,
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

fn is_in_use(engine: &Engine, port: u16) -> bool {
    engine.main.iter().any(|(_, socket)| match socket {
        smoltcp::socket::Socket::Udp(socket) => socket.endpoint().port == port,
        _ => false,
    })
}

fn free_port(engine: &mut Engine) -> Option<u16> {
    let first = engine.draw() % 16_384;
    (0..16_384)
        .map(|number| (49_152 + (first + number) % 16_384) as u16)
        .find(|port| !is_in_use(engine, *port))
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

    fn with<R>(&self, action: impl FnOnce(&mut Socket<'static>) -> R) -> R {
        self.stack.with(|engine| {
            let result = action(engine.main.get_mut(self.handle));
            engine.touch_main();
            result
        })
    }

    /// Sends a datagram. Ready when it is on its way; nobody knows whether it arrives.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), UdpError> {
        let is_ip6 = to.is_ipv6();
        let headers = if is_ip6 { 48 } else { 28 };
        let fits = self.stack.with(|engine| {
            let mtu = usize::from(engine.card.properties().mtu);
            (bytes.len() + headers <= mtu, engine.is_gone)
        });
        match fits {
            (_, true) => return Err(UdpError::Unreachable),
            (false, _) => return Err(UdpError::Length),
            _ => {}
        }
        poll_fn(|cx| {
            self.with(|socket| match socket.send_slice(bytes, to) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(SendError::BufferFull) => {
                    socket.register_send_waker(cx.waker());
                    Poll::Pending
                }
                Err(SendError::Unaddressable) => Poll::Ready(Err(UdpError::Unreachable)),
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
            self.stack.with(|engine| {
                let is_gone = engine.is_gone;
                let socket = engine.main.get_mut::<Socket<'_>>(self.handle);
                match socket.recv() {
                    Ok((bytes, from)) => {
                        let len = bytes.len().min(into.len());
                        into[..len].copy_from_slice(&bytes[..len]);
                        Poll::Ready(Ok((len, from.endpoint.into())))
                    }
                    Err(_) if is_gone => Poll::Ready(Err(UdpError::Unreachable)),
                    Err(RecvError::Exhausted | RecvError::Truncated) => {
                        socket.register_recv_waker(cx.waker());
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
        self.stack
            .with(|engine| drop(engine.main.remove(self.handle)));
    }
}
