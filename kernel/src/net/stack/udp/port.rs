//! Ports of UDP: what has arrived and was not read, and what waits for room in the card.

use super::super::segment::Carried;
use super::super::slots::{Id, Slots};
use super::way::Way;
use crate::net::Checksum;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::task::Waker;
use smoltcp::wire::IpAddress;

/// Datagrams that wait, each way.
pub(super) const DATAGRAMS: usize = 32;

/// Datagrams of ports that are gone, all in all.
const LEFT: usize = 4 * DATAGRAMS;

/// Bytes of those that were not read.
const BYTES: usize = 32 * 1024;

/// All ports.
pub(in crate::net::stack) struct Ports {
    ports: Slots<Box<Port>>,
    /// Their numbers, in order.
    numbers: Vec<(u16, Id)>,
    /// Those that have something to send.
    pub(super) sending: VecDeque<Id>,
    /// What was sent by ports that are gone.
    pub(super) left: VecDeque<Leaving>,
}

/// A frame that is complete but for a sum.
pub(super) type Leaving = (Vec<u8>, Option<Checksum>);

impl Ports {
    pub(in crate::net::stack) const fn new() -> Self {
        Self {
            ports: Slots::new(),
            numbers: Vec::new(),
            sending: VecDeque::new(),
            left: VecDeque::new(),
        }
    }

    fn position(&self, number: u16) -> Result<usize, usize> {
        self.numbers.binary_search_by_key(&number, |one| one.0)
    }

    /// The port with this number, if there is one.
    pub(super) fn bound(&self, number: u16) -> Option<Id> {
        self.position(number).ok().map(|at| self.numbers[at].1)
    }

    /// A new port; `None` if there is one with this number.
    pub(super) fn bind(&mut self, number: u16) -> Option<Id> {
        let at = self.position(number).err()?;
        let id = self.ports.add(Box::new(Port::new(number)));
        self.numbers.insert(at, (number, id));
        Some(id)
    }

    /// Frees the number. What was sent leaves all the same, unless too many go like this at a time.
    pub(super) fn remove(&mut self, id: Id) -> Option<Box<Port>> {
        let mut port = self.ports.remove(id)?;
        self.numbers.retain(|one| one.1 != id);
        let room = LEFT.saturating_sub(self.left.len());
        self.left.extend(port.leaving.drain(..).take(room));
        Some(port)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Port> {
        self.ports.get_mut(id).map(|port| &mut **port)
    }

    /// Keeps only those frames that wait for room of which this is true. Returns how many others there were.
    pub(in crate::net::stack) fn keep(&mut self, is_good: impl Fn(&[u8]) -> bool) -> u64 {
        let mut others = 0;
        let mut keep = |waiting: &mut VecDeque<Leaving>| {
            let before = waiting.len();
            waiting.retain(|(frame, _)| is_good(frame));
            others += (before - waiting.len()) as u64;
        };
        keep(&mut self.left);
        for (_, id) in &self.numbers {
            if let Some(port) = self.ports.get_mut(*id) {
                keep(&mut port.leaving);
            }
        }
        others
    }

    /// Whether none has anything to send.
    pub(in crate::net::stack) fn is_quiet(&self) -> bool {
        self.sending.is_empty() && self.left.is_empty()
    }

    /// Nothing will arrive any more, and nothing leave.
    pub(in crate::net::stack) fn leave(&mut self) {
        for (_, id) in &self.numbers {
            if let Some(port) = self.ports.get_mut(*id) {
                port.wake_reader();
                port.wake_writer();
            }
        }
    }
}

/// A port.
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) arrived: Arrived,
    /// Frames that are complete, and leave in the next turn.
    pub(super) leaving: VecDeque<Leaving>,
    /// It is in the list of those that have some.
    pub(super) is_listed: bool,
    /// Where the last datagram went.
    pub(super) way: Option<Way>,
    /// Who has sent the last one.
    pub(super) known: Option<Known>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Who has sent a datagram that was for this machine. The next one is, too, if it comes from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    source: u32,
    target: u32,
    /// How often addresses had changed.
    changes: u64,
}

impl Known {
    /// `None` if that may be otherwise before addresses change: groups are joined and left, and nobody says when an
    /// address of IPv6 ends that a router has announced.
    #[inline]
    pub(super) fn new(carried: &Carried, changes: u64) -> Option<Self> {
        match (carried.source, carried.target) {
            (IpAddress::Ipv4(source), IpAddress::Ipv4(target)) if !target.is_multicast() => {
                Some(Self {
                    source: source.to_bits(),
                    target: target.to_bits(),
                    changes,
                })
            }
            _ => None,
        }
    }
}

impl Port {
    fn new(number: u16) -> Self {
        Self {
            number,
            arrived: Arrived::new(),
            leaving: VecDeque::with_capacity(DATAGRAMS),
            is_listed: false,
            way: None,
            known: None,
            reader: None,
            writer: None,
        }
    }

    pub(super) fn waits_to_read(&mut self, waker: &Waker) {
        wait(&mut self.reader, waker);
    }

    pub(super) fn waits_to_write(&mut self, waker: &Waker) {
        wait(&mut self.writer, waker);
    }

    /// Something has arrived, or nothing will.
    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// There is room, or nothing will leave any more.
    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

/// One waits at a time. Whoever has waited before looks again, and waits anew if it has to.
fn wait(place: &mut Option<Waker>, waker: &Waker) {
    if place.as_ref().is_some_and(|known| known.will_wake(waker)) {
        return;
    }
    if let Some(other) = place.replace(waker.clone()) {
        other.wake();
    }
}

/// Datagrams that have arrived: their bytes one behind the other in a ring.
pub(super) struct Arrived {
    bytes: Box<[u8]>,
    /// Where the first starts.
    first: usize,
    used: usize,
    marks: VecDeque<(usize, SocketAddr)>,
}

impl Arrived {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BYTES].into_boxed_slice(),
            first: 0,
            used: 0,
            marks: VecDeque::with_capacity(DATAGRAMS),
        }
    }

    /// Keeps a datagram, if there is room. Returns whether there was.
    pub(super) fn put(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        let len = datagram.len();
        if self.marks.len() >= DATAGRAMS || len > BYTES - self.used {
            return false;
        }
        let start = (self.first + self.used) % BYTES;
        if let Some(place) = self.bytes.get_mut(start..start + len) {
            place.copy_from_slice(datagram);
        } else {
            let (head, tail) = datagram.split_at(BYTES - start);
            self.bytes[start..].copy_from_slice(head);
            self.bytes[..tail.len()].copy_from_slice(tail);
        }
        self.used += len;
        self.marks.push_back((len, from));
        true
    }

    /// The next datagram, as much of it as there is room for.
    pub(super) fn take(&mut self, into: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let (len, from) = self.marks.pop_front()?;
        let most = len.min(into.len());
        let (head, tail) = into[..most].split_at_mut(most.min(BYTES - self.first));
        head.copy_from_slice(&self.bytes[self.first..self.first + head.len()]);
        if !tail.is_empty() {
            tail.copy_from_slice(&self.bytes[..tail.len()]);
        }
        self.used -= len;
        self.first = match self.used {
            // All of the next ones in one piece.
            0 => 0,
            _ => (self.first + len) % BYTES,
        };
        Some((most, from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    fn from(number: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, number as u16).into()
    }

    proptest! {
        /// Like a queue of vectors that has so much room.
        #[test]
        fn datagrams_are_read_as_they_have_come(steps in prop::collection::vec(
            (any::<bool>(), prop_oneof![0..2000usize, 8000..20_000usize], 0..20_000usize), 1..300)
        ) {
            let mut arrived = Arrived::new();
            let mut model: VecDeque<(Vec<u8>, SocketAddr)> = VecDeque::new();
            for (number, (puts, len, room)) in steps.into_iter().enumerate() {
                if puts {
                    let datagram: Vec<u8> = (0..len).map(|at| (at * 7 + number) as u8).collect();
                    let is_kept = arrived.put(from(number), &datagram);
                    let used: usize = model.iter().map(|(bytes, _)| bytes.len()).sum();
                    prop_assert_eq!(is_kept, model.len() < DATAGRAMS && used + len <= BYTES);
                    if is_kept {
                        model.push_back((datagram, from(number)));
                    }
                } else {
                    let mut into = vec![0; room];
                    let taken = arrived.take(&mut into);
                    let expected = model.pop_front();
                    prop_assert_eq!(taken.map(|taken| taken.1), expected.as_ref().map(|one| one.1));
                    if let (Some((len, _)), Some((bytes, _))) = (taken, expected) {
                        prop_assert_eq!(len, bytes.len().min(room));
                        prop_assert_eq!(&into[..len], &bytes[..len]);
                    }
                }
            }
        }
    }
}
