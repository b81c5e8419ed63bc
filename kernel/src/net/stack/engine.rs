//! All of a stack on one interface: the engine below, the connections above, and who is to be looked at when.
//!
//! One call of [`Engine::poll`] takes what has arrived, looks at connections whose time has come or that
//! somebody has touched, and hands everything that leaves to the card, which hears of it once. Nothing here
//! waits, and no other function sends: whoever writes to a connection puts it on a list.

mod frames;

use super::bell::Bell;
use super::card::Card;
use super::device::Device;
use super::ended::Ended;
use super::listening::Listening;
use super::neighbours::Neighbours;
use super::options::{Counters, Lease, Options};
use super::paths::Paths;
use super::slots::{Id, Slots};
use super::tcp::Tcp;
use super::udp::Ports;
use super::watching::Watching;
use crate::executor;
use crate::net::{Interface, MacAddress};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Waker};
use smoltcp::iface::{self, SocketHandle, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress};

/// Most frames that are taken in one turn.
const BUDGET: usize = 64;

/// A stack.
pub(super) struct Engine {
    pub(super) card: Card,
    pub(super) device: Device,
    pub(super) iface: iface::Interface,
    /// The sockets that are no connections.
    pub(super) main: SocketSet<'static>,
    pub(super) dns: SocketHandle,
    /// Names that are asked for.
    pub(super) questions: usize,
    pub(super) dhcp: Option<SocketHandle>,
    pub(super) lease: Option<Lease>,
    pub(super) dns_servers: Vec<core::net::IpAddr>,
    /// Somebody has touched a socket of the main set.
    pub(super) is_main_touched: bool,
    main_alarm: u64,
    /// When the last turn was, or somebody has looked at the clock since.
    pub(super) now: u64,
    pub(super) options: Options,
    pub(super) tcps: Slots<Box<Tcp>>,
    pub(super) paths: Paths,
    pub(super) listeners: BTreeMap<u16, Listening>,
    /// Ports of UDP.
    pub(super) ports: Ports,
    pub(super) ended: Ended,
    pub(super) neighbours: Neighbours,
    /// Connections that are to be looked at in the next turn.
    pub(super) listed: VecDeque<Id>,
    alarms: BTreeSet<(u64, Id)>,
    /// Who is first in a turn: when there is little room, each is in turn.
    are_connections_last: bool,
    pub(super) counters: Counters,
    /// Who calls `poll`, to be woken when there is something to do.
    caller: Option<Waker>,
    is_called: bool,
    /// Who waits for addresses to change.
    pub(super) watching: Watching,
    pub(super) changes: u64,
    pub(super) card_changes: u64,
    /// Announcements that the card has wished for and got.
    pub(super) announced: u64,
    pub(super) bell: Bell,
    pub(super) random: u64,
    pub(super) is_gone: bool,
    spare: Vec<Vec<u8>>,
}

/// What a turn has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is more to do, now.
    Again,
    /// There is nothing to do before this time, if nothing happens.
    Until(u64),
    /// The interface is gone, and so is all that went through it.
    Gone,
}

pub(super) fn instant(now: u64) -> Instant {
    Instant::from_micros(now.min(i64::MAX as u64) as i64)
}

pub(super) fn hardware(address: MacAddress) -> Option<HardwareAddress> {
    let is_one = !address.is_multicast() && address.0 != [0; 6];
    is_one.then_some(HardwareAddress::Ethernet(EthernetAddress(address.0)))
}

impl Engine {
    /// A stack on an interface. `None` if its address is none.
    pub(super) fn new(interface: Arc<dyn Interface>, options: Options, now: u64) -> Option<Self> {
        let card = Card::new(interface);
        let mut device = Device::new(card.properties());
        let mut config = iface::Config::new(hardware(card.properties().address)?);
        config.random_seed = options.seed;
        config.slaac = options.ipv6;
        let iface = iface::Interface::new(config, &mut device, instant(now));
        let mut main = SocketSet::new(Vec::new());
        let queries: Vec<Option<smoltcp::socket::dns::DnsQuery>> = Vec::new();
        let dns = main.add(smoltcp::socket::dns::Socket::new(&[], queries));
        let mut engine = Self {
            card,
            device,
            iface,
            main,
            dns,
            questions: 0,
            dhcp: None,
            lease: None,
            dns_servers: Vec::new(),
            is_main_touched: true,
            main_alarm: 0,
            now,
            random: options.seed,
            options,
            tcps: Slots::new(),
            paths: Paths::default(),
            listeners: BTreeMap::new(),
            ports: Ports::new(),
            ended: Ended::default(),
            neighbours: Neighbours::default(),
            listed: VecDeque::new(),
            alarms: BTreeSet::new(),
            are_connections_last: false,
            counters: Counters::default(),
            caller: None,
            is_called: false,
            watching: Watching::default(),
            changes: 0,
            card_changes: 0,
            announced: 0,
            bell: Bell::default(),
            is_gone: false,
            spare: Vec::new(),
        };
        engine.set_up();
        Some(engine)
    }

    /// Lays memory ready for what arrives. On the core that polls, once.
    pub(super) fn supply(&self) {
        self.card.supply_all();
    }

    /// Who is to be woken, outside of the lock, because something was touched.
    pub(super) fn take_call(&mut self) -> Option<Waker> {
        match core::mem::take(&mut self.is_called) {
            true => self.caller.take(),
            false => None,
        }
    }

    /// The last turn may be long ago, and what was known then is not believed for ever.
    #[inline]
    pub(super) fn look_at_the_clock(&mut self) {
        self.now = self.now.max(executor::time());
    }

    /// A connection is to be looked at.
    pub(super) fn list(&mut self, id: Id) {
        if let Some(tcp) = self.tcps.get_mut(id)
            && !core::mem::replace(&mut tcp.is_listed, true)
        {
            self.listed.push_back(id);
            self.is_called = true;
        }
    }

    /// There is something to do in the next turn.
    pub(super) fn call(&mut self) {
        self.is_called = true;
    }

    /// A socket of the main set was touched.
    pub(super) fn touch_main(&mut self) {
        self.is_main_touched = true;
        self.is_called = true;
    }

    /// Does everything that is to be done at this time.
    pub(super) fn poll(&mut self, now: u64, cx: &mut Context<'_>) -> Turn {
        self.counters.turns += 1;
        self.now = now;
        if !self
            .caller
            .as_ref()
            .is_some_and(|caller| caller.will_wake(cx.waker()))
        {
            self.caller = Some(cx.waker().clone());
        }
        self.follow_card(cx.waker());
        while let Some(head) = self.card.poll_sent(cx) {
            self.device.heads.give(head);
        }
        self.card.drain(cx);
        let Ok(may_be_more) = self.receive(now, cx) else {
            self.leave();
            return Turn::Gone;
        };
        self.ring(now);
        let room = self.card.room();
        if self.are_connections_last {
            self.poll_others(now);
            self.poll_listed(now);
        } else {
            self.poll_listed(now);
            self.poll_others(now);
        }
        if room > 0 && self.card.room() == 0 {
            // Whoever was first may have taken all of it.
            self.are_connections_last = !self.are_connections_last;
        }
        self.is_called = false;
        if self.card.room() == 0 {
            self.card.drain(cx);
        }
        let is_listed = !self.listed.is_empty() || !self.ports.is_quiet();
        let has_listed = is_listed && self.card.room() > 0;
        if may_be_more || has_listed || self.is_main_touched && self.card.room() > 0 {
            return Turn::Again;
        }
        let alarm = self.alarms.first().map_or(u64::MAX, |alarm| alarm.0);
        // A question that finds no room waits for that, and the card says when there is some.
        let asks = match self.card.room() {
            0 => u64::MAX,
            _ => self.neighbours.alarm(),
        };
        Turn::Until(alarm.min(self.main_alarm).min(asks))
    }

    /// Lists the connections whose time has come.
    fn ring(&mut self, now: u64) {
        while let Some((at, id)) = self.alarms.first().copied() {
            if at > now {
                return;
            }
            self.alarms.pop_first();
            if let Some(tcp) = self.tcps.get_mut(id)
                && tcp.alarm == at
            {
                tcp.alarm = u64::MAX;
                self.list(id);
            }
        }
    }

    /// A connection is to be looked at by this time.
    pub(super) fn set_alarm(&mut self, id: Id, at: u64) {
        let Some(tcp) = self.tcps.get_mut(id) else {
            return;
        };
        // One that rings too early is cheaper than one that is moved each time.
        if at < tcp.alarm {
            if tcp.alarm != u64::MAX {
                self.alarms.remove(&(tcp.alarm, id));
            }
            tcp.alarm = at;
            self.alarms.insert((at, id));
        }
    }

    fn poll_listed(&mut self, now: u64) {
        for _ in 0..self.listed.len() {
            if self.card.room() == 0 {
                return;
            }
            let Some(id) = self.listed.pop_front() else {
                return;
            };
            if let Some(tcp) = self.tcps.get_mut(id) {
                tcp.is_listed = false;
                self.poll_tcp(id, now);
            }
        }
    }

    /// All that are no connections.
    fn poll_others(&mut self, now: u64) {
        self.poll_datagrams();
        self.poll_main(now);
        if self.neighbours.alarm() <= now {
            self.ask(now);
        }
    }

    fn poll_main(&mut self, now: u64) {
        if !self.is_main_touched && self.main_alarm > now {
            return;
        }
        self.is_main_touched = false;
        let at = instant(now);
        self.iface.poll_maintenance(at);
        // Each call sends at most one frame of each socket.
        for _ in 0..BUDGET {
            self.device.room = self.card.room();
            let result = self.iface.poll_egress(at, &mut self.device, &mut self.main);
            self.emit(None, false);
            if result == iface::PollResult::None {
                break;
            }
        }
        self.follow_dhcp();
        let next = self.iface.poll_at(at, &self.main);
        let next = next.map_or(u64::MAX, |at| at.total_micros().max(0) as u64);
        // What cannot be done now is not tried all the time.
        self.main_alarm = next.max(now + 1000);
    }

    /// The interface is gone.
    fn leave(&mut self) {
        self.is_gone = true;
        let all: Vec<Id> = self.tcps.iter().map(|(id, _)| id).collect();
        for id in all {
            self.lose(id);
        }
        for listening in self.listeners.values_mut() {
            listening.wake();
        }
        self.ports.leave();
        self.watching.wake();
    }

    /// A number that is hard to guess, if the seed is.
    pub(super) fn draw(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
