//! Connections that are over, and whose last segments may still be under way (TIME-WAIT).
//!
//! What is left of them is who they were between, and what is to be answered if the other end has not heard the
//! last word: some words of memory, and no ring. So there may be many, and the oldest go first.

use super::segment::{Ends, Segment};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// How long they are remembered: long enough for a segment that was sent again (microseconds).
const TIME: u64 = 10_000_000;

/// Most that are remembered.
const MOST: usize = 1024;

/// Connections that are over.
#[derive(Debug, Default)]
pub(super) struct Ended {
    entries: BTreeMap<Ends, Entry>,
    /// In the order in which they ended.
    order: VecDeque<(u64, Ends)>,
}

#[derive(Debug)]
struct Entry {
    until: u64,
    /// The frame that says that everything has arrived.
    answer: Vec<u8>,
    /// The number behind the last that has arrived.
    arrived: u32,
}

/// What is to be done with a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// There was no such connection, or this is a new one.
    Unknown,
    /// This is to be answered.
    Answer(Vec<u8>),
    /// Nothing.
    Ignore,
}

impl Ended {
    pub(super) fn ends(&self) -> impl Iterator<Item = &Ends> {
        self.entries.keys()
    }

    pub(super) fn add(&mut self, ends: Ends, answer: Vec<u8>, arrived: u32, now: u64) {
        self.expire(now);
        while self.entries.len() >= MOST {
            self.forget_oldest();
        }
        let until = now + TIME;
        self.order.push_back((until, ends));
        let entry = Entry {
            until,
            answer,
            arrived,
        };
        self.entries.insert(ends, entry);
    }

    pub(super) fn arrives(&mut self, ends: &Ends, segment: &Segment, now: u64) -> Late {
        let Some(entry) = self.entries.get(ends).filter(|entry| entry.until > now) else {
            return Late::Unknown;
        };
        // An answer to an answer would never end.
        if segment.rst || segment.is_pure_ack() {
            return Late::Ignore;
        }
        // A new connection begins behind the old one (RFC 9293, 3.6.1).
        let is_behind = segment.seq.wrapping_sub(entry.arrived).cast_signed() >= 0;
        match segment.syn && segment.ack.is_none() && is_behind {
            true => {
                self.entries.remove(ends);
                Late::Unknown
            }
            false => Late::Answer(entry.answer.clone()),
        }
    }

    fn expire(&mut self, now: u64) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((until, ends)) = self.order.pop_front()
            && self
                .entries
                .get(&ends)
                .is_some_and(|entry| entry.until == until)
        {
            self.entries.remove(&ends);
        }
    }
}
