//! Partitions: GPT (UEFI specification 2.10, chapter 5) and MBR.
//!
//! Everything in a table comes from the disk and is checked: a table with a wrong checksum is not
//! used, and an entry that does not lie within the disk is reported and left out.

use super::{BlockDevice, BlockError, Geometry, Request, read_at};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use gpt_disk_types::{
    BlockSize, GptHeader, GptPartitionEntry, GptPartitionEntryArray, MasterBootRecord,
};

/// A run of blocks of another device.
pub struct Partition {
    disk: Arc<dyn BlockDevice>,
    name: String,
    extent: Extent,
}

/// Where a partition lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its number in the table, from 1.
    pub number: u32,
    /// The first block.
    pub first: u64,
    /// The number of blocks, not 0.
    pub blocks: u64,
}

/// Why a table, or an entry of one, is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableError {
    /// The disk cannot be read.
    Read(BlockError),
    /// Both GPT headers are damaged.
    GptHeader,
    /// The checksum of the GPT entries is wrong.
    GptEntries,
    /// An entry is empty, reversed, or not within the disk.
    Entry(u32),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the partition table cannot be read: {error}"),
            Self::GptHeader => write!(f, "both GPT headers are damaged"),
            Self::GptEntries => write!(f, "the GPT partition entries have a wrong checksum"),
            Self::Entry(number) => write!(f, "partition {number} does not lie within the disk"),
        }
    }
}

impl core::error::Error for TableError {}

impl From<BlockError> for TableError {
    fn from(error: BlockError) -> Self {
        Self::Read(error)
    }
}

/// What a partition table says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The partitions that can be used.
    pub extents: Vec<Extent>,
    /// What is wrong with the rest.
    pub errors: Vec<TableError>,
}

/// Reads bytes of a disk.
type Read<'a> = &'a dyn Fn(u64, &mut [u8]) -> Result<(), BlockError>;

/// Finds the partitions of a disk. A disk without a table has none, and that is no error.
pub fn find(disk: &dyn BlockDevice) -> Table {
    let read = |start: u64, into: &mut [u8]| read_at(disk, start, into);
    parse(disk.geometry(), &read).unwrap_or_else(|error| Table {
        extents: Vec::new(),
        errors: vec![error],
    })
}

impl Partition {
    /// A partition of a disk, named after it.
    pub fn new(disk: Arc<dyn BlockDevice>, extent: Extent) -> Self {
        let name = format!("{}p{}", disk.name(), extent.number);
        Self { disk, name, extent }
    }
}

impl BlockDevice for Partition {
    fn name(&self) -> &str {
        &self.name
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            blocks: self.extent.blocks,
            ..self.disk.geometry()
        }
    }

    fn submit(&self, request: Request<'_>) -> Result<(), BlockError> {
        let bytes = match &request.data {
            super::Data::Read(buffer) => buffer.bytes(),
            super::Data::Write(buffer) => buffer.bytes(),
            super::Data::Flush => 0,
        };
        let blocks = bytes.div_ceil(u64::from(self.geometry().block_size));
        let end = request
            .block
            .checked_add(blocks)
            .filter(|end| *end <= self.extent.blocks);
        end.ok_or(BlockError::OutOfRange)?;
        self.disk.submit(Request {
            block: self.extent.first + request.block,
            data: request.data,
        })
    }
}

fn parse(geometry: Geometry, read: Read<'_>) -> Result<Table, TableError> {
    const SIGNATURE: [u8; 2] = [0x55, 0xaa];
    const PROTECTIVE: u8 = 0xee;
    if geometry.bytes() < 4096 {
        return Ok(Table::default());
    }
    let mut sector = [0; size_of::<MasterBootRecord>()];
    read(0, &mut sector)?;
    let mbr: MasterBootRecord = bytemuck::pod_read_unaligned(&sector);
    if mbr.signature != SIGNATURE {
        return Ok(Table::default());
    }
    if mbr
        .partitions
        .iter()
        .any(|record| record.os_indicator == PROTECTIVE)
    {
        return parse_gpt(geometry, read);
    }
    Ok(mbr_table(geometry, &mbr))
}

fn mbr_table(geometry: Geometry, mbr: &MasterBootRecord) -> Table {
    // A boot sector of a file system has the signature too, and code where the records would be.
    let sound =
        |record: &gpt_disk_types::MbrPartitionRecord| matches!(record.boot_indicator, 0 | 0x80);
    if !mbr.partitions.iter().all(sound) {
        return Table::default();
    }
    let mut table = Table::default();
    for (number, record) in (1..).zip(&mbr.partitions) {
        let (first, blocks) = (record.starting_lba.to_u32(), record.size_in_lba.to_u32());
        if record.os_indicator != 0 && blocks != 0 {
            table.add(geometry, number, u64::from(first), u64::from(blocks));
        }
    }
    table
}

impl Table {
    fn add(&mut self, geometry: Geometry, number: u32, first: u64, blocks: u64) {
        let within = blocks > 0
            && first
                .checked_add(blocks)
                .is_some_and(|end| end <= geometry.blocks);
        if within {
            self.extents.push(Extent {
                number,
                first,
                blocks,
            });
        } else {
            self.errors.push(TableError::Entry(number));
        }
    }
}

/// The header at a block, if its signature, checksum and own address are right.
fn gpt_header(
    geometry: Geometry,
    read: Read<'_>,
    block: u64,
) -> Result<Option<GptHeader>, BlockError> {
    let mut bytes = [0; size_of::<GptHeader>()];
    read(block * u64::from(geometry.block_size), &mut bytes)?;
    let header: GptHeader = bytemuck::pod_read_unaligned(&bytes);
    // The checksum covers `header_size` bytes; only the standard size is defined.
    let sound = header.is_signature_valid()
        && header.header_size.to_u32() as usize == size_of::<GptHeader>()
        && header.calculate_header_crc32() == header.header_crc32
        && header.my_lba.to_u64() == block;
    Ok(sound.then_some(header))
}

fn parse_gpt(geometry: Geometry, read: Read<'_>) -> Result<Table, TableError> {
    const PRIMARY: u64 = 1;
    let header = match gpt_header(geometry, read, PRIMARY)? {
        Some(header) => header,
        None => gpt_header(geometry, read, geometry.blocks - 1)?.ok_or(TableError::GptHeader)?,
    };
    let entries = gpt_entries(geometry, read, &header)?;
    let mut table = Table::default();
    for (number, entry) in (1..).zip(entries).filter(|(_, entry)| entry.is_used()) {
        let (first, last) = (entry.starting_lba.to_u64(), entry.ending_lba.to_u64());
        let blocks = last
            .checked_sub(first)
            .and_then(|more| more.checked_add(1))
            .unwrap_or(0);
        table.add(geometry, number, first, blocks);
    }
    Ok(table)
}

fn gpt_entries(
    geometry: Geometry,
    read: Read<'_>,
    header: &GptHeader,
) -> Result<Vec<GptPartitionEntry>, TableError> {
    /// The standard asks for 16 KiB; more than this is no sane table.
    const LARGEST: usize = 1 << 20;
    let damaged = TableError::GptEntries;
    let block_size = BlockSize::new(geometry.block_size).ok_or(damaged.clone())?;
    let layout = header
        .get_partition_entry_array_layout()
        .map_err(|_| damaged.clone())?;
    let len = layout
        .num_bytes_rounded_to_block_as_usize(block_size)
        .filter(|len| *len <= LARGEST)
        .ok_or(damaged.clone())?;
    let start = layout
        .start_lba
        .to_u64()
        .checked_mul(u64::from(geometry.block_size))
        .ok_or(damaged.clone())?;
    let mut storage = vec![0; len];
    read(start, &mut storage)?;
    let array = GptPartitionEntryArray::new(layout, block_size, &mut storage)
        .map_err(|_| damaged.clone())?;
    if array.calculate_crc32() != header.partition_entry_array_crc32 {
        return Err(damaged);
    }
    Ok((0..layout.num_entries)
        .filter_map(|index| array.get_partition_entry(index).copied())
        .collect())
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
