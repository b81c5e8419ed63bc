//! Zoned namespaces (ZNS command set specification 1.1).
//!
//! # The problem
//!
//! Flash is written in order and erased in large pieces. A disk that offers blocks in any order
//! has to move data about behind the host's back.
//!
//! # The idea
//!
//! A zoned namespace shows the pieces. All its zones have the same size, a number of blocks, of
//! which the first few (the capacity) can be written. A zone has a write pointer, and a write
//! must start there. An append names only the zone, and learns afterwards where its blocks
//! are, so that many can be on the way at once. A zone is reset as a whole.
//!
//! What a report says is checked here: a zone lies where zones lie, is no larger than they
//! are, and its write pointer is inside of it.

mod zone;

use crate::limits::Limits;
use crate::wire::{IdentifyNamespace, ZoneDescriptor, ZoneReport, ZonedController, ZonedNamespace};
pub use zone::{Nonsense, State, Zone};

/// What the zones of a namespace are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zoned {
    /// Blocks in a zone (ZSZE), not 0.
    pub zone_blocks: u64,
    /// Zones in the namespace. The last one is whole, too.
    pub zones: u64,
    /// Most zones that may be open at a time (MOR); `None` is no limit.
    pub max_open: Option<u64>,
    /// Most zones that may be open or closed at a time (MAR); `None` is no limit.
    pub max_active: Option<u64>,
    /// Most bytes of data in a Zone Append (ZASL).
    pub append_bytes: u64,
    /// A read may cross the boundary of two zones.
    pub reads_cross: bool,
    /// The capacity of a zone may change when it is reset.
    pub capacity_varies: bool,
    /// Bytes of a zone descriptor extension; 0 is none.
    pub extension_bytes: u32,
}

impl Zoned {
    /// Reads what a controller says of a zoned namespace. `None` if it makes no sense: zones of
    /// no size, or a namespace that has not one whole zone.
    pub fn new(
        identify: &IdentifyNamespace,
        zoned: &ZonedNamespace,
        controller: &ZonedController,
        limits: &Limits,
    ) -> Option<Self> {
        // Zero-based; all ones is no limit.
        let limit = |limit: u32| (limit != u32::MAX).then_some(u64::from(limit) + 1);
        let format = zoned.lbafe.get(identify.format_index())?;
        let zones = identify.nsze.checked_div(format.zsze)?;
        (zones > 0).then_some(Self {
            zone_blocks: format.zsze,
            zones,
            max_open: limit(zoned.mor),
            max_active: limit(zoned.mar),
            append_bytes: append_bytes(controller.zasl, limits.max_transfer_bytes),
            reads_cross: zoned.ozcs & 1 != 0,
            capacity_varies: zoned.zoc & 1 != 0,
            extension_bytes: u32::from(format.zdes) * 64,
        })
    }

    /// First block of the zone that block `block` is in; `None` behind the last zone.
    pub const fn zone_of(&self, block: u64) -> Option<u64> {
        let index = block / self.zone_blocks;
        match index < self.zones {
            true => Some(index * self.zone_blocks),
            false => None,
        }
    }

    /// The zone that a descriptor describes; `None` if there can be no such zone.
    pub fn zone(&self, descriptor: &ZoneDescriptor) -> Option<Zone> {
        let block = descriptor.zslba;
        if self.zone_of(block) != Some(block) || descriptor.zcap > self.zone_blocks {
            return None;
        }
        let state = State::new(descriptor.zs >> 4)?;
        let end = block + descriptor.zcap;
        let written = match state {
            State::Empty => 0,
            State::ImplicitlyOpen | State::ExplicitlyOpen | State::Closed => {
                if !(block..=end).contains(&descriptor.wp) {
                    return None;
                }
                descriptor.wp - block
            }
            // The write pointer means nothing in these states.
            State::Full | State::ReadOnly | State::Offline => descriptor.zcap,
        };
        Some(Zone {
            block,
            capacity: descriptor.zcap,
            written,
            state,
            attributes: descriptor.za,
        })
    }

    /// The zones of a report that lies in memory as `bytes`.
    ///
    /// Ends with [`Nonsense`] at the first zone that cannot be, or that is not behind the one
    /// before. Zones that the report counts but that are not in the memory are not there.
    pub fn report<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = Result<Zone, Nonsense>> + 'a {
        let (count, rest) = match bytes.split_first_chunk::<{ ZoneReport::BYTES }>() {
            Some((head, rest)) => (ZoneReport::decode(head).zones, rest),
            None => (0, bytes),
        };
        let (descriptors, _) = rest.as_chunks::<{ ZoneDescriptor::BYTES }>();
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut next = Some(0);
        descriptors.iter().take(count).map_while(move |bytes| {
            let from = next?;
            let zone = self.zone(&ZoneDescriptor::decode(bytes));
            let zone = zone.filter(|zone| zone.block >= from);
            next = zone.map(|zone| zone.block + self.zone_blocks);
            Some(zone.ok_or(Nonsense))
        })
    }
}

/// Most bytes of a Zone Append: ZASL in units of 4 KiB, or as much as any command.
fn append_bytes(zasl: u8, max_transfer_bytes: u64) -> u64 {
    const PAGE: u64 = 4096;
    match zasl {
        0 => max_transfer_bytes,
        // A power of two that does not fit is no limit.
        shift if shift >= 52 => max_transfer_bytes,
        shift => max_transfer_bytes.min(PAGE << shift),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZONED: Zoned = Zoned {
        zone_blocks: 0x100,
        zones: 4,
        max_open: None,
        max_active: Some(3),
        append_bytes: 0x2_0000,
        reads_cross: false,
        capacity_varies: false,
        extension_bytes: 0,
    };

    fn descriptor(block: u64, capacity: u64, wp: u64, state: State) -> ZoneDescriptor {
        ZoneDescriptor {
            zt: 2,
            zs: state.number() << 4,
            zcap: capacity,
            zslba: block,
            wp,
            ..ZoneDescriptor::default()
        }
    }

    fn report(count: u64, zones: &[ZoneDescriptor]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + zones.len() * 64];
        bytes[..8].copy_from_slice(&count.to_le_bytes());
        for (place, zone) in bytes[64..].as_chunks_mut::<64>().0.iter_mut().zip(zones) {
            zone.encode(place);
        }
        bytes
    }

    #[test]
    fn a_namespace_says_what_its_zones_are_like() {
        let mut identify = IdentifyNamespace {
            nsze: 0x1000,
            flbas: 1,
            ..IdentifyNamespace::default()
        };
        let mut zoned = ZonedNamespace {
            mar: 7,
            mor: u32::MAX,
            ozcs: 1,
            ..ZonedNamespace::default()
        };
        zoned.lbafe[1].zsze = 0x400;
        zoned.lbafe[1].zdes = 1;
        let controller = ZonedController { zasl: 5 };
        let limits = Limits::new(7, None, 1);
        let new = |identify: &_, zoned: &_| Zoned::new(identify, zoned, &controller, &limits);
        let view = new(&identify, &zoned).expect("it has zones");
        assert_eq!((view.zone_blocks, view.zones), (0x400, 4));
        assert_eq!((view.max_open, view.max_active), (None, Some(8)));
        assert_eq!((view.append_bytes, view.extension_bytes), (0x2_0000, 64));
        assert!(view.reads_cross && !view.capacity_varies);
        identify.nsze = 0x3ff;
        assert_eq!(new(&identify, &zoned), None, "no whole zone");
        identify.flbas = 0;
        assert_eq!(new(&identify, &zoned), None, "zones of no size");
    }

    #[test]
    fn appends_are_limited_by_zasl_or_mdts() {
        assert_eq!(append_bytes(0, 0x8_0000), 0x8_0000);
        assert_eq!(append_bytes(1, 0x8_0000), 0x2000);
        assert_eq!(append_bytes(20, 0x8_0000), 0x8_0000);
        for zasl in 51..=255 {
            assert_eq!(append_bytes(zasl, 0x8_0000), 0x8_0000);
        }
    }

    #[test]
    fn zones_are_found_by_their_blocks() {
        assert_eq!(ZONED.zone_of(0), Some(0));
        assert_eq!(ZONED.zone_of(0x1ff), Some(0x100));
        assert_eq!(ZONED.zone_of(0x3ff), Some(0x300));
        assert_eq!(ZONED.zone_of(0x400), None);
        assert_eq!(ZONED.zone_of(u64::MAX), None);
    }

    #[test]
    fn a_zone_has_a_write_pointer_while_it_can_be_written() {
        let zone = |state, wp| ZONED.zone(&descriptor(0x100, 0x80, wp, state));
        let open = zone(State::ImplicitlyOpen, 0x110).expect("a zone");
        assert_eq!((open.written, open.room()), (0x10, 0x70));
        assert_eq!(open.write_pointer(), Some(0x110));
        let empty = zone(State::Empty, 0x100).expect("a zone");
        assert_eq!((empty.write_pointer(), empty.room()), (Some(0x100), 0x80));
        let full = zone(State::Full, u64::MAX).expect("a zone");
        assert_eq!(
            (full.write_pointer(), full.written, full.room()),
            (None, 0x80, 0)
        );
        let name = "zone at block 256: 16 of 128 blocks written, implicitly open";
        assert_eq!(format!("{open}"), name);
    }

    #[test]
    fn zones_that_cannot_be_are_refused() {
        let open = State::ExplicitlyOpen;
        for (block, capacity, wp) in [
            (0x80, 0x80, 0x80),
            (0x400, 0x80, 0x400),
            (0, 0x101, 0),
            (0x100, 0x80, 0xff),
            (0x100, 0x80, 0x181),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            assert_eq!(ZONED.zone(&descriptor(block, capacity, wp, open)), None);
        }
        let mut unknown = descriptor(0, 0x80, 0, open);
        unknown.zs = 0x70;
        assert_eq!(ZONED.zone(&unknown), None);
    }

    #[test]
    fn a_report_ends_where_it_says_or_where_it_lies() {
        let zones = [
            descriptor(0, 0x80, 0, State::Empty),
            descriptor(0x200, 0x80, 0x210, State::Closed),
            descriptor(0x200, 0x80, 0x210, State::Closed),
        ];
        let blocks = |bytes: &[u8]| -> Vec<Result<u64, Nonsense>> {
            ZONED
                .report(bytes)
                .map(|zone| zone.map(|zone| zone.block))
                .collect()
        };
        assert_eq!(blocks(&report(2, &zones)), [Ok(0), Ok(0x200)]);
        assert_eq!(
            blocks(&report(9, &zones)),
            [Ok(0), Ok(0x200), Err(Nonsense)]
        );
        assert_eq!(blocks(&report(u64::MAX, &zones[..1])), [Ok(0)]);
        assert_eq!(blocks(&report(0, &zones)), []);
        assert_eq!(blocks(&[0xff; 63]), []);
    }

    proptest! {
        #[test]
        fn no_report_leads_astray(bytes in proptest::collection::vec(any::<u8>(), 0..1024)) {
            let mut next = 0;
            for zone in ZONED.report(&bytes) {
                let Ok(zone) = zone else { break };
                prop_assert!(zone.block >= next && zone.block < 0x400);
                prop_assert!(zone.written <= zone.capacity && zone.capacity <= 0x100);
                next = zone.block + 0x100;
            }
        }
    }
}
