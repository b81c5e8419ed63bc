//! The superblock: the sizes that everything else is found by ("Super Block").

use super::checksum::Checksum;
use super::error::{Corrupt, WRONG_CHECKSUM};
use super::fields::{u16_at, u32_at, wide};

/// Where it starts on the disk, and its bytes.
pub(super) const START: u64 = 1024;
pub(super) const LEN: usize = 1024;

/// Features without which a reader may misunderstand (`s_feature_incompat`): file types in
/// directories, extents, 64 bits, groups whose tables lie elsewhere, a stored seed, and inodes that
/// may be encrypted, which say so themselves. A journal to be replayed is not among them.
const UNDERSTOOD: u32 = 0x2 | EXTENTS | WIDE | 0x200 | STORED_SEED | 0x1_0000;
const EXTENTS: u32 = 0x40;
const WIDE: u32 = 0x80;
const STORED_SEED: u32 = 0x2000;

/// Features that only matter to a writer (`s_feature_ro_compat`), except for these.
const CLUSTERS: u32 = 0x200;
const METADATA_CHECKSUMS: u32 = 0x400;

/// What the superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Bytes of a block: a power of two from 1 KiB to 64 KiB.
    pub(super) block_size: u64,
    /// Blocks of the file system.
    pub(super) blocks: u64,
    /// The block that the superblock is in. The group descriptors start in the next one.
    pub(super) first_block: u64,
    /// The number of groups.
    pub(super) groups: u64,
    /// The number of inodes. They are counted from 1.
    pub(super) inodes: u32,
    /// Inodes of a group, at least 1.
    pub(super) inodes_per_group: u32,
    /// Bytes of an inode: a power of two from 128 to a block.
    pub(super) inode_len: usize,
    /// Bytes of a group descriptor.
    pub(super) descriptor_len: usize,
    /// What checksums start from, if there are any.
    pub(super) seed: Option<Checksum>,
}

impl Superblock {
    /// `None`: a feature is not understood.
    pub(super) fn parse(bytes: &[u8; LEN]) -> Result<Option<Self>, Corrupt> {
        if u16_at(bytes, 0x38) != 0xef53 {
            return Err(Corrupt::Superblock("no magic number"));
        }
        let features = u32_at(bytes, 0x60);
        let ro_features = u32_at(bytes, 0x64);
        if features & !UNDERSTOOD != 0 || features & EXTENTS == 0 || ro_features & CLUSTERS != 0 {
            return Ok(None);
        }
        let has_checksums = ro_features & METADATA_CHECKSUMS != 0;
        if has_checksums && !Checksum::START.protects(bytes, 0x3fc, 0x3fc) {
            return Err(Corrupt::Superblock(WRONG_CHECKSUM));
        }
        let seed = if features & STORED_SEED != 0 {
            Checksum::from_seed(u32_at(bytes, 0x270))
        } else {
            Checksum::START.with(&bytes[0x68..0x78])
        };

        let log_block_size = u32_at(bytes, 0x18);
        if log_block_size > 6 {
            return Err(Corrupt::Superblock("a wrong block size"));
        }
        let block_size = 1024 << log_block_size;
        let high_blocks = if features & WIDE != 0 {
            u32_at(bytes, 0x150)
        } else {
            0
        };
        let blocks = wide(bytes, 0x4, high_blocks);
        if blocks.checked_mul(block_size).is_none() {
            return Err(Corrupt::Superblock("too many blocks"));
        }
        let first_block = u64::from(u32_at(bytes, 0x14));
        if first_block != START / block_size || first_block >= blocks {
            return Err(Corrupt::Superblock("a wrong first block"));
        }
        let blocks_per_group = u64::from(u32_at(bytes, 0x20));
        let inodes_per_group = u32_at(bytes, 0x28);
        if blocks_per_group == 0 || inodes_per_group == 0 {
            return Err(Corrupt::Superblock("empty groups"));
        }
        let inode_len = usize::from(u16_at(bytes, 0x58));
        if !inode_len.is_power_of_two() || inode_len < 128 || inode_len as u64 > block_size {
            return Err(Corrupt::Superblock("a wrong inode size"));
        }
        let descriptor_len = if features & WIDE != 0 {
            usize::from(u16_at(bytes, 0xfe))
        } else {
            32
        };
        if !descriptor_len.is_power_of_two() || !(32..=1024).contains(&descriptor_len) {
            return Err(Corrupt::Superblock("a wrong descriptor size"));
        }
        Ok(Some(Self {
            block_size,
            blocks,
            first_block,
            groups: (blocks - first_block).div_ceil(blocks_per_group),
            inodes: u32_at(bytes, 0),
            inodes_per_group,
            inode_len,
            descriptor_len,
            seed: has_checksums.then_some(seed),
        }))
    }

    /// Whether these blocks can hold data: inside the file system, behind the superblock.
    pub(super) fn has(&self, block: u64, count: u64) -> bool {
        let end = block.checked_add(count);
        block > self.first_block && end.is_some_and(|end| end <= self.blocks)
    }
}
