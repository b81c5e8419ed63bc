//! One command of a request: how much of it, and what the device is told.
//!
//! A command takes as many blocks as one may have, as its memory can be described for, and as are
//! left. Memory is described by the pages of lists that belong to the command's slot. Commands whose
//! data is the queue's own, ranges and sources, have it there as well.

use super::Body;
use super::table::{Active, Stage};
use crate::error::{Error, Unmappable};
use crate::memory::Memory;
use crate::nvm::{CopyRange, copy};
use crate::operation::{MAX_RANGES, Operation, RANGE_BLOCKS, Shape};
use crate::page::PAGE;
use crate::platform::{Platform, SharedMemory};
use crate::pointer::Means;
use crate::protection::{Checks, Tags};
use crate::prp::ListMemory;
use phyr::{DmaCursor, Limits, Place};

/// The next command of a request.
pub(super) struct Next {
    /// Blocks that it takes.
    pub(super) blocks: u64,
    /// Where its data starts.
    pub(super) place: Place,
}

impl<P: Platform, B: Memory> Body<P, B> {
    /// What one command of an operation may describe.
    pub(super) fn limits(&self, operation: &Operation) -> Limits {
        let block = u64::from(operation.cut.block_bytes);
        let max_bytes = block * u64::from(operation.cut.max_blocks);
        self.means(operation).rules(block, max_bytes)
    }

    /// What there is to describe the memory of one command.
    fn means(&self, operation: &Operation) -> Means {
        Means {
            lists: operation.cut.traits.lists(),
            max_pages: u64::from(operation.cut.max_pages.min(self.max_pages)),
            max_pieces: u64::from(self.max_pieces),
        }
    }

    /// How much the next command takes.
    pub(super) fn next_command(&self, active: &Active<B>) -> Next {
        let operation = &active.operation;
        let left = active.left();
        let most = match operation.shape {
            Shape::Ranges | Shape::Sources(_) => {
                let of_range = RANGE_BLOCKS.min(u64::from(operation.cut.max_blocks));
                of_range * MAX_RANGES.min(u64::from(operation.cut.max_pages))
            }
            // What must be one command crosses what it likes.
            Shape::Blocks if !operation.is_single => {
                let first = operation.cdw10_11.wrapping_add(active.given);
                operation.cut.most_at(first)
            }
            Shape::Blocks | Shape::Whole => u64::from(operation.cut.max_blocks),
        };
        let blocks = match &active.data {
            None => most,
            Some(data) => {
                let cursor = data.ranges().cursor_at(active.place);
                self.limits(operation).next_run(cursor) / u64::from(operation.cut.block_bytes)
            }
        };
        Next {
            blocks: blocks.min(most).min(left),
            place: active.place,
        }
    }

    /// Puts the command of a slot into the ring. Returns where its data ends.
    ///
    /// Its blocks may become fewer if the metadata does not lie in one piece.
    pub(super) fn put(&mut self, slot: usize, home: usize, place: Place) -> Result<Place, Error> {
        let Some(active) = self.requests[home].used() else {
            return Ok(place);
        };
        let operation = &active.operation;
        let means = self.means(operation);
        let command = &mut self.commands[slot];
        let mut metadata_bus = 0;
        if let Some(metadata) = &active.metadata {
            let size = u64::from(operation.cut.traits.metadata_bytes());
            let mut cursor = metadata.ranges().cursor_behind(command.offset * size);
            let piece = cursor.next_joined(command.blocks * size);
            let offset = command.offset * size;
            let piece = piece.filter(|piece| piece.len() >= size);
            let piece = piece.ok_or(Unmappable::InsideBlock { offset })?;
            if !piece.addr().is_aligned(4) {
                return Err(Unmappable::Misaligned { offset }.into());
            }
            metadata_bus = piece.addr().get();
            command.blocks = command.blocks.min(piece.len() / size);
        }
        if command.blocks == 0 {
            let offset = command.offset * u64::from(operation.cut.block_bytes);
            return Err(Unmappable::Length { offset }.into());
        }
        let mut entry = operation.entry(command.offset, command.blocks as u32);
        entry.mptr = metadata_bus;
        let list = ListMemory {
            bus: self.lists_bus + (slot * self.list_pages) as u64 * PAGE,
            pages: self.list_pages,
        };
        let base = slot * self.list_pages * PAGE as usize;
        let lists = &self.lists;
        let mut bytes = 0;
        let mut behind = place;
        if let Some(data) = &active.data {
            let mut cursor: DmaCursor<'_> = data.ranges().cursor_at(place);
            bytes = command.blocks * u64::from(operation.cut.block_bytes);
            let described = means.describe(&mut cursor, bytes, list, |at, value| {
                lists.store64(base + at, value);
            });
            // The cut keeps to what can be described. It would be about the memory if not.
            let (pointer, psdt) = described.ok_or(Unmappable::InsideBlock {
                offset: command.offset * u64::from(operation.cut.block_bytes),
            })?;
            entry.cdw0.set_psdt(psdt);
            entry.prp1 = pointer.prp1;
            entry.prp2 = pointer.prp2;
            behind = cursor.place();
        } else if operation.shape == Shape::Ranges {
            let first = operation.cdw10_11 + command.offset;
            let ranges = write_ranges(first, command.blocks, operation, |index, value| {
                lists.store64(base + index * 8, value);
            });
            entry.prp1 = list.bus;
            entry.cdw10_11 = DEALLOCATE << 32 | (ranges - 1);
        } else if let Shape::Sources(_) = operation.shape {
            let first = operation.from + command.offset;
            entry.prp1 = list.bus;
            entry.cdw12_13 |= write_sources(first, command.blocks, operation, |index, value| {
                lists.store64(base + index * 8, value);
            });
        }
        command.stage = Stage::Out;
        command.sent = self.scans;
        command.is_aborted = false;
        entry.cdw0.set_cid(self.slots.issue(slot));
        self.rings.push(&entry);
        self.counters.sent(operation.command, bytes);
        Ok(behind)
    }
}

/// Attribute Deallocate (AD) of a Dataset Management command, in dword 11.
const DEALLOCATE: u64 = 1 << 2;

/// Writes the ranges of a Dataset Management command, two words each: attributes and length,
/// first block. Returns their number.
fn write_ranges(
    first: u64,
    blocks: u64,
    operation: &Operation,
    mut store: impl FnMut(usize, u64),
) -> u64 {
    let most = RANGE_BLOCKS.min(u64::from(operation.cut.max_blocks));
    let mut done = 0;
    let mut ranges = 0;
    while done < blocks {
        let now = most.min(blocks - done);
        store(ranges * 2, now << 32);
        store(ranges * 2 + 1, first + done);
        done += now;
        ranges += 1;
    }
    ranges as u64
}

/// Writes the sources of a Copy command. Returns what dword 12 says of them: their number, how
/// they are described, and what is checked of them, which is what is checked of the copy.
/// There are never more of them than fit into a page.
fn write_sources(
    first: u64,
    blocks: u64,
    operation: &Operation,
    mut store: impl FnMut(usize, u64),
) -> u64 {
    const WRITE_CHECKS: u32 = 26;
    let Shape::Sources(guard) = operation.shape else {
        return 0;
    };
    let most = u64::from(operation.cut.max_blocks);
    let (mut done, mut ranges, mut index) = (0, 0, 0);
    while done < blocks {
        let now = most.min(blocks - done);
        let block = first + done;
        let source = CopyRange {
            block,
            blocks: now as u32,
            tags: operation.protection.map(|_| Tags::of_block(block, guard)),
        };
        let bytes = source.encode(guard);
        let (words, _) = bytes[..CopyRange::bytes(guard)].as_chunks::<8>();
        for word in words {
            store(index, u64::from_le_bytes(*word));
            index += 1;
        }
        done += now;
        ranges += 1;
    }
    let checks = Checks::from((operation.cdw12_13 >> WRITE_CHECKS) as u8 & 0xf);
    copy(operation.nsid, 0, ranges, guard, checks).cdw12_13
}
