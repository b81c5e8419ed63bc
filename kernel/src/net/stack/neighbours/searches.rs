//! Who is asked for, how often, and what waits for the answer.
//!
//! A packet for somebody who is not known cannot leave, and one that asks him for something is not lost for that: it
//! waits with the search, and leaves when he answers. What waits has a bound, and so has the number of searches. The
//! oldest makes room: an answer takes less than a millisecond on most links, so who has not answered for longest will
//! hardly do so.

use crate::net::Checksum;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Searches at the same time.
pub(super) const MOST: usize = 64;

/// Packets that wait, for all searches together.
const WAITING: usize = 32;

/// After so long, the question is asked again, or the search is over (microseconds).
pub(super) const PAUSE: u64 = 1_000_000;

/// What waits for somebody to be known.
#[derive(Debug)]
pub(in crate::net::stack) enum Waiting {
    /// A frame that is complete but for the address of the card that it goes to.
    Leaves(Vec<u8>, Option<Checksum>),
    /// A frame that has arrived. It can be answered when it is known where to.
    Arrived(Vec<u8>),
}

#[derive(Debug)]
struct Search {
    whom: IpAddr,
    /// When there is something to do.
    next: u64,
    /// How often the question is still to be asked.
    left: u8,
    waiting: VecDeque<Waiting>,
}

/// Searches, the oldest first.
#[derive(Debug)]
pub(in crate::net::stack) struct Searches {
    all: VecDeque<Search>,
    /// How often each question is asked.
    tries: u8,
    /// When there is something to do for any.
    alarm: u64,
    held: usize,
    /// Packets that waited for nothing.
    pub(in crate::net::stack) lost: u64,
}

impl Searches {
    pub(super) const fn new(tries: u8) -> Self {
        Self {
            all: VecDeque::new(),
            tries,
            alarm: u64::MAX,
            held: 0,
            lost: 0,
        }
    }

    /// Searches somebody from now on, if nobody does yet.
    pub(in crate::net::stack) fn begin(&mut self, whom: IpAddr) {
        if self.position(whom).is_some() {
            return;
        }
        if self.all.len() >= MOST
            && let Some(oldest) = self.all.pop_front()
        {
            self.give_up(oldest);
        }
        self.alarm = 0;
        self.all.push_back(Search {
            whom,
            next: 0,
            left: self.tries,
            waiting: VecDeque::new(),
        });
    }

    /// Searches somebody, and has a packet wait for him.
    pub(in crate::net::stack) fn hold(&mut self, whom: IpAddr, what: Waiting) {
        self.begin(whom);
        if self.held >= WAITING
            && let Some(oldest) = self.all.iter_mut().find(|one| !one.waiting.is_empty())
        {
            oldest.waiting.pop_front();
            self.held -= 1;
            self.lost += 1;
        }
        if let Some(at) = self.position(whom) {
            self.all[at].waiting.push_back(what);
            self.held += 1;
        }
    }

    fn position(&self, whom: IpAddr) -> Option<usize> {
        self.all.iter().position(|search| search.whom == whom)
    }

    fn give_up(&mut self, search: Search) {
        self.held -= search.waiting.len();
        self.lost += search.waiting.len() as u64;
    }

    /// When there is something to do.
    pub(in crate::net::stack) fn alarm(&self) -> u64 {
        self.alarm
    }

    /// Who is to be asked for at this time. He counts as asked for.
    pub(in crate::net::stack) fn due(&mut self, now: u64) -> Option<IpAddr> {
        if self.alarm > now {
            return None;
        }
        while let Some(at) = self.all.iter().position(|search| search.next <= now) {
            if self.all[at].left > 0 {
                let search = &mut self.all[at];
                (search.left, search.next) = (search.left - 1, now + PAUSE);
                return Some(search.whom);
            }
            if let Some(search) = self.all.remove(at) {
                self.give_up(search);
            }
        }
        let next = self.all.iter().map(|search| search.next).min();
        self.alarm = next.unwrap_or(u64::MAX);
        None
    }

    /// Somebody is found: what has waited for him.
    pub(in crate::net::stack) fn found(&mut self, whom: IpAddr) -> VecDeque<Waiting> {
        let search = self.position(whom).and_then(|at| self.all.remove(at));
        let waiting = search.map_or_else(VecDeque::new, |search| search.waiting);
        self.held -= waiting.len();
        waiting
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use std::vec;

    fn host(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    fn all(searches: &mut Searches, now: u64) -> Vec<IpAddr> {
        core::iter::from_fn(|| searches.due(now)).collect()
    }

    #[test]
    fn a_question_is_asked_at_once_and_again_until_nobody_answers() {
        let mut searches = Searches::new(3);
        searches.begin(host(1));
        assert_eq!(all(&mut searches, 5), [host(1)]);
        searches.begin(host(1));
        searches.begin(host(2));
        assert_eq!(all(&mut searches, 6), [host(2)]);
        assert_eq!(searches.alarm(), 5 + PAUSE);
        assert_eq!(all(&mut searches, 5 + PAUSE), [host(1)]);
        assert_eq!(all(&mut searches, 6 + PAUSE), [host(2)]);
        assert!(searches.found(host(2)).is_empty());
        assert_eq!(all(&mut searches, 5 + 2 * PAUSE), [host(1)]);
        assert!(all(&mut searches, 5 + 3 * PAUSE).is_empty());
        assert_eq!((searches.len(), searches.alarm()), (0, u64::MAX));
    }

    #[test]
    fn what_waits_is_given_back_in_order_or_counted_as_lost() {
        let mut searches = Searches::new(1);
        let packet = |number| Waiting::Arrived(vec![number]);
        for number in 0..3 {
            searches.hold(host(1), packet(number));
        }
        searches.hold(host(2), packet(9));
        let found: Vec<u8> = searches
            .found(host(1))
            .into_iter()
            .map(|one| match one {
                Waiting::Arrived(bytes) | Waiting::Leaves(bytes, _) => bytes[0],
            })
            .collect();
        assert_eq!(found, [0, 1, 2]);
        assert_eq!(all(&mut searches, 0), [host(2)]);
        assert!(all(&mut searches, PAUSE).is_empty());
        assert_eq!((searches.lost, searches.held), (1, 0));
    }

    #[test]
    fn neither_searches_nor_what_waits_grow_without_end() {
        let mut searches = Searches::new(1);
        for number in 0..1000 {
            searches.hold(host(number), Waiting::Arrived(vec![]));
            assert!(searches.held <= WAITING);
        }
        assert_eq!(searches.len(), MOST);
        assert_eq!(searches.held as u64 + searches.lost, 1000);
        // The last to come are those that wait.
        assert_eq!(searches.found(host(999)).len(), 1);
        for _ in 0..100 {
            searches.hold(host(999), Waiting::Arrived(vec![]));
        }
        assert_eq!(searches.held, WAITING);
    }
}
