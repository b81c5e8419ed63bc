//! Where BARs and bridge windows go: a function over values.
//!
//! A bridge forwards two ranges of memory to the bus behind it: one below 4 GiB, and one for
//! prefetchable memory that may lie anywhere (PCI-to-PCI Bridge specification 1.2, chapter 4).
//! All that lies behind a bridge must therefore lie together. So each bus is laid out from the
//! inside: its BARs and the windows of its bridges are packed, largest alignment first, and the
//! result is one block that the bus above packs in turn.

use super::bar::{BarKind, Need};
use alloc::vec::Vec;
use phyr::{Phyr, PhysAddr};

/// Bridge windows start and end at multiples of this.
const WINDOW: u64 = 1 << 20;

/// The two ranges of memory that a bridge forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Below 4 GiB.
    Low,
    /// Prefetchable, 64-bit.
    High,
}

/// The space that a BAR is placed in; none for I/O ports, and for what cannot be placed.
pub fn space_of(need: &Need) -> Option<Space> {
    match (need.kind, need.prefetchable) {
        (BarKind::Io, _) => None,
        _ if need.is_unusable() => None,
        (BarKind::Memory64, true) => Some(Space::High),
        _ => Some(Space::Low),
    }
}

/// A piece of address space that something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The bytes; 0 takes no room.
    pub len: u64,
    /// The alignment, a power of two.
    pub align: u64,
}

impl Part {
    /// What takes no room.
    pub const NOTHING: Self = Self { len: 0, align: 1 };
}

/// A block of address space that a bus needs, and how it is filled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The bytes it needs.
    pub len: u64,
    /// The alignment it needs, a power of two.
    pub align: u64,
    /// The offset of each part, in the order in which the parts were given.
    pub offsets: Vec<u64>,
}

/// Packs parts into one block.
///
/// `None` when the lengths overflow.
pub fn pack(parts: &[Part]) -> Option<Block> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&index| core::cmp::Reverse(parts[index].align));
    let mut block = Block {
        len: 0,
        align: 1,
        offsets: alloc::vec![0; parts.len()],
    };
    for index in order {
        let Part { len, align } = parts[index];
        if len == 0 {
            continue;
        }
        let offset = block.len.checked_next_multiple_of(align)?;
        block.offsets[index] = offset;
        block.len = offset.checked_add(len)?;
        block.align = block.align.max(align);
    }
    Some(block)
}

/// The window of a bridge around the block of the bus behind it.
pub fn window(block: &Block) -> Option<Part> {
    if block.len == 0 {
        return Some(Part::NOTHING);
    }
    Some(Part {
        len: block.len.checked_next_multiple_of(WINDOW)?,
        align: block.align.max(WINDOW),
    })
}

/// The window of a port whose device may be exchanged: room for what may come.
///
/// 2 MiB hold the registers of most devices; 1 GiB, of which nothing is lost above 4 GiB, most
/// device memory.
pub fn spare(window: Part, space: Space) -> Part {
    let least = match space {
        Space::Low => 2 << 20,
        Space::High => 1 << 30,
    };
    Part {
        len: window.len.max(least),
        align: window.align.max(least),
    }
}

/// The lowest free place for a block: within `bounds`, and outside all of `taken`.
pub fn find_place(bounds: Phyr, taken: &[Phyr], part: Part) -> Option<Phyr> {
    let Part { len, align } = part;
    let mut start = bounds.addr().align_up(align)?;
    loop {
        let candidate = Phyr::new(start, len).ok()?;
        if !bounds.contains(candidate) {
            return None;
        }
        match taken.iter().find(|range| range.overlaps(candidate)) {
            None => return Some(candidate),
            Some(range) => start = range.last().checked_add(1)?.align_up(align)?,
        }
    }
}

/// The address space where low blocks may go: above low RAM, below the interrupt controllers.
pub fn low_bounds(low_ram_end: PhysAddr) -> Option<Phyr> {
    /// I/O APIC, HPET, local APIC and firmware lie from here to 4 GiB on every PC.
    const END: u64 = 0xfec0_0000;
    /// Holes below this may hold what the memory map does not mention.
    const LOWEST: u64 = 1 << 30;
    let start = low_ram_end.get().max(LOWEST);
    Phyr::new(PhysAddr::new(start), END.checked_sub(start)?).ok()
}

/// The address space where high blocks may go: above 4 GiB and all RAM, up to what the CPU can address.
pub fn high_bounds(ram_end: PhysAddr, physical_bits: u32) -> Option<Phyr> {
    let start = ram_end.get().max(1 << 32);
    let end = 1u64.checked_shl(physical_bits)?;
    Phyr::new(PhysAddr::new(start), end.checked_sub(start)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part((len, align): (u64, u64)) -> Part {
        Part { len, align }
    }

    fn pack_all(parts: &[(u64, u64)]) -> Option<Block> {
        pack(&parts.iter().copied().map(part).collect::<Vec<_>>())
    }

    fn phyr(start: u64, len: u64) -> Phyr {
        Phyr::new(PhysAddr::new(start), len).unwrap()
    }

    #[test]
    fn parts_are_aligned_disjoint_and_packed() {
        let parts = [
            (0x1000, 0x1000),
            (0x4000, 0x4000),
            (0, 1),
            (0x100, 0x100),
            (0x1000, 0x1000),
        ];
        let block = pack_all(&parts).unwrap();
        assert_eq!(block.align, 0x4000);
        assert_eq!(block.len, 0x6100);
        assert_eq!(block.offsets, [0x4000, 0, 0, 0x6000, 0x5000]);
    }

    #[test]
    fn a_block_with_a_large_alignment_inside_is_as_aligned() {
        let inner = pack_all(&[(0x10_0000, 0x10_0000), (0x4000_0000, 0x4000_0000)]).unwrap();
        assert_eq!(window(&inner), Some(part((0x4010_0000, 0x4000_0000))));
        assert_eq!(window(&pack_all(&[]).unwrap()), Some(Part::NOTHING));
        assert_eq!(
            window(&pack_all(&[(0x4000, 0x4000)]).unwrap()),
            Some(part((WINDOW, WINDOW)))
        );
    }

    #[test]
    fn absurd_sizes_are_no_panic() {
        assert_eq!(pack_all(&[(1 << 63, 1 << 63), (1 << 63, 1 << 63)]), None);
        assert_eq!(pack_all(&[(u64::MAX, 1), (2, 2)]), None);
    }

    #[test]
    fn places_avoid_what_is_taken() {
        let bounds = phyr(0x8000_0000, 0x6000_0000);
        let ecam = phyr(0xb000_0000, 0x1000_0000);
        assert_eq!(
            find_place(bounds, &[ecam], part((0x1000, 0x1000))),
            Some(phyr(0x8000_0000, 0x1000))
        );
        let taken = [ecam, phyr(0x8000_0000, 0x2000_0000)];
        assert_eq!(
            find_place(bounds, &taken, part((0x2000_0000, 0x1000_0000))),
            Some(phyr(0xc000_0000, 0x2000_0000))
        );
        assert_eq!(
            find_place(bounds, &taken, part((0x4000_0000, 0x1000))),
            None
        );
    }

    #[test]
    fn the_low_hole_starts_behind_low_ram() {
        let bounds = |end| low_bounds(PhysAddr::new(end));
        assert_eq!(
            bounds(0x8000_0000),
            Some(phyr(0x8000_0000, 0xfec0_0000 - 0x8000_0000))
        );
        assert_eq!(
            bounds(0x100_0000),
            Some(phyr(0x4000_0000, 0xfec0_0000 - 0x4000_0000))
        );
        assert_eq!(bounds(0xff00_0000), None);
    }

    #[test]
    fn the_high_range_ends_where_the_cpu_does() {
        assert_eq!(
            high_bounds(PhysAddr::new(0x1000_0000), 40),
            Some(phyr(1 << 32, (1 << 40) - (1 << 32)))
        );
        assert_eq!(high_bounds(PhysAddr::new(1 << 40), 40), None);
        assert_eq!(high_bounds(PhysAddr::new(0), 64), None);
    }
}
