//! A card of which a test is all: what it is handed, it keeps, until it is carried to another.

use crate::cores::{self, CoreId};
use crate::dma::Memory;
use crate::net::{
    Checked, Counters, Interface, Link, MacAddress, Offloads, Outgoing, Properties, Received,
    Reception, Refusal, Refused, Sent, SentMemory,
};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Context, Poll};

/// Frames, and pieces of memory, that a desk has room for.
const DEPTH: usize = 256;

/// A card of which the test is all.
pub(super) struct Desk {
    end: u8,
    offloads: Offloads,
    // Not the kernel's lock: that one counts.
    kept: spin::Mutex<Kept>,
}

struct Kept {
    outgoing: VecDeque<Outgoing>,
    sent: VecDeque<Sent>,
    arrived: VecDeque<Received>,
    supplied: VecDeque<Memory>,
}

impl Desk {
    pub(super) fn new(end: u8, offloads: Offloads) -> Arc<Self> {
        let kept = Kept {
            outgoing: VecDeque::with_capacity(DEPTH),
            sent: VecDeque::with_capacity(DEPTH),
            arrived: VecDeque::with_capacity(DEPTH),
            supplied: VecDeque::with_capacity(DEPTH),
        };
        Arc::new(Self {
            end,
            offloads,
            kept: spin::Mutex::new(kept),
        })
    }

    /// Carries everything to the other end. How many frames that was.
    pub(super) fn carry(&self, to: &Self, buffer: &mut [u8]) -> u64 {
        let mut frames = 0;
        loop {
            let frame = self.kept.lock().outgoing.pop_front();
            let Some(frame) = frame else {
                return frames;
            };
            let len = frame.len();
            let (head, body) = buffer[..len].split_at_mut(frame.head.len());
            frame.head.copy_to(0, head).unwrap();
            if let Some(memory) = &frame.body {
                memory.copy_to(0, body).unwrap();
            }
            to.arrive(&buffer[..len], &frame);
            frames += 1;
            if let Some(tag) = frame.tag {
                let (head, body) = (frame.head, frame.body);
                self.kept.lock().sent.push_back(Sent {
                    tag,
                    memory: Some(SentMemory { head, body }),
                    result: Ok(()),
                });
            }
        }
    }

    fn arrive(&self, mut bytes: &[u8], frame: &Outgoing) {
        let mut kept = self.kept.lock();
        let mut piece = || {
            let mut memory = kept.supplied.pop_front().expect("memory lies ready");
            let len = bytes.len().min(memory.len());
            memory.copy_from(0, &bytes[..len]).unwrap();
            bytes = &bytes[len..];
            (memory.part(0..len).unwrap(), !bytes.is_empty())
        };
        let (first, mut is_more) = piece();
        let mut rest = Vec::new();
        while is_more {
            let (next, and_more) = piece();
            rest.push(next);
            is_more = and_more;
        }
        kept.arrived.push_back(Received {
            first,
            rest,
            checked: frame.offload.checksum.map_or(Checked::No, Checked::Partial),
            joined: frame.offload.segmentation,
        });
    }
}

impl Interface for Desk {
    fn name(&self) -> &str {
        "desk"
    }

    fn properties(&self) -> Properties {
        Properties {
            address: MacAddress([2, 0, 0, 0, 0, self.end]),
            mtu: 1500,
            offloads: self.offloads,
            longest: 65_535 + 14,
            pieces: 16,
            transmit_depth: DEPTH,
            receive_depth: DEPTH,
            least: 64,
            ample: 2048,
        }
    }

    fn link(&self) -> Link {
        Link::Up
    }

    fn cores(&self) -> Vec<CoreId> {
        vec![cores::current()]
    }

    fn supply(&self, memory: Memory) -> Result<(), Refused<Memory>> {
        let mut kept = self.kept.lock();
        if kept.supplied.len() >= DEPTH {
            let why = Refusal::Full;
            return Err(Refused { what: memory, why });
        }
        kept.supplied.push_back(memory);
        Ok(())
    }

    fn poll_receive(&self, _: &mut Context<'_>) -> Poll<Option<Received>> {
        match self.kept.lock().arrived.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Poll::Pending,
        }
    }

    fn transmit(&self, frame: Outgoing) -> Result<(), Refused<Outgoing>> {
        let mut kept = self.kept.lock();
        if kept.outgoing.len() >= DEPTH {
            let why = Refusal::Full;
            return Err(Refused { what: frame, why });
        }
        kept.outgoing.push_back(frame);
        Ok(())
    }

    fn poll_sent(&self, _: &mut Context<'_>) -> Poll<Option<Sent>> {
        match self.kept.lock().sent.pop_front() {
            Some(sent) => Poll::Ready(Some(sent)),
            None => Poll::Pending,
        }
    }

    fn poll_room(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn flush(&self) {}

    fn set_reception(&self, _: Reception) {}

    fn poll_changed(&self, _: u64, _: &mut Context<'_>) -> Poll<u64> {
        Poll::Pending
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
