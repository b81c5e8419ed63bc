//! A virtqueue between two processors, in every order that they can make of it: no side looks at
//! anything before the other is done with it.
//!
//! The driver's side is the driver's own. The device's is a few lines here. Descriptors, the entries of
//! both rings and the data are cells, of which the model checker knows whether what one side did with
//! them comes before what the other does. The two indices are all that tells, and they are plain words:
//! the order is in the fences around them.

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

#[path = "../src/split.rs"]
#[allow(dead_code, reason = "the test uses a part of it")]
mod split;

use atomics::{Ordering, fence};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU16;
use loom::thread;
use platform::SharedMemory;
use split::{Layout, Split};

const ENTRIES: u16 = 2;

/// Requests, one after the other: the third is in a place that was used.
const REQUESTS: u16 = 3;

const LAYOUT: Layout = Layout::new(ENTRIES);

/// Where the entries of the two rings are.
const AVAIL: usize = LAYOUT.avail + 4;
const USED: usize = LAYOUT.used + 4;

struct Memory {
    /// Two words each.
    descriptors: [UnsafeCell<u64>; 2 * ENTRIES as usize],
    avail: [UnsafeCell<u16>; ENTRIES as usize],
    avail_index: AtomicU16,
    used: [UnsafeCell<u64>; ENTRIES as usize],
    used_index: AtomicU16,
    /// What the device reads into, for each descriptor.
    data: [UnsafeCell<u16>; ENTRIES as usize],
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            descriptors: [0; 2 * ENTRIES as usize].map(UnsafeCell::new),
            avail: [0; ENTRIES as usize].map(UnsafeCell::new),
            avail_index: AtomicU16::new(0),
            used: [0; ENTRIES as usize].map(UnsafeCell::new),
            used_index: AtomicU16::new(0),
            data: [0; ENTRIES as usize].map(UnsafeCell::new),
        })
    }
}

impl SharedMemory for Arc<Memory> {
    fn load16(&self, offset: usize) -> u16 {
        match offset == LAYOUT.used + 2 {
            true => self.used_index.load(Ordering::Relaxed),
            // Who wants to be told of what is another test's.
            false => 0,
        }
    }
    fn store16(&self, offset: usize, value: u16) {
        if offset == LAYOUT.avail + 2 {
            self.avail_index.store(value, Ordering::Relaxed);
        } else if (AVAIL..LAYOUT.used_event()).contains(&offset) {
            let entry = &self.avail[(offset - AVAIL) / 2];
            // SAFETY: that nobody reads it now is what is tested.
            entry.with_mut(|entry| unsafe { *entry = value });
        }
    }
    fn load64(&self, offset: usize) -> u64 {
        let entry = &self.used[(offset - USED) / 8];
        // SAFETY: that nobody writes it now is what is tested.
        entry.with(|entry| unsafe { *entry })
    }
    fn store64(&self, offset: usize, value: u64) {
        let word = &self.descriptors[offset / 8];
        // SAFETY: that nobody reads it now is what is tested.
        word.with_mut(|word| unsafe { *word = value });
    }
}

/// The device: takes each chain when it is told of it, and says that it has used it.
fn device(memory: &Memory) {
    for number in 0..REQUESTS {
        while memory.avail_index.load(Ordering::Relaxed) != number + 1 {
            thread::yield_now();
        }
        fence(Ordering::Acquire);
        let index = usize::from(number % ENTRIES);
        // SAFETY: that nobody writes it now is what is tested, here and below.
        let head = memory.avail[index].with(|entry| unsafe { *entry });
        let words = [0, 1].map(|word| {
            let word = &memory.descriptors[2 * usize::from(head) + word];
            // SAFETY: as above.
            word.with(|word| unsafe { *word })
        });
        let expected = [u64::from(number) + 1, u64::from(number) + 10];
        assert_eq!(words, expected, "not the chain that was announced");
        // SAFETY: that nobody reads it now is what is tested.
        memory.data[usize::from(head)].with_mut(|data| unsafe { *data = number + 1 });
        let used = u64::from(head) | u64::from(number + 1) << 32;
        // SAFETY: as above.
        memory.used[index].with_mut(|entry| unsafe { *entry = used });
        fence(Ordering::Release);
        memory.used_index.store(number + 1, Ordering::Relaxed);
    }
}

/// The number of orders is bounded: by how often a thread is interrupted at a moment that it has not
/// chosen.
#[test]
fn each_side_looks_at_entries_that_the_other_is_done_with() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let memory = Memory::new();
        let other = memory.clone();
        let device = thread::spawn(move || device(&other));
        let mut split = Split::new(memory.clone(), LAYOUT, false);
        for number in 0..REQUESTS {
            let head = number % ENTRIES;
            split.describe(head, [u64::from(number) + 1, u64::from(number) + 10]);
            split.push(head);
            split.publish();
            let used = loop {
                match split.pop().expect("the device keeps the rules") {
                    Some(used) => break used,
                    None => thread::yield_now(),
                }
            };
            let expected = (u32::from(head), u32::from(number) + 1);
            assert_eq!((used.id, used.len), expected, "the answer to another chain");
            // SAFETY: that the device is done with it is what is tested.
            let data = memory.data[usize::from(head)].with(|data| unsafe { *data });
            assert_eq!(data, number + 1, "the data of another chain");
        }
        device.join().expect("the device ends");
    });
}
