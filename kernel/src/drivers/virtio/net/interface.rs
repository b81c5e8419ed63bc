//! A card as a network interface.

use super::nic::{Nic, Pair, Sender};
use super::words;
use crate::cores::CoreId;
use crate::dma::{Domain, Memory, Transfer};
use crate::net::{
    Counters, Interface, Link, MacAddress, Offloads, Outgoing, Properties, Received, Reception,
    Refusal, Refused, Sent, SentMemory,
};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, ready};
use virtio::net::{Filter, Frame, Piece, Works};

impl Nic {
    /// Takes what a card has delivered apart; `None` if it is of no use. Its memory lies ready again then.
    #[inline]
    fn received(&self, pair: &Pair, frame: Frame<Memory>) -> Option<Received> {
        let Ok(content) = frame.content else {
            self.recycle(pair, frame);
            return None;
        };
        // The driver has found the bytes to be inside.
        let part = |piece: Piece<Memory>| piece.memory.part(piece.part).unwrap_or_else(|all| all);
        let (checked, joined) = words::said(content);
        Some(Received {
            first: part(frame.first),
            rest: frame.rest.into_iter().map(part).collect(),
            checked,
            joined,
        })
    }

    #[cold]
    fn recycle(&self, pair: &Pair, frame: Frame<Memory>) {
        for arrived in core::iter::once(frame.first).chain(frame.rest) {
            if let Ok(memory) = words::to_receive(arrived.memory, &self.domain) {
                // There is as much room as it took before; a device that has gone needs none.
                let _ = supply(pair, memory);
            }
        }
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

/// Gives memory to the queue of a core.
#[inline]
fn supply(pair: &Pair, transfer: Transfer) -> Result<(), Refused<Memory>> {
    let mut queue = pair.receive.queue();
    queue.supply(transfer).map_err(|(error, transfer)| Refused {
        what: transfer.into_memory(),
        why: words::refusal(error),
    })
}

/// Gives a frame to the queue of a core.
#[expect(
    clippy::result_large_err,
    reason = "a frame that is refused comes back by value"
)]
#[inline]
fn transmit(pair: &Pair, frame: Outgoing, domain: &Domain) -> Result<(), Refused<Outgoing>> {
    let offload = frame.offload;
    let sending = words::sending(frame, domain)?;
    let sent = pair.transmit.queue().send(sending);
    sent.map_err(|refused| words::refused(refused, offload))
}

impl Interface for Nic {
    fn name(&self) -> &str {
        &self.name
    }

    fn properties(&self) -> Properties {
        let card = &self.properties;
        let shape = self.shape.get();
        Properties {
            address: *self.mac.lock(),
            mtu: card.mtu,
            offloads: Offloads {
                checksum: card.checksum,
                segment_tcp4: card.segment_tcp4,
                segment_tcp6: card.segment_tcp6,
                checked: card.checked,
                joined_tcp4: card.joined_tcp4,
                joined_tcp6: card.joined_tcp6,
            },
            longest: card.longest_sent() as usize,
            pieces: shape.map_or(1, |shape| shape.pieces),
            transmit_depth: shape.map_or(0, |shape| shape.transmit_depth),
            receive_depth: shape.map_or(0, |shape| shape.receive_depth),
            least: card.least() as usize,
            ample: card.ample() as usize,
        }
    }

    fn link(&self) -> Link {
        match self.card.properties().is_up && !self.is_gone() {
            true => Link::Up,
            false => Link::Down,
        }
    }

    fn cores(&self) -> Vec<CoreId> {
        self.shape
            .get()
            .map_or(Vec::new(), |shape| shape.cores.clone())
    }

    #[inline]
    fn supply(&self, memory: Memory) -> Result<(), Refused<Memory>> {
        let pairs = self.pairs.here().borrow();
        let why = match pairs.as_deref() {
            _ if self.is_gone() => Refusal::Removed,
            None => Refusal::NoQueue,
            Some(pair) => return supply(pair, words::to_receive(memory, &self.domain)?),
        };
        Err(Refused { what: memory, why })
    }

    #[inline]
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.with_pair(|pair| {
            let Some(pair) = pair else {
                return Poll::Ready(None);
            };
            loop {
                let polled = pair.receive.with(|queue| match queue.failure() {
                    Some(_) => Poll::Ready(None),
                    None => queue.poll(cx).map(Some),
                });
                let Some(frame) = ready!(polled) else {
                    return Poll::Ready(None);
                };
                if let Some(received) = self.received(pair, frame) {
                    return Poll::Ready(Some(received));
                }
            }
        })
    }

    #[inline]
    fn transmit(&self, frame: Outgoing) -> Result<(), Refused<Outgoing>> {
        let pairs = self.pairs.here().borrow();
        let why = match pairs.as_deref() {
            _ if self.is_gone() => Refusal::Removed,
            None => Refusal::NoQueue,
            Some(pair) => return transmit(pair, frame, &self.domain),
        };
        Err(Refused { what: frame, why })
    }

    #[inline]
    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        self.with_pair(|pair| {
            let Some(pair) = pair else {
                return Poll::Ready(None);
            };
            let sent = pair.transmit.with(|queue| match queue.poll_sent(cx) {
                Poll::Pending if queue.failure().is_some() => Poll::Ready(None),
                sent => sent.map(Some),
            });
            sent.map(|sent| {
                let sent = sent?;
                Some(Sent {
                    tag: sent.tag,
                    memory: sent.memory.map(|(head, body)| SentMemory {
                        head: head.into_memory(),
                        body: body.map(Transfer::into_memory),
                    }),
                    result: sent.result.map_err(words::net_error),
                })
            })
        })
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_pair(|pair| match pair {
            None => Poll::Ready(()),
            Some(pair) => pair.transmit.with(|queue| Sender::poll_room(queue, cx)),
        })
    }

    fn flush(&self) {
        self.with_pair(|pair| {
            if let Some(pair) = pair {
                pair.receive.with(Works::turn);
                pair.transmit.with(Works::turn);
            }
        });
    }

    fn set_reception(&self, reception: Reception) {
        if let Some(address) = reception.address
            && self.properties.has_new_mac
        {
            *self.mac.lock() = address;
        }
        let octets = |address: &MacAddress| address.0;
        self.card.set_filter(Filter {
            mac: reception.address.map(|address| address.0),
            everything: reception.everything,
            all_multicast: reception.all_multicast,
            multicast: reception.multicast.iter().map(octets).collect(),
            vlans: reception.vlans,
        });
        self.changed();
    }

    fn announcements(&self) -> u64 {
        self.card.commands().announcements
    }

    fn poll_changed(&self, seen: u64, cx: &mut Context<'_>) -> Poll<u64> {
        let now = self.changes.load(Ordering::Acquire);
        if now != seen {
            return Poll::Ready(now);
        }
        {
            let mut watching = self.watching.lock();
            if !watching.iter().any(|waker| waker.will_wake(cx.waker())) {
                watching.push(cx.waker().clone());
            }
        }
        // Something may have changed before the waker was there.
        match self.changes.load(Ordering::Acquire) {
            now if now == seen => Poll::Pending,
            now => Poll::Ready(now),
        }
    }

    fn counters(&self) -> Counters {
        let Some(pair) = self.pair_counters() else {
            return Counters::default();
        };
        let (sent, received) = (pair.transmit.driver, pair.receive.driver);
        Counters {
            sent: sent.frames,
            sent_bytes: sent.bytes,
            received: received.frames,
            received_bytes: received.bytes,
            dropped: received.malformed,
            kicks: sent.notifications,
        }
    }
}
