//! Addresses: fixed, lent, or made up; routes; and who knows names.

use super::engine::Engine;
use super::options::{ConnectionStatus, Ipv4, Lease, State, Status};
use super::segment;
use crate::net::MacAddress;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::socket::tcp;
use smoltcp::socket::{dhcpv4, dns};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Cidr, Ipv6Cidr};

/// Servers of names that the engine asks.
pub(super) const SERVERS: usize = 3;

/// The address that a card has on its link in any case (RFC 4291, appendix A).
fn link_local(mac: MacAddress) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let pair = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        pair(a ^ 2, b),
        pair(c, 0xff),
        pair(0xfe, d),
        pair(e, f),
    )
}

impl Engine {
    /// Sets addresses up as the options say.
    pub(super) fn set_up(&mut self) {
        if self.options.ipv6 {
            let address = link_local(self.card.properties().address);
            self.add_address(IpCidr::Ipv6(Ipv6Cidr::new(address, 64)));
        }
        self.set_up_ipv4();
    }

    fn set_up_ipv4(&mut self) {
        match self.options.ipv4.clone() {
            Ipv4::Nowhere => {}
            Ipv4::Dhcp => self.dhcp = Some(self.main.add(dhcpv4::Socket::new())),
            Ipv4::Fixed {
                address,
                prefix,
                router,
                dns,
            } => {
                self.set_ipv4(Some((address, prefix)), router);
                self.set_dns(dns);
            }
        }
    }

    /// Another IPv4 address from now on. Connections that had the old one fail.
    pub(super) fn configure(&mut self, ipv4: Ipv4) {
        if let Some(handle) = self.dhcp.take() {
            self.main.remove(handle);
        }
        self.lease = None;
        self.set_ipv4(None, None);
        self.set_dns(Vec::new());
        self.options.ipv4 = ipv4;
        self.set_up_ipv4();
        self.touch_main();
        let all: Vec<_> = self.tcps.iter().map(|(id, _)| id).collect();
        all.into_iter().for_each(|id| self.list(id));
    }

    fn add_address(&mut self, cidr: IpCidr) {
        // There is room for eight; routers may have announced as many.
        self.iface.update_ip_addrs(|all| {
            let _ = all.push(cidr);
        });
        self.changed();
    }

    /// Another IPv4 address, and another way to everybody else.
    fn set_ipv4(&mut self, address: Option<(Ipv4Addr, u8)>, router: Option<Ipv4Addr>) {
        self.iface
            .update_ip_addrs(|all| all.retain(|cidr| matches!(cidr, IpCidr::Ipv6(_))));
        let address = address.filter(|(address, prefix)| is_for_a_host(*address) && *prefix <= 32);
        if let Some((address, prefix)) = address {
            self.add_address(IpCidr::Ipv4(Ipv4Cidr::new(address, prefix)));
        }
        let routes = self.iface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(router) = router.filter(|router| is_for_a_host(*router)) {
            // There is room: the one before was removed.
            let _ = routes.add_default_ipv4_route(router);
        }
        self.changed();
    }

    fn set_dns(&mut self, servers: Vec<IpAddr>) {
        let addresses: Vec<IpAddress> = servers
            .iter()
            .take(SERVERS)
            .map(|server| (*server).into())
            .collect();
        self.main
            .get_mut::<dns::Socket<'_>>(self.dns)
            .update_servers(&addresses);
        self.dns_servers = servers;
    }

    fn changed(&mut self) {
        self.changes += 1;
        self.neighbours.forget();
        let addresses = self.iface.ip_addrs();
        self.counters.dropped += self.ports.keep(|frame| is_from(addresses, frame));
        self.watching.wake();
    }

    /// Whether the packet in a frame has an address of this machine as its source. One that has gone may not be used any
    /// more (RFC 1122, section 3.2.1.3; RFC 4862, section 5.5.4), and an answer would not arrive.
    pub(super) fn is_from_here(&self, frame: &[u8]) -> bool {
        is_from(self.iface.ip_addrs(), frame)
    }

    /// Does what the DHCP server says.
    pub(super) fn follow_dhcp(&mut self) {
        let Some(handle) = self.dhcp else {
            return;
        };
        let lease = match self.main.get_mut::<dhcpv4::Socket<'_>>(handle).poll() {
            None => return,
            Some(dhcpv4::Event::Deconfigured) => None,
            Some(dhcpv4::Event::Configured(config)) => Some(Lease {
                address: config.address.address(),
                prefix: config.address.prefix_len(),
                router: config.router,
                dns: config.dns_servers.iter().copied().collect(),
                server: config.server.address,
            }),
        };
        let address = lease.as_ref().map(|lease| (lease.address, lease.prefix));
        self.set_ipv4(address, lease.as_ref().and_then(|lease| lease.router));
        let servers = lease.iter().flat_map(|lease| &lease.dns);
        self.set_dns(servers.map(|server| IpAddr::V4(*server)).collect());
        self.lease = lease;
    }

    /// How things are.
    pub(super) fn status(&self) -> Status {
        let interface = self.card.interface();
        let hardware = self.iface.hardware_addr();
        let smoltcp::wire::HardwareAddress::Ethernet(EthernetAddress(mac)) = hardware;
        let mut routes: Vec<(IpAddr, u8, IpAddr)> = Vec::new();
        if let Some(route) = self.iface.routes().get_default_ipv4_route() {
            routes.push((Ipv4Addr::UNSPECIFIED.into(), 0, route.via_router.into()));
        }
        if let Some(route) = self.iface.routes().get_default_ipv6_route() {
            routes.push((Ipv6Addr::UNSPECIFIED.into(), 0, route.via_router.into()));
        }
        let addresses = self.iface.ip_addrs().iter();
        let mut counters = self.counters;
        let open = self.tcps.iter().map(|(_, tcp)| tcp.flow.retransmitted());
        counters.retransmitted += open.sum::<u64>();
        counters.dropped += self.card.unsendable + self.neighbours.lost();
        counters.copied_bytes += self.card.copied;
        Status {
            interface: interface.name().to_string(),
            mac: MacAddress(mac),
            mtu: self.card.properties().mtu,
            addresses: addresses
                .map(|cidr| (cidr.address().into(), cidr.prefix_len()))
                .collect(),
            routes,
            neighbours: self.neighbours.list(),
            dns: self.dns_servers.clone(),
            uses_dhcp: self.dhcp.is_some(),
            lease: self.lease.clone(),
            counters,
        }
    }

    /// All connections, and all ports that are listened to.
    pub(super) fn connections(&self) -> Vec<ConnectionStatus> {
        let listening = self.listeners.keys().map(|port| ConnectionStatus {
            local: (Ipv4Addr::UNSPECIFIED, *port).into(),
            remote: None,
            state: State::Listen,
            unread: 0,
            unacknowledged: 0,
        });
        let open = self
            .tcps
            .iter()
            .filter(|(_, tcp)| tcp.state() != tcp::State::Closed);
        let open = open.map(|(_, tcp)| ConnectionStatus {
            local: tcp.ends.local.into(),
            remote: Some(tcp.ends.remote.into()),
            state: state(tcp.state()),
            unread: tcp.socket().recv_queue(),
            unacknowledged: tcp.outbox.len(),
        });
        let over = self.ended.ends().map(|ends| ConnectionStatus {
            local: ends.local.into(),
            remote: Some(ends.remote.into()),
            state: State::TimeWait,
            unread: 0,
            unacknowledged: 0,
        });
        listening.chain(open).chain(over).collect()
    }
}

fn is_from(addresses: &[IpCidr], frame: &[u8]) -> bool {
    let source = segment::carried(frame).map(|carried| carried.source);
    addresses.iter().any(|cidr| Some(cidr.address()) == source)
}

/// Whether an address can be that of a machine. What a server says is not believed: the engine would be
/// beside itself.
fn is_for_a_host(address: Ipv4Addr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast()
}

fn state(state: tcp::State) -> State {
    match state {
        tcp::State::Closed => State::Closed,
        tcp::State::Listen => State::Listen,
        tcp::State::SynSent => State::SynSent,
        tcp::State::SynReceived => State::SynReceived,
        tcp::State::Established => State::Established,
        tcp::State::FinWait1 => State::FinWait1,
        tcp::State::FinWait2 => State::FinWait2,
        tcp::State::CloseWait => State::CloseWait,
        tcp::State::Closing => State::Closing,
        tcp::State::LastAck => State::LastAck,
        tcp::State::TimeWait => State::TimeWait,
    }
}
