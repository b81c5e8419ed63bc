//! Metadata and protection information, as QEMU has them.
//!
//! QEMU keeps the metadata of all blocks behind their data, wherever a command has it. So the host
//! sees both, and can damage one of them alone.

use super::bare::{Bare, bare, on_disk, status};
use super::disk;
use crate::block::BlockError;
use crate::block::blocking::wait;
use crate::memory::frames::Frames;
use alloc::vec;
use alloc::vec::Vec;
use nvme::protection::{Checks, Guard, Kind, Position, Protection, Tags, Tuple};
use nvme::{BlockFormat, Error, Meaning, Placement};
use vm_test::{control, host, pattern, seed, vm_test};

const BLOCK: u64 = 512;
/// A block somewhere, and how many of them there are. Of metadata that is longer than 512 bytes and no
/// multiple of that, QEMU 7.2 brings only the remainder, without protection: so not 9.
const FIRST: u64 = 1000;
const BLOCKS: u64 = 8;

const INVALID_PROTECTION: (u8, u8) = (1, 0x81);
const GUARD: (u8, u8) = (2, 0x82);
const APPLICATION: (u8, u8) = (2, 0x83);
const REFERENCE: (u8, u8) = (2, 0x84);

/// Where the image has the metadata of a block.
fn place(disk: &Bare, block: u64) -> u64 {
    disk.namespace.blocks * BLOCK + block * u64::from(disk.namespace.format.metadata)
}

fn some(number: u64, bytes: u64) -> Vec<u8> {
    let mut data = vec![0; bytes as usize];
    pattern::fill(seed() ^ 0x3e7a, number << 20, &mut data);
    data
}

/// The pattern that the image was made of.
fn as_made(at: u64, bytes: u64) -> Vec<u8> {
    let mut data = vec![0; bytes as usize];
    pattern::fill(seed(), at, &mut data);
    data
}

/// Data and metadata as interleaved blocks.
fn woven(format: &BlockFormat, data: &[u8], metadata: &[u8]) -> Vec<u8> {
    let data = data.chunks(BLOCK as usize);
    let metadata = metadata.chunks(usize::from(format.metadata));
    data.zip(metadata)
        .flat_map(|(one, other)| [one, other].concat())
        .collect()
}

/// The same, as memory for a command, by the format.
fn for_command(format: &BlockFormat, data: Vec<u8>, metadata: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    match format.placement {
        Placement::Interleaved => (woven(format, &data, &metadata), Vec::new()),
        Placement::Separate => (data, metadata),
    }
}

/// Metadata without protection: what the image has is read, and what is written is in the image.
fn metadata_goes_along(placement: Placement, bytes: u16) {
    let disk = bare(0, 1);
    let format = disk.namespace.format;
    assert_eq!((format.placement, format.metadata), (placement, bytes));
    assert_eq!(format.protection, None);
    assert!(
        crate::storage::volumes_known().is_empty(),
        "no block device"
    );
    let meta_bytes = BLOCKS * u64::from(bytes);
    let at = place(&disk, FIRST);

    let read = disk.namespace.read(FIRST, BLOCKS).expect("a read");
    let found = disk.bring(read).expect("it reads");
    let made = as_made(FIRST * BLOCK, BLOCKS * BLOCK);
    assert!(found == for_command(&format, made, as_made(at, meta_bytes)));

    let (data, metadata) = (some(1, BLOCKS * BLOCK), some(2, meta_bytes));
    let sent = for_command(&format, data.clone(), metadata.clone());
    let write = disk.namespace.write(FIRST, BLOCKS).expect("a write");
    disk.send(write, &sent.0, &sent.1).expect("it writes");
    assert!(on_disk(0, FIRST * BLOCK, data.len()) == data);
    assert!(on_disk(0, at, metadata.len()) == metadata);
    assert!(disk.bring(read).expect("it reads") == sent);
    // Neither the block behind them nor its metadata was touched.
    let next = FIRST + BLOCKS;
    host::assert_disk_pattern(0, next * BLOCK, BLOCK, seed(), next * BLOCK);
    let at = place(&disk, next);
    host::assert_disk_pattern(0, at, bytes.into(), seed(), at);
}

#[vm_test(machine = "ms=8,size=16M", timeout = 60)]
fn metadata_has_memory_of_its_own() {
    metadata_goes_along(Placement::Separate, 8);
}

#[vm_test(machine = "ms=64,interleaved,size=16M", timeout = 60)]
fn metadata_follows_its_block() {
    metadata_goes_along(Placement::Interleaved, 64);
}

/// The guard of T10-DIF, bit by bit: the polynomial 8BB7h (NVM command set specification, section 5.2.1.3.1).
fn crc16(bytes: &[u8]) -> u64 {
    let mut crc = 0_u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc = crc << 1 ^ if carry { 0x8bb7 } else { 0 };
        }
    }
    crc.into()
}

/// The guard of 64 bits, bit by bit: the polynomial AD93D23594C93659h, reflected (section 5.2.1.3.4).
fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = u64::MAX;
    for byte in bytes {
        crc ^= u64::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1 != 0;
            crc = crc >> 1 ^ if carry { 0x9a6c_9329_ac4b_c9b5 } else { 0 };
        }
    }
    !crc
}

/// The information of blocks, made here and not by the driver.
fn protect(format: &BlockFormat, data: &[u8], metadata: &mut [u8], tags: Tags) {
    let protection = format.protection.expect("protected");
    let each = usize::from(format.metadata);
    let offset = protection.offset(each);
    let blocks = data.chunks(BLOCK as usize).zip(metadata.chunks_mut(each));
    for (index, (data, metadata)) in (0..).zip(blocks) {
        let covered = [data, &metadata[..offset]].concat();
        let guard = match protection.guard {
            Guard::Crc16 => crc16(&covered),
            Guard::Crc64 => crc64(&covered),
        };
        let tuple = Tuple {
            guard,
            application: tags.application,
            reference: match protection.kind {
                Kind::Type1 | Kind::Type2 => tags.reference + index,
                Kind::Type3 => tags.reference,
            },
        };
        let bytes = protection.guard.tuple_bytes();
        metadata[offset..offset + bytes].copy_from_slice(&tuple.encode(protection.guard)[..bytes]);
    }
}

fn protection(disk: &Bare, kind: Kind, guard: Guard) -> Protection {
    let protection = disk.namespace.format.protection.expect("protected");
    assert_eq!((protection.kind, protection.guard), (kind, guard));
    protection
}

/// PRACT: whoever writes sees plain blocks, and the image has the right information all the same.
fn the_controller_protects(kind: Kind, guard: Guard) {
    let disk = bare(0, 1);
    protection(&disk, kind, guard);
    assert!(disk.namespace.is_plain());
    let data = some(1, BLOCKS * BLOCK);
    let write = disk.namespace.write(FIRST, BLOCKS).expect("a write");
    assert_eq!(write.metadata_bytes(), 0);
    disk.send(write, &data, &[]).expect("it writes");
    assert!(on_disk(0, FIRST * BLOCK, data.len()) == data);

    let format = disk.namespace.format;
    let mut expected = vec![0; (BLOCKS * u64::from(format.metadata)) as usize];
    protect(&format, &data, &mut expected, Tags::of_block(FIRST, guard));
    let at = place(&disk, FIRST);
    assert!(
        on_disk(0, at, expected.len()) == expected,
        "as it should be"
    );
    let read = disk.namespace.read(FIRST, BLOCKS).expect("a read");
    assert!(disk.bring(read).expect("it is sound").0 == data);

    // The host changes eight bytes of one block's data.
    let damaged = FIRST + 4;
    control::fill_disk(0, damaged * BLOCK + 80, 8, seed() ^ 1, 0);
    let wrong = disk.bring(read);
    assert_eq!(status(wrong), GUARD);
    let before = disk.namespace.read(FIRST, 4).expect("a read");
    assert!(disk.bring(before).is_ok(), "the blocks before it are good");
    let behind = disk.namespace.read(damaged + 1, 3).expect("a read");
    assert!(disk.bring(behind).is_ok(), "and those behind it");
    let verify = disk.namespace.verify(damaged, 1).expect("a verify");
    assert_eq!(status(disk.perform(verify)), GUARD);
}

#[vm_test(machine = "ms=8,pi=1,size=16M", timeout = 60)]
fn the_controller_protects_what_the_host_does_not_see() {
    the_controller_protects(Kind::Type1, Guard::Crc16);
}

#[vm_test(machine = "ms=8,pi=2,interleaved,size=16M", timeout = 60)]
fn the_controller_protects_interleaved_blocks_of_type_2() {
    the_controller_protects(Kind::Type2, Guard::Crc16);
}

#[vm_test(machine = "ms=16,pi=1,guard=64,size=16M", timeout = 60)]
fn the_controller_protects_with_64_bits() {
    the_controller_protects(Kind::Type1, Guard::Crc64);
}

/// PRCHK: the information is made here, and the controller checks it in both directions.
fn the_controller_checks(kind: Kind, guard: Guard, position: Position) {
    let disk = bare(0, 1);
    let format = disk.namespace.format;
    assert_eq!(protection(&disk, kind, guard).position, position);
    let tags = Tags {
        application: 0x1234,
        application_mask: 0xffff,
        reference: FIRST,
    };
    let checks = Checks::all(kind);
    let each = usize::from(format.metadata);
    let data = some(1, BLOCKS * BLOCK);
    let mut metadata = some(2, BLOCKS * each as u64);
    protect(&format, &data, &mut metadata, tags);
    let sent = for_command(&format, data.clone(), metadata.clone());
    let write = disk.namespace.write(FIRST, BLOCKS).expect("a write");
    let write = disk
        .namespace
        .protected(write, checks, tags)
        .expect("protected");
    let read = disk.namespace.read(FIRST, BLOCKS).expect("a read");
    let read = disk
        .namespace
        .protected(read, checks, tags)
        .expect("protected");

    // Each wrong in one bit, in the third block. Nothing of it arrives on the disk.
    let tuple = 2 * each + format.protection.expect("protected").offset(each);
    let guard_bytes = guard.bits() as usize / 8;
    let mut damages = vec![(tuple, GUARD), (tuple + guard_bytes, APPLICATION)];
    if kind != Kind::Type3 {
        damages.push((tuple + guard.tuple_bytes() - 1, REFERENCE));
    }
    for (at, expected) in &damages {
        let mut metadata = metadata.clone();
        metadata[*at] ^= 0x10;
        let sent = for_command(&format, data.clone(), metadata);
        let refused = disk.send(write, &sent.0, &sent.1);
        assert_eq!(status(refused), *expected, "byte {at}");
        let made = as_made(FIRST * BLOCK, BLOCKS * BLOCK);
        assert!(on_disk(0, FIRST * BLOCK, made.len()) == made);
    }

    disk.send(write, &sent.0, &sent.1).expect("it is right");
    let start = place(&disk, FIRST);
    assert!(on_disk(0, FIRST * BLOCK, data.len()) == data);
    assert!(on_disk(0, start, metadata.len()) == metadata);
    assert!(disk.bring(read).expect("it is right") == sent);

    // The same damage, by the host, on the disk. Whoever does not ask is not told.
    let raw = disk.namespace.read(FIRST, BLOCKS).expect("a read");
    let raw = disk
        .namespace
        .protected(raw, Checks::new(), tags)
        .expect("raw");
    for (at, expected) in damages {
        damage(start + at as u64);
        let damaged = disk.bring(read);
        let is_integrity = |error: &Error| matches!(error, Error::Command(error) if error.status.meaning() == Meaning::Integrity);
        assert!(damaged.as_ref().is_err_and(is_integrity));
        assert_eq!(status(damaged), expected, "byte {at}");
        let (mut seen, separate) = disk.bring(raw).expect("nobody checks");
        if format.placement == Placement::Separate {
            seen = woven(&format, &seen, &separate);
        }
        assert!(seen != woven(&format, &data, &metadata), "it is damaged");
        // Written again, it is right again.
        disk.send(write, &sent.0, &sent.1).expect("it is right");
        assert!(disk.bring(read).is_ok());
    }
    if kind == Kind::Type1 {
        // What does not say which block it is, is no command of type 1.
        let other = Tags {
            reference: FIRST + 1,
            ..tags
        };
        let write = disk
            .namespace
            .protected(write, checks, other)
            .expect("protected");
        let refused = disk.send(write, &sent.0, &sent.1);
        assert_eq!(status(refused), INVALID_PROTECTION);
    }
}

/// Lets the host change a byte of the image, whatever it is.
fn damage(at: u64) {
    let before = on_disk(0, at, 1)[0];
    let other = (0..).find(|number| pattern::byte(*number, 0) != before);
    control::fill_disk(0, at, 1, other.expect("there are others"), 0);
}

#[vm_test(machine = "ms=8,pi=1,size=16M", timeout = 60)]
fn the_controller_checks_type_1() {
    the_controller_checks(Kind::Type1, Guard::Crc16, Position::Last);
}

#[vm_test(machine = "ms=64,pi=2,interleaved,size=16M", timeout = 60)]
fn the_controller_checks_type_2_behind_other_metadata() {
    the_controller_checks(Kind::Type2, Guard::Crc16, Position::Last);
}

#[vm_test(machine = "ms=16,pi=3,pi-first,size=16M", timeout = 60)]
fn the_controller_checks_type_3_before_other_metadata() {
    the_controller_checks(Kind::Type3, Guard::Crc16, Position::First);
}

#[vm_test(machine = "ms=64,pi=1,interleaved,guard=64,size=16M", timeout = 60)]
fn the_controller_checks_64_bits() {
    the_controller_checks(Kind::Type1, Guard::Crc64, Position::Last);
}

/// A namespace whose metadata is all protection is a block device like any other.
#[vm_test(machine = "ms=8,pi=1,size=16M", timeout = 60)]
fn a_protected_disk_tells_its_user_of_damage() {
    let disk = disk();
    let mut frames = Frames::zeroed(4096).expect("there is memory");
    pattern::fill(seed(), 7, frames.bytes_mut());
    let frames = wait(disk.write(800, frames)).expect("it writes");
    host::assert_disk_pattern(0, 800 * BLOCK, 4096, seed(), 7);
    let frames = wait(disk.read(800, frames)).expect("it reads");
    assert_eq!(pattern::first_difference(seed(), 7, frames.bytes()), None);
    damage(803 * BLOCK + 100);
    let failed = wait(disk.read(800, frames)).map_err(|failed| failed.error);
    assert!(matches!(failed, Err(BlockError::Device(_))));
    let frames = Frames::zeroed(4096).expect("there is memory");
    assert!(
        wait(disk.read(804, frames)).is_err(),
        "never written, never protected"
    );
}
