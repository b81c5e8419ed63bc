//! Random lists that outgrow their inline part, against a plain vector.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::chain::per_chunk;
use crate::directory::Directory;
use crate::width::{Bits6, ReprPae};
use crate::{DmaAddr, DmaList, Pae, Phyr, PhyrList, PhysAddr, Width};

/// How the next range lies to the last.
#[derive(Clone, Debug)]
enum Step {
    Touching(u64),
    Anywhere(u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (1u64..10_000).prop_map(Step::Touching),
        3 => (0u64..1 << 40, 1u64..10_000).prop_map(|(addr, len)| Step::Anywhere(addr, len)),
    ];
    prop_oneof![
        prop::collection::vec(step.clone(), 0..40),
        prop::collection::vec(step, 300..1200),
    ]
}

/// The list by the code under test, and by the model.
fn build<W: Width>(steps: &[Step]) -> (PhyrList<W>, Vec<(u64, u64)>) {
    let mut list = PhyrList::default();
    let mut model: Vec<(u64, u64)> = Vec::new();
    for step in steps {
        let end = model.last().map_or(0, |(addr, len)| addr + len);
        let (addr, len) = match *step {
            Step::Touching(len) => (end, len),
            Step::Anywhere(addr, len) => (addr, len),
        };
        list.push(entry(addr, len)).unwrap();
        match model.last_mut() {
            Some(last) if end == addr => last.1 += len,
            _ => model.push((addr, len)),
        }
    }
    (list, model)
}

fn entry<W: Width>(addr: u64, len: u64) -> Phyr<W> {
    Phyr::new(PhysAddr::new(addr), len)
        .unwrap()
        .to_width()
        .unwrap()
}

fn check_entries<W: Width>(steps: &[Step]) -> Result<(), TestCaseError> {
    let (list, model) = build::<W>(steps);
    prop_assert_eq!(list.len(), model.len());
    prop_assert_eq!(list.bytes(), model.iter().map(|(_, len)| len).sum::<u64>());
    prop_assert_eq!(list.iter().len(), model.len());
    prop_assert!(
        list.iter()
            .eq(model.iter().map(|(addr, len)| entry(*addr, *len)))
    );
    prop_assert_eq!(list.get(model.len()), None);
    prop_assert_eq!(
        list.last(),
        model.last().map(|(addr, len)| entry(*addr, *len))
    );

    let clone = list.try_clone().unwrap();
    prop_assert_eq!(&clone, &list);
    prop_assert_eq!(clone.bytes(), list.bytes());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn entries(steps in steps()) {
        check_entries::<crate::Bits64>(&steps)?;
        check_entries::<Pae>(&steps)?;
    }

    #[test]
    fn used_again(first in steps(), second in steps()) {
        let (mut list, _) = build::<crate::Bits64>(&first);
        list.clear();
        prop_assert_eq!((list.len(), list.bytes(), list.first()), (0, 0, None));
        let (fresh, model) = build::<crate::Bits64>(&second);
        for (addr, len) in &model {
            list.push(entry(*addr, *len)).unwrap();
        }
        prop_assert_eq!(list, fresh);
    }

    /// Pieces of changing size, with jumps between: always the bytes that come next.
    #[test]
    fn cursors(steps in steps(), walk in prop::collection::vec((any::<bool>(), 1u64..30_000), 1..200)) {
        let (list, model) = build::<crate::Bits64>(&steps);
        let mut cursor = list.cursor();
        let mut done = 0;
        for (jump, bytes) in walk.into_iter().cycle().take(1500) {
            let left = list.bytes() - done;
            prop_assert_eq!(cursor.remaining(), left);
            if jump {
                prop_assert_eq!(cursor.advance(bytes), bytes <= left);
                done += if bytes <= left { bytes } else { 0 };
            } else if let Some(piece) = cursor.next(bytes) {
                let (addr, room) = locate(&model, done).unwrap();
                prop_assert_eq!(piece, entry(addr, bytes.min(room)));
                done += piece.len();
            } else {
                prop_assert_eq!(left, 0);
                break;
            }
            let mut resumed = list.cursor();
            prop_assert!(resumed.advance(done));
            prop_assert_eq!(resumed.peek(), cursor.peek());
        }
    }

    #[test]
    fn on_the_bus(steps in steps()) {
        let (list, model) = build::<crate::Bits64>(&steps);
        let offset = 1 << 50;
        let on_bus: DmaList = list
            .map_to_bus(|range| Some(DmaAddr::new(range.addr().get() + offset)))
            .unwrap();
        prop_assert_eq!(on_bus.len(), model.len());
        for (range, (addr, len)) in on_bus.iter().zip(&model) {
            prop_assert_eq!((range.addr().get(), range.len()), (addr + offset, *len));
        }
    }

    #[test]
    fn refused_by_the_bus(steps in steps(), refused in any::<prop::sample::Index>()) {
        let (list, model) = build::<crate::Bits64>(&steps);
        prop_assume!(!model.is_empty());
        let refused = model[refused.index(model.len())];
        let first = model.iter().position(|entry| *entry == refused).unwrap();
        let (index, same) = list
            .map_to_bus(|range| {
                let allowed = (range.addr().get(), range.len()) != refused;
                allowed.then(|| DmaAddr::new(0))
            })
            .unwrap_err();
        prop_assert_eq!(index, first);
        prop_assert!(same.iter().eq(model.iter().map(|(addr, len)| entry(*addr, *len))));
    }
}

/// The address of byte `done` of a buffer, and how many follow it in the same entry.
fn locate(model: &[(u64, u64)], mut done: u64) -> Option<(u64, u64)> {
    for (addr, len) in model {
        if done < *len {
            return Some((addr + done, len - done));
        }
        done -= len;
    }
    None
}

#[test]
fn d4_the_same_numbers_are_the_same_storage() {
    const ENTRIES: usize = 100_000;
    let range = |number: usize| entry::<crate::Bits64>(number as u64 * 0x3000, 0x1000);
    let mut list = crate::PhyrList::new();
    for number in 0..ENTRIES {
        list.push(range(number)).unwrap();
    }
    // What is in the list itself moves with it.
    let places: Vec<_> = (crate::chain::INLINE..ENTRIES)
        .map(|index| list.place_of(index).unwrap())
        .collect();
    let on_bus = list.to_same_bus_ranges();
    assert_eq!(
        (on_bus.len(), on_bus.bytes()),
        (ENTRIES, ENTRIES as u64 * 0x1000)
    );
    for (index, place) in (crate::chain::INLINE..).zip(places) {
        assert_eq!(on_bus.place_of(index), Some(place), "{index}");
    }
    for (number, found) in on_bus.iter().enumerate() {
        let phyr = range(number);
        assert_eq!(found, phyr.to_same_bus_range());
        assert_eq!(
            (found.addr().get(), found.len()),
            (phyr.addr().get(), phyr.len())
        );
    }
}

/// Three levels of branches, which a list of ranges would need gigabytes for.
#[test]
fn directories_grow_upwards() {
    let mut directory = Directory::new();
    for number in 0..40_000usize {
        assert_eq!(directory.len(), number);
        directory.push(vec![number]).unwrap();
    }
    for number in 0..40_000 {
        assert_eq!(directory.get(number), Some(&[number][..]));
        if let Some(leaf) = directory.get_mut(number) {
            leaf[0] += 1;
        }
        assert_eq!(directory.get(number), Some(&[number + 1][..]));
    }
    assert_eq!(directory.get(40_000), None);
    assert_eq!(directory.get_mut(usize::MAX), None);
    directory.clear();
    assert_eq!((directory.len(), directory.get(0)), (0, None));
}

#[test]
fn chunks_are_full() {
    assert_eq!(per_chunk::<u128>(), 256);
    assert_eq!(per_chunk::<ReprPae>(), 341);
}

/// Chunks of 2048 entries, in a width that the rest does not use.
#[test]
fn two_byte_entries() {
    let mut list = PhyrList::<Bits6>::default();
    for _ in 0..3000 {
        list.push(entry(9, 2)).unwrap();
        list.push(entry(1, 1)).unwrap();
    }
    assert_eq!((list.len(), list.bytes()), (6000, 9000));
    assert!(list.iter().step_by(2).all(|range| range == entry(9, 2)));
}
