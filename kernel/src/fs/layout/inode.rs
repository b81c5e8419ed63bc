//! Inodes, and the group descriptors that they are found by ("Index Nodes", "Block Group
//! Descriptors").

use super::checksum::Checksum;
use super::error::{Corrupt, WRONG_CHECKSUM};
use super::fields::{u16_at, u32_at, wide};
use super::superblock::Superblock;
use super::{ReadError, Source, zeros};

/// The bytes of an inode that say where its data is (`i_block`).
pub(super) const ROOT_LEN: usize = 60;
const ROOT_AT: usize = 0x28;

/// Halves of the checksum, and the length of what an inode has beyond its first 128 bytes.
const CHECKSUM_LOW: usize = 0x7c;
const CHECKSUM_HIGH: usize = 0x82;
const EXTRA_LEN: usize = 0x80;

/// Flags (`i_flags`): data in extents; and what makes data something else than blocks to be read:
/// encryption, verity, the value of an attribute, data in the inode itself.
const EXTENTS: u32 = 0x8_0000;
const UNUSUAL: u32 = 0x800 | 0x10_0000 | 0x20_0000 | 0x1000_0000;
const INDEXED: u32 = 0x1000;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// Something else.
    Other,
}

/// What an inode says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inode {
    /// Its number.
    pub(super) number: u32,
    /// What it is.
    pub(super) kind: Kind,
    /// Bytes of its data.
    pub(super) len: u64,
    /// Whether its data is in blocks that an extent tree names.
    pub(super) has_extents: bool,
    /// Whether it is a directory with a hash tree.
    pub(super) is_indexed: bool,
    /// The root of the extent tree.
    pub(super) root: [u8; ROOT_LEN],
    /// What the checksums of its other structures start from, if there are any.
    pub(super) seed: Option<Checksum>,
}

impl Inode {
    /// Reads the inode of a number.
    pub(super) fn read(
        source: &dyn Source,
        superblock: &Superblock,
        number: u32,
    ) -> Result<Self, ReadError> {
        if number == 0 || number > superblock.inodes {
            return Err(Corrupt::InodeNumber(number).into());
        }
        let group = (number - 1) / superblock.inodes_per_group;
        let index = (number - 1) % superblock.inodes_per_group;
        if u64::from(group) >= superblock.groups {
            return Err(Corrupt::InodeNumber(number).into());
        }
        let mut descriptor = zeros(superblock.descriptor_len)?;
        // There are at most 2^32 groups, and a descriptor is at most 1 KiB: no overflow.
        let start = (superblock.first_block + 1) * superblock.block_size
            + u64::from(group) * superblock.descriptor_len as u64;
        source
            .read(start, &mut descriptor)
            .map_err(ReadError::Device)?;
        let table = inode_table(superblock, group, &descriptor)?;

        // At most 2^32 inodes of 64 KiB.
        let offset = u64::from(index) * superblock.inode_len as u64;
        let block = table.checked_add(offset / superblock.block_size);
        let Some(block) = block.filter(|block| superblock.has(*block, 1)) else {
            return Err(Corrupt::Descriptor(group, "inodes beyond the end").into());
        };
        let mut bytes = zeros(superblock.inode_len)?;
        let start = block * superblock.block_size + offset % superblock.block_size;
        source.read(start, &mut bytes).map_err(ReadError::Device)?;
        Ok(Self::parse(superblock, number, &bytes)?)
    }

    /// Understands the bytes of an inode.
    fn parse(superblock: &Superblock, number: u32, bytes: &[u8]) -> Result<Self, Corrupt> {
        let root = bytes.get(ROOT_AT..).and_then(<[u8]>::first_chunk);
        let (Some(root), true) = (root, bytes.len() >= EXTRA_LEN) else {
            return Err(Corrupt::Inode(number, "too few bytes"));
        };
        let generation = &bytes[0x64..0x68];
        let seed = superblock
            .seed
            .map(|seed| seed.with(&number.to_le_bytes()).with(generation));
        if seed.is_some_and(|seed| !is_intact(seed, bytes)) {
            return Err(Corrupt::Inode(number, WRONG_CHECKSUM));
        }
        let kind = match u16_at(bytes, 0) & 0xf000 {
            0x8000 => Kind::Regular,
            0x4000 => Kind::Directory,
            _ => Kind::Other,
        };
        let len = wide(bytes, 0x4, u32_at(bytes, 0x6c));
        // Blocks of a file are counted by 32 bits.
        if len > superblock.block_size << 32 {
            return Err(Corrupt::Inode(number, "a length that no file can have"));
        }
        let flags = u32_at(bytes, 0x20);
        Ok(Self {
            number,
            kind,
            len,
            has_extents: flags & EXTENTS != 0 && flags & UNUSUAL == 0,
            is_indexed: flags & INDEXED != 0,
            root: *root,
            seed,
        })
    }
}

/// The block in which a group's inodes start.
fn inode_table(superblock: &Superblock, group: u32, descriptor: &[u8]) -> Result<u64, Corrupt> {
    if let Some(seed) = superblock.seed {
        let (before, after) = descriptor.split_at(0x1e);
        let checksum = seed.with(&group.to_le_bytes()).with(before);
        let checksum = checksum.with(&[0; 2]).with(&after[2..]);
        if checksum.get() as u16 != u16_at(descriptor, 0x1e) {
            return Err(Corrupt::Descriptor(group, WRONG_CHECKSUM));
        }
    }
    // A short descriptor has no upper half, which then reads as zero.
    Ok(wide(descriptor, 0x8, u32_at(descriptor, 0x28)))
}

/// Whether the checksum of an inode of at least 128 bytes is right. The two fields that hold it
/// count as zeros.
fn is_intact(seed: Checksum, bytes: &[u8]) -> bool {
    let (first, extra) = bytes.split_at(EXTRA_LEN);
    let checksum = seed.with(&first[..CHECKSUM_LOW]).with(&[0; 2]);
    let checksum = checksum.with(&first[CHECKSUM_LOW + 2..]);
    let low = u16_at(bytes, CHECKSUM_LOW);
    // The upper half counts if the inode says that it goes on so far.
    if extra.len() < 4 || u16_at(extra, 0) < 4 {
        return checksum.with(extra).get() as u16 == low;
    }
    let checksum = checksum.with(&extra[..2]).with(&[0; 2]).with(&extra[4..]);
    checksum.get() == u32::from(u16_at(bytes, CHECKSUM_HIGH)) << 16 | u32::from(low)
}
