//! Who was heard of on the link.
//!
//! The engine has a table of its own, and asks for who is not in it, but only once a second, whoever it is. So a few
//! strangers who say that they are on the link, and are not, would keep it from ever asking for anybody else, and who
//! asks for two machines would wait a second for the second. So the stack asks itself:
//!
//! - for whomever somebody here wants to speak to, at once, and again each second while nobody answers;
//! - for whoever speaks, was not heard of lately and gets no answer at once, once a second.
//!
//! The engine hears of the answer, and need not ask. The two kinds of searches have room of their own: strangers take
//! none from those who ask here.

mod asking;
mod searches;

use super::engine::{Engine, instant};
use crate::dma::Owner;
use crate::net::{MacAddress, Offload, Outgoing};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use asking::Introduction;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use searches::Searches;
pub(super) use searches::Waiting;
use smoltcp::wire::IpAddress;

/// Most that are remembered, as many as by the engine.
const MOST: usize = 64;

/// Who has not been heard of for so long may be forgotten by the engine, if there are many others (microseconds).
const LATELY: u64 = 1_000_000;

/// Whoever speaks to a machine asks for it again after so long, before the engine forgets it.
const FRESH: u64 = 30_000_000;

/// After so long, nobody is where he was.
const LIFE: u64 = 60_000_000;

/// How often a question is asked for somebody here.
const TRIES: u8 = 3;

/// Who was heard of.
#[derive(Debug)]
pub(super) struct Neighbours {
    known: BTreeMap<IpAddr, Known>,
    /// Whom somebody here wants to speak to.
    pub(super) wanted: Searches,
    /// Who has spoken.
    strangers: Searches,
    /// How often somebody was found to be elsewhere, or was forgotten.
    pub(super) changes: u64,
}

#[derive(Debug)]
struct Known {
    mac: MacAddress,
    heard: u64,
    /// Somebody says that he is elsewhere, and may be wrong: he is asked again when somebody here speaks to him.
    is_doubted: bool,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            wanted: Searches::new(TRIES),
            strangers: Searches::new(1),
            changes: 0,
        }
    }
}

impl Neighbours {
    /// Somebody is there. Returns whether that is believed: who is known is not elsewhere because of an answer that does
    /// not count against that (RFC 4861, section 7.2.5). But it is a reason to ask.
    fn learn(&mut self, said: &Introduction, now: u64) -> bool {
        let Introduction { address, mac, .. } = *said;
        let known = self.known.get_mut(&address);
        let known = known.filter(|known| known.heard + LIFE > now);
        if let Some(known) = known.filter(|known| known.mac != mac && !said.overrides) {
            known.is_doubted = true;
            return false;
        }
        if self.known.len() >= MOST && !self.known.contains_key(&address) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.heard);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.known.remove(&oldest);
                self.changes += 1;
            }
        }
        let known = Known {
            mac,
            heard: now,
            is_doubted: false,
        };
        let before = self.known.insert(address, known);
        self.changes += u64::from(before.is_some_and(|before| before.mac != mac));
        true
    }

    /// Nobody is known any more.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.changes += 1;
    }

    fn is_known(&self, address: IpAddr, since: u64) -> bool {
        let known = self.known.get(&address);
        known.is_some_and(|known| known.heard > since)
    }

    /// Somebody has spoken, and may be waiting for an answer.
    fn seek(&mut self, address: IpAddr, now: u64) {
        if now < LATELY || !self.is_known(address, now - LATELY) {
            self.strangers.begin(address);
        }
    }

    /// Somebody here wants to speak to this machine.
    pub(super) fn want(&mut self, address: IpAddr, now: u64) {
        let known = self.known.get(&address);
        let is_fresh = |known: &Known| known.heard + FRESH > now && !known.is_doubted;
        if !known.is_some_and(is_fresh) {
            self.wanted.begin(address);
        }
    }

    /// Where a machine is.
    pub(super) fn find(&self, address: IpAddr, now: u64) -> Option<MacAddress> {
        let known = self.known.get(&address);
        let known = known.filter(|known| known.heard + LIFE > now);
        known.map(|known| known.mac)
    }

    /// Who is to be asked for at this time.
    fn due(&mut self, now: u64) -> Option<IpAddr> {
        self.wanted.due(now).or_else(|| self.strangers.due(now))
    }

    /// When there is something to do.
    pub(super) fn alarm(&self) -> u64 {
        self.wanted.alarm().min(self.strangers.alarm())
    }

    /// Packets that have waited for nothing.
    pub(super) fn lost(&self) -> u64 {
        self.wanted.lost + self.strangers.lost
    }

    pub(super) fn list(&self) -> Vec<(IpAddr, MacAddress)> {
        let known = self.known.iter();
        known
            .map(|(address, known)| (*address, known.mac))
            .collect()
    }
}

impl Engine {
    /// Who leads to an address: it is on the link, or a router is. `None` if there is no way.
    pub(super) fn hop_to(&self, to: IpAddr) -> Option<IpAddr> {
        let address = IpAddress::from(to);
        let mut all = self.iface.ip_addrs().iter();
        if all.any(|cidr| cidr.contains_addr(&address)) {
            return Some(to);
        }
        let routes = self.iface.routes();
        let route = match to {
            IpAddr::V4(_) => routes.get_default_ipv4_route(),
            IpAddr::V6(_) => routes.get_default_ipv6_route(),
        };
        let route = route.filter(|route| match route.expires_at {
            Some(end) => instant(self.now) <= end,
            None => true,
        });
        let router = IpAddr::from(route?.via_router);
        (!router.is_unspecified()).then_some(router)
    }

    /// Somebody here is about to speak to a machine.
    pub(super) fn want(&mut self, to: IpAddress) {
        let to = IpAddr::from(to);
        let is_one = !to.is_multicast() && to != IpAddr::V4(Ipv4Addr::BROADCAST);
        let hop = self.hop_to(to).filter(|_| is_one);
        if let Some(hop) = hop.filter(|hop| !self.iface.has_ip_addr(IpAddress::from(*hop))) {
            self.look_at_the_clock();
            self.neighbours.want(hop, self.now);
            self.call();
        }
    }

    /// Searches whoever has sent the frame in the device, or who leads there, if he was not heard of lately. He may
    /// have asked for something, and then he waits for the answer: it can be given when he is found.
    pub(super) fn seek(&mut self, now: u64) {
        let card = self.card.properties().address;
        let Some(speaker) = asking::speaker(self.device.bytes(), card) else {
            return;
        };
        let is_ours = |hop: &IpAddr| self.iface.has_ip_addr(IpAddress::from(*hop));
        let Some(hop) = self.hop_to(speaker).filter(|hop| !is_ours(hop)) else {
            return;
        };
        let frame = self.device.bytes();
        match asking::is_echo(frame) {
            // The engine answers each, unless it has forgotten where to.
            true => {
                let waiting = Waiting::Arrived(frame.to_vec());
                self.neighbours.strangers.hold(hop, waiting);
            }
            false => self.neighbours.seek(hop, now),
        }
    }

    /// Asks for those who are to be asked for.
    pub(super) fn ask(&mut self, now: u64) {
        while self.card.room() > 0 {
            let Some(whom) = self.neighbours.due(now) else {
                return;
            };
            let ours = match whom {
                IpAddr::V4(_) => self.iface.ipv4_addr().map(IpAddr::V4),
                // One that the other can answer.
                IpAddr::V6(whom) => Some(self.iface.get_source_address_ipv6(&whom).into())
                    .filter(|ours| *ours != IpAddr::V6(Ipv6Addr::LOCALHOST)),
            };
            let card = self.card.properties().address;
            let frame = ours.and_then(|ours| asking::question(card, ours, whom));
            if let Some(frame) = frame {
                self.transmit(frame);
            }
        }
    }

    /// Looks whether somebody introduces himself in the frame in the device.
    pub(super) fn meet(&mut self, now: u64) -> Option<IpAddr> {
        let said = asking::introduction(self.device.bytes())?;
        let address = IpAddress::from(said.address);
        let is_to_us = said
            .to
            .is_none_or(|to| self.iface.has_ip_addr(IpAddress::from(to)));
        let mut all = self.iface.ip_addrs().iter();
        let is_near = all.any(|cidr| cidr.contains_addr(&address));
        if !is_to_us || !is_near || self.iface.has_ip_addr(address) {
            return None;
        }
        let is_believed = self.neighbours.learn(&said, now);
        is_believed.then_some(said.address)
    }

    /// Somebody is found, and the engine has heard of it: what has waited for him goes on.
    pub(super) fn go_on(&mut self, whom: IpAddr, now: u64) {
        let wanted = self.neighbours.wanted.found(whom);
        let strangers = self.neighbours.strangers.found(whom);
        for waiting in wanted.into_iter().chain(strangers) {
            match waiting {
                Waiting::Leaves(mut frame, checksum) => {
                    let mac = self.neighbours.find(whom, now);
                    // The address that it is from may have gone meanwhile.
                    let is_ours = self.is_from_here(&frame);
                    let (Some(mac), true, true) = (mac, is_ours, self.card.room() > 0) else {
                        self.counters.dropped += 1;
                        continue;
                    };
                    frame[..6].copy_from_slice(&mac.0);
                    frame[6..12].copy_from_slice(&self.card.properties().address.0);
                    let offload = Offload {
                        checksum,
                        segmentation: None,
                    };
                    self.hand_over(Outgoing::new(frame.into_memory()).with_offload(offload));
                }
                Waiting::Arrived(frame) => {
                    self.device.put_again(frame);
                    self.pass_on(now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
