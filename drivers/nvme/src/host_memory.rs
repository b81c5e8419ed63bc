//! The host memory buffer (NVMe base specification 2.0, sections 5.27.1.10 and 8.9).
//!
//! Some disks have no memory of their own for their tables and borrow the host's. They say how
//! much they would like and how much they need at least. The host answers with a list of
//! ranges. From then on the memory is the controller's, until the host takes it back by a
//! command, or the controller is reset.
//!
//! How much to ask for, and how a list of ranges becomes a list of descriptors, are pure
//! functions here. Memory that nobody owns is never described: the caller keeps the ranges as
//! long as the controller has them.

use crate::wire::IdentifyController;
use phyr::DmaList;

/// Bytes of the unit in which everything here is counted, because the driver sets CC.MPS to 0.
const PAGE: u64 = 4096;

/// Bytes of a descriptor.
pub const DESCRIPTOR_BYTES: usize = 16;

/// What a controller wants of host memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bytes that it would like (HMPRE).
    pub preferred: u64,
    /// Bytes without which it uses none (HMMIN).
    pub least: u64,
    /// Bytes of the smallest range that it uses (HMMINDS); at least 4 KiB.
    pub least_range: u64,
    /// Most ranges that it takes (HMMAXD); `None` is no limit.
    pub ranges: Option<u16>,
}

impl Wanted {
    /// What a controller wants; `None` if it wants nothing.
    pub fn new(identify: &IdentifyController) -> Option<Self> {
        let preferred = u64::from(identify.hmpre) * PAGE;
        (preferred != 0).then_some(Self {
            preferred,
            // More than it would like makes no sense.
            least: (u64::from(identify.hmmin) * PAGE).min(preferred),
            least_range: u64::from(identify.hmminds.max(1)) * PAGE,
            ranges: (identify.hmmaxd != 0).then_some(identify.hmmaxd),
        })
    }

    /// How many bytes to give, if the host has at most `most` to spare. `None` if that is less
    /// than the controller needs.
    pub fn size(&self, most: u64) -> Option<u64> {
        let size = self.preferred.min(most) / PAGE * PAGE;
        (size > 0 && size >= self.least).then_some(size)
    }
}

/// Descriptors of host memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// How many descriptors there are.
    pub descriptors: u32,
    /// How many pages of 4 KiB they have together.
    pub pages: u32,
}

/// Writes the descriptors of as much of `memory` as the controller can use, and returns how many
/// and how much. `None` if that is less than it needs.
///
/// `put` gets each descriptor as it lies in memory, in order, at most `room` of them. What is not
/// whole pages is left out at both ends of a range, and so are ranges that are too short.
pub fn describe(
    wanted: &Wanted,
    memory: &DmaList,
    room: u32,
    mut put: impl FnMut([u8; DESCRIPTOR_BYTES]),
) -> Option<Described> {
    let room = match wanted.ranges {
        Some(ranges) => room.min(u32::from(ranges)),
        None => room,
    };
    let mut described = Described {
        descriptors: 0,
        pages: 0,
    };
    let usable = memory.iter().filter_map(|range| range.align_inner(PAGE));
    for range in usable.filter(|range| range.len() >= wanted.least_range) {
        // Both counts have 32 bits, so the rest of an enormous buffer stays unused.
        let pages = u32::try_from(range.len() / PAGE).unwrap_or(u32::MAX);
        let Some(total) = described.pages.checked_add(pages) else {
            break;
        };
        if described.descriptors == room {
            break;
        }
        let mut descriptor = [0; DESCRIPTOR_BYTES];
        descriptor[..8].copy_from_slice(&range.addr().get().to_le_bytes());
        descriptor[8..12].copy_from_slice(&pages.to_le_bytes());
        put(descriptor);
        described.descriptors += 1;
        described.pages = total;
    }
    let bytes = u64::from(described.pages) * PAGE;
    (described.descriptors > 0 && bytes >= wanted.least).then_some(described)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::list;
    use proptest::prelude::*;

    fn wanted(hmpre: u32, hmmin: u32, hmminds: u32, hmmaxd: u16) -> Option<Wanted> {
        Wanted::new(&IdentifyController {
            hmpre,
            hmmin,
            hmminds,
            hmmaxd,
            ..IdentifyController::default()
        })
    }

    #[test]
    fn sizes_are_between_least_and_preferred() {
        assert_eq!(wanted(0, 5, 0, 0), None);
        let disk = wanted(0x4000, 0x800, 0, 0).expect("it wants some");
        assert_eq!(disk.size(u64::MAX), Some(64 << 20));
        assert_eq!(disk.size(10 << 20), Some(10 << 20));
        assert_eq!(disk.size((10 << 20) + 5), Some(10 << 20));
        assert_eq!(disk.size(8 << 20), Some(8 << 20));
        assert_eq!(disk.size((8 << 20) - 1), None);
        let modest = wanted(4, 0, 0, 0).expect("it wants some");
        assert_eq!(modest.size(4095), None);
        let absurd = wanted(1, u32::MAX, 0, 0).expect("it wants some");
        assert_eq!(absurd.size(4096), Some(4096));
    }

    fn described(
        wanted: &Wanted,
        pieces: &[(u64, u64)],
        room: u32,
    ) -> (Option<Described>, Vec<(u64, u32)>) {
        let mut descriptors = Vec::new();
        let result = describe(wanted, &list(pieces), room, |bytes| {
            let address = bytes[..8].try_into().expect("8 bytes");
            let pages = bytes[8..12].try_into().expect("4 bytes");
            assert_eq!(bytes[12..], [0; 4]);
            descriptors.push((u64::from_le_bytes(address), u32::from_le_bytes(pages)));
        });
        (result, descriptors)
    }

    #[test]
    fn descriptors_are_whole_pages_in_order() {
        let disk = wanted(16, 4, 2, 0).expect("it wants some");
        let pieces = [(0x1_0800, 0x3000), (0x8_0000, 0x1000), (0x4_0000, 0x5000)];
        let (result, descriptors) = described(&disk, &pieces, 100);
        // The first loses a page to its ends, and the second is too short.
        assert_eq!(descriptors, [(0x1_1000, 2), (0x4_0000, 5)]);
        let all = Described {
            descriptors: 2,
            pages: 7,
        };
        assert_eq!(result, Some(all));
    }

    #[test]
    fn too_little_is_nothing() {
        let disk = wanted(16, 4, 0, 1).expect("it wants some");
        assert_eq!(described(&disk, &[(0x1000, 0x3000)], 9).0, None);
        assert_eq!(described(&disk, &[], 9).0, None);
        let two = [(0x1000, 0x3000), (0x8000, 0x4000)];
        assert_eq!(described(&disk, &two, 9).0, None, "only one range is taken");
        assert_eq!(described(&disk, &[(0x8000, 0x4000)], 0).0, None);
        assert!(described(&disk, &[(0x8000, 0x4000)], 1).0.is_some());
    }

    proptest! {
        #[test]
        fn nothing_is_described_that_is_not_there(
            pieces in proptest::collection::vec((0_u64..1 << 20, 1_u64..0x8000), 0..10),
            least_range in 0_u32..4, ranges in 0_u16..5, room in 0_u32..8,
        ) {
            let disk = wanted(64, 0, least_range, ranges).expect("it wants some");
            let memory = list(&pieces);
            let (result, descriptors) = described(&disk, &pieces, room);
            let pages: u32 = descriptors.iter().map(|(_, pages)| pages).sum();
            prop_assert!(descriptors.len() <= room as usize);
            prop_assert!(ranges == 0 || descriptors.len() <= usize::from(ranges));
            prop_assert_eq!(result.map_or(0, |described| described.pages), pages);
            for (address, pages) in descriptors {
                prop_assert!(pages >= least_range.max(1) && address % PAGE == 0);
                let end = address + u64::from(pages) * PAGE;
                let is_there = memory.iter().any(|range| {
                    range.addr().get() <= address && end <= range.last().get() + 1
                });
                prop_assert!(is_there);
            }
        }
    }
}
