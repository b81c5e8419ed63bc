//! What the recovering core and the core of a queue say to each other: two words.
//!
//! # The problem
//!
//! A device is reset by one core, and its queues are used by others. No notification may be
//! sent while the device is being reset, no ring may be cleared before the device has
//! stopped, and none may be told to it before it is clear. A lock around each queue
//! would say all that, and cost every request.
//!
//! # The idea
//!
//! Each queue has a link. The recovering core writes an [`Order`] to it; the queue's core
//! looks at it once a turn, does what it says, and writes the same back as its answer. Each
//! word has one writer.
//!
//! - Orders are numbered, so an answer to an old order is no answer to a new one, and an order
//!   that the queue's core was too late to see is skipped, not confused with a later one.
//! - What one side did before it wrote its word, the other side sees after reading it. So once
//!   [`Hold`](Order::Hold) is answered, every notification of the queue was sent before; and once
//!   [`Clean`](Order::Clean) is answered, the ring is clear for the device to use.
//! - The queue never acts on its own: between [`Clean`](Order::Clean) and
//!   [`Live`](Order::Live) it notifies nobody, however long that takes.

use super::atomics::{AtomicU32, Ordering};

// ANCHOR: Order
/// What a queue is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Notify nobody, believe nothing.
    Hold = 0,
    /// The device has stopped: take all commands back, make the ring as new.
    Clean = 1,
    /// The device knows the ring: go on.
    Live = 2,
    /// The device has stopped for good: end all requests, take no new ones.
    Dead = 3,
    /// As dead, but the device may still use memory: keep it for ever.
    Lost = 4,
}
// ANCHOR_END: Order

/// Bits of a word that are the order; its number is in the others.
const ORDER_BITS: u32 = 3;

impl Order {
    fn of(word: u32) -> Self {
        match word & ((1 << ORDER_BITS) - 1) {
            0 => Self::Hold,
            1 => Self::Clean,
            2 => Self::Live,
            3 => Self::Dead,
            _ => Self::Lost,
        }
    }
}

/// An order that the queue has not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    word: u32,
}

impl Pending {
    /// What to do.
    pub(crate) fn order(self) -> Order {
        Order::of(self.word)
    }
}

/// One queue's link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Written by the recovering core.
    order: AtomicU32,
    /// Written by the queue's core.
    answer: AtomicU32,
}

impl Link {
    /// A queue that holds: the device does not know it yet.
    pub(crate) fn new() -> Self {
        let holding = Order::Hold as u32;
        Self {
            order: AtomicU32::new(holding),
            answer: AtomicU32::new(holding),
        }
    }

    /// Recovering core: gives an order, whatever became of the last one.
    pub(crate) fn command(&self, order: Order) {
        let number = (self.order.load(Ordering::Relaxed) >> ORDER_BITS).wrapping_add(1);
        let word = number << ORDER_BITS | order as u32;
        self.order.store(word, Ordering::Release);
    }

    /// Recovering core: whether the queue has done what the last order says.
    pub(crate) fn is_answered(&self) -> bool {
        self.answer.load(Ordering::Acquire) == self.order.load(Ordering::Relaxed)
    }

    /// Queue's core: an order that is not answered yet.
    #[inline]
    pub(crate) fn pending(&self) -> Option<Pending> {
        let word = self.order.load(Ordering::Acquire);
        (word != self.answer.load(Ordering::Relaxed)).then_some(Pending { word })
    }

    /// Queue's core: it has done what the order says.
    pub(crate) fn answer(&self, done: Pending) {
        self.answer.store(done.word, Ordering::Release);
    }
}
