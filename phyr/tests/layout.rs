//! What a range looks like in memory: how many bytes, and which ones.

use core::mem::{align_of, size_of, size_of_val};
use core::ptr::from_ref;
use core::slice;

use phyr::{DmaRange, DmaRange32, DmaRangePae, Phyr, Phyr32, PhyrPae, PhysAddr, RangeError};

/// A `bio_vec`: the address of a page structure as wide as pointers are, a length, an offset.
#[repr(C)]
struct BioVec<Pointer> {
    _page: Pointer,
    _len: u32,
    _offset: u32,
}

/// The size of a range and of one that may be missing.
fn sizes<T>() -> [usize; 2] {
    [size_of::<T>(), size_of::<Option<T>>()]
}

/// A range of 4 GiB less a byte: as long as all three widths can say.
fn long() -> Phyr {
    Phyr::new(PhysAddr::new(0), u32::MAX.into()).unwrap()
}

#[test]
fn a1_sixteen_bytes() {
    assert_eq!([sizes::<Phyr>(), sizes::<DmaRange>()], [[16; 2]; 2]);
    // And nothing was saved at the length.
    let longer = Phyr::new(PhysAddr::new(1 << 63), 1 << 40).unwrap();
    assert_eq!((longer.addr().get(), longer.len()), (1 << 63, 1 << 40));
}

#[test]
fn a2_twelve_bytes_for_32_bits_with_wide_addresses() {
    assert_eq!([sizes::<PhyrPae>(), sizes::<DmaRangePae>()], [[12; 2]; 2]);
    assert_eq!(size_of::<[PhyrPae; 7]>(), 7 * 12, "an array has no holes");
    assert_eq!(align_of::<PhyrPae>(), 4);
    let high = Phyr::new(PhysAddr::new(0xf_ffff_f000), u32::MAX.into()).unwrap();
    let short: PhyrPae = high.to_width().unwrap();
    assert_eq!((short.addr(), short.len()), (high.addr(), high.len()));
    let longer = Phyr::new(PhysAddr::new(0), 1 << 32).unwrap();
    assert_eq!(
        longer.to_width::<phyr::Pae>().err(),
        Some(RangeError::TooLong)
    );
}

#[test]
fn a3_eight_bytes_for_32_bits() {
    assert_eq!([sizes::<Phyr32>(), sizes::<DmaRange32>()], [[8; 2]; 2]);
    let short: Phyr32 = long().to_width().unwrap();
    assert_eq!((short.addr(), short.len()), (long().addr(), long().len()));
    let high = Phyr::new(PhysAddr::new(1 << 32), 1).unwrap();
    assert_eq!(
        high.to_width::<phyr::Bits32>().err(),
        Some(RangeError::Overflow)
    );
}

#[test]
fn a4_no_larger_than_a_bio_vec() {
    let (wide, narrow) = (size_of::<BioVec<u64>>(), size_of::<BioVec<u32>>());
    assert_eq!((wide, narrow), (16, 12));
    assert!(size_of::<Phyr>() <= wide);
    assert!(size_of::<PhyrPae>() <= narrow);
    assert!(size_of::<Phyr32>() <= narrow);
}

/// The bytes of some ranges, as somebody else would read them who knows the layout.
fn bytes<T: Copy>(ranges: &[T]) -> &[u8] {
    // SAFETY: ranges have no holes (the tests above), so all of these bytes are initialized; the
    // slice lives as long as the ranges, and nobody writes them meanwhile.
    unsafe { slice::from_raw_parts(from_ref(ranges).cast(), size_of_val(ranges)) }
}

#[test]
fn a10_an_array_of_ranges_is_address_length_address_length() {
    let ranges = [(0x1234_5678_9abc_d000, 0x0102_0304_0506_0708), (0x10, 0x20)]
        .map(|(addr, len)| Phyr::new(PhysAddr::new(addr), len).unwrap());
    let words: Vec<u64> = bytes(&ranges)
        .as_chunks()
        .0
        .iter()
        .map(|word| u64::from_ne_bytes(*word))
        .collect();
    let expected = ranges.map(|range| [range.addr().get(), range.len()]);
    assert_eq!(words, expected.concat());

    let short: PhyrPae = long().sub(0x1000, 0x2000).unwrap().to_width().unwrap();
    let expected = [&0x1000_u64.to_ne_bytes()[..], &0x2000_u32.to_ne_bytes()[..]];
    assert_eq!(bytes(&[short]), expected.concat());

    let short: Phyr32 = long().sub(0x1000, 0x2000).unwrap().to_width().unwrap();
    let expected = [0x1000_u32.to_ne_bytes(), 0x2000_u32.to_ne_bytes()];
    assert_eq!(bytes(&[short]), expected.concat());
}
