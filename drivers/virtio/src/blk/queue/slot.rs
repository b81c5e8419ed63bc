//! What a slot is used for, and what it is made of.

use crate::blk::cache::Moment;
use crate::blk::config::Properties;
use crate::blk::request::Operation;
use crate::chain::Cut;
use crate::error::Error;
use crate::transport::Accepted;
use core::task::Waker;
use phyr::Place;
use virtio_spec::blk::F;

/// A slot.
pub(super) struct Slot<B> {
    /// Changes with each request.
    pub(super) serial: u32,
    /// The device has a command of this slot.
    pub(super) is_out: bool,
    /// Bytes of data that it is to write for it; the status byte is one more.
    pub(super) data: u32,
    /// Times that the present command was sent before.
    pub(super) tries: u8,
    /// The scan before which it was sent.
    pub(super) sent: u32,
    pub(super) active: Option<Active<B>>,
}

/// A request.
pub(super) struct Active<B> {
    pub(super) operation: Operation,
    pub(super) data: Option<B>,
    /// Sectors that are done.
    pub(super) done: u64,
    /// Sectors of the present command.
    pub(super) part: u64,
    /// Where in the data it starts, and where it ends.
    pub(super) place: Place,
    pub(super) behind: Place,
    /// When its commands were sent, if it is to be durable.
    pub(super) sent_at: Moment,
    /// Any of it was sent.
    pub(super) was_sent: bool,
    /// Nobody wants the result.
    pub(super) is_abandoned: bool,
    /// The result, when all is done but taking it.
    pub(super) over: Option<Result<(), Error>>,
    pub(super) waker: Option<Waker>,
}

/// Bytes of a slot's header, segment and status, in one cache line.
pub(super) const AREA: usize = 64;
/// Where in it the segment of a discard is: the header is before.
pub(super) const SEGMENT: usize = 16;
/// Where in it the status byte is.
pub(super) const STATUS: usize = 32;

/// Most descriptors in a slot's table.
pub(super) const TABLE: u16 = 64;

/// Most descriptors of the ring for a slot, where there are no tables.
pub(super) const CHAIN: u16 = 16;

/// Where the things of a slot are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Descriptors of the ring for each slot: header, pieces, status.
    pub(super) chain: u16,
    /// Descriptors in a slot's table; 0 if there are none.
    pub(super) table: u16,
    /// Number of slots.
    pub(super) slots: u16,
    pub(super) cut: Cut,
    /// Most sectors in a command that moves no data.
    pub(super) max_discard: u32,
    pub(super) max_zeroes: u32,
    /// A flush has something to do.
    pub(super) has_cache: bool,
}

impl Plan {
    pub(super) fn new(entries: u16, properties: &Properties, features: &Accepted<F>) -> Self {
        // A chain is never longer than the queue, tables included (section 2.7.5.3.1). Header
        // and status are no segments.
        let longest = u16::try_from(properties.seg_max)
            .unwrap_or(u16::MAX)
            .saturating_add(2)
            .min(entries);
        let (chain, table) = match features.contains(F::INDIRECT_DESC) {
            true => (3, longest.clamp(3, TABLE)),
            false => (longest.min((entries / 8).clamp(3, CHAIN)), 0),
        };
        Self {
            chain,
            table,
            slots: entries / chain,
            cut: Cut {
                max_piece: properties.size_max,
                max_pieces: chain.max(table) - 2,
                block: properties.block_size,
            },
            max_discard: properties.discard.map_or(0, |extent| extent.max_sectors),
            max_zeroes: properties
                .write_zeroes
                .map_or(0, |extent| extent.max_sectors),
            has_cache: properties.has_cache,
        }
    }
}
