//! The extent tree of an inode ("Extent Tree").
//!
//! A node is a header and entries of 12 bytes each. The root is in the inode, other nodes have a
//! block. A leaf's entries are extents: blocks of the file, and the blocks on the disk that they
//! are. An inner node's entries name children, and the block of the file from which on each counts.
//!
//! - A child's depth is one less than its parent's, which is at most 5.
//! - Entries ascend, and stay between what the parent says of this child and of the next. So no
//!   node can be in a tree twice, and a tree has no more nodes than the disk has blocks.
//! - A file has at most [`MOST`] extents here.

use super::error::{Corrupt, WRONG_CHECKSUM};
use super::fields::{u16_at, u32_at, wide};
use super::inode::Inode;
use super::superblock::Superblock;
use super::{ReadError, Source, zeros};
use alloc::vec::Vec;
use core::ops::Range;

/// Files in more pieces are left to those who need no list of them.
const MOST: usize = 1 << 16;

const HEADER: usize = 12;
const ENTRY: usize = 12;
const MAGIC: u16 = 0xf30a;
const DEEPEST: u16 = 5;

/// Longer extents are shorter by this and not written yet: they have blocks, whose content is not
/// the file's.
const UNWRITTEN: u16 = 1 << 15;

/// Blocks of a file that are side by side on the disk too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first, counted in the file.
    pub(super) logical: u64,
    /// The first, counted on the disk.
    pub(super) physical: u64,
    /// How many they are, at least 1.
    pub(super) count: u64,
}

/// All written extents of a file, in order. What lies between them is zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extents(Vec<Extent>);

impl Extents {
    /// Reads the tree. `None`: the inode has none, or one too large.
    pub(super) fn read(
        source: &dyn Source,
        superblock: &Superblock,
        inode: &Inode,
    ) -> Result<Option<Self>, ReadError> {
        if !inode.has_extents {
            return Ok(None);
        }
        let mut walk = Walk {
            source,
            superblock,
            inode,
            found: Vec::new(),
        };
        let complain = |what| Corrupt::ExtentRoot(inode.number, what);
        let depth = u16_at(&inode.root, 6);
        if depth > DEEPEST {
            return Err(complain("too many levels").into());
        }
        let is_complete = walk.node(&inode.root, depth, 0..1 << 32, &complain)?;
        Ok(is_complete.then_some(Self(walk.found)))
    }

    #[cfg(test)]
    pub(super) fn new(extents: Vec<Extent>) -> Self {
        Self(extents)
    }

    /// All of them, in order.
    pub(super) fn as_slice(&self) -> &[Extent] {
        &self.0
    }

    /// The first extent that ends behind a block of the file.
    pub(super) fn at_or_after(&self, block: u64) -> Option<Extent> {
        let index = self.0.partition_point(|extent| {
            // Blocks of a file are counted by 32 bits: no overflow.
            extent.logical + extent.count <= block
        });
        self.0.get(index).copied()
    }
}

/// A walk over a tree.
struct Walk<'a> {
    source: &'a dyn Source,
    superblock: &'a Superblock,
    inode: &'a Inode,
    found: Vec<Extent>,
}

impl Walk<'_> {
    /// Visits a node whose entries must be in `range`. `false`: there are too many extents.
    fn node(
        &mut self,
        node: &[u8],
        depth: u16,
        range: Range<u64>,
        complain: &dyn Fn(&'static str) -> Corrupt,
    ) -> Result<bool, ReadError> {
        let entries = usize::from(u16_at(node, 2));
        let most = usize::from(u16_at(node, 4));
        if u16_at(node, 0) != MAGIC {
            return Err(complain("no magic number").into());
        }
        if u16_at(node, 6) != depth {
            return Err(complain("a wrong depth").into());
        }
        if entries > most || HEADER + most * ENTRY > node.len() {
            return Err(complain("too many entries").into());
        }
        let entries = &node[HEADER..HEADER + entries * ENTRY];
        let mut from = range.start;
        let mut entries = entries.chunks_exact(ENTRY).peekable();
        while let Some(entry) = entries.next() {
            let first = u64::from(u32_at(entry, 0));
            if first < from || first >= range.end {
                return Err(complain("entries out of order").into());
            }
            if depth == 0 {
                from = self.extent(entry, first, range.end, complain)?;
            } else {
                let next = entries.peek().map(|next| u64::from(u32_at(next, 0)));
                let end = next.unwrap_or(range.end);
                if end <= first || end > range.end {
                    return Err(complain("entries out of order").into());
                }
                let block = wide(entry, 4, u32::from(u16_at(entry, 8)));
                if !self.superblock.has(block, 1) {
                    return Err(complain("a child beyond the end").into());
                }
                if !self.child(block, depth - 1, first..end)? {
                    return Ok(false);
                }
                from = end;
            }
            if self.found.len() > MOST {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Visits a node that has a block of its own.
    fn child(&mut self, block: u64, depth: u16, range: Range<u64>) -> Result<bool, ReadError> {
        let complain = |what| Corrupt::ExtentBlock(block, what);
        let mut node = zeros(self.superblock.block_size as usize)?;
        // The superblock's blocks, in bytes, fit 64 bits.
        self.source
            .read(block * self.superblock.block_size, &mut node)
            .map_err(ReadError::Device)?;
        if let Some(seed) = self.inode.seed {
            // It lies behind the room for entries.
            let len = HEADER + usize::from(u16_at(&node, 4)) * ENTRY;
            if len + 4 > node.len() || !seed.protects(&node, len, len) {
                return Err(complain(WRONG_CHECKSUM).into());
            }
        }
        if u16_at(&node, 2) == 0 {
            // Only the root of an empty file is empty. Without this, one block could be many nodes.
            return Err(complain("no entries").into());
        }
        self.node(&node, depth, range, &complain)
    }

    /// Takes an extent, and returns where it ends in the file.
    fn extent(
        &mut self,
        entry: &[u8],
        logical: u64,
        limit: u64,
        complain: &dyn Fn(&'static str) -> Corrupt,
    ) -> Result<u64, ReadError> {
        let len = u16_at(entry, 4);
        let is_written = len <= UNWRITTEN;
        let count = u64::from(if is_written { len } else { len - UNWRITTEN });
        let physical = wide(entry, 8, u32::from(u16_at(entry, 6)));
        let end = logical + count;
        if count == 0 || end > limit {
            return Err(complain("an extent of a wrong length").into());
        }
        if !self.superblock.has(physical, count) {
            return Err(complain("an extent beyond the end").into());
        }
        if !is_written {
            return Ok(end);
        }
        if let Some(last) = self.found.last_mut()
            && last.logical + last.count == logical
            && last.physical + last.count == physical
        {
            last.count += count;
            return Ok(end);
        }
        self.found
            .try_reserve(1)
            .map_err(|_| ReadError::OutOfMemory)?;
        self.found.push(Extent {
            logical,
            physical,
            count,
        });
        Ok(end)
    }
}
