//! A packed virtqueue between two processors, in every order that they can make of it: no side looks at
//! anything before the other is done with it, and nobody waits for ever.
//!
//! It is what `rings.rs` and `kick.rs` say of the split queue. The driver's side is the driver's own, the
//! device's a few lines here.

extern crate alloc;

mod atomics {
    pub(crate) use loom::sync::atomic::{Ordering, fence};
}

/// Memory that driver and device share, as the driver sees it.
mod platform {
    pub(crate) trait SharedMemory {
        fn load16(&self, offset: usize) -> u16;
        fn store16(&self, offset: usize, value: u16);
        fn load64(&self, offset: usize) -> u64;
        fn store64(&self, offset: usize, value: u64);
    }
}

#[path = "../src/packed.rs"]
#[allow(dead_code, reason = "the test uses a part of it")]
mod packed;
#[path = "../src/split.rs"]
#[allow(dead_code, reason = "the packed queue uses a part of it")]
mod split;

use atomics::{Ordering, fence};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU16, AtomicU64};
use loom::thread;
use packed::{Layout, Packed};
use platform::SharedMemory;

const ENTRIES: u16 = 2;
const LAYOUT: Layout = Layout::new(ENTRIES);

/// Flags of a place in the second word, in the first lap and in the second.
const AVAILABLE: [u64; 2] = [0x0080 << 48, 0x8000 << 48];
const USED: [u64; 2] = [0x8080 << 48, 0];
const BITS: u64 = 0x8080 << 48;

/// A ring in which every chain takes both places. So the flags of the first tell of everything else: of the
/// addresses, of the second place, and of the data.
struct Ring {
    addresses: [UnsafeCell<u64>; ENTRIES as usize],
    first: AtomicU64,
    second: UnsafeCell<u64>,
    /// What the device reads into.
    data: UnsafeCell<u64>,
}

impl SharedMemory for Arc<Ring> {
    fn load16(&self, _: usize) -> u16 {
        // Who wants to be told of what is another test's: the device does not.
        1
    }
    fn store16(&self, _: usize, _: u16) {}
    fn load64(&self, offset: usize) -> u64 {
        assert_eq!(offset, 8, "the first place is the one to look at");
        self.first.load(Ordering::Relaxed)
    }
    fn store64(&self, offset: usize, value: u64) {
        // SAFETY: that nobody reads it now is what is tested.
        let store = |cell: &UnsafeCell<u64>| cell.with_mut(|cell| unsafe { *cell = value });
        match offset {
            8 => self.first.store(value, Ordering::Relaxed),
            24 => store(&self.second),
            _ => store(&self.addresses[offset / 16]),
        }
    }
}

/// Requests, one after the other: the third is in the lap after the next.
const REQUESTS: u64 = 3;

/// The device: takes each chain when it is told of it, and says that it has used it.
fn device(ring: &Ring) {
    // SAFETY: that nobody writes it now is what is tested.
    let load = |cell: &UnsafeCell<u64>| cell.with(|cell| unsafe { *cell });
    for number in 0..REQUESTS {
        let lap = (number % 2) as usize;
        while ring.first.load(Ordering::Relaxed) & BITS != AVAILABLE[lap] {
            thread::yield_now();
        }
        fence(Ordering::Acquire);
        let addresses = [0, 1].map(|at: usize| load(&ring.addresses[at]));
        assert_eq!(
            addresses,
            [number + 10, number + 20],
            "not the chain that was announced"
        );
        assert_eq!(load(&ring.second) & BITS, AVAILABLE[lap], "half a chain");
        // SAFETY: that nobody reads it now is what is tested.
        ring.data.with_mut(|data| unsafe { *data = number + 1 });
        fence(Ordering::Release);
        let word = USED[lap] | (number + 1);
        ring.first.store(word, Ordering::Relaxed);
    }
}

/// The number of orders is bounded: by how often a thread is interrupted at a moment that it has not
/// chosen.
#[test]
fn each_side_looks_at_places_that_the_other_is_done_with() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let ring = Arc::new(Ring {
            addresses: [0; 2].map(UnsafeCell::new),
            first: AtomicU64::new(0),
            second: UnsafeCell::new(0),
            data: UnsafeCell::new(0),
        });
        let other = ring.clone();
        let device = thread::spawn(move || device(&other));
        let mut packed = Packed::new(ring.clone(), LAYOUT, false);
        for number in 0..REQUESTS {
            // Length 1; another one follows, which is number 1.
            packed.describe(0, [number + 10, 1 | 1 << 32 | 1 << 48]);
            packed.describe(1, [number + 20, 1]);
            packed.push(0);
            packed.publish();
            let used = loop {
                match packed.pop().expect("the device keeps the rules") {
                    Some(used) => break used,
                    None => thread::yield_now(),
                }
            };
            let answer = (u64::from(used.id), u64::from(used.len));
            assert_eq!(answer, (0, number + 1), "the answer to another chain");
            // SAFETY: that the device is done with it is what is tested.
            let data = ring.data.with(|data| unsafe { *data });
            assert_eq!(data, number + 1, "the data of another chain");
        }
        device.join().expect("the device ends");
    });
}

/// What the two sides say to each other about sleeping, and the flags of the places.
struct Words {
    places: [AtomicU64; ENTRIES as usize],
    driver: [AtomicU16; 2],
    device: [AtomicU16; 2],
}

impl Words {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            places: [0; 2].map(AtomicU64::new),
            driver: [0; 2].map(AtomicU16::new),
            device: [0; 2].map(AtomicU16::new),
        })
    }
    fn half(&self, offset: usize) -> &AtomicU16 {
        match offset >= LAYOUT.device {
            true => &self.device[(offset - LAYOUT.device) / 2],
            false => &self.driver[(offset - LAYOUT.driver) / 2],
        }
    }
}

impl SharedMemory for Arc<Words> {
    fn load16(&self, offset: usize) -> u16 {
        self.half(offset).load(Ordering::Relaxed)
    }
    fn store16(&self, offset: usize, value: u16) {
        self.half(offset).store(value, Ordering::Relaxed);
    }
    fn load64(&self, offset: usize) -> u64 {
        self.places[offset / 16].load(Ordering::Relaxed)
    }
    fn store64(&self, offset: usize, value: u64) {
        if offset % 16 == 8 {
            self.places[offset / 16].store(value, Ordering::Relaxed);
        }
    }
}

/// A queue with chains of one place each.
fn queue(words: &Arc<Words>, has_events: bool) -> Packed<Arc<Words>> {
    let packed = Packed::new(words.clone(), LAYOUT, has_events);
    packed.describe(0, [1, 1]);
    packed.describe(1, [1, 1]);
    packed
}

/// The device has seen a first place, and falls asleep: it says so, and looks once more. Either it sees
/// the second one, or it is notified.
fn falls_asleep(has_events: bool) {
    loom::model(move || {
        let words = Words::new();
        let mut packed = queue(&words, has_events);
        packed.push(0);
        packed.publish();
        // It was awake, and had no need of notifications.
        words.device[1].store(1, Ordering::Relaxed);
        let was_notified = Arc::new(AtomicBool::new(false));
        let driver = {
            let was_notified = was_notified.clone();
            thread::spawn(move || {
                packed.push(1);
                if packed.publish() {
                    was_notified.store(true, Ordering::Release);
                }
            })
        };
        match has_events {
            true => {
                words.device[0].store(1 | 1 << 15, Ordering::Relaxed);
                fence(Ordering::Release);
                words.device[1].store(2, Ordering::Relaxed);
            }
            false => words.device[1].store(0, Ordering::Relaxed),
        }
        fence(Ordering::SeqCst);
        let is_seen = words.places[1].load(Ordering::Relaxed) & BITS == AVAILABLE[0];
        driver.join().expect("the driver ends");
        assert!(
            is_seen || was_notified.load(Ordering::Acquire),
            "the device sleeps, and nobody notifies it"
        );
    });
}

#[test]
fn either_the_device_sees_the_place_or_it_is_notified() {
    falls_asleep(true);
}

#[test]
fn either_the_device_sees_the_place_or_it_is_notified_by_flags() {
    falls_asleep(false);
}

/// The driver asks for interrupts again while the device uses a place. Either it sees that it has been
/// used, or it is interrupted.
fn arms(has_events: bool) {
    loom::model(move || {
        let words = Words::new();
        let mut packed = queue(&words, has_events);
        packed.push(0);
        packed.publish();
        let was_interrupted = Arc::new(AtomicBool::new(false));
        let device = {
            let (words, was_interrupted) = (words.clone(), was_interrupted.clone());
            thread::spawn(move || {
                words.places[0].store(USED[0], Ordering::Relaxed);
                fence(Ordering::SeqCst);
                let is_wanted = match words.driver[1].load(Ordering::Relaxed) {
                    0 => true,
                    2 => {
                        fence(Ordering::Acquire);
                        words.driver[0].load(Ordering::Relaxed) == 1 << 15
                    }
                    _ => false,
                };
                if is_wanted {
                    was_interrupted.store(true, Ordering::Release);
                }
            })
        };
        let is_seen = packed.arm();
        device.join().expect("the device ends");
        assert!(
            is_seen || was_interrupted.load(Ordering::Acquire),
            "the driver sleeps, and is not interrupted"
        );
    });
}

#[test]
fn either_the_driver_sees_what_was_used_or_it_is_interrupted() {
    arms(true);
}

#[test]
fn either_the_driver_sees_what_was_used_or_it_is_interrupted_by_flags() {
    arms(false);
}
