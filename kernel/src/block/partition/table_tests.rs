//! Disks made by hand: whole, damaged and hostile.

use super::*;
use crate::block::blocking::wait;
use gpt_disk_types::{Crc32, GptPartitionType, LbaLe, U32Le, guid};

const BLOCKS: u64 = 4096;

fn geometry(block_size: u32) -> Geometry {
    Geometry {
        block_size,
        blocks: BLOCKS,
        writable: false,
    }
}

fn parse_bytes(disk: &[u8], block_size: u32) -> Result<Table, TableError> {
    let read = async |start: u64, into: &mut [u8]| {
        let end = start
            .checked_add(into.len() as u64)
            .ok_or(BlockError::OutOfRange)?;
        into.copy_from_slice(
            disk.get(start as usize..end as usize)
                .ok_or(BlockError::OutOfRange)?,
        );
        Ok(())
    };
    wait(parse(geometry(block_size), &read))
}

fn mbr_disk(records: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut disk = vec![0; BLOCKS as usize * 512];
    for (index, (kind, first, blocks)) in records.iter().enumerate() {
        let record = &mut disk[446 + 16 * index..][..16];
        record[4] = *kind;
        record[8..12].copy_from_slice(&first.to_le_bytes());
        record[12..16].copy_from_slice(&blocks.to_le_bytes());
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// A GPT with both headers and these `(first, last)` entries.
fn gpt_disk(block_size: usize, entries: &[(u64, u64)]) -> Vec<u8> {
    let mut disk = mbr_disk(&[(0xee, 1, u32::MAX)]);
    disk.resize(BLOCKS as usize * block_size, 0);
    let mut array = vec![0; 128 * 128];
    for (index, (first, last)) in entries.iter().enumerate() {
        let entry = GptPartitionEntry {
            partition_type_guid: GptPartitionType(guid!("0fc63daf-8483-4772-8e79-3d69d8477de4")),
            starting_lba: LbaLe::from_u64(*first),
            ending_lba: LbaLe::from_u64(*last),
            ..Default::default()
        };
        array[128 * index..][..128].copy_from_slice(bytemuck::bytes_of(&entry));
    }
    let entry_blocks = array.len().div_ceil(block_size) as u64;
    for (block, entries_at) in [(1, 2), (BLOCKS - 1, BLOCKS - 1 - entry_blocks)] {
        disk[entries_at as usize * block_size..][..array.len()].copy_from_slice(&array);
        let mut header = GptHeader {
            my_lba: LbaLe::from_u64(block),
            partition_entry_lba: LbaLe::from_u64(entries_at),
            number_of_partition_entries: U32Le::from_u32(128),
            partition_entry_array_crc32: Crc32(U32Le::from_u32(crc32(&array))),
            ..Default::default()
        };
        header.update_header_crc32();
        disk[block as usize * block_size..][..size_of::<GptHeader>()]
            .copy_from_slice(bytemuck::bytes_of(&header));
    }
    disk
}

/// The checksum, bit by bit, so that the library is checked against something.
fn crc32(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 != 0 {
                sum >> 1 ^ 0xedb8_8320
            } else {
                sum >> 1
            }
        })
    });
    !sum
}

fn extent(number: u32, first: u64, blocks: u64) -> Extent {
    Extent {
        number,
        first,
        blocks,
    }
}

#[test]
fn a_disk_without_a_table_has_no_partitions_and_no_errors() {
    assert_eq!(
        parse_bytes(&vec![0; BLOCKS as usize * 512], 512),
        Ok(Table::default())
    );
}

#[test]
fn mbr_partitions_are_found_in_both_block_sizes() {
    let disk = mbr_disk(&[(0x83, 64, 1000), (0, 5, 5), (0x83, 2048, 2048)]);
    let table = parse_bytes(&disk, 512).unwrap();
    assert_eq!(table.extents, [extent(1, 64, 1000), extent(3, 2048, 2048)]);
    let mut large = disk.clone();
    large.resize(BLOCKS as usize * 4096, 0);
    assert_eq!(parse_bytes(&large, 4096).unwrap().extents.len(), 2);
}

#[test]
fn mbr_partitions_beyond_the_disk_are_reported() {
    let table = parse_bytes(&mbr_disk(&[(0x83, 64, 100), (0x83, 4000, 97)]), 512).unwrap();
    assert_eq!(
        (table.extents.len(), table.errors),
        (1, vec![TableError::Entry(2)])
    );
}

#[test]
fn a_boot_sector_with_code_is_no_table() {
    let mut disk = mbr_disk(&[(0x83, 64, 1000)]);
    disk[446] = 0x33;
    assert_eq!(parse_bytes(&disk, 512), Ok(Table::default()));
}

#[test]
fn gpt_partitions_are_found_in_both_block_sizes() {
    for block_size in [512, 4096] {
        let table = parse_bytes(
            &gpt_disk(block_size, &[(64, 127), (2048, 4000)]),
            block_size as u32,
        )
        .unwrap();
        assert_eq!(
            table.extents,
            [extent(1, 64, 64), extent(2, 2048, 1953)],
            "{block_size}"
        );
        assert_eq!(table.errors, []);
    }
}

#[test]
fn the_second_header_stands_in_for_a_damaged_first() {
    let mut disk = gpt_disk(512, &[(64, 127)]);
    disk[512 + 40] ^= 1;
    assert_eq!(
        parse_bytes(&disk, 512).unwrap().extents,
        [extent(1, 64, 64)]
    );
    let last = (BLOCKS as usize - 1) * 512;
    disk[last + 40] ^= 1;
    assert_eq!(parse_bytes(&disk, 512), Err(TableError::GptHeader));
}

#[test]
fn damaged_entries_are_noticed_by_their_checksum() {
    let mut disk = gpt_disk(512, &[(64, 127)]);
    disk[1024 + 32] ^= 1;
    let table = parse_bytes(&disk, 512).expect("the second copy is sound");
    assert_eq!(table.extents, [extent(1, 64, 64)]);
    let second = (BLOCKS as usize - 1 - 32) * 512;
    disk[second + 32] ^= 1;
    assert_eq!(parse_bytes(&disk, 512), Err(TableError::GptEntries));
}

#[test]
fn logical_partitions_are_followed_to_the_end_of_their_chain() {
    let mut disk = mbr_disk(&[(0x83, 64, 100), (0x05, 1000, 3000)]);
    // Each record places its partition relative to itself, and the next relative to block 1000.
    for (at, records) in [
        (1000, vec![(0x83, 8, 100), (0x05, 500, 500)]),
        (1500, vec![(0x82, 16, 50), (0x05, 900, 100)]),
        (1900, vec![(0x83, 1, 1)]),
    ] {
        disk[at * 512..][..512].copy_from_slice(&mbr_disk(&records)[..512]);
    }
    let table = parse_bytes(&disk, 512).unwrap();
    let logical = [
        extent(5, 1008, 100),
        extent(6, 1516, 50),
        extent(7, 1901, 1),
    ];
    assert_eq!(table.extents[1..], logical);
    assert_eq!(table.errors, []);
}

#[test]
fn a_chain_of_logical_partitions_that_loops_or_breaks_ends() {
    let mut disk = mbr_disk(&[(0x05, 1000, 3000)]);
    disk[1000 * 512..][..512].copy_from_slice(&mbr_disk(&[(0x83, 8, 100), (0x05, 0, 1)])[..512]);
    assert!(
        parse_bytes(&disk, 512).unwrap().extents.len() < 128,
        "a circle"
    );
    disk[1000 * 512..][..512].copy_from_slice(&mbr_disk(&[(0x83, 8, 100), (0x05, 9000, 1)])[..512]);
    assert_eq!(
        parse_bytes(&disk, 512).unwrap().errors,
        [TableError::Entry(6)]
    );
    disk[1000 * 512 + 510] = 0;
    assert_eq!(
        parse_bytes(&disk, 512).unwrap().errors,
        [TableError::Entry(5)]
    );
}

#[test]
fn entries_outside_the_disk_or_reversed_are_reported() {
    let table = parse_bytes(
        &gpt_disk(
            512,
            &[
                (64, 5000),
                (200, 100),
                (64, u64::MAX),
                (0, u64::MAX),
                (64, 64),
            ],
        ),
        512,
    )
    .unwrap();
    assert_eq!(table.extents, [extent(5, 64, 1)]);
    assert_eq!(table.errors, [1, 2, 3, 4].map(TableError::Entry));
}

#[test]
fn a_header_with_absurd_counts_is_an_error_and_no_allocation() {
    for (entries, size) in [(u32::MAX, 128), (128, u32::MAX), (128, 0), (128, 7)] {
        let mut disk = gpt_disk(512, &[(64, 127)]);
        let mut header: GptHeader =
            bytemuck::pod_read_unaligned(&disk[512..][..size_of::<GptHeader>()]);
        header.number_of_partition_entries = U32Le::from_u32(entries);
        header.size_of_partition_entry = U32Le::from_u32(size);
        header.update_header_crc32();
        disk[512..][..size_of::<GptHeader>()].copy_from_slice(bytemuck::bytes_of(&header));
        let last = (BLOCKS as usize - 1) * 512;
        disk[last..][..512].fill(0);
        assert_eq!(
            parse_bytes(&disk, 512),
            Err(TableError::GptEntries),
            "{entries} x {size}"
        );
    }
}

#[test]
fn read_errors_are_passed_on() {
    let failing = async |_: u64, _: &mut [u8]| Err(BlockError::Device("broken".into()));
    assert_eq!(
        wait(parse(geometry(512), &failing)),
        Err(TableError::Read(BlockError::Device("broken".into())))
    );
}

#[test]
fn requests_are_moved_and_kept_inside() {
    let partition = extent(2, 100, 50);
    assert_eq!(partition.place(0, 50), Some(100));
    assert_eq!(partition.place(49, 1), Some(149));
    for (block, blocks) in [(0, 51), (49, 2), (50, 1), (u64::MAX, 1), (1, u64::MAX)] {
        assert_eq!(partition.place(block, blocks), None, "{blocks} at {block}");
    }
}
