//! Partition tables: GPT (UEFI specification 2.10, chapter 5) and MBR.
//!
//! Everything in a table comes from the disk and is checked: a table with a wrong checksum is not
//! used, and an entry that does not lie within the disk is reported and left out.

use crate::block::{BlockDevice, BlockError, Geometry, load};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use gpt_disk_types::{
    BlockSize, GptHeader, GptPartitionEntry, GptPartitionEntryArray, MasterBootRecord,
};

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

/// What ends a boot record.
const SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// Finds the partitions of a disk. A disk without a table has none, and that is no error.
pub async fn find(disk: &dyn BlockDevice) -> Table {
    let read = async |start: u64, into: &mut [u8]| load(disk, start, into).await;
    let table = parse(disk.geometry(), &read).await;
    table.unwrap_or_else(|error| Table {
        extents: Vec::new(),
        errors: vec![error],
    })
}

/// Reads bytes of a disk.
trait Read: AsyncFn(u64, &mut [u8]) -> Result<(), BlockError> {}

impl<T: AsyncFn(u64, &mut [u8]) -> Result<(), BlockError>> Read for T {}

async fn parse(geometry: Geometry, read: &impl Read) -> Result<Table, TableError> {
    const PROTECTIVE: u8 = 0xee;
    if geometry.bytes() < 4096 {
        return Ok(Table::default());
    }
    let mut sector = [0; size_of::<MasterBootRecord>()];
    read(0, &mut sector).await?;
    let mbr: MasterBootRecord = bytemuck::pod_read_unaligned(&sector);
    if mbr.signature != SIGNATURE {
        return Ok(Table::default());
    }
    if mbr
        .partitions
        .iter()
        .any(|record| record.os_indicator == PROTECTIVE)
    {
        return parse_gpt(geometry, read).await;
    }
    mbr_table(geometry, read, &mbr).await
}

/// Partition types that hold a chain of logical partitions.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

async fn mbr_table(
    geometry: Geometry,
    read: &impl Read,
    mbr: &MasterBootRecord,
) -> Result<Table, TableError> {
    // A boot sector of a file system has the signature too, and code where the records would be.
    let sound =
        |record: &gpt_disk_types::MbrPartitionRecord| matches!(record.boot_indicator, 0 | 0x80);
    if !mbr.partitions.iter().all(sound) {
        return Ok(Table::default());
    }
    let mut table = Table::default();
    for (number, record) in (1..).zip(&mbr.partitions) {
        let (first, blocks) = (
            u64::from(record.starting_lba.to_u32()),
            u64::from(record.size_in_lba.to_u32()),
        );
        if record.os_indicator == 0 || blocks == 0 {
            continue;
        }
        if EXTENDED.contains(&record.os_indicator) {
            table.add_logical(geometry, read, first).await?;
        } else {
            table.add(geometry, number, first, blocks);
        }
    }
    Ok(table)
}

impl Table {
    /// Follows the chain of records in an extended partition. Each has one logical partition, which
    /// it places relative to itself, and the next record, relative to the extended partition.
    async fn add_logical(
        &mut self,
        geometry: Geometry,
        read: &impl Read,
        extended: u64,
    ) -> Result<(), TableError> {
        /// The numbers of logical partitions. A longer chain is a circle.
        const NUMBERS: core::ops::Range<u32> = 5..128;
        let mut place = extended;
        for number in NUMBERS {
            if place >= geometry.blocks {
                self.errors.push(TableError::Entry(number));
                return Ok(());
            }
            let mut sector = [0; size_of::<MasterBootRecord>()];
            read(place * u64::from(geometry.block_size), &mut sector).await?;
            let record: MasterBootRecord = bytemuck::pod_read_unaligned(&sector);
            let [logical, next, ..] = record.partitions;
            if record.signature != SIGNATURE {
                self.errors.push(TableError::Entry(number));
                return Ok(());
            }
            let (first, blocks) = (logical.starting_lba.to_u32(), logical.size_in_lba.to_u32());
            if logical.os_indicator != 0 && blocks != 0 {
                self.add(
                    geometry,
                    number,
                    place + u64::from(first),
                    u64::from(blocks),
                );
            }
            if !EXTENDED.contains(&next.os_indicator) {
                return Ok(());
            }
            place = extended + u64::from(next.starting_lba.to_u32());
        }
        Ok(())
    }

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
async fn gpt_header(
    geometry: Geometry,
    read: &impl Read,
    block: u64,
) -> Result<Option<GptHeader>, BlockError> {
    let mut bytes = [0; size_of::<GptHeader>()];
    read(block * u64::from(geometry.block_size), &mut bytes).await?;
    let header: GptHeader = bytemuck::pod_read_unaligned(&bytes);
    // The checksum covers `header_size` bytes; only the standard size is defined.
    let sound = header.is_signature_valid()
        && header.header_size.to_u32() as usize == size_of::<GptHeader>()
        && header.calculate_header_crc32() == header.header_crc32
        && header.my_lba.to_u64() == block;
    Ok(sound.then_some(header))
}

/// The entries by the first header, or (UEFI specification, section 5.3.2) by the one in the last
/// block, if anything is wrong with the first or with what it leads to.
async fn parse_gpt(geometry: Geometry, read: &impl Read) -> Result<Table, TableError> {
    const PRIMARY: u64 = 1;
    let entries = match entries_by(geometry, read, PRIMARY).await {
        Ok(entries) => entries,
        Err(first) => {
            let second = entries_by(geometry, read, geometry.blocks - 1).await;
            second.map_err(|_| first)?
        }
    };
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

/// The entries that the header at a block leads to.
async fn entries_by(
    geometry: Geometry,
    read: &impl Read,
    block: u64,
) -> Result<Vec<GptPartitionEntry>, TableError> {
    let header = gpt_header(geometry, read, block).await?;
    gpt_entries(geometry, read, &header.ok_or(TableError::GptHeader)?).await
}

async fn gpt_entries(
    geometry: Geometry,
    read: &impl Read,
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
    read(start, &mut storage).await?;
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
#[path = "table_tests.rs"]
mod tests;
