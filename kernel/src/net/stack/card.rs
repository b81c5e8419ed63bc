//! An interface, as the stack uses it: memory always lies ready, and frames that find no room wait in line.

use crate::dma::{Memory, Owner};
use crate::net::{Interface, MacAddress, Outgoing, Properties, Received, Refusal};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Context, Poll};

/// Most frames that wait for room. The engine is not asked for more than that.
const WAITING: usize = 64;

/// Bytes of memory that lie ready for frames, at most.
const READY: usize = 256 * 1024;

/// Bytes of a piece of it, if frames may arrive in several.
const PIECE: usize = 2048;

/// An interface with what is on its way to it.
pub(super) struct Card {
    interface: Arc<dyn Interface>,
    properties: Properties,
    waiting: VecDeque<Outgoing>,
    /// Frames that could not be sent, whatever was tried.
    pub(super) unsendable: u64,
    /// Bytes of frames whose memory the card could not be given, so that it was copied.
    pub(super) copied: u64,
}

impl Card {
    pub(super) fn new(interface: Arc<dyn Interface>) -> Self {
        let properties = interface.properties();
        Self {
            interface,
            properties,
            waiting: VecDeque::new(),
            unsendable: 0,
            copied: 0,
        }
    }

    pub(super) fn interface(&self) -> &Arc<dyn Interface> {
        &self.interface
    }

    pub(super) fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The card has this address from now on. Whether it is another one than before.
    pub(super) fn set_address(&mut self, address: MacAddress) -> bool {
        core::mem::replace(&mut self.properties.address, address) != address
    }

    /// Lays memory ready, as much as the stack ever has with the card.
    pub(super) fn supply_all(&self) {
        let properties = &self.properties;
        let len = match properties.least <= PIECE {
            true => properties.ample.min(PIECE).max(properties.least),
            false => properties.ample,
        };
        let count = (READY / len).max(8).min(properties.receive_depth);
        for _ in 0..count {
            let mut bytes = Vec::new();
            if bytes.try_reserve_exact(len).is_err() {
                return;
            }
            bytes.resize(len, 0);
            if self.interface.supply(bytes.into_memory()).is_err() {
                return;
            }
        }
    }

    /// Gives memory of a frame back to the card.
    pub(super) fn recycle(&self, memory: Memory) {
        // A card that does not take it has enough, or is gone.
        let _ = self.interface.supply(memory.whole());
    }

    /// The head of a frame that has left, to be used again. What else was in the frame is let go.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Option<Vec<u8>> {
        while let Poll::Ready(Some(sent)) = self.interface.poll_sent(cx) {
            let head = sent.memory.map(|memory| Vec::from_memory(memory.head));
            if let Some(Ok(head)) = head {
                return Some(head);
            }
        }
        None
    }

    pub(super) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.interface.poll_receive(cx)
    }

    /// Frames that may be handed over before others have to wait.
    pub(super) fn room(&self) -> usize {
        WAITING.saturating_sub(self.waiting.len())
    }

    /// Whether more frames wait than may: an announcement is among them, which waits in any case.
    pub(super) fn is_overfull(&self) -> bool {
        self.waiting.len() > WAITING
    }

    /// Hands a frame over, now or later, in order.
    #[inline]
    pub(super) fn send(&mut self, frame: Outgoing) {
        if self.waiting.is_empty() {
            self.try_send(frame);
        } else {
            self.waiting.push_back(frame);
        }
    }

    /// Hands over what waits, as far as there is room. If some is left, the waker is woken when there is more.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>) {
        while let Some(frame) = self.waiting.pop_front() {
            let before = self.waiting.len();
            self.try_send(frame);
            if self.waiting.len() > before && self.interface.poll_room(cx).is_pending() {
                return;
            }
        }
    }

    #[inline]
    fn try_send(&mut self, frame: Outgoing) {
        let Err(refused) = self.interface.transmit(frame) else {
            return;
        };
        match refused.why {
            Refusal::Full => self.waiting.push_front(refused.what),
            Refusal::Memory(_) | Refusal::Length => self.send_copied(refused.what),
            _ => self.unsendable += 1,
        }
    }

    /// In more pieces than the card takes, or where it does not reach: as one piece of RAM it may go.
    #[cold]
    fn send_copied(&mut self, frame: Outgoing) {
        let len = frame.len();
        let mut bytes = vec![0; len];
        let (head, body) = bytes.split_at_mut(frame.head.len());
        let copied = frame.head.copy_to(0, head);
        let copied = copied.and_then(|()| match &frame.body {
            Some(memory) => memory.copy_to(0, body),
            None => Ok(()),
        });
        let copy = Outgoing::new(bytes.into_memory()).with_offload(frame.offload);
        // It is kept by who sent it, and is tried again.
        match copied.is_ok() && self.interface.transmit(copy).is_ok() {
            true => self.copied += len as u64,
            false => self.unsendable += 1,
        }
    }
}
