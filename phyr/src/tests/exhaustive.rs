//! Every operation on every range of a window of 64 addresses, against a set of bits.

use super::model::{Bits, Window, bits, members};
use crate::width::{Bits6, Bits6Short};
use crate::{Bits32, Bits64, DmaAddr, DmaRange, Pae, Phyr, PhysAddr, RangeError, Width};

/// Runs a check in the 6-bit widths, and at the top of the real address space.
macro_rules! in_small_windows {
    ($($check:ident),* $(,)?) => { $(
        mod $check {
            use super::*;

            #[test]
            fn bits_6() {
                super::$check::<Bits6>();
            }
            #[test]
            fn bits_6_short() {
                super::$check::<Bits6Short>();
            }
            #[test]
            fn top_of_bits_64() {
                super::$check::<Bits64>();
            }
        }
    )* };
}

in_small_windows! {
    ranges_are_what_the_rules_allow,
    inclusive_ends_mean_the_same,
    parts,
    alignment,
    pieces,
    merging,
    common_bytes,
}

fn ranges_are_what_the_rules_allow<W: Width>() {
    for first in 0..64 {
        for len in 0..=66 {
            let expected = match len {
                0 => Err(RangeError::Empty),
                _ if first + len > 64 => Err(RangeError::Overflow),
                _ if len > Window::<W>::LONGEST => Err(RangeError::TooLong),
                _ => Ok(bits(first, len)),
            };
            let range = Window::<W>::range(first, len);
            assert_eq!(range.map(covered), expected, "{first} {len}");
        }
    }
}

/// Which addresses are in a range, one question for each.
fn covered<W: Width>(range: Phyr<W>) -> Bits {
    (0..64)
        .filter(|bit| range.contains_addr(PhysAddr::new(Window::<W>::BASE + bit)))
        .map(|bit| 1 << bit)
        .sum()
}

fn inclusive_ends_mean_the_same<W: Width>() {
    use crate::span::Span;

    for first in 0..64 {
        for last in 0..64 {
            let base = Window::<W>::BASE;
            let range = Span::from_inclusive(base + first, base + last).and_then(Phyr::from_span);
            let expected = if last < first {
                Err(RangeError::Reversed)
            } else {
                Window::<W>::range(first, last - first + 1)
            };
            assert_eq!(range, expected, "{first} {last}");
        }
    }
}

fn parts<W: Width>() {
    for (range, whole) in Window::<W>::all() {
        let (first, len) = (whole.trailing_zeros() as u64, whole.count_ones() as u64);
        for offset in 0..=len + 2 {
            let split = range.split_at(offset);
            if 0 < offset && offset < len {
                let (head, tail) = split.unwrap();
                assert_eq!(Some(head), Window::of(bits(first, offset)));
                assert_eq!(Some(tail), Window::of(whole & !bits(first, offset)));
            } else {
                assert_eq!(split, None);
            }
            for part in 0..=len + 2 {
                let expected = if part > 0 && offset + part <= len {
                    Window::of(bits(first + offset, part))
                } else {
                    None
                };
                assert_eq!(range.sub(offset, part), expected, "{range} {offset} {part}");
            }
            assert_eq!(range.sub(offset, u64::MAX), None);
            assert_eq!(range.sub(u64::MAX, offset), None);
        }
        assert_eq!(range.split_at(u64::MAX), None);
    }
}

fn alignment<W: Width>() {
    for (range, whole) in Window::<W>::all() {
        for align in 0..=64u64 {
            let (inner, outer) = if align.is_power_of_two() {
                let blocks = (0..64 / align).map(|block| bits(block * align, align));
                (
                    blocks.clone().filter(|block| block & whole == *block).sum(),
                    blocks.filter(|block| block & whole != 0).sum(),
                )
            } else {
                (0, 0)
            };
            assert_eq!(
                range.align_inner(align),
                Window::of(inner),
                "{range} {align}"
            );
            assert_eq!(
                range.align_outer(align),
                Window::of(outer),
                "{range} {align}"
            );
            assert_eq!(range.is_aligned(align), inner == whole, "{range} {align}");
        }
    }
}

fn pieces<W: Width>() {
    for (range, whole) in Window::<W>::all() {
        for size in 0..=66u64 {
            // Each starts a new piece at the addresses for which the closure says so.
            let first = u64::from(whole.trailing_zeros());
            let chunks = cut(whole, |bit| size == 0 || (bit - first).is_multiple_of(size));
            let blocks = cut(whole, |bit| (Window::<W>::BASE + bit).is_multiple_of(size));
            if size == 0 {
                assert_eq!(range.chunks(size).next(), None);
            } else {
                assert!(range.chunks(size).map(Some).eq(chunks), "{range} {size}");
            }
            assert!(
                range.split_boundary(size).map(Some).eq(blocks),
                "{range} {size}"
            );

            let pages = (0..64u64)
                .filter(|bit| size.is_power_of_two() && bit.is_multiple_of(size))
                .map(|bit| bits(bit, size))
                .filter(|page| page.count_ones() as u64 == size && page & whole == *page);
            assert!(
                range.pages(size).map(Some).eq(pages.map(Window::of)),
                "{range} {size}"
            );
        }
    }
}

/// A set cut in pieces, each as the range it should be.
fn cut<W: Width>(
    whole: Bits,
    starts: impl Fn(u64) -> bool,
) -> impl Iterator<Item = Option<Phyr<W>>> {
    let mut rest = members(whole).peekable();
    core::iter::from_fn(move || {
        let mut piece = 1 << rest.next()?;
        while let Some(bit) = rest.next_if(|bit| !starts(*bit)) {
            piece |= 1 << bit;
        }
        Some(Window::of(piece))
    })
}

fn merging<W: Width>() {
    let all = Window::<W>::all();
    for (left, left_bits) in &all {
        for (right, right_bits) in &all {
            let touch = left_bits.leading_zeros() + right_bits.trailing_zeros() == 64;
            let joined = if touch {
                Window::of(left_bits | right_bits)
            } else {
                None
            };
            assert_eq!(left.try_merge(*right), joined.ok_or((*left, *right)));
        }
    }
}

fn common_bytes<W: Width>() {
    let all = Window::<W>::all();
    for (left, left_bits) in &all {
        for (right, right_bits) in &all {
            let common = left_bits & right_bits;
            assert_eq!(left.intersect(*right), Window::of(common));
            assert_eq!(left.overlaps(*right), common != 0);
            assert_eq!(left.contains(*right), common == *right_bits);
        }
    }
}

/// The constructors and getters that are written out per width.
#[test]
fn getters() {
    macro_rules! check {
        ($($Width:ty),*) => { $(
            for (range, bits) in Window::<$Width>::all() {
                let base = Window::<$Width>::BASE;
                assert_eq!(range.addr().get() - base, u64::from(bits.trailing_zeros()));
                assert_eq!(range.len(), u64::from(bits.count_ones()));
                assert_eq!(range.last().get() - base, u64::from(63 - bits.leading_zeros()));
            }
        )* };
    }
    check!(Bits6, Bits6Short, Bits64, Pae, Bits32);
}

#[test]
fn constructors() {
    for (range, _) in Window::<Bits64>::all() {
        assert_eq!(Phyr::new(range.addr(), range.len()), Ok(range));
        assert_eq!(Phyr::from_inclusive(range.addr(), range.last()), Ok(range));

        let (addr, last) = (
            DmaAddr::new(range.addr().get()),
            DmaAddr::new(range.last().get()),
        );
        let on_bus = DmaRange::new(addr, range.len()).unwrap();
        assert_eq!(
            (on_bus.addr(), on_bus.len(), on_bus.last()),
            (addr, range.len(), last)
        );
        assert_eq!(DmaRange::from_inclusive(addr, last), Ok(on_bus));
    }
}

/// Between the widths: what fits goes there and back, what does not says why.
#[test]
fn widths() {
    for (range, bits) in Window::<Bits6>::all() {
        let wide = range.to_width::<Bits64>().unwrap();
        assert_eq!(wide.to_width::<Bits6>(), Ok(range));
        let short = if bits.count_ones() <= 7 {
            Window::<Bits6Short>::of(bits).ok_or(RangeError::Empty)
        } else {
            Err(RangeError::TooLong)
        };
        assert_eq!(range.to_width::<Bits6Short>(), short);
    }
    for (range, _) in Window::<Bits64>::all() {
        assert_eq!(range.to_width::<Bits6>(), Err(RangeError::Overflow));
        assert_eq!(range.to_width::<Bits32>(), Err(RangeError::Overflow));
        assert!(range.to_width::<Pae>().is_ok());
    }
}

/// The counts, so that nothing above is true of no range at all.
#[test]
fn how_many_there_are() {
    assert_eq!(Window::<Bits6>::all().len(), 64 * 65 / 2 - 1);
    assert_eq!(Window::<Bits6Short>::all().len(), 7 * 64 - 6 * 7 / 2);
    assert_eq!(Window::<Bits64>::all().len(), 64 * 65 / 2);
}
