//! The packed virtqueue, with a device that does what it should, and one that does not.
//!
//! The device has the two wrap counters of the specification. The driver counts places without end.

mod device;

use crate::chain::{INDIRECT, NEXT, WRITE, descriptor};
use crate::packed::*;
use crate::platform::SharedMemory;
use crate::split_tests::Words;
use device::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn the_parts_of_a_queue_do_not_overlap_and_are_aligned() {
    for exponent in 0..16 {
        let layout = Layout::new(1 << exponent);
        assert_eq!(layout.driver, 16 << exponent);
        assert!(layout.driver + 4 <= layout.device && layout.device.is_multiple_of(4));
        assert!(layout.device + 4 <= layout.bytes && layout.bytes.is_multiple_of(8));
    }
}

#[test]
fn a_place_is_what_the_specification_says() {
    let layout = Layout::new(4);
    let words = &Words::new(layout.bytes);
    let mut packed = Packed::new(words, layout, true);
    push(&mut packed, 2, 2);
    assert_eq!(words.load64(8), 0, "not before it is published");
    packed.publish();
    assert_eq!(
        [0, 8].map(|at| words.load64(at)),
        [1002, 0x0081_0002_0000_000c]
    );
    assert_eq!(
        [16, 24].map(|at| words.load64(at)),
        [1003, 0x0082_0002_0000_000d]
    );
    // A table lies in its order: there is nothing to follow in it.
    let table = in_table(descriptor(0x5000, 7, NEXT | WRITE, 9));
    assert_eq!(table, [0x5000, 0x0002_0000_0000_0007]);
    packed.describe(0, descriptor(0x6000, 32, INDIRECT, 0));
    packed.push(0);
    packed.publish();
    assert_eq!(words.load64(40), 0x0084_0000_0000_0020);
    let mut device = Device::new(words, layout);
    assert!(device.take().is_some() && device.take().is_some());
    device.finish(0, 0);
    device.finish(2, 0);
    assert_eq!((packed.pop(), packed.pop()), (used(0, 0), used(2, 0)));
    // The last place of the lap, and the first of the next: there the bits mean the opposite.
    push(&mut packed, 0, 2);
    packed.publish();
    assert_eq!(words.load64(56) >> 48, 0x0081);
    assert_eq!(words.load64(8) >> 48, 0x8002);
}

/// More than 65 536 places, in chains and batches of all sizes, so that both wrap in every way.
#[test]
fn a_device_that_sleeps_is_told_once_also_where_laps_end() {
    let layout = Layout::new(8);
    let words = &Words::new(layout.bytes);
    let mut packed = Packed::new(words, layout, true);
    let mut device = Device::new(words, layout);
    let (mut total, mut batch) = (0_u32, 0);
    while total < 140_000 {
        batch = batch % 4 + 1;
        device.sleep();
        for number in 0..batch {
            push(&mut packed, 2 * number, 1 + number % 2);
        }
        assert_eq!(device.take(), None, "nobody has told it");
        assert!(packed.publish(), "the device sleeps at {total}");
        assert!(!packed.publish(), "nothing is new");
        for number in 0..batch {
            assert_eq!(device.take(), Some(chain(2 * number, 1 + number % 2)));
            total += u32::from(1 + number % 2);
        }
        assert_eq!(device.take(), None);
        // The last one first.
        for number in (0..batch).rev() {
            device.finish(2 * number, number.into());
        }
        for number in (0..batch).rev() {
            assert_eq!(packed.pop(), used(2 * number, number.into()));
        }
        assert_eq!(packed.pop(), Ok(None));
    }
}

#[test]
fn a_device_that_looks_anyway_is_not_told() {
    let layout = Layout::new(4);
    for has_events in [false, true] {
        let words = &Words::new(layout.bytes);
        let mut packed = Packed::new(words, layout, has_events);
        words.store16(layout.device + 2, 1);
        packed.push(0);
        assert!(!packed.publish());
        // It is at place 3 in thought; without events that means nothing.
        words.store16(layout.device, 3 | 1 << 15);
        words.store16(layout.device + 2, 2);
        packed.push(1);
        assert_eq!(packed.publish(), !has_events);
        words.store16(layout.device + 2, if has_events { 2 } else { 0 });
        packed.push(2);
        packed.push(3);
        assert!(packed.publish());
    }
}

#[test]
fn interrupts_are_wanted_only_while_the_queue_is_armed() {
    let layout = Layout::new(4);
    for has_events in [false, true] {
        let words = &Words::new(layout.bytes);
        let mut packed = Packed::new(words, layout, has_events);
        let mut device = Device::new(words, layout);
        for lap in 0..9_u32 {
            let before = device.used;
            push(&mut packed, 0, 3);
            packed.publish();
            device.take();
            assert!(!packed.arm(), "nothing was used");
            device.finish(0, lap);
            assert!(device.is_wanted(before), "lap {lap}");
            assert!(packed.arm(), "something was used already");
            assert_eq!(packed.pop(), used(0, lap));
            assert_eq!(packed.is_spent(), has_events);
            assert!(!packed.arm() && !packed.is_spent());
            packed.disarm();
            assert!(!packed.is_spent() && !device.is_wanted(before));
        }
    }
}

#[test]
fn what_cannot_be_used_is_found_out() {
    let layout = Layout::new(4);
    let words = &Words::new(layout.bytes);
    let mut packed = Packed::new(words, layout, true);
    let mut device = Device::new(words, layout);
    // Nothing is there.
    device.say(0, 0, 0);
    assert_eq!(packed.pop(), Err(Lie::Place(0)));
    // What is in the ring but not published, the device cannot have used.
    push(&mut packed, 0, 2);
    assert_eq!(packed.pop(), Err(Lie::Place(0)));
    packed.publish();
    push(&mut packed, 2, 2);
    for id in [1, 3, 4, 0x8000, 0xffff] {
        device.say(id, 0, 0);
        assert_eq!(packed.pop(), Err(Lie::Id(id)));
    }
    device.say(0, 7, 2);
    assert_eq!(packed.pop(), used(0, 7));
    // The other one is longer than what the device knows of; and the first is not out any more.
    device.say(2, 0, 0);
    assert_eq!(packed.pop(), Err(Lie::Place(2)));
    packed.publish();
    device.say(0, 0, 0);
    assert_eq!(packed.pop(), Err(Lie::Id(0)));
    device.say(2, 0, 0);
    assert_eq!(packed.pop(), used(2, 0));
    assert_eq!(packed.pop(), Ok(None));
}

#[test]
fn a_ring_that_is_reset_is_as_new() {
    let layout = Layout::new(4);
    let words = &Words::new(layout.bytes);
    let mut packed = Packed::new(words, layout, true);
    push(&mut packed, 0, 3);
    packed.publish();
    let mut device = Device::new(words, layout);
    device.take();
    device.finish(0, 1);
    packed.arm();
    packed.reset();
    let mut device = Device::new(words, layout);
    assert_eq!((packed.pop(), device.take()), (Ok(None), None));
    assert_eq!(words.load16(layout.driver), 1 << 15, "armed as before");
    // Descriptors are as they were, and the chain is not out.
    packed.push(0);
    assert!(packed.publish());
    assert_eq!(device.take(), Some(chain(0, 3)));
    device.finish(0, 5);
    assert_eq!(packed.pop(), used(0, 5));
}

proptest! {
    /// Chains of any length, published and used in any order, in rings of any size.
    #[test]
    fn chains_go_out_in_order_and_come_back_in_any(
        exponent in 2..7_u32,
        steps in prop::collection::vec((any::<bool>(), 1..4_u16, any::<prop::sample::Index>()), 1..400),
    ) {
        let layout = Layout::new(1 << exponent);
        let words = &Words::new(layout.bytes);
        let mut packed = Packed::new(words, layout, true);
        let mut device = Device::new(words, layout);
        device.sleep();
        // A slot has as many descriptors as the longest chain.
        let mut free: Vec<u16> = (0..layout.entries / 3).map(|slot| 3 * slot).collect();
        let (mut pushed, mut out) = (Vec::new(), Vec::new());
        for (is_push, pieces, which) in steps {
            if is_push && !free.is_empty() {
                let head = free.swap_remove(which.index(free.len()));
                push(&mut packed, head, pieces);
                pushed.push(chain(head, pieces));
                continue;
            }
            prop_assert_eq!(device.take(), None);
            prop_assert_eq!(packed.publish(), !pushed.is_empty());
            for expected in pushed.drain(..) {
                prop_assert_eq!(device.take(), Some(expected.clone()));
                out.push(expected.0);
            }
            prop_assert_eq!(device.take(), None);
            device.sleep();
            for len in 0..pieces.min(out.len() as u16) {
                let head = out.swap_remove(which.index(out.len()));
                device.finish(head, len.into());
                prop_assert_eq!(packed.pop(), used(head, len.into()));
                free.push(head);
            }
            prop_assert_eq!(packed.pop(), Ok(None));
        }
    }

    /// Whether a device is told, against a walk from place to place.
    #[test]
    fn an_event_is_passed_exactly_if_its_place_was_filled(
        exponent in 0..16_u32,
        laps in 0..3_u32,
        start in any::<u16>(),
        more in any::<u16>(),
        off in any::<u16>(),
        wrap: bool,
    ) {
        let entries = 1_u16 << exponent;
        let layout = Layout::new(entries);
        let words = &Words::new(layout.bytes);
        let mut packed = Packed::new(words, layout, true);
        let mut at = Position::START;
        let mut fill = |packed: &mut Packed<&Words>, count: u32, is_taken: bool| {
            let mut passed = Vec::new();
            for _ in 0..count {
                packed.push(0);
                passed.push(at);
                let device = Device { words, layout, seen: at, used: at, spans: BTreeMap::new() };
                at.step(entries);
                if is_taken {
                    packed.publish();
                    let mut device = device;
                    device.say(0, 0, 0);
                    assert_eq!(packed.pop(), used(0, 0));
                }
            }
            passed
        };
        fill(&mut packed, laps * u32::from(entries) + u32::from(start % entries), true);
        let event = Position { at: off % entries, wrap };
        words.store16(layout.device, event.word());
        words.store16(layout.device + 2, 2);
        let passed = fill(&mut packed, 1 + u32::from(more % entries), false);
        prop_assert_eq!(packed.publish(), passed.contains(&event));
    }
}
