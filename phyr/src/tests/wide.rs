//! Random ranges in the real widths, against 128-bit arithmetic, in which an end has
//! room behind the top of the address space.

use core::ops::Range;

use proptest::prelude::*;

use crate::span::Span;
use crate::{Bits32, Bits64, Pae, Phyr, PhysAddr, RangeError, Width};

/// Numbers as they occur: small, round, high, near a power of two, or any.
pub(super) fn number() -> impl Strategy<Value = u64> {
    let near_power = (0u32..64, -3i64..=3).prop_map(|(shift, off)| {
        let power = 1u64 << shift;
        power.wrapping_add_signed(off)
    });
    prop_oneof![
        0u64..16,
        (0u64..1 << 40).prop_map(|page| page << 12),
        (0u64..4096).prop_map(|below| u64::MAX - below),
        near_power,
        any::<u64>(),
    ]
}

/// A range of this width. Not only at the ends of its address space, but often.
pub(super) fn range<W: Width>() -> impl Strategy<Value = Phyr<W>> {
    (number(), number()).prop_map(|(addr, len)| {
        let addr = if addr > W::MAX_ADDR {
            W::MAX_ADDR - addr % 4096
        } else {
            addr
        };
        let room = (W::MAX_ADDR - addr).saturating_add(1).min(W::MAX_LEN);
        let len = len.clamp(1, room);
        Phyr::from_span(Span::new(addr, len).unwrap()).unwrap()
    })
}

/// Two ranges that often have to do with each other.
fn related<W: Width>() -> impl Strategy<Value = (Phyr<W>, Phyr<W>)> {
    (range::<W>(), range::<W>(), 0..4u8).prop_map(|(a, b, relation)| {
        let (span, other) = (a.span(), b.span());
        let near = match relation {
            0 => span.last().checked_add(1),
            1 => Some(span.last()),
            2 => Some(span.addr() + other.addr() % span.len()),
            _ => None,
        };
        let near = near.and_then(|addr| Span::new(addr, other.len()).ok());
        (
            a,
            near.and_then(|span| Phyr::from_span(span).ok())
                .unwrap_or(b),
        )
    })
}

fn end<W: Width>(range: Phyr<W>) -> u128 {
    u128::from(range.span().addr()) + u128::from(range.span().len())
}

fn bytes<W: Width>(range: Phyr<W>) -> Range<u128> {
    range.span().addr().into()..end(range)
}

/// The range of these bytes; `None` if it is none of this width.
fn of<W: Width>(bytes: Range<u128>) -> Option<Phyr<W>> {
    if bytes.is_empty()
        || bytes.end > u128::from(W::MAX_ADDR) + 1
        || bytes.end - bytes.start > W::MAX_LEN.into()
    {
        return None;
    }
    let (addr, len) = (bytes.start as u64, (bytes.end - bytes.start) as u64);
    Some(Phyr::from_span(Span::new(addr, len).unwrap()).unwrap())
}

fn check_pair<W: Width>(a: Phyr<W>, b: Phyr<W>) -> Result<(), TestCaseError> {
    let (left, right) = (bytes(a), bytes(b));
    let common = left.start.max(right.start)..left.end.min(right.end);
    prop_assert_eq!(a.overlaps(b), !common.is_empty());
    prop_assert_eq!(a.contains(b), common == right);
    prop_assert_eq!(a.intersect(b), of(common));

    let joined = if left.end == right.start {
        of(left.start..right.end)
    } else {
        None
    };
    prop_assert_eq!(a.try_merge(b), joined.ok_or((a, b)));
    Ok(())
}

fn check_one<W: Width>(a: Phyr<W>, x: u64, y: u64) -> Result<(), TestCaseError> {
    let whole = bytes(a);
    let len = whole.end - whole.start;

    prop_assert_eq!(a.contains_addr(PhysAddr::new(x)), whole.contains(&x.into()));
    let part = whole.start + u128::from(x)..whole.start + u128::from(x) + u128::from(y);
    let inside = part.end <= whole.end;
    prop_assert_eq!(a.sub(x, y), if inside { of(part.clone()) } else { None });
    let halves = (of(whole.start..part.start), of(part.start..whole.end));
    let halves = if u128::from(x) < len {
        halves.0.zip(halves.1)
    } else {
        None
    };
    prop_assert_eq!(a.split_at(x), halves);

    let align = 1u128 << (y % 64);
    let align_64 = align as u64;
    let inner = whole.start.next_multiple_of(align)..whole.end / align * align;
    let outer = whole.start / align * align..whole.end.next_multiple_of(align);
    prop_assert_eq!(a.is_aligned(align_64), outer == whole);
    prop_assert_eq!(a.align_inner(align_64), of(inner));
    prop_assert_eq!(a.align_outer(align_64), of(outer));

    // The first few pieces; the number of all is beyond counting.
    let mut at = whole.start;
    for piece in a.chunks(x).take(20) {
        let next = (at + u128::from(x)).min(whole.end);
        prop_assert_eq!(Some(piece), of(at..next));
        at = next;
    }
    let mut at = whole.start;
    for piece in a.split_boundary(y).take(20) {
        let next = match u128::from(y) {
            0 => whole.end,
            y => ((at / y + 1) * y).min(whole.end),
        };
        prop_assert_eq!(Some(piece), of(at..next));
        at = next;
    }
    if at < whole.end {
        prop_assert_eq!(a.split_boundary(y).take(21).count(), 21);
    }
    Ok(())
}

macro_rules! widths {
    ($($name:ident: $Width:ty),* $(,)?) => { $(
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(4000))]

                #[test]
                fn pairs((a, b) in related::<$Width>()) {
                    check_pair(a, b)?;
                }

                #[test]
                fn one(a in range::<$Width>(), x in number(), y in number()) {
                    check_one(a, x, y)?;
                }

                #[test]
                fn round_trip(a in range::<$Width>()) {
                    let wide = a.to_width::<Bits64>().unwrap();
                    prop_assert_eq!(bytes(wide), bytes(a));
                    prop_assert_eq!(wide.to_width::<$Width>(), Ok(a));
                    prop_assert_eq!(u128::from(a.last().get()), bytes(a).end - 1);
                    prop_assert_eq!(a.addr().get(), a.span().addr());
                    prop_assert_eq!(a.len(), a.span().len());
                }
            }
        }
    )* };
}

widths! { bits_64: Bits64, pae: Pae, bits_32: Bits32 }

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_a_range(addr in number(), len in number()) {
        let expected = if len == 0 {
            Err(RangeError::Empty)
        } else if u128::from(addr) + u128::from(len) > 1 << 64 {
            Err(RangeError::Overflow)
        } else {
            Ok((addr, len, addr + (len - 1)))
        };
        let range = Phyr::new(PhysAddr::new(addr), len);
        prop_assert_eq!(range.map(|p| (p.addr().get(), p.len(), p.last().get())), expected);
        if let Ok(range) = range {
            prop_assert_eq!(Phyr::from_inclusive(range.addr(), range.last()), Ok(range));
        }
    }

    #[test]
    fn narrowing_says_why_not(a in range::<Bits64>()) {
        let pae = if a.len() > u32::MAX.into() { Some(RangeError::TooLong) } else { None };
        prop_assert_eq!(a.to_width::<Pae>().err(), pae);
        let high = a.last().get() > u32::MAX.into();
        let narrow = if high { Some(RangeError::Overflow) } else { pae };
        prop_assert_eq!(a.to_width::<Bits32>().err(), narrow);
    }
}

#[test]
fn the_whole_address_space_is_one_byte_too_long() {
    let (bottom, top) = (PhysAddr::new(0), PhysAddr::new(u64::MAX));
    assert_eq!(Phyr::from_inclusive(bottom, top), Err(RangeError::TooLong));

    let first = Phyr::new(bottom, 1).unwrap();
    let rest = Phyr::from_inclusive(PhysAddr::new(1), top).unwrap();
    assert_eq!(rest.len(), u64::MAX);
    assert_eq!(first.try_merge(rest), Err((first, rest)));
    assert_eq!(rest.align_outer(2), None);
}

#[test]
fn eight_gigabytes_are_one_range() {
    let window = Phyr::new(PhysAddr::new(0x38_0000_0000), 8 << 30).unwrap();
    assert_eq!(window.len(), 8 << 30);
    assert_eq!(window.pages(1 << 30).count(), 8);
    assert_eq!(window.chunks(u64::MAX).count(), 1);
    assert!(window.is_aligned(1 << 30));
}
