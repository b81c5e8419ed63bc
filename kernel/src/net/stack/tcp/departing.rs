//! Segments that leave: the engine's, with other numbers, and those of data, which it never hears of.

use super::super::heads::Heads;
use super::super::segment::{Fields, Segment, TCP, Template};
use super::super::sums;
use super::{Tcp, is_open};
use crate::dma::{Memory, Owner};
use crate::net::{Checksum, Offload, Outgoing, Properties, Segmentation, Segments};
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::socket::tcp::State;

impl Tcp {
    /// The engine's frame is changed to what the other end is to see. `false`: it need not be sent.
    pub(in crate::net::stack) fn departs(
        &mut self,
        segment: &Segment,
        frame: &mut [u8],
        is_answer: bool,
    ) -> bool {
        if segment.syn {
            self.iss = Some(segment.seq);
            // A SYN|ACK has the option only if the other end had it.
            self.shifts[1] = segment.options(frame).shift.unwrap_or(0);
        } else if let Some(iss) = self.iss {
            let end = self.fin_at.unwrap_or(self.flow.high()) as u32;
            let by = match segment.seq.wrapping_sub(iss.wrapping_add(1)) {
                0 if segment.fin => end,
                0 => self.fin_at.map_or(self.flow.high() as u32, |_| end),
                1 => end,
                _ => 0,
            };
            segment.set_seq(frame, segment.seq.wrapping_add(by));
        }
        let Some(ack) = segment.ack else {
            return true;
        };
        if segment.rst {
            return true;
        }
        // The window of a SYN is not shifted.
        let shift = if segment.syn { 0 } else { self.shifts[1] };
        self.edge = ack.wrapping_add(u32::from(segment.window) << shift);
        // A window that is hardly larger is no news.
        let is_known = self.told.0 == ack && self.told.1 >= segment.window - segment.window / 4;
        if segment.is_pure_ack()
            && is_known
            && !is_answer
            && self.template.is_some()
            && self.fin_at.is_none()
        {
            // Data that was sent meanwhile has said so.
            return false;
        }
        let scaled = if segment.syn { self.shifts[1] } else { 0 };
        self.told = (ack, segment.window >> scaled);
        let ident = self.template.take();
        self.template = Template::of(frame, segment);
        if let (Some(new), Some(old)) = (&mut self.template, ident) {
            new.follow(&old);
        }
        true
    }

    /// The next segment of data, if there is one and it may be sent.
    pub(in crate::net::stack) fn next(
        &mut self,
        properties: &Properties,
        heads: &mut Heads,
        now: u64,
    ) -> Option<Sending> {
        let state = self.state();
        if !is_open(state) || state == State::TimeWait {
            return None;
        }
        let template = self.template.as_ref()?;
        let (headers, is_ipv4) = (template.len(), template.is_ipv4());
        let segments = match is_ipv4 {
            true => Segments::Tcp4,
            false => Segments::Tcp6,
        };
        let mss = self.flow.mss();
        let most = match properties.offloads.segments(segments) {
            true => {
                // The length is in 16 bits of the header.
                let longest = properties.longest.min(usize::from(u16::MAX));
                (longest.saturating_sub(headers) as u64 / mss).max(1) * mss
            }
            false => mss,
        };
        let bytes = self.flow.next(most, now)?;
        let gathered = self.outbox.gather(&bytes);
        let len = gathered.len();
        let short = bytes.end - bytes.start - len as u64;
        if short > 0 {
            // More pieces than go in a frame: the rest is the next one's.
            self.flow.sent_less(&bytes, short);
        }
        let ack = self.arrived();
        let window = self.window(ack) >> self.shifts[1];
        let fields = Fields {
            seq: self.iss?.wrapping_add(1).wrapping_add(bytes.start as u32),
            ack,
            window: window.min(usize::from(u16::MAX)) as u16,
            push: bytes.start + len as u64 == self.flow.end(),
            len,
        };
        let template = self.template.as_mut()?;
        let pseudo = template.pseudo(len);
        let mut head = heads.take(headers);
        template.write(&mut head, &fields);
        head.extend_from_slice(&gathered.copied);
        self.told = (fields.ack, fields.window);
        let offload = Offload {
            checksum: None,
            segmentation: (len as u64 > mss).then_some(Segmentation {
                segments,
                size: mss as u16,
                headers: headers as u16,
            }),
        };
        Some(Sending {
            head,
            body: gathered.body,
            offload,
            copied: gathered.copied.len(),
            tcp: headers - TCP,
            pseudo,
        })
    }

    /// The last word of a connection that is over, for those who have not heard it.
    pub(in crate::net::stack) fn last_word(&mut self) -> Option<Vec<u8>> {
        let end = self.fin_at? as u32;
        let fields = Fields {
            seq: self.iss?.wrapping_add(2).wrapping_add(end),
            ack: self.arrived(),
            window: 0,
            push: false,
            len: 0,
        };
        let template = self.template.as_mut()?;
        let mut frame = vec![0; template.len()];
        template.write(&mut frame, &fields);
        Some(frame)
    }
}

/// A segment of data on its way to the card.
pub(in crate::net::stack) struct Sending {
    head: Vec<u8>,
    body: Option<Memory>,
    offload: Offload,
    /// Bytes that were copied behind the headers.
    pub(in crate::net::stack) copied: usize,
    /// Where its TCP header starts, and the sum of its pseudo-header.
    tcp: usize,
    pseudo: u16,
}

impl Sending {
    /// Bytes that leave from where they lie.
    pub(in crate::net::stack) fn referred(&self) -> usize {
        self.body.as_ref().map_or(0, Memory::len)
    }

    /// Whether it is several on the wire.
    pub(in crate::net::stack) fn is_super(&self) -> bool {
        self.offload.segmentation.is_some()
    }

    /// The frame; `None` if nobody can sum it up.
    pub(in crate::net::stack) fn into_frame(mut self, properties: &Properties) -> Option<Outgoing> {
        let place = Checksum {
            start: self.tcp as u16,
            field: sums::TCP,
        };
        let (body, offloads) = (self.body.as_ref(), &properties.offloads);
        let sum = sums::fill(&mut self.head, body, place, self.pseudo, offloads);
        self.offload.checksum = sum.ok()?;
        let mut frame = Outgoing::new(self.head.into_memory());
        (frame.body, frame.offload) = (self.body, self.offload);
        Some(frame)
    }
}
