//! A port of UDP, as tests of iperf3 need it.

use core::future::Future;
use core::net::SocketAddr;
use kernel::net::stack::{UdpError, UdpSocket};

/// What programs need of a port of UDP.
pub trait Datagrams {
    /// Most bytes of an IP packet: a datagram and its headers, 28 of IPv4 or 48 of IPv6.
    fn mtu(&self) -> usize;

    /// Sends a datagram. Ready when it is on its way; nobody knows whether it arrives.
    fn send_to(&self, bytes: &[u8], to: SocketAddr) -> impl Future<Output = Result<(), UdpError>>;

    /// The next datagram: its length, and who has sent it.
    fn receive_from(
        &self,
        into: &mut [u8],
    ) -> impl Future<Output = Result<(usize, SocketAddr), UdpError>>;
}

impl Datagrams for UdpSocket {
    fn mtu(&self) -> usize {
        Self::mtu(self)
    }

    async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), UdpError> {
        Self::send_to(self, bytes, to).await
    }

    async fn receive_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr), UdpError> {
        Self::receive_from(self, into).await
    }
}
