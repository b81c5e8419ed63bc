//! Formats with metadata, and protection information of all types.

use super::host::{code, transfer};
use super::{Host, entry};
use crate::model::{Config, protected_disk};
use nvme::wire::{IdentifyNamespace, SubmissionEntry};

/// PRACT, and the checks of guard, application tag and reference tag.
const ACT: u64 = 8 << 26;
const GUARD: u64 = 4 << 26;
const APPLICATION: u64 = 2 << 26;
const REFERENCE: u64 = 1 << 26;

fn host(format: u8, protection: u8, is_interleaved: bool) -> (Host, u64) {
    let disk = protected_disk(1000, format, protection, is_interleaved);
    let mut host = Host::new(Config::with_everything().put(1, disk));
    host.create(1, None);
    let bus = host.zeros(4);
    (host, bus)
}

/// A transfer with protection fields: reference and application tag, all of it checked.
fn protected(
    opcode: u8,
    block: u64,
    blocks: u64,
    bus: u64,
    info: u64,
    tags: (u64, u16),
) -> SubmissionEntry {
    let mut entry = transfer(opcode, 1, block, blocks, bus);
    entry.cdw12_13 |= info;
    entry.cdw2_3 = tags.0 >> 32 << 32;
    entry.cdw14_15 = tags.0 & 0xffff_ffff | u64::from(tags.1) << 32 | 0xffff << 48;
    entry
}

#[test]
fn separate_metadata_comes_and_goes_by_its_pointer() {
    let (mut host, bus) = host(1, 0, false);
    let metadata = host.zeros(1);
    host.put(metadata, b"abcdefghABCDEFGH");
    let mut write = transfer(0x01, 1, 3, 2, bus);
    write.mptr = metadata;
    host.done(1, write);
    host.put(metadata, &[0; 16]);
    let mut read = transfer(0x02, 1, 3, 2, bus);
    read.mptr = metadata;
    host.done(1, read);
    assert_eq!(host.get(metadata, 16), b"abcdefghABCDEFGH");
    read.mptr = metadata + 2;
    assert_eq!(host.fails(1, read), (0, 0x02));
}

#[test]
fn interleaved_metadata_follows_each_block() {
    let (mut host, bus) = host(1, 0, true);
    host.put(bus, &[1; 512]);
    host.put(bus + 512, b"first---");
    host.put(bus + 520, &[2; 512]);
    host.put(bus + 1032, b"second--");
    host.done(1, transfer(0x01, 1, 3, 2, bus));
    assert_eq!(host.machine.model().contents(1, 4, 1, 9), [2; 512]);
    host.put(bus, &[0; 1040]);
    host.done(1, transfer(0x02, 1, 4, 1, bus));
    assert_eq!(host.get(bus + 512, 16), b"second--\0\0\0\0\0\0\0\0");
}

/// PRACT makes the information, and a read without it brings the information to light.
#[test]
fn the_controller_makes_and_takes_protection_information() {
    // 512 bytes with 8 and a guard of 16 bits; with 16 and a guard of 64 bits.
    for (format, bytes, reference) in [(1, 8, 77_u64), (8, 16, 0x1234_0000_004d)] {
        let (mut host, bus) = host(format, 2, true);
        host.put(bus, &(*b"123456789").repeat(120)[..1024]);
        let tags = (reference, 0xbeef);
        host.done(1, protected(0x01, 77, 2, bus, ACT, tags));
        host.put(bus, &[0; 2048]);
        let all = GUARD | APPLICATION | REFERENCE;
        host.done(1, protected(0x02, 77, 2, bus, ACT | all, tags));
        assert_eq!(host.get(bus, 9), b"123456789");
        assert_eq!(host.get(bus + 1024, 8), [0; 8], "no metadata was sent");
        host.done(1, protected(0x02, 77, 2, bus, all, tags));
        let information = host.get(bus + 512, bytes);
        let end = match bytes {
            8 => [&[0xbe, 0xef, 0, 0, 0, 77][..]].concat(),
            _ => [&[0xbe, 0xef, 0x12, 0x34, 0, 0, 0, 77][..]].concat(),
        };
        assert_eq!(&information[bytes - end.len()..], end);
        let last = bus + 2 * (512 + bytes as u64) - 1;
        assert_eq!(host.get(last, 1), [78]);
        // Each check finds what it is for.
        let read = |info, tags| protected(0x02, 77, 2, bus, info, tags);
        assert_eq!(host.fails(1, read(APPLICATION, (reference, 0))), (2, 0x83));
        assert_eq!(host.fails(1, read(REFERENCE, (0, 0xbeef))), (2, 0x84));
        host.machine
            .model()
            .blocks
            .get_mut(&(1, 78))
            .expect("a block")[9] ^= 1;
        assert_eq!(host.fails(1, read(GUARD, tags)), (2, 0x82));
        host.done(1, read(REFERENCE | APPLICATION, tags));
        let mut verify = protected(0x0c, 77, 2, 0, GUARD, tags);
        verify.prp2 = 0;
        assert_eq!(host.fails(1, verify), (2, 0x82));
    }
}

#[test]
fn information_from_the_host_is_checked_before_it_is_written() {
    let (mut host, bus) = host(1, 1, true);
    host.put(bus + 512, &[0x12, 0x34, 0, 0, 0, 0, 0, 5]);
    let before = host.machine.model().contents(1, 5, 1, 9);
    let write = protected(0x01, 5, 1, bus, GUARD | REFERENCE, (5, 0));
    assert_eq!(host.fails(1, write), (2, 0x82));
    assert_eq!(host.machine.model().contents(1, 5, 1, 9), before);
    // The guard of zeros is zero.
    host.put(bus + 512, &[0, 0, 0, 0, 0, 0, 0, 5]);
    host.done(1, write);
    host.put(bus + 512, &[0, 0, 0, 0, 0, 0, 0, 6]);
    assert_eq!(host.fails(1, write), (2, 0x84));
}

#[test]
fn types_one_and_three_have_their_rules() {
    let (mut host, bus) = host(1, 1, true);
    let other = protected(0x02, 5, 1, bus, REFERENCE, (6, 0));
    assert_eq!(
        host.fails(1, other),
        (1, 0x81),
        "type 1: the tag is the block"
    );
    let (mut host, bus) = self::host(1, 3, true);
    let three = protected(0x02, 5, 1, bus, REFERENCE, (5, 0));
    assert_eq!(
        host.fails(1, three),
        (1, 0x81),
        "type 3: no tag that is checked"
    );
}

/// A block that was never written has tags of ones, which switch the checks off.
#[test]
fn tags_of_ones_are_not_checked() {
    let (mut host, bus) = host(1, 1, true);
    host.done(
        1,
        protected(0x02, 5, 1, bus, GUARD | REFERENCE | APPLICATION, (5, 1)),
    );
}

/// In metadata of 64 bytes the guard covers what lies before the information.
#[test]
fn information_is_first_or_last_in_longer_metadata() {
    for (protection, offset) in [(2, 56), (2 | 8, 0)] {
        let (mut host, bus) = host(3, protection, false);
        let metadata = host.zeros(1);
        host.put(metadata, &[0x77; 64]);
        let mut write = protected(0x01, 5, 1, bus, ACT, (5, 0x0a0b));
        write.mptr = metadata;
        host.done(1, write);
        let stored = host.machine.model().metadata[&(1, 5)].clone();
        assert_eq!(stored[offset + 2..offset + 8], [0x0a, 0x0b, 0, 0, 0, 5]);
        // Zeros alone have a guard of zero.
        assert_eq!(stored[offset..offset + 2] == [0, 0], protection & 8 != 0);
    }
}

#[test]
fn format_changes_the_shape_and_erases() {
    let (mut host, bus) = host(0, 0, false);
    host.done(1, transfer(0x01, 1, 5, 1, bus));
    let mut format = entry(0x80, 1);
    // 4096 bytes with 8, type 1, interleaved.
    format.cdw10_11 = 5 | 1 << 4 | 1 << 5;
    host.done(0, format);
    let data: [u8; 4096] = host.identify(0, 0, 1).try_into().expect("4096 bytes");
    let identify = IdentifyNamespace::decode(&data);
    assert_eq!(
        (identify.nsze, identify.format_index(), identify.dps),
        (125, 5, 1)
    );
    assert!(identify.is_metadata_interleaved());
    assert!(host.machine.model().blocks.is_empty());
    format.cdw10_11 = 4 | 1 << 5;
    assert_eq!(host.fails(0, format), (1, 0x0a), "no room for protection");
    format.cdw10_11 = 15;
    assert_eq!(host.fails(0, format), (1, 0x0a), "no such format");
    assert_eq!(code(host.admin(entry(0x80, 9)).status), (0, 0x0b));
}
