//! The split virtqueue, with a device that does what it should, and one that does not.

use crate::platform::SharedMemory;
use crate::split::*;
use phyr::{DmaAddr, DmaRange};

use proptest::prelude::*;
use std::cell::RefCell;

/// Memory that nobody but the test sees.
pub(crate) struct Words(RefCell<Vec<u8>>);

impl Words {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(RefCell::new(vec![0; bytes]))
    }
    fn load<const N: usize>(&self, offset: usize) -> [u8; N] {
        assert!(offset.is_multiple_of(N), "{offset:#x} is not aligned");
        self.0.borrow()[offset..][..N].try_into().expect("inside")
    }
    fn store<const N: usize>(&self, offset: usize, bytes: [u8; N]) {
        assert!(offset.is_multiple_of(N), "{offset:#x} is not aligned");
        self.0.borrow_mut()[offset..][..N].copy_from_slice(&bytes);
    }
}

// SAFETY: no device is involved.
#[expect(unsafe_code, reason = "a promise about memory that no device sees")]
unsafe impl SharedMemory for &Words {
    fn bus(&self) -> DmaRange {
        DmaRange::new(DmaAddr::new(0x1000), 0x1000).expect("a range")
    }
    fn load16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.load(offset))
    }
    fn store16(&self, offset: usize, value: u16) {
        self.store(offset, value.to_le_bytes());
    }
    fn load64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.load(offset))
    }
    fn store64(&self, offset: usize, value: u64) {
        self.store(offset, value.to_le_bytes());
    }
}

/// The device's side of a queue, which does all at once.
struct Device<'w> {
    words: &'w Words,
    layout: Layout,
    seen: u16,
    used: u16,
}

impl Device<'_> {
    /// Uses what is available. Returns the heads.
    fn work(&mut self) -> Vec<u16> {
        let avail = self.words.load16(self.layout.avail + 2);
        let mut heads = Vec::new();
        while self.seen != avail {
            let entry = usize::from(self.seen % self.layout.entries);
            let head = self.words.load16(self.layout.avail + 4 + 2 * entry);
            let entry = usize::from(self.used % self.layout.entries);
            let word = u64::from(head) | 7 << 32;
            self.words.store64(self.layout.used + 4 + 8 * entry, word);
            self.seen = self.seen.wrapping_add(1);
            self.used = self.used.wrapping_add(1);
            heads.push(head);
        }
        self.words.store16(self.layout.used + 2, self.used);
        heads
    }
    /// Wants to be told of the next entry.
    fn sleep(&mut self) {
        self.words.store16(self.layout.avail_event(), self.seen);
    }
}

#[test]
fn the_parts_of_a_queue_do_not_overlap_and_are_aligned() {
    for exponent in 2..16 {
        let entries = 1 << exponent;
        let layout = Layout::new(entries);
        let count = usize::from(entries);
        assert_eq!(layout.avail, 16 * count);
        assert!(layout.used_event() + 2 <= layout.used);
        assert!(layout.used.is_multiple_of(4) && (layout.used + 4).is_multiple_of(8));
        assert!(layout.avail_event() + 2 <= layout.bytes && layout.bytes.is_multiple_of(8));
        assert!(layout.avail_event() >= layout.used + 4 + 8 * count);
    }
}

/// More than 65 536 entries, in batches of all sizes, so that batches jump over the event and the
/// indices wrap inside of them.
#[test]
fn a_device_that_sleeps_is_told_once_also_where_indices_wrap() {
    let layout = Layout::new(8);
    let words = &Words::new(layout.bytes);
    let mut split = Split::new(words, layout, true);
    let mut device = Device {
        words,
        layout,
        seen: 0,
        used: 0,
    };
    let mut total = 0_u32;
    // So that the batch in which they wrap begins well before the end.
    let mut batch = 5;
    while total < 70_000 {
        batch = batch % 8 + 1;
        for head in 0..batch {
            split.push(head);
        }
        assert!(split.publish(), "the device sleeps at {total}");
        assert!(!split.publish(), "nothing is new");
        assert_eq!(device.work(), (0..batch).collect::<Vec<_>>());
        device.sleep();
        for head in 0..batch {
            let used = split.pop().expect("honest").expect("used");
            assert_eq!((used.id, used.len), (u32::from(head), 7));
        }
        assert_eq!(split.pop(), Ok(None));
        total += u32::from(batch);
    }
}

/// A device that has used several chains since the driver looked last is done with all of them.
#[test]
fn all_that_was_used_is_found_and_not_only_the_last() {
    let layout = Layout::new(8);
    let words = &Words::new(layout.bytes);
    let mut split = Split::new(words, layout, true);
    let mut device = Device {
        words,
        layout,
        seen: 0,
        used: 0,
    };
    for round in 0..20 {
        let heads = [5, 3, 0, 7, 1].map(|head| (head + round) % 8);
        heads.iter().for_each(|head| split.push(*head));
        split.publish();
        assert_eq!(device.work(), heads);
        for head in heads {
            let used = split.pop().expect("honest").expect("used");
            assert_eq!(used.id, head.into());
        }
        assert_eq!(split.pop(), Ok(None));
    }
}

#[test]
fn a_device_that_looks_anyway_is_not_told() {
    let layout = Layout::new(4);
    for has_events in [false, true] {
        let words = &Words::new(layout.bytes);
        let mut split = Split::new(words, layout, has_events);
        // It is at entry 3 in thought, or wants nothing.
        match has_events {
            true => words.store16(layout.avail_event(), 3),
            false => words.store16(layout.used, 1),
        }
        split.push(0);
        assert!(!split.publish());
        if !has_events {
            words.store16(layout.used, 0);
        }
        for head in 1..4 {
            split.push(head);
        }
        assert!(split.publish());
    }
}

#[test]
fn interrupts_are_wanted_only_while_the_queue_is_armed() {
    let layout = Layout::new(4);
    let words = &Words::new(layout.bytes);
    let mut split = Split::new(words, layout, false);
    assert_eq!(words.load16(layout.avail), 1);
    split.arm();
    assert_eq!(words.load16(layout.avail), 0);
    assert!(!split.is_spent(), "without events it stays asked for");
    split.disarm();
    assert_eq!(words.load16(layout.avail), 1);

    let words = &Words::new(layout.bytes);
    let mut split = Split::new(words, layout, true);
    let wants = |old: u16, new: u16| is_passed(words.load16(layout.used_event()), new, old);
    assert!(!wants(0, 4));
    assert!(!split.arm());
    assert!(wants(0, 1));
    split.push(0);
    split.publish();
    let mut device = Device {
        words,
        layout,
        seen: 0,
        used: 0,
    };
    device.work();
    assert!(split.arm(), "something was used already");
    split.pop().expect("honest");
    assert!(split.is_spent());
    assert!(!split.arm() && !split.is_spent());
    assert!(wants(1, 2) && !wants(0, 1));
}

#[test]
fn an_index_that_is_out_of_reach_is_found_out() {
    let layout = Layout::new(8);
    let words = &Words::new(layout.bytes);
    let mut split = Split::new(words, layout, true);
    for head in 0..3 {
        split.push(head);
    }
    // What is in the ring but not published, the device cannot have used.
    words.store16(layout.used + 2, 1);
    assert_eq!(split.pop(), Err(Overrun { index: 1 }));
    words.store16(layout.used + 2, 0);
    split.publish();
    for index in [4, 5, 8, 0x8000, 0xffff] {
        words.store16(layout.used + 2, index);
        assert_eq!(split.pop(), Err(Overrun { index }));
    }
    words.store16(layout.used + 2, 3);
    assert!(matches!(split.pop(), Ok(Some(_))));
    // It was read, and is not read again before all is taken.
    words.store16(layout.used + 2, 0x7777);
    assert!(matches!(split.pop(), Ok(Some(_))));
    assert!(matches!(split.pop(), Ok(Some(_))));
    assert_eq!(split.pop(), Err(Overrun { index: 0x7777 }));
}

#[test]
fn a_ring_that_is_reset_is_as_new() {
    let layout = Layout::new(4);
    let words = &Words::new(layout.bytes);
    let mut split = Split::new(words, layout, true);
    split.push(2);
    split.publish();
    split.arm();
    words.store16(layout.used + 2, 1);
    split.reset();
    assert_eq!(words.load16(layout.avail + 2), 0);
    assert_eq!(words.load16(layout.used + 2), 0);
    assert_eq!(words.load16(layout.used_event()), 0);
    assert_eq!(split.pop(), Ok(None));
    split.push(1);
    assert!(split.publish());
    assert_eq!(words.load16(layout.avail + 4), 1);
}

proptest! {
    /// The rule in two subtractions, against a walk from entry to entry.
    #[test]
    fn an_event_is_passed_exactly_if_its_entry_was_added(event: u16, old: u16, more in 0..2000_u16) {
        let new = old.wrapping_add(more);
        let walked = (0..more).any(|step| old.wrapping_add(step) == event);
        prop_assert_eq!(is_passed(event, new, old), walked);
        let near = old.wrapping_add(more / 2);
        let walked = (0..more).any(|step| old.wrapping_add(step) == near);
        prop_assert_eq!(is_passed(near, new, old), walked);
    }
}
