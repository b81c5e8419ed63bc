//! A small file system for tests, made by hand.
//!
//! 64 blocks of 1 KiB, 16 inodes of 256 bytes in a table from block 3 on. The root directory has
//! `file` (inode 12), `plain` (13, without extents) and `folder` (14, indexed), which has `leaf`
//! (15, with its only extent in the inode).

use super::Source;
use super::checksum::Checksum;
use std::vec::Vec;

pub(super) const BLOCK: usize = 1024;
pub(super) const BLOCKS: usize = 64;
pub(super) const FILE: u32 = 12;
/// `file` has this many bytes, in 11 blocks.
pub(super) const FILE_LEN: usize = 10 * BLOCK + 100;
pub(super) const ROOT_BLOCK: usize = 7;
pub(super) const LEAF_BLOCK: usize = 8;
/// Leaf of `folder`, whose first block is the root of a hash tree.
pub(super) const NAMES_BLOCK: usize = 10;
/// The extents of `file`: in the file, on the disk, length as stored. The first two touch, block 3
/// is in a hole, the next two only touch in the file, and the one after them is not written.
pub(super) const EXTENTS: [(u32, u32, u16); 6] = [
    (0, 20, 2),
    (2, 22, 1),
    (4, 30, 2),
    (6, 45, 1),
    (7, 40, (1 << 15) + 2),
    (9, 50, 2),
];

/// The image, and whether it has checksums.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    has_checksums: bool,
}

impl Source for Image {
    fn read(
        &self,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
        let rest = self.bytes.get(start as usize..);
        let bytes = rest.and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(bytes.ok_or("beyond the end")?);
        Ok(())
    }
}

impl Image {
    pub(super) fn new(has_checksums: bool) -> Self {
        let bytes = vec![0; BLOCK * BLOCKS];
        let mut image = Self {
            bytes,
            has_checksums,
        };
        image.superblock();
        image.put32(2 * BLOCK + 8, 3); // the inode table

        image.inode(2, 0x4000, 0x8_0000, BLOCK, 0, &[(0, ROOT_BLOCK as u32, 1)]);
        image.inode(FILE, 0x8000, 0x8_0000, FILE_LEN, 1, &[(0, 0, 0)]);
        let index = image.inode_at(FILE) + 0x28 + 12;
        image.put32(index, 0);
        image.put32(index + 4, LEAF_BLOCK as u32);
        image.put32(index + 8, 0);
        image.inode(13, 0x8000, 0, 5, 0, &[]);
        image.inode(14, 0x4000, 0x8_1000, 2 * BLOCK, 0, &[(0, 9, 2)]);
        image.inode(15, 0x8000, 0x8_0000, 5, 0, &[(0, 60, 1)]);

        image.names(
            ROOT_BLOCK,
            &[
                (2, "."),
                (2, ".."),
                (12, "file"),
                (13, "plain"),
                (14, "folder"),
            ],
        );
        image.names(9, &[(14, "."), (2, "..")]);
        image.names(NAMES_BLOCK, &[(15, "leaf")]);
        image.node(LEAF_BLOCK * BLOCK, 84, 0, &EXTENTS);
        for block in 20..BLOCKS {
            for (at, byte) in image.bytes[block * BLOCK..][..BLOCK].iter_mut().enumerate() {
                *byte = (block * 7 + at * 3 + at / 256) as u8 | 1;
            }
        }
        image.seal();
        image
    }

    /// What `file` holds, by the table of extents and nothing else.
    pub(super) fn file_content(&self) -> Vec<u8> {
        let mut content = vec![0; 11 * BLOCK];
        for (logical, physical, len) in EXTENTS {
            if len < 1 << 15 {
                let (to, len) = (logical as usize * BLOCK, usize::from(len) * BLOCK);
                let from = physical as usize * BLOCK;
                content[to..to + len].copy_from_slice(&self.bytes[from..from + len]);
            }
        }
        content.truncate(FILE_LEN);
        content
    }

    pub(super) fn inode_at(&self, number: u32) -> usize {
        3 * BLOCK + (number as usize - 1) * 256
    }

    pub(super) fn put16(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    pub(super) fn put32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn superblock(&mut self) {
        let fields = [
            (0x0, 16), // inodes
            (0x4, BLOCKS as u32),
            (0x14, 1),    // first block
            (0x18, 0),    // blocks of 1 KiB
            (0x20, 8192), // blocks of a group
            (0x28, 16),   // inodes of a group
            (0x38, 0xef53),
            (0x58, 256),  // bytes of an inode
            (0x60, 0x42), // extents, file types
            (0x64, if self.has_checksums { 0x400 } else { 0 }),
            (0x68, 0x1234_5678), // UUID
        ];
        for (at, value) in fields {
            self.put32(1024 + at, value);
        }
    }

    fn inode(
        &mut self,
        number: u32,
        mode: u16,
        flags: u32,
        len: usize,
        depth: u16,
        extents: &[(u32, u32, u16)],
    ) {
        let at = self.inode_at(number);
        self.put16(at, mode);
        self.put32(at + 4, len as u32);
        self.put32(at + 0x20, flags);
        self.put32(at + 0x64, number * 77); // generation
        self.put16(at + 0x80, 32); // bytes beyond the first 128
        self.node(at + 0x28, 4, depth, extents);
    }

    pub(super) fn node(&mut self, at: usize, most: u16, depth: u16, extents: &[(u32, u32, u16)]) {
        for (index, field) in [0xf30a, extents.len() as u16, most, depth]
            .into_iter()
            .enumerate()
        {
            self.put16(at + index * 2, field);
        }
        for (index, (logical, physical, len)) in extents.iter().enumerate() {
            let at = at + 12 + index * 12;
            self.put32(at, *logical);
            self.put16(at + 4, *len);
            self.put16(at + 6, 0);
            self.put32(at + 8, *physical);
        }
    }

    fn names(&mut self, block: usize, names: &[(u32, &str)]) {
        let mut at = block * BLOCK;
        let end = at + BLOCK
            - if self.has_checksums && block != 9 {
                12
            } else {
                0
            };
        for (index, (number, name)) in names.iter().enumerate() {
            let len = if index + 1 == names.len() {
                end - at
            } else {
                (8 + name.len()).next_multiple_of(4)
            };
            self.put32(at, *number);
            self.put16(at + 4, len as u16);
            self.bytes[at + 6] = name.len() as u8;
            self.bytes[at + 8..][..name.len()].copy_from_slice(name.as_bytes());
            at += len;
        }
    }

    /// Computes all checksums anew.
    pub(super) fn seal(&mut self) {
        if !self.has_checksums {
            return;
        }
        let sum = Checksum::START.with(&self.bytes[1024..1024 + 0x3fc]);
        self.put32(1024 + 0x3fc, sum.get());
        let seed = Checksum::START.with(&self.bytes[1024 + 0x68..][..16]);
        self.put16(2 * BLOCK + 0x1e, 0);
        let sum = seed.with(&[0; 4]).with(&self.bytes[2 * BLOCK..][..32]);
        self.put16(2 * BLOCK + 0x1e, sum.get() as u16);
        for number in [2, FILE, 13, 14, 15] {
            let at = self.inode_at(number);
            self.put16(at + 0x7c, 0);
            self.put16(at + 0x82, 0);
            let own = seed
                .with(&number.to_le_bytes())
                .with(&self.bytes[at + 0x64..][..4]);
            let sum = own.with(&self.bytes[at..at + 256]).get();
            self.put16(at + 0x7c, sum as u16);
            self.put16(at + 0x82, (sum >> 16) as u16);
            // Its block, and where the checksum is in that.
            let (block, protected, at) = match number {
                2 => (ROOT_BLOCK, BLOCK - 12, BLOCK - 4),
                FILE => (LEAF_BLOCK, BLOCK - 4, BLOCK - 4),
                14 => (NAMES_BLOCK, BLOCK - 12, BLOCK - 4),
                _ => continue,
            };
            let start = block * BLOCK;
            if protected == BLOCK - 12 {
                self.put32(start + protected, 0);
                self.put32(start + protected + 4, 0xde00_000c);
            }
            let sum = own.with(&self.bytes[start..start + protected]).get();
            self.put32(start + at, sum);
        }
    }
}
