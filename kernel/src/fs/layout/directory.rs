//! Directories: names, and the numbers of their inodes ("Linear (Classic) Directories", "Hash Tree
//! Directories").
//!
//! A directory's blocks are full of entries, one behind the other. The blocks of a hash tree look
//! like blocks with a single unused entry to those who do not know about it, and so all names can
//! be found without it, block by block.
//!
//! With checksums, a block of entries ends with one in the shape of an unused entry. The first
//! block of a directory with a hash tree, and the tree's inner blocks, have theirs elsewhere. They
//! hold no names but `.` and `..`, so they are passed by.

use super::checksum::Checksum;
use super::error::{Corrupt, WRONG_CHECKSUM};
use super::extents::Extents;
use super::fields::{u16_at, u32_at};
use super::inode::Inode;
use super::superblock::Superblock;
use super::{ReadError, Source, zeros};

/// The number and the lengths in front of a name.
const HEADER: usize = 8;
/// The entry in which a block's checksum is.
const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xde;

/// Finds the inode of a name.
pub(super) fn look_up(
    source: &dyn Source,
    superblock: &Superblock,
    inode: &Inode,
    extents: &Extents,
    name: &[u8],
) -> Result<u32, ReadError> {
    let block_size = superblock.block_size;
    let blocks = inode.len / block_size;
    // Different blocks of a directory are different blocks of the disk.
    if blocks > superblock.blocks {
        return Err(Corrupt::Inode(inode.number, "a length that no directory can have").into());
    }
    let mut bytes = zeros(block_size as usize)?;
    let mut next = 0;
    for extent in extents.as_slice() {
        for index in 0..extent.count {
            let (logical, block) = (extent.logical + index, extent.physical + index);
            if logical >= blocks {
                return Err(ReadError::NotFound);
            }
            if logical != next {
                return Err(Corrupt::Inode(inode.number, "a directory with holes").into());
            }
            next += 1;
            source
                .read(block * block_size, &mut bytes)
                .map_err(ReadError::Device)?;
            let complain = |what| Corrupt::DirectoryBlock(inode.number, block, what);
            if let Some(seed) = inode.seed {
                let is_index = inode.is_indexed && (logical == 0 || is_unused(&bytes));
                if is_index {
                    continue;
                }
                if !is_intact(seed, &bytes) {
                    return Err(complain(WRONG_CHECKSUM).into());
                }
            }
            if let Some(found) = find(&bytes, name).map_err(complain)? {
                return Ok(found);
            }
        }
    }
    Err(ReadError::NotFound)
}

/// The bytes of an entry, of which those of the largest blocks do not fit the field.
fn entry_len(entry: &[u8], block_len: usize) -> usize {
    match usize::from(u16_at(entry, 4)) {
        0 | 0xffff if block_len == 1 << 16 => block_len,
        len => len,
    }
}

/// Whether a block is one unused entry.
fn is_unused(block: &[u8]) -> bool {
    u32_at(block, 0) == 0 && entry_len(block, block.len()) == block.len()
}

fn is_intact(seed: Checksum, block: &[u8]) -> bool {
    let Some(tail) = block.len().checked_sub(TAIL) else {
        return false;
    };
    u32_at(block, tail) == 0
        && u16_at(block, tail + 4) == TAIL as u16
        && block[tail + 6..tail + 8] == [0, TAIL_TYPE]
        && seed.protects(block, tail, tail + HEADER)
}

/// Finds a name in a block.
fn find(block: &[u8], name: &[u8]) -> Result<Option<u32>, &'static str> {
    let mut rest = block;
    while !rest.is_empty() {
        let len = entry_len(rest, block.len());
        if len < HEADER || len > rest.len() || !len.is_multiple_of(4) {
            return Err("an entry of a wrong length");
        }
        let (entry, behind) = rest.split_at(len);
        let number = u32_at(entry, 0);
        let Some(entry_name) = entry[HEADER..].get(..usize::from(entry[6])) else {
            return Err("a name longer than its entry");
        };
        if number != 0 && entry_name == name {
            return Ok(Some(number));
        }
        rest = behind;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u32, name: &[u8], len: usize) -> Vec<u8> {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend((len as u16).to_le_bytes());
        bytes.extend([name.len() as u8, 1]);
        bytes.extend(name);
        bytes.resize(bytes.len().max(len % 65536), 0);
        bytes
    }

    #[test]
    fn names_are_found_whole_and_only_where_they_are_used() {
        let block = [
            entry(5, b"one", 12),
            entry(0, b"gone", 16),
            entry(7, b"on", 36),
        ]
        .concat();
        assert_eq!(find(&block, b"one"), Ok(Some(5)));
        assert_eq!(find(&block, b"on"), Ok(Some(7)));
        assert_eq!(find(&block, b"gone"), Ok(None));
        assert_eq!(find(&block, b"o"), Ok(None));
    }

    #[test]
    fn wrong_lengths_are_errors() {
        for len in [0, 4, 13, 20] {
            assert!(
                find(&entry(5, b"", len)[..8.max(len.min(16))], b"x").is_err(),
                "{len}"
            );
        }
        assert!(find(&entry(5, b"12345", 12)[..12], b"x").is_err());
        assert!(find(&[1, 0, 0], b"x").is_err());
    }

    #[test]
    fn an_entry_can_be_as_long_as_the_largest_block() {
        let mut block = entry(0, b"", 0xffff);
        block.resize(1 << 16, 0);
        assert!(is_unused(&block));
        assert_eq!(find(&block, b"x"), Ok(None));
    }
}
