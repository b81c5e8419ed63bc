//! A virtqueue of either format: here is where the two differ, and nowhere above.
//!
//! Both take descriptors by numbers, each with the number of the one that follows, and chains by the
//! number of their first; both give that number back. So a slot of a queue has descriptors that are its
//! own, whatever the ring looks like. Which of the two it is was agreed on with the device.
//!
//! It costs a comparison that always has the same result, and no call through a table.

use crate::error::Violation;
use crate::packed::{self, Lie, Packed};
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::split::{self, Overrun, Split};
use crate::transport::{Accepted, Rings};
use phyr::DmaAddr;
use virtio_spec::{F, FeatureBits};

pub(crate) use crate::split::{DESCRIPTOR, Used};

/// What was agreed on about queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    is_packed: bool,
    has_events: bool,
}

impl Terms {
    /// Split queues, and flags that say whether anybody is to be told.
    pub(crate) const PLAIN: Self = Self {
        is_packed: false,
        has_events: false,
    };

    /// By the features that device and driver have agreed on.
    pub(crate) fn new<B: FeatureBits + Copy>(accepted: &Accepted<B>) -> Self {
        let features: F = accepted.features().into();
        Self {
            is_packed: features.contains(F::RING_PACKED),
            has_events: features.contains(F::EVENT_IDX),
        }
    }
}

/// A virtqueue.
pub(crate) enum Ring<M> {
    Split(Split<M>),
    Packed(Packed<M>),
}

impl<M: SharedMemory> Ring<M> {
    /// Takes memory for a queue of so many entries, a power of two. Interrupts are not wanted yet.
    pub(crate) fn allocate<P: Platform<Shared = M>>(
        platform: &P,
        terms: Terms,
        queue: u16,
        entries: u16,
        vector: Option<u16>,
    ) -> Result<(Self, Rings), OutOfMemory> {
        let split = split::Layout::new(entries);
        let packed = packed::Layout::new(entries);
        let (bytes, driver, device) = match terms.is_packed {
            true => (packed.bytes, packed.driver, packed.device),
            false => (split.bytes, split.avail, split.used),
        };
        let memory = platform.allocate(bytes)?;
        let start = memory.bus().addr().get();
        let place = |offset: usize| DmaAddr::new(start + offset as u64);
        let rings = Rings {
            queue,
            entries,
            vector,
            descriptors: place(0),
            driver: place(driver),
            device: place(device),
        };
        let ring = match terms.is_packed {
            true => Self::Packed(Packed::new(memory, packed, terms.has_events)),
            false => Self::Split(Split::new(memory, split, terms.has_events)),
        };
        Ok((ring, rings))
    }

    /// Writes a descriptor. Only one that the device does not have.
    #[inline]
    pub(crate) fn describe(&self, number: u16, words: [u64; 2]) {
        match self {
            Self::Split(split) => split.describe(number, words),
            Self::Packed(packed) => packed.describe(number, words),
        }
    }

    /// A descriptor as it has to be in a table. Those of a table lie in their order, and each is part of
    /// the chain.
    #[inline]
    pub(crate) fn in_table(&self, words: [u64; 2]) -> [u64; 2] {
        match self {
            Self::Split(_) => words,
            Self::Packed(_) => packed::in_table(words),
        }
    }

    /// Makes a chain available. The device learns of it by [`publish`](Self::publish).
    ///
    /// There is room: no chain is available twice, and there are no more descriptors than entries.
    #[inline]
    pub(crate) fn push(&mut self, head: u16) {
        match self {
            Self::Split(split) => split.push(head),
            Self::Packed(packed) => packed.push(head),
        }
    }

    /// Tells the device of all that is available. Returns whether it has to be notified.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        match self {
            Self::Split(split) => split.publish(),
            Self::Packed(packed) => packed.publish(),
        }
    }

    /// The next chain that was used, if there is one.
    ///
    /// # Errors
    /// If the device says what cannot be.
    #[inline]
    pub(crate) fn pop(&mut self) -> Result<Option<Used>, Violation> {
        match self {
            Self::Split(split) => split
                .pop()
                .map_err(|Overrun { index }| Violation::UsedIndex(index)),
            Self::Packed(packed) => packed.pop().map_err(|lie| match lie {
                Lie::Place(number) => Violation::UsedIndex(number),
                Lie::Id(id) => Violation::UsedId(id.into()),
            }),
        }
    }

    /// Asks for an interrupt for what is used from now on. Returns whether something was used
    /// already that was not taken: then there may be no interrupt for it.
    pub(crate) fn arm(&mut self) -> bool {
        match self {
            Self::Split(split) => split.arm(),
            Self::Packed(packed) => packed.arm(),
        }
    }

    /// Whether interrupts are wanted, but would not come: each one that came has to be answered by
    /// [`arm`](Self::arm), if the device counts.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        match self {
            Self::Split(split) => split.is_spent(),
            Self::Packed(packed) => packed.is_spent(),
        }
    }

    /// Asks for no more interrupts. An odd one may come.
    pub(crate) fn disarm(&mut self) {
        match self {
            Self::Split(split) => split.disarm(),
            Self::Packed(packed) => packed.disarm(),
        }
    }

    /// Makes the rings as new. The device is reset, and has never heard of them. Descriptors stay.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Split(split) => split.reset(),
            Self::Packed(packed) => packed.reset(),
        }
    }
}
