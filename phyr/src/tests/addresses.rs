//! The address types, and how things print.

use std::{format, string::ToString};

use proptest::prelude::*;

use super::wide::number;
use crate::{DmaAddr, DmaRange, ListError, Phyr, PhyrList, PhysAddr, RangeError};

proptest! {
    #[test]
    fn steps_are_checked(a in number(), b in number()) {
        let addr = PhysAddr::new(a);
        prop_assert_eq!(addr.get(), a);
        prop_assert_eq!(addr.checked_add(b).map(PhysAddr::get), a.checked_add(b));
        prop_assert_eq!(addr.checked_sub(b).map(PhysAddr::get), a.checked_sub(b));
        prop_assert_eq!(addr.offset_from(PhysAddr::new(b)), a.checked_sub(b));
    }

    #[test]
    fn alignment_is_to_multiples(a in number(), shift in 0u32..64) {
        let (addr, align) = (DmaAddr::new(a), 1u64 << shift);
        let down = u128::from(a) / u128::from(align) * u128::from(align);
        let up = u128::from(a).next_multiple_of(align.into());
        prop_assert_eq!(u128::from(addr.align_down(align).get()), down);
        prop_assert_eq!(addr.align_up(align).map(DmaAddr::get), u64::try_from(up).ok());
        prop_assert_eq!(addr.is_aligned(align), down == a.into());
    }

    #[test]
    fn only_powers_of_two_align(a in number(), align in number()) {
        prop_assume!(!align.is_power_of_two());
        let addr = PhysAddr::new(a);
        prop_assert!(!addr.is_aligned(align));
        prop_assert_eq!(addr.align_down(align), addr);
        prop_assert_eq!(addr.align_up(align), None);
    }
}

#[test]
fn addresses_are_constants() {
    const ADDR: PhysAddr = PhysAddr::new(0x1234).align_down(0x1000);
    const RANGE: Result<Phyr, RangeError> = Phyr::new(ADDR, 0x1000);
    const LIST: PhyrList = PhyrList::new();
    assert_eq!(RANGE.unwrap().last().get(), 0x1fff);
    assert!(LIST.is_empty());
}

#[test]
fn they_print_in_hexadecimal() {
    let addr = PhysAddr::new(0x1000);
    let range = Phyr::new(addr, 0x1000).unwrap();
    assert_eq!(format!("{addr} {addr:?}"), "0x1000 0x1000");
    assert_eq!(
        format!("{range} {range:?}"),
        "[0x1000..=0x1fff] [0x1000..=0x1fff]"
    );

    let addr = DmaAddr::new(0);
    let range = DmaRange::new(addr, 1).unwrap();
    assert_eq!(format!("{addr} {range:?}"), "0x0 [0x0..=0x0]");

    let list = PhyrList::from(Phyr::new(PhysAddr::new(0x1000), 0x10).unwrap());
    assert_eq!(format!("{list:?}"), "[[0x1000..=0x100f]]");
    assert_eq!(
        format!("{:?}", list.cursor()),
        "Cursor { next: Some([0x1000..=0x100f]), remaining: 16 }"
    );
}

#[test]
fn no_two_errors_read_alike() {
    let range = [
        RangeError::Empty,
        RangeError::Reversed,
        RangeError::Overflow,
        RangeError::TooLong,
    ];
    let list = [ListError::OutOfMemory, ListError::TooLong, ListError::Full];
    let mut texts: std::vec::Vec<_> = range.iter().map(ToString::to_string).collect();
    texts.extend(list.iter().map(ToString::to_string));
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 7);
    assert!(texts.iter().all(|text| text.len() > 20));
}

#[test]
fn everything_goes_between_threads() {
    fn sent<T: Send + Sync + 'static>() {}
    sent::<Phyr>();
    sent::<PhyrList>();
    sent::<crate::DmaList>();
    sent::<crate::Cursor<'static>>();
}
