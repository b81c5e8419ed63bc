//! Parts of pins, and pins in parts.

use super::{DATA, PAGE, aligned, oracle, part};
use crate::memory::address_space::{AddressSpace, PinError, SpaceError};
use crate::memory::paging::Rights;
use crate::memory::pins::Access;
use crate::vm_tests::apart;
use crate::vm_tests::programs::{at, range};
use alloc::vec::Vec;
use core::num::NonZeroUsize;
use phyr::{Phyr, PhyrList};
use vm_test::vm_test;

#[vm_test]
fn c5_partial_unpin() {
    let space = AddressSpace::new().unwrap();
    let mapped = space.map(apart(8), Rights::ReadWrite).unwrap();
    let whole = space.pin(mapped, Access::Write).unwrap();
    let list = whole.phyrs().try_clone().unwrap();
    // Where there is nothing to divide, it comes back.
    let whole = whole.split_at(0).unwrap_err();
    let whole = whole.split_at(8 * PAGE).unwrap_err();
    let (front, back) = whole.split_at(3 * PAGE + 100).unwrap();
    assert_eq!(space.usage().pins, 2);
    assert_eq!(front.range(), part(mapped, 0, 3 * PAGE + 100));
    assert_eq!(*front.phyrs(), oracle(&space, front.range()));
    assert_eq!(*back.phyrs(), oracle(&space, back.range()));
    // In the wrong order they are not joined, and neither is lost.
    let (back, front) = back.try_merge(front).unwrap_err();
    let whole = front.try_merge(back).unwrap();
    assert_eq!((whole.phyrs(), space.usage().pins), (&list, 1));
    // A part is unpinned, and may be unmapped; the page that both share may not.
    let (front, back) = whole.split_at(3 * PAGE + 100).unwrap();
    drop(front);
    assert_eq!(space.usage().pinned, 5 * PAGE - 100);
    assert_eq!(space.unmap(part(mapped, 0, 3 * PAGE)), Ok(()));
    let shared = space.unmap(part(mapped, 3 * PAGE, PAGE));
    assert_eq!(shared, Err(SpaceError::Pinned(back.range())));
    let pinned_front = space.pin(part(mapped, 2 * PAGE, PAGE), Access::Read);
    assert!(matches!(pinned_front, Err(PinError::NotMapped(_))));
    // Pins for different things are not one.
    let (front, back) = back.split_at(PAGE).unwrap();
    let again = space.pin(back.range(), Access::Read).unwrap();
    let (front, again) = front.try_merge(again).unwrap_err();
    drop((back, again));
    assert_eq!(space.usage().pinned, front.len());
    drop(front);
    assert_eq!(space.unmap(part(mapped, 3 * PAGE, 5 * PAGE)), Ok(()));
    assert_eq!((space.usage().mapped, space.usage().pins), (0, 0));
}

#[vm_test]
fn c6_a_full_output_resumes_whole() {
    let space = AddressSpace::new().unwrap();
    // Pages 3 to 10 of sixteen, each a mapping of its own, as if they had come one by one.
    let mut block = aligned(16 * PAGE, 16 * PAGE);
    let first = block.phyr().addr().checked_add(3 * PAGE).unwrap();
    (_, block) = block.split_at(3 * PAGE).unwrap();
    for page in 0..8 {
        let (front, rest) = block.split_at(PAGE).unwrap();
        space
            .map_at(at(DATA + page * PAGE), front, Rights::ReadWrite)
            .unwrap();
        block = rest;
    }
    let all = range(DATA, 8 * PAGE);
    let entries = |count| NonZeroUsize::new(count).unwrap();
    for count in [1, 2] {
        let (pinned, rest) = space.pin_up_to(all, Access::Write, entries(count)).unwrap();
        assert_eq!(rest, None);
        let whole = Phyr::new(first, 8 * PAGE).unwrap();
        assert_eq!(*pinned.phyrs(), PhyrList::from(whole));
    }
    // Behind it, pages that do not touch. With room for two, it takes three times.
    space
        .map_at(at(DATA + 8 * PAGE), apart(4), Rights::ReadWrite)
        .unwrap();
    let mut rest = Some(range(DATA + 9, 12 * PAGE - 9));
    let mut pins = Vec::new();
    while let Some(left) = rest {
        let (pinned, behind) = space.pin_up_to(left, Access::Write, entries(2)).unwrap();
        rest = behind;
        pins.push(pinned);
    }
    let lens: Vec<_> = pins
        .iter()
        .map(|pin| (pin.phyrs().len(), pin.len()))
        .collect();
    assert_eq!(lens, [(2, 9 * PAGE - 9), (2, 2 * PAGE), (1, PAGE)]);
    let mut pins = pins.into_iter();
    let first = pins.next().unwrap();
    let all = pins
        .try_fold(first, |all, next| all.try_merge(next).ok())
        .unwrap();
    assert_eq!(*all.phyrs(), oracle(&space, range(DATA + 9, 12 * PAGE - 9)));
    assert_eq!(space.usage().pins, 1);
    // What was not looked at is nobody's mistake until one goes on.
    let beyond = range(DATA, 13 * PAGE);
    let (_first, rest) = space.pin_up_to(beyond, Access::Write, entries(2)).unwrap();
    let refused = space.pin(rest.unwrap(), Access::Write).unwrap_err();
    assert_eq!(refused, PinError::NotMapped(at(DATA + 12 * PAGE)));
}
