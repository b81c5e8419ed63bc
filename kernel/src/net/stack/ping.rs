//! Asking a machine whether it is there.

use super::engine::Engine;
use super::handle::Stack;
use crate::executor;
use alloc::vec;
use core::fmt;
use core::future::poll_fn;
use core::net::IpAddr;
use core::task::Poll;
use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp::{Endpoint, PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress};

/// Bytes that are to come back.
const CONTENT: &[u8; 32] = b"is anybody there? 0123456789abcd";

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingError {
    /// There is no way there, or the interface is gone.
    Unreachable,
    /// There was none in time.
    TimedOut,
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "there is no way there",
            Self::TimedOut => "no answer",
        })
    }
}

impl core::error::Error for PingError {}

/// A socket that goes when nobody waits any more.
struct Asking<'a> {
    stack: &'a Stack,
    handle: SocketHandle,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.stack
            .with(|engine| drop(engine.main.remove(self.handle)));
    }
}

impl Stack {
    /// Asks a machine for an answer (ICMP echo). Returns how long it took, in microseconds.
    ///
    /// # Errors
    /// If there is no way, or no answer within so many microseconds.
    pub async fn ping(&self, to: IpAddr, number: u16, within: u64) -> Result<u64, PingError> {
        let to = IpAddress::from(to);
        let (handle, ident) = self.with(|engine| {
            if engine.is_gone || !engine.has_way(&to) {
                return Err(PingError::Unreachable);
            }
            ask(engine, to, number).ok_or(PingError::Unreachable)
        })?;
        let asking = Asking {
            stack: self,
            handle,
        };
        let started = executor::time();
        let answered = poll_fn(|cx| {
            let has_answer = self.with(|engine| {
                let socket = engine.main.get_mut::<Socket<'_>>(asking.handle);
                while let Ok((bytes, from)) = socket.recv() {
                    if from == to && is_answer(bytes, to, ident, number) {
                        return true;
                    }
                }
                socket.register_recv_waker(cx.waker());
                false
            });
            let end = started.saturating_add(within);
            if has_answer {
                return Poll::Ready(Ok(executor::time() - started));
            }
            if executor::time() >= end {
                return Poll::Ready(Err(PingError::TimedOut));
            }
            executor::wake_at(end, cx.waker());
            Poll::Pending
        });
        answered.await
    }
}

fn ask(engine: &mut Engine, to: IpAddress, number: u16) -> Option<(SocketHandle, u16)> {
    let ident = engine.draw() as u16;
    let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 4], vec![0; 512]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.bind(Endpoint::Ident(ident)).ok()?;
    let checksum = ChecksumCapabilities::default();
    match to {
        IpAddress::Ipv4(_) => {
            let echo = Icmpv4Repr::EchoRequest {
                ident,
                seq_no: number,
                data: CONTENT,
            };
            let bytes = socket.send(echo.buffer_len(), to).ok()?;
            echo.emit(&mut Icmpv4Packet::new_unchecked(bytes), &checksum);
        }
        IpAddress::Ipv6(address) => {
            let IpAddress::Ipv6(source) = engine.iface.get_source_address(&to)? else {
                return None;
            };
            let echo = Icmpv6Repr::EchoRequest {
                ident,
                seq_no: number,
                data: CONTENT,
            };
            let bytes = socket.send(echo.buffer_len(), to).ok()?;
            let mut packet = Icmpv6Packet::new_unchecked(bytes);
            echo.emit(&source, &address, &mut packet, &checksum);
        }
    }
    let handle = engine.main.add(socket);
    engine.want(to);
    engine.touch_main();
    Some((handle, ident))
}

fn is_answer(bytes: &[u8], from: IpAddress, ident: u16, number: u16) -> bool {
    let is_it = |reply, seq, data: &[u8]| (reply, seq, data) == (ident, number, &CONTENT[..]);
    let unchecked = ChecksumCapabilities::ignored();
    match from {
        IpAddress::Ipv4(_) => {
            let packet = Icmpv4Packet::new_checked(bytes).ok();
            let repr = packet
                .as_ref()
                .and_then(|packet| Icmpv4Repr::parse(packet, &unchecked).ok());
            matches!(repr, Some(Icmpv4Repr::EchoReply { ident, seq_no, data }) if is_it(ident, seq_no, data))
        }
        IpAddress::Ipv6(address) => {
            let packet = Icmpv6Packet::new_checked(bytes).ok();
            let repr = packet
                .as_ref()
                .and_then(|packet| Icmpv6Repr::parse(&address, &address, packet, &unchecked).ok());
            matches!(repr, Some(Icmpv6Repr::EchoReply { ident, seq_no, data }) if is_it(ident, seq_no, data))
        }
    }
}
