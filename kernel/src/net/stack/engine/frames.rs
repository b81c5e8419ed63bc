//! Frames that arrive, and to whom each goes; and frames that leave.

use super::super::announced;
use super::super::segment::{self, ETHERNET, Segment};
use super::super::slots::Id;
use super::super::sums;
use super::{BUDGET, Engine, instant};
use crate::dma::Owner;
use crate::net::{Offload, Outgoing, Received};
use alloc::vec::Vec;
use core::task::{Context, Poll};
use smoltcp::wire::IpProtocol;

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
        let checked = frame.checked;
        if self.device.put(frame) {
            let bytes = self.device.bytes();
            match segment::carried(bytes) {
                None if segment::is_damaged(bytes) => self.counters.damaged += 1,
                None => self.other_arrives(now),
                Some(carried) => {
                    let is_right = segment::is_header_right(bytes, &carried)
                        && sums::is_right(bytes, &carried, checked);
                    if !is_right {
                        self.counters.damaged += 1;
                    } else if carried.protocol == IpProtocol::Udp {
                        if !self.datagram_arrives(&carried) {
                            self.other_arrives(now);
                        }
                    } else if let Some((segment, source, target)) = Segment::read(bytes, &carried) {
                        self.segment_arrives(&segment, source, target, now);
                    } else {
                        self.other_arrives(now);
                    }
                }
            }
        } else {
            self.counters.damaged += 1;
        }
        if let Some(frame) = self.device.take() {
            self.card.recycle(frame.first);
            for memory in frame.rest {
                self.card.recycle(memory);
            }
        }
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

    pub(in crate::net::stack) fn hand_over(&mut self, frame: Outgoing) {
        self.counters.sent += 1;
        // With a tag, so that the memory of its headers comes back.
        self.card.send(frame.with_tag(0));
    }
}
