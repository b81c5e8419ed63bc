//! Pins against an array that has two counts for each byte.

use kernel::memory::pins::{Access, Pins};
use kernel::memory::virt::{VirtAddr, VirtRange};
use proptest::prelude::*;

/// How many bytes the array has.
const BYTES: u64 = 48;

/// Where they are: at both ends of a half, where arithmetic could go wrong, and somewhere.
const PLACES: [u64; 3] = [0, (1 << 47) - BYTES, u64::MAX - BYTES + 1];

fn range(base: u64, start: u64, len: u64) -> VirtRange {
    VirtRange::new(VirtAddr::new(base + start).unwrap(), len).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Pin(u64, u64, Access),
    /// Which pin, by its place in the list of pins.
    Unpin(prop::sample::Index),
    /// Which pin, and where.
    Divide(prop::sample::Index, prop::sample::Index),
    /// Two pins, if they touch.
    Unite(prop::sample::Index, prop::sample::Index),
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![Just(Access::Read), Just(Access::Write)]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..BYTES, 1..=BYTES, access())
            .prop_map(|(start, len, access)| Step::Pin(start, len.min(BYTES - start), access)),
        3 => index().prop_map(Step::Unpin),
        1 => (index(), index()).prop_map(|(pin, at)| Step::Divide(pin, at)),
        1 => (index(), index()).prop_map(|(a, b)| Step::Unite(a, b)),
    ]
}

/// The array, and the pins that were made.
struct Model {
    counts: [[usize; 2]; BYTES as usize],
    pins: Vec<(u64, u64, Access)>,
}

impl Model {
    fn new() -> Self {
        Self {
            counts: [[0; 2]; BYTES as usize],
            pins: Vec::new(),
        }
    }

    fn change(&mut self, (start, len, access): (u64, u64, Access), by: isize) {
        for counts in &mut self.counts[start as usize..(start + len) as usize] {
            let count = &mut counts[access as usize];
            *count = count.checked_add_signed(by).unwrap();
        }
    }

    fn check(&self, pins: &Pins, base: u64) {
        assert_eq!(pins.len(), self.pins.len());
        assert!(pins.extents().len() < 2 * pins.len().max(1));
        let mut found = [[0; 2]; BYTES as usize];
        let mut before: Option<(u64, [usize; 2])> = None;
        for extent in pins.extents() {
            let start = extent.range.start().get() - base;
            let counts = [extent.readers, extent.writers];
            assert_ne!(counts, [0, 0], "an entry without pins");
            if let Some((end, counts_before)) = before {
                assert!(end <= start, "entries overlap");
                assert!(end < start || counts != counts_before, "not joined");
            }
            let end = start + extent.range.len();
            found[start as usize..end as usize].fill(counts);
            before = Some((end, counts));
        }
        assert_eq!(found, self.counts);
        let pinned = self.counts.iter().filter(|counts| **counts != [0, 0]);
        assert_eq!(pins.bytes(), pinned.count() as u64);
        self.check_questions(pins, base);
    }

    /// What is asked before anything is unmapped or protected, for every range.
    fn check_questions(&self, pins: &Pins, base: u64) {
        for start in 0..BYTES {
            for len in [1, 2, 7, BYTES - start] {
                let len = len.min(BYTES - start);
                let counts = &self.counts[start as usize..(start + len) as usize];
                let first = counts.iter().position(|counts| *counts != [0, 0]);
                let found = pins.first_in(range(base, start, len));
                assert_eq!(found.is_some(), first.is_some());
                if let (Some(found), Some(first)) = (found, first) {
                    let first = base + start + first as u64;
                    assert!(
                        found.range.start().get() <= first && first <= found.range.last().get()
                    );
                }
                let written = counts.iter().any(|counts| counts[1] > 0);
                let found = pins.first_written_in(range(base, start, len));
                assert_eq!(found.is_some(), written);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn pins_are_two_counts_for_each_byte(
        place in 0..PLACES.len(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let base = PLACES[place];
        let (mut pins, mut model) = (Pins::new(), Model::new());
        for step in steps {
            match step {
                Step::Pin(start, len, access) => {
                    pins.add(range(base, start, len), access).unwrap();
                    model.change((start, len, access), 1);
                    model.pins.push((start, len, access));
                }
                _ if model.pins.is_empty() => {}
                Step::Unpin(which) => {
                    let pin = model.pins.swap_remove(which.index(model.pins.len()));
                    pins.remove(range(base, pin.0, pin.1), pin.2);
                    model.change(pin, -1);
                }
                Step::Divide(which, at) => {
                    let index = which.index(model.pins.len());
                    let (start, len, access) = model.pins[index];
                    if len > 1 {
                        let at = 1 + at.index(len as usize - 1) as u64;
                        pins.divide().unwrap();
                        model.pins[index] = (start, at, access);
                        model.pins.push((start + at, len - at, access));
                    }
                }
                Step::Unite(a, b) => {
                    let (a, b) = (a.index(model.pins.len()), b.index(model.pins.len()));
                    let (front, back) = (model.pins[a], model.pins[b]);
                    if front.0 + front.1 == back.0 && front.2 == back.2 {
                        pins.unite();
                        model.pins[a].1 += back.1;
                        model.pins.swap_remove(b);
                    }
                }
            }
            model.check(&pins, base);
        }
        for pin in core::mem::take(&mut model.pins) {
            pins.remove(range(base, pin.0, pin.1), pin.2);
            model.change(pin, -1);
        }
        model.check(&pins, base);
        prop_assert!(pins.is_empty() && pins.extents().is_empty());
    }
}

#[test]
fn a_thousand_pages_pinned_one_by_one_are_one_extent() {
    let mut pins = Pins::new();
    let page = |number: u64| range(0x40_0000, number * 4096, 4096);
    for number in 0..1000 {
        pins.add(page(number), Access::Write).unwrap();
    }
    assert_eq!(pins.extents().len(), 1);
    pins.remove(page(500), Access::Write);
    assert_eq!(pins.extents().len(), 2);
    assert!(pins.first_in(page(500)).is_none());
    assert!(pins.first_in(page(499)).is_some() && pins.first_in(page(501)).is_some());
}

#[test]
#[should_panic(expected = "removed once")]
fn a_pin_ends_once() {
    let mut pins = Pins::new();
    let all = range(0, 0, 8);
    pins.add(all, Access::Read).unwrap();
    pins.add(range(0, 100, 8), Access::Read).unwrap();
    pins.remove(all, Access::Read);
    pins.add(all, Access::Write).unwrap();
    pins.remove(all, Access::Read);
}
