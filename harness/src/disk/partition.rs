//! Partition tables, written byte by byte from the specifications.
//!
//! Both kinds hold the same two partitions:
//!
//! | partition | from | to | content |
//! |---|---|---|---|
//! | 1 | 1 MiB | 9 MiB | the [pattern](vm_test::pattern) of the disk's seed, from its start |
//! | 2 | 16 MiB | 1 MiB before the end | the ext4 tree for tests |
//!
//! The kernel reads tables with a library. Nothing is shared with it here, on purpose.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{blank, copy_into, ext4, fill_pattern};

const MIB: u64 = 1 << 20;

/// First byte and number of bytes of each partition.
pub fn places(size: u64) -> [(u64, u64); 2] {
    [(MIB, 8 * MIB), (16 * MIB, size.saturating_sub(17 * MIB))]
}

/// Makes an image with a master boot record.
pub(super) fn create_mbr(path: &Path, size: u64, lba: u32, seed: u64) -> Result<()> {
    let file = create_content(path, size, seed)?;
    let mut entries = Vec::new();
    for (start, len) in places(size) {
        entries.extend(mbr_entry(
            0x83,
            start / u64::from(lba),
            len / u64::from(lba),
        )?);
    }
    file.write_all_at(&entries, 446)?;
    file.write_all_at(&[0x55, 0xaa], 510)?;
    Ok(())
}

/// Makes an image with a GUID partition table, its copy at the end, and the protective record.
pub(super) fn create_gpt(path: &Path, size: u64, lba: u32, seed: u64) -> Result<()> {
    let file = create_content(path, size, seed)?;
    let lba = u64::from(lba);
    let blocks = size / lba;
    file.write_all_at(&mbr_entry(0xee, 1, (blocks - 1).min(u32::MAX.into()))?, 446)?;
    file.write_all_at(&[0x55, 0xaa], 510)?;

    let entries = gpt_entries(size, lba);
    let table = entries.len() as u64 / lba;
    let last = blocks - 1;
    let primary = GptHeader {
        own: 1,
        other: last,
        entries: 2,
        blocks,
        table,
    };
    let backup = GptHeader {
        own: last,
        other: 1,
        entries: last - table,
        blocks,
        table,
    };
    for header in [primary, backup] {
        file.write_all_at(&header.bytes(&entries), header.own * lba)?;
        file.write_all_at(&entries, header.entries * lba)?;
    }
    Ok(())
}

/// The partitions' contents, without a table.
fn create_content(path: &Path, size: u64, seed: u64) -> Result<File> {
    ensure!(
        size >= 40 * MIB,
        "two partitions for tests need a disk of 40M"
    );
    let [raw, fs] = places(size);
    let file = blank(path, size)?;
    fill_pattern(&file, raw.0, raw.1, seed)?;
    let image = tempfile::NamedTempFile::new()?;
    ext4::create_for_tests(image.path(), fs.1, seed)?;
    copy_into(image.path(), &file, fs.0)?;
    Ok(file)
}

/// One entry of a master boot record, without the addresses that nobody uses any more.
fn mbr_entry(kind: u8, start: u64, blocks: u64) -> Result<[u8; 16]> {
    let mut entry = [0; 16];
    entry[1..4].fill(0xff);
    entry[4] = kind;
    entry[5..8].fill(0xff);
    entry[8..12].copy_from_slice(&u32::try_from(start)?.to_le_bytes());
    entry[12..16].copy_from_slice(&u32::try_from(blocks)?.to_le_bytes());
    Ok(entry)
}

/// Bytes of one entry, and their number (UEFI 2.10, 5.3.2 and 5.3.3).
const ENTRY: usize = 128;
const ENTRIES: usize = 128;

/// "Linux filesystem data", in the byte order of the disk.
const LINUX: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];

fn gpt_entries(size: u64, lba: u64) -> Vec<u8> {
    let mut table = vec![0; ENTRY * ENTRIES];
    for ((index, (start, len)), name) in places(size).into_iter().enumerate().zip(["raw", "files"])
    {
        let entry = &mut table[index * ENTRY..][..ENTRY];
        entry[..16].copy_from_slice(&LINUX);
        entry[16..32].fill(0x11 * (index as u8 + 1)); // any number that no other one has
        entry[32..40].copy_from_slice(&(start / lba).to_le_bytes());
        entry[40..48].copy_from_slice(&((start + len) / lba - 1).to_le_bytes());
        for (unit, place) in name.encode_utf16().zip(entry[56..].chunks_exact_mut(2)) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
    }
    table
}

/// One of the two headers. All numbers are blocks.
struct GptHeader {
    own: u64,
    other: u64,
    entries: u64,
    blocks: u64,
    table: u64,
}

impl GptHeader {
    fn bytes(&self, entries: &[u8]) -> [u8; 92] {
        let mut header = [0; 92];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"EFI PART");
        put(8, &0x0001_0000_u32.to_le_bytes());
        put(12, &92_u32.to_le_bytes());
        put(24, &self.own.to_le_bytes());
        put(32, &self.other.to_le_bytes());
        put(40, &(2 + self.table).to_le_bytes());
        put(48, &(self.blocks - 2 - self.table).to_le_bytes());
        put(56, &[0x22; 16]);
        put(72, &self.entries.to_le_bytes());
        put(80, &(ENTRIES as u32).to_le_bytes());
        put(84, &(ENTRY as u32).to_le_bytes());
        put(88, &crc32(entries).to_le_bytes());
        let crc = crc32(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header
    }
}

/// The checksum of Ethernet, zip and GPT.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_test::pattern;

    #[test]
    fn crc32_of_the_usual_text() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn both_headers_are_sound_and_point_at_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        for lba in [512, 4096] {
            create_gpt(&path, 40 * MIB, lba, 3).unwrap();
            let disk = std::fs::read(&path).unwrap();
            let number = |at: usize| u64::from_le_bytes(disk[at..at + 8].try_into().unwrap());
            let lba = lba as usize;
            let backup = number(lba + 32) as usize * lba;
            assert_eq!(backup, disk.len() - lba);
            for header in [lba, backup] {
                let mut bytes = disk[header..header + 92].to_vec();
                bytes[16..20].fill(0);
                assert_eq!(disk[header..header + 8], *b"EFI PART");
                assert_eq!(disk[header + 16..header + 20], crc32(&bytes).to_le_bytes());
                assert_eq!(number(header + 24) as usize * lba, header);
                let table = number(header + 72) as usize * lba;
                let entries = &disk[table..table + ENTRY * ENTRIES];
                assert_eq!(disk[header + 88..header + 92], crc32(entries).to_le_bytes());
            }
        }
    }

    #[test]
    fn partitions_hold_what_they_should() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        create_mbr(&path, 40 * MIB, 512, 3).unwrap();
        let disk = std::fs::read(&path).unwrap();
        assert_eq!(disk[510..512], [0x55, 0xaa]);
        assert_eq!(disk[446 + 8..446 + 12], 2048_u32.to_le_bytes());
        assert_eq!(
            pattern::first_difference(3, 0, &disk[MIB as usize..9 * MIB as usize]),
            None
        );
        assert_eq!(disk[(16 * MIB) as usize + 1024 + 56..][..2], [0x53, 0xef]);
    }
}
