//! Protection information over memory that is cut in every way.

use super::*;
use crate::format::Placement;
use crate::protection::{Guard, Kind, Position};
use phyr::DmaAddr;
use proptest::prelude::*;

/// Memory as one array: the address is the index.
struct Arena(Vec<u8>);

impl View for Arena {
    fn look(&mut self, range: DmaRange, see: &mut dyn FnMut(&[u8])) {
        let start = range.addr().get() as usize;
        // In two pieces, as if a page ended there.
        let (first, second) =
            self.0[start..start + range.len() as usize].split_at(range.len() as usize / 2);
        see(first);
        see(second);
    }
    fn store(&mut self, range: DmaRange, bytes: &[u8]) {
        let start = range.addr().get() as usize;
        assert_eq!(bytes.len() as u64, range.len());
        self.0[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

/// A list of `bytes` bytes from `from` on, in pieces with these lengths and gaps between.
fn list(from: u64, bytes: u64, cuts: &[u64]) -> DmaList {
    let mut list = DmaList::new();
    let (mut at, mut left) = (from, bytes);
    for cut in cuts.iter().copied().chain([u64::MAX]) {
        let len = cut.min(left);
        if len > 0 {
            let range = DmaRange::new(DmaAddr::new(at), len).expect("a range");
            list.push(range).expect("room");
        }
        at += len + 3;
        left -= len;
    }
    list
}

fn format(data: u32, metadata: u16, placement: Placement, protection: Protection) -> BlockFormat {
    BlockFormat {
        data,
        metadata,
        placement,
        protection: Some(protection),
    }
}

const TYPE1: Protection = Protection {
    kind: Kind::Type1,
    guard: Guard::Crc16,
    position: Position::Last,
};

const CHECKS: Checks = Checks::all(Kind::Type1);

const TAGS: Tags = Tags {
    application: 0x1234,
    application_mask: 0xffff,
    reference: 9,
};

/// Three blocks of 512 bytes with 8 bytes each of separate metadata, protected.
fn three() -> (BlockFormat, Arena, DmaList, DmaList) {
    let format = format(512, 8, Placement::Separate, TYPE1);
    let mut arena = Arena((0..4096_u32).map(|index| (index * 7) as u8).collect());
    let (data, metadata) = (list(0, 1536, &[]), list(2048, 24, &[]));
    generate(&format, &data, &metadata, TAGS, &mut arena).expect("it fits");
    verify(&format, &data, &metadata, CHECKS, TAGS, &mut arena).expect("it is whole");
    (format, arena, data, metadata)
}

#[test]
fn information_is_where_a_controller_looks_for_it() {
    let (_, arena, ..) = three();
    let second = &arena.0[2056..2064];
    let guard = crc::Crc::<u16>::new(&crc::CRC_16_T10_DIF).checksum(&arena.0[512..1024]);
    assert_eq!(second[..2], guard.to_be_bytes());
    assert_eq!(second[2..], [0x12, 0x34, 0, 0, 0, 10]);
}

#[test]
fn each_kind_of_damage_has_its_name() {
    let (format, mut arena, data, metadata) = three();
    let broken = |arena: &mut Arena| match verify(&format, &data, &metadata, CHECKS, TAGS, arena) {
        Err(Mismatch::Block { index, what }) => (index, what),
        other => panic!("{other:?}"),
    };
    arena.0[700] ^= 1;
    assert!(matches!(broken(&mut arena), (1, Broken::Guard { .. })));
    arena.0[700] ^= 1;
    arena.0[2066] ^= 0x80;
    let application = Broken::Application {
        stored: 0x9234,
        expected: 0x1234,
    };
    assert_eq!(broken(&mut arena), (2, application));
    arena.0[2066] ^= 0x80;
    // Blocks in each other's place.
    arena.0.swap(2055, 2063);
    let reference = Broken::Reference {
        stored: 10,
        expected: 9,
    };
    assert_eq!(broken(&mut arena), (0, reference));
}

#[test]
fn what_is_not_asked_for_is_not_checked() {
    let (format, mut arena, data, metadata) = three();
    arena.0[2066] ^= 0x80;
    let mut verify = |checks, tags| verify(&format, &data, &metadata, checks, tags, &mut arena);
    assert_eq!(verify(CHECKS.with_application(false), TAGS), Ok(()));
    let masked = Tags {
        application_mask: 0x7fff,
        ..TAGS
    };
    assert_eq!(verify(CHECKS, masked), Ok(()));
    assert!(verify(CHECKS, TAGS).is_err());
    let other = Tags {
        reference: 100,
        ..masked
    };
    assert!(verify(CHECKS, other).is_err());
    assert_eq!(verify(CHECKS.with_reference(false), other), Ok(()));
}

#[test]
fn a_block_with_the_escape_passes() {
    let (format, mut arena, data, metadata) = three();
    arena.0[700] ^= 1;
    arena.0[2058..2060].fill(0xff);
    let verified = verify(&format, &data, &metadata, CHECKS, TAGS, &mut arena);
    assert_eq!(verified, Ok(()));
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    let format = format(512, 8, Placement::Separate, TYPE1);
    let mut arena = Arena(vec![0; 4096]);
    for (data, metadata) in [(1024, 8), (1000, 16), (512, 0), (0, 8)] {
        let (data, metadata) = (list(0, data, &[]), list(2048, metadata, &[]));
        assert_eq!(
            generate(&format, &data, &metadata, TAGS, &mut arena),
            Err(Mismatch::Shape)
        );
    }
    let plain = BlockFormat::plain(9);
    let (data, none) = (list(0, 512, &[]), DmaList::new());
    assert_eq!(
        generate(&plain, &data, &none, TAGS, &mut arena),
        Err(Mismatch::Shape)
    );
    assert!(arena.0.iter().all(|byte| *byte == 0));
}

proptest! {
    /// Wherever memory is cut, the information is the same, and nothing else changes.
    #[test]
    fn cuts_change_nothing(
        cuts in proptest::collection::vec(1_u64..700, 0..8),
        metadata_cuts in proptest::collection::vec(1_u64..20, 0..8),
        is_wide: bool, is_first: bool, is_separate: bool, kind in 1_u8..=3,
        extra in 0_u16..=48, reference: u64,
    ) {
        let guard = if is_wide { Guard::Crc64 } else { Guard::Crc16 };
        let protection = Protection {
            kind: Kind::new(kind).expect("a type"),
            guard,
            position: if is_first { Position::First } else { Position::Last },
        };
        let placement = if is_separate { Placement::Separate } else { Placement::Interleaved };
        let format = format(512, guard.tuple_bytes() as u16 + extra, placement, protection);
        let tags = Tags { reference, ..TAGS };
        let bytes = 4 * format.memory_block_bytes();
        let metadata_bytes = 4 * format.metadata_block_bytes();
        let fresh = || Arena((0..8192_u32).map(|index| ((index * 31) >> 3) as u8).collect());
        let contents = |arena: &mut Arena, lists: [&DmaList; 2]| {
            let mut contents = Vec::new();
            for range in lists.into_iter().flat_map(DmaList::iter) {
                arena.look(range, &mut |bytes| contents.extend_from_slice(bytes));
            }
            contents
        };

        // What it should be, where nothing is cut.
        let mut whole = fresh();
        let lists = [&list(0, bytes, &[]), &list(4096, metadata_bytes, &[])];
        generate(&format, lists[0], lists[1], tags, &mut whole).expect("it fits");
        let expected = contents(&mut whole, lists);
        let unprotected = contents(&mut fresh(), lists);

        // The same bytes, cut.
        let mut arena = fresh();
        let lists = [&list(0, bytes, &cuts), &list(4096, metadata_bytes, &metadata_cuts)];
        let mut rest = &unprotected[..];
        for range in lists.into_iter().flat_map(DmaList::iter) {
            let (now, later) = rest.split_at(range.len() as usize);
            arena.store(range, now);
            rest = later;
        }
        generate(&format, lists[0], lists[1], tags, &mut arena).expect("it fits");
        prop_assert_eq!(contents(&mut arena, lists), &expected[..]);
        let checks = Checks::all(protection.kind);
        verify(&format, lists[0], lists[1], checks, tags, &mut arena).expect("it is whole");

        // Only the information changed.
        let changed = expected.iter().zip(&unprotected).filter(|(a, b)| a != b).count();
        prop_assert!(changed <= 4 * guard.tuple_bytes());
    }
}
