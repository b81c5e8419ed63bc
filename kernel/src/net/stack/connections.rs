//! Connections: who opens them, what happens to them, and when they end.

use super::ended::Late;
use super::engine::{Engine, instant};
use super::listening::Listening;
use super::options::Backlog;
use super::segment::{Ends, Segment};
use super::slots::Id;
use super::tcp::{Next, Tcp};
use crate::net::StreamError;
use alloc::boxed::Box;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// How long the other end may take to open a connection (microseconds).
const OPENING: u64 = 20_000_000;

/// How long a connection that nobody has any more may take to close.
const CLOSING: u64 = 60_000_000;

/// Most segments of a connection in one turn: others want to send, too.
const BURST: usize = 16;

/// Ports for connections from here (RFC 6335).
const PORTS: core::ops::Range<u64> = 49_152..65_536;

/// Why a port cannot be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenError {
    /// Somebody else does.
    InUse,
    /// The interface is gone.
    Gone,
}

impl Engine {
    /// Listens to a port from now on.
    pub(super) fn listen(&mut self, port: u16, backlog: Backlog) -> Result<(), ListenError> {
        if self.is_gone {
            return Err(ListenError::Gone);
        }
        if self.listeners.contains_key(&port) {
            return Err(ListenError::InUse);
        }
        self.listeners.insert(port, Listening::new(backlog));
        Ok(())
    }

    /// Nobody listens to a port any more. Who was not accepted is turned away.
    pub(super) fn unlisten(&mut self, port: u16) {
        if let Some(listening) = self.listeners.remove(&port) {
            for id in listening.half_open.into_iter().chain(listening.ready) {
                self.detach(id);
            }
        }
    }

    /// Begins to open a connection. Its socket becomes established, or it fails.
    pub(super) fn connect(&mut self, remote: IpEndpoint) -> Result<Id, StreamError> {
        let has_way = self.has_way(&remote.addr);
        if self.is_gone || !has_way || self.tcps.len() >= self.options.connections {
            return Err(StreamError::Unreachable);
        }
        let address = self.iface.get_source_address(&remote.addr);
        let address = address.ok_or(StreamError::Unreachable)?;
        let ends = self
            .free_ends(address, remote)
            .ok_or(StreamError::Unreachable)?;
        let mut tcp = Box::new(Tcp::new(ends, self.options.receive));
        let (context, socket) = (self.iface.context(), tcp.socket_mut());
        let connected = socket.connect(context, remote, ends.local);
        connected.map_err(|_| StreamError::Unreachable)?;
        self.counters.connected += 1;
        self.want(remote.addr);
        Ok(self.add(ends, tcp))
    }

    /// Whether there is a way to an address.
    pub(super) fn has_way(&self, address: &IpAddress) -> bool {
        let is_near = self
            .iface
            .ip_addrs()
            .iter()
            .any(|cidr| cidr.contains_addr(address));
        let routes = self.iface.routes();
        is_near
            || match address {
                IpAddress::Ipv4(_) => routes.get_default_ipv4_route().is_some(),
                IpAddress::Ipv6(_) => routes.get_default_ipv6_route().is_some(),
            }
    }

    fn free_ends(&mut self, address: IpAddress, remote: IpEndpoint) -> Option<Ends> {
        let count = PORTS.end - PORTS.start;
        let first = self.draw() % count;
        (0..count).find_map(|number| {
            let port = (PORTS.start + (first + number) % count) as u16;
            let local = IpEndpoint::new(address, port);
            let ends = Ends { local, remote };
            let is_free = self.paths.get(&ends).is_none() && !self.listeners.contains_key(&port);
            is_free.then_some(ends)
        })
    }

    fn add(&mut self, ends: Ends, tcp: Box<Tcp>) -> Id {
        let id = self.tcps.add(tcp);
        self.paths.insert(ends, id);
        self.list(id);
        id
    }

    /// A connection is as if it had never been.
    fn remove(&mut self, id: Id) {
        if let Some(tcp) = self.tcps.remove(id) {
            self.counters.retransmitted += tcp.flow.retransmitted();
            self.paths.remove(&tcp.ends, id);
            if let Some(listening) = tcp.listener.and_then(|port| self.listeners.get_mut(&port)) {
                listening.is_past(id);
                listening.ready.retain(|other| *other != id);
            }
        }
    }

    /// The interface is gone.
    pub(super) fn lose(&mut self, id: Id) {
        if let Some(tcp) = self.tcps.get_mut(id) {
            tcp.fail(StreamError::Unreachable);
            tcp.wake_reader();
            if tcp.detached || tcp.listener.is_some() {
                self.remove(id);
            }
        }
    }

    /// Nobody has a connection any more.
    pub(super) fn detach(&mut self, id: Id) {
        let Some(tcp) = self.tcps.get_mut(id) else {
            return;
        };
        tcp.detached = true;
        let is_settled = self.paths.get(&tcp.ends) != Some(id);
        if is_settled || self.is_gone {
            self.remove(id);
            return;
        }
        // Who has sent something that nobody will read should know (RFC 2525, 2.17).
        let is_unread = tcp.socket().recv_queue() > 0;
        match is_unread || !tcp.is_open() {
            true => tcp.fail(StreamError::Closed),
            false => tcp.closing = true,
        }
        tcp.give_up = None;
        self.list(id);
    }

    /// A segment of TCP has arrived, and is in the device.
    pub(super) fn segment_arrives(
        &mut self,
        segment: &Segment,
        source: IpEndpoint,
        target: IpEndpoint,
        now: u64,
    ) {
        let (local, remote) = (target, source);
        let ends = Ends { local, remote };
        let id = match self.paths.get(&ends) {
            Some(id) => id,
            None => match self.admit(ends, segment, now) {
                Some(id) => id,
                None => return,
            },
        };
        let mtu = self.card.properties().mtu;
        let Some(tcp) = self.tcps.get_mut(id) else {
            return;
        };
        match tcp.arrives(segment, self.device.bytes(), mtu, now) {
            Next::Done => self.counters.fast += 1,
            Next::Engine(ack) => {
                if segment.ack.is_some() {
                    segment.set_ack(self.device.bytes_mut(), ack);
                }
                self.iface
                    .poll_ingress_single(instant(now), &mut self.device, &mut tcp.set);
                tcp.look_for_end();
                self.emit(Some(id), true);
            }
        }
        self.list(id);
    }

    /// A segment of no connection has arrived. Returns the connection that it opens, if it does; anything else
    /// is answered here.
    fn admit(&mut self, ends: Ends, segment: &Segment, now: u64) -> Option<Id> {
        match self.ended.arrives(&ends, segment, now) {
            Late::Unknown => {}
            Late::Answer(frame) => {
                self.transmit(frame);
                return None;
            }
            Late::Ignore => return None,
        }
        let opens = segment.syn && segment.ack.is_none() && !segment.rst && !segment.fin;
        let is_ours = self.iface.has_ip_addr(ends.local.addr);
        let listening = self
            .listeners
            .get(&ends.local.port)
            .filter(|_| opens && is_ours);
        let Some(listening) = listening else {
            // The engine says that there is nobody.
            self.other_arrives(now);
            return None;
        };
        let is_strange = !ends.remote.addr.is_unicast()
            || self.iface.has_ip_addr(ends.remote.addr)
            || ends.remote.port == 0;
        if is_strange || listening.ready.len() >= listening.backlog.waiting {
            self.counters.refused += 1;
            return None;
        }
        let oldest = listening.half_open.front().copied();
        let is_full = listening.half_open.len() >= listening.backlog.half_open.max(1);
        let is_all_full = self.tcps.len() >= self.options.connections;
        if is_full || is_all_full {
            let Some(oldest) = oldest else {
                self.counters.refused += 1;
                return None;
            };
            self.counters.evicted += 1;
            self.remove(oldest);
        }
        let mut tcp = Box::new(Tcp::new(ends, self.options.receive));
        tcp.listener = Some(ends.local.port);
        tcp.give_up = Some(now + OPENING);
        tcp.socket_mut().listen(ends.local).ok()?;
        let id = self.add(ends, tcp);
        if let Some(listening) = self.listeners.get_mut(&ends.local.port) {
            listening.half_open.push_back(id);
        }
        self.seek(now);
        Some(id)
    }

    /// Does for a connection what is to be done at this time.
    pub(super) fn poll_tcp(&mut self, id: Id, now: u64) {
        let Some(tcp) = self.tcps.get_mut(id) else {
            return;
        };
        if self.paths.get(&tcp.ends) != Some(id) {
            // It is over, and somebody still holds it.
            return;
        }
        if tcp.give_up.is_none() && (tcp.detached || !tcp.is_open()) {
            tcp.give_up = Some(now + if tcp.detached { CLOSING } else { OPENING });
        }
        let is_overdue = tcp.give_up.is_some_and(|at| at <= now);
        if is_overdue || tcp.is_open() && tcp.tick(now).is_err() {
            tcp.fail(StreamError::TimedOut);
        }
        let is_more = self.send_data(id, now);
        let Some(tcp) = self.tcps.get_mut(id) else {
            return;
        };
        tcp.close_if_sent();
        let at = instant(now);
        self.device.room = self.card.room();
        self.iface.poll_egress(at, &mut self.device, &mut tcp.set);
        tcp.look_for_end();
        self.emit(Some(id), false);
        if self.settle(id, now) {
            return;
        }
        let Some(tcp) = self.tcps.get_mut(id) else {
            return;
        };
        let engine = self.iface.poll_at(at, &tcp.set);
        let engine = engine.map(|at| at.total_micros().max(0) as u64);
        let flow = tcp.flow.deadline().filter(|_| tcp.is_open());
        let next = [engine, flow, tcp.give_up].into_iter().flatten().min();
        if let Some(next) = next {
            // What cannot be done now is not tried all the time.
            self.set_alarm(id, next.max(now + 1000));
        }
        if is_more {
            self.list(id);
        }
    }

    /// Sends data as far as there is room. Whether there is more.
    fn send_data(&mut self, id: Id, now: u64) -> bool {
        for _ in 0..BURST {
            if self.card.room() == 0 {
                return true;
            }
            let Some(tcp) = self.tcps.get_mut(id) else {
                return false;
            };
            let heads = &mut self.device.heads;
            let Some(sending) = tcp.next(self.card.properties(), heads, now) else {
                return false;
            };
            self.counters.segments += 1;
            self.counters.super_segments += u64::from(sending.is_super());
            self.counters.referred_bytes += sending.referred() as u64;
            self.counters.copied_bytes += sending.copied as u64;
            match sending.into_frame(self.card.properties()) {
                Some(frame) => self.hand_over(frame),
                None => {
                    // Neither the card nor the CPU can sum it up.
                    let Some(tcp) = self.tcps.get_mut(id) else {
                        return false;
                    };
                    tcp.fail(StreamError::Memory(crate::dma::DmaError::Buffer(
                        crate::dma::BufferError::Region(
                            crate::memory::regions::RegionError::NoCopy,
                        ),
                    )));
                    return false;
                }
            }
        }
        true
    }

    /// Draws the consequences of a connection's state. `true`: it is gone.
    fn settle(&mut self, id: Id, now: u64) -> bool {
        let Some(tcp) = self.tcps.get_mut(id) else {
            return true;
        };
        if let Some(port) = tcp.listener {
            if tcp.is_open() {
                tcp.give_up = None;
                let Some(listening) = self.listeners.get_mut(&port) else {
                    return false;
                };
                if !listening.ready.contains(&id) {
                    listening.is_past(id);
                    listening.ready.push_back(id);
                    listening.wake();
                    self.counters.accepted += 1;
                }
            } else if matches!(tcp.state(), State::Closed | State::Listen) {
                self.remove(id);
                return true;
            }
        } else if tcp.is_open() && !tcp.detached && tcp.give_up.take().is_some() {
            tcp.wake_writer();
        }
        let Some(tcp) = self.tcps.get_mut(id) else {
            return true;
        };
        match tcp.state() {
            State::Closed => {
                if !(tcp.peer_closed && tcp.is_acknowledged() && tcp.closing) {
                    tcp.failure.get_or_insert(StreamError::Reset);
                }
                tcp.forget();
                tcp.wake_reader();
                let ends = tcp.ends;
                if tcp.detached {
                    self.remove(id);
                } else {
                    self.paths.remove(&ends, id);
                }
                true
            }
            State::TimeWait if tcp.detached => {
                let (ends, arrived) = (tcp.ends, tcp.arrived());
                if let Some(word) = tcp.last_word() {
                    self.ended.add(ends, word, arrived, now);
                }
                self.remove(id);
                true
            }
            _ => false,
        }
    }
}
