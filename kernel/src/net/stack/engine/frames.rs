//! Frames that arrive, and to whom each goes; and frames that leave.

use super::super::announced;
use super::super::segment::{self, ETHERNET, Segment};
use super::super::slots::Id;
use super::super::sums;
use super::{BUDGET, Engine, instant};
use crate::dma::Owner;
use crate::net::{Checked, Offload, Outgoing, Received};
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Context, Poll};
use smoltcp::wire::{IpEndpoint, IpProtocol};

/// What a frame is that has arrived.
enum Kind {
    /// Nobody has to look at it any more.
    Done,
    /// A segment of TCP, where it comes from, and where it goes to.
    Segment(Segment, IpEndpoint, IpEndpoint),
    /// The engine knows.
    Other,
}

/// The bytes of a frame that is in several pieces, or whose memory has no bytes; none if it cannot be read.
#[cold]
fn gathered(frame: &Received) -> Vec<u8> {
    let mut bytes = vec![0; frame.len()];
    match frame.copy_to(0, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

impl Engine {
    /// Takes what has arrived. Whether there may be more; an error if nothing will come any more.
    pub(super) fn receive(&mut self, now: u64, cx: &mut Context<'_>) -> Result<bool, ()> {
        for _ in 0..BUDGET {
            match self.card.poll_receive(cx) {
                Poll::Ready(Some(frame)) => self.arrives(frame, now),
                Poll::Ready(None) => return Err(()),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    fn arrives(&mut self, frame: Received, now: u64) {
        self.counters.received += 1;
        let gathered = match frame.is_one_piece() {
            true => None,
            false => Some(gathered(&frame)),
        };
        let bytes = match &gathered {
            Some(bytes) => bytes,
            None => frame.first.bytes(),
        };
        match self.sort(bytes, frame.checked) {
            Kind::Done => return self.recycle(frame),
            Kind::Segment(segment, source, target) => {
                self.device.put(frame, gathered);
                self.segment_arrives(&segment, source, target, now);
            }
            Kind::Other => {
                self.device.put(frame, gathered);
                self.other_arrives(now);
            }
        }
        if let Some(frame) = self.device.take() {
            self.recycle(frame);
        }
    }

    /// Gives the memory of a frame back to the card.
    #[inline(always)]
    fn recycle(&self, frame: Received) {
        self.card.recycle(frame.first);
        if !frame.rest.is_empty() {
            frame
                .rest
                .into_iter()
                .for_each(|memory| self.card.recycle(memory));
        }
    }

    /// Finds out what a frame is. Datagrams for programs are put where they belong.
    #[inline(always)]
    fn sort(&mut self, bytes: &[u8], checked: Checked) -> Kind {
        let Some(carried) = segment::carried(bytes) else {
            return match bytes.is_empty() || segment::is_damaged(bytes) {
                true => self.damaged(),
                false => Kind::Other,
            };
        };
        if !segment::is_header_right(bytes, &carried) || !sums::is_right(bytes, &carried, checked) {
            return self.damaged();
        }
        if carried.protocol == IpProtocol::Udp {
            return match self.datagram_arrives(bytes, &carried) {
                true => Kind::Done,
                false => Kind::Other,
            };
        }
        match Segment::read(bytes, &carried) {
            Some((segment, source, target)) => Kind::Segment(segment, source, target),
            None => Kind::Other,
        }
    }

    #[cold]
    fn damaged(&mut self) -> Kind {
        self.counters.damaged += 1;
        Kind::Done
    }

    /// A frame of no connection has arrived.
    pub(in crate::net::stack) fn other_arrives(&mut self, now: u64) {
        if announced::is_absurd(self.device.bytes()) {
            self.counters.damaged += 1;
            return;
        }
        let met = self.meet(now);
        if !self.pass_on(now) {
            self.seek(now);
        }
        if let Some(whom) = met {
            // Whoever waits for this neighbour waits no longer.
            let waiting = self.tcps.iter().filter(|(_, tcp)| !tcp.is_open());
            let waiting: Vec<Id> = waiting.map(|(id, _)| id).collect();
            waiting.into_iter().for_each(|id| self.list(id));
            self.go_on(whom, now);
        }
    }

    /// Shows the frame in the device to the engine. Whether somebody is answered.
    pub(in crate::net::stack) fn pass_on(&mut self, now: u64) -> bool {
        self.iface
            .poll_ingress_single(instant(now), &mut self.device, &mut self.main);
        // A question for a neighbour, to all of them, is no answer.
        let mut emitted = self.device.emitted.iter();
        let is_answered = emitted.any(|frame| frame.first().is_some_and(|first| first & 1 == 0));
        self.is_main_touched = true;
        self.emit(None, true);
        is_answered
    }

    /// Hands on what the engine has emitted, for this connection or for none.
    pub(in crate::net::stack) fn emit(&mut self, owner: Option<Id>, is_answer: bool) {
        if self.device.emitted.is_empty() {
            return;
        }
        let spare = core::mem::take(&mut self.spare);
        let mut frames = core::mem::replace(&mut self.device.emitted, spare);
        for mut frame in frames.drain(..) {
            let tcp = owner.and_then(|id| self.tcps.get_mut(id));
            let is_sent = tcp.is_none_or(|tcp| {
                let carried = segment::carried(&frame);
                let read = carried.and_then(|carried| Segment::read(&frame, &carried));
                match read {
                    Some((segment, source, target))
                        if source == tcp.ends.local && target == tcp.ends.remote =>
                    {
                        tcp.departs(&segment, &mut frame, is_answer)
                    }
                    _ => true,
                }
            });
            if is_sent {
                self.transmit(frame);
            }
        }
        self.spare = frames;
    }

    /// Sends a frame that is complete but for its checksum.
    pub(in crate::net::stack) fn transmit(&mut self, frame: Vec<u8>) {
        if self.card.room() == 0 || frame.len() < ETHERNET {
            self.counters.dropped += 1;
            return;
        }
        self.transmit_anyway(frame);
    }

    /// The same, and if there is no room for others to wait, it waits behind them.
    pub(in crate::net::stack) fn transmit_anyway(&mut self, mut frame: Vec<u8>) {
        let offload = Offload {
            checksum: sums::prepare(&mut frame, &self.card.properties().offloads),
            segmentation: None,
        };
        self.hand_over(Outgoing::new(frame.into_memory()).with_offload(offload));
    }

    #[inline]
    pub(in crate::net::stack) fn hand_over(&mut self, frame: Outgoing) {
        self.counters.sent += 1;
        // With a tag, so that the memory of its headers comes back.
        self.card.send(frame.with_tag(0));
    }
}
