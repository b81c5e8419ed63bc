//! Notifications and interrupts in every order that two processors can make of them: nobody waits
//! for ever.

mod atomics {
    pub(crate) use loom::sync::atomic::{Ordering, fence};
}

/// Words that driver and device share, as the driver sees them.
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
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU16};
use loom::thread;
use platform::SharedMemory;
use split::{Layout, Split, is_passed};

const LAYOUT: Layout = Layout::new(4);

/// What the two sides say to each other about sleeping. The rest of the rings is not modelled.
struct Words {
    avail_flags: AtomicU16,
    avail_index: AtomicU16,
    used_event: AtomicU16,
    used_flags: AtomicU16,
    used_index: AtomicU16,
    avail_event: AtomicU16,
}

impl Words {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            avail_flags: AtomicU16::new(0),
            avail_index: AtomicU16::new(0),
            used_event: AtomicU16::new(0),
            used_flags: AtomicU16::new(0),
            used_index: AtomicU16::new(0),
            avail_event: AtomicU16::new(0),
        })
    }

    fn place(&self, offset: usize) -> Option<&AtomicU16> {
        let places = [
            (LAYOUT.avail, &self.avail_flags),
            (LAYOUT.avail + 2, &self.avail_index),
            (LAYOUT.used_event(), &self.used_event),
            (LAYOUT.used, &self.used_flags),
            (LAYOUT.used + 2, &self.used_index),
            (LAYOUT.avail_event(), &self.avail_event),
        ];
        let found = places.into_iter().find(|(at, _)| *at == offset);
        found.map(|(_, word)| word)
    }
}

impl SharedMemory for Arc<Words> {
    fn load16(&self, offset: usize) -> u16 {
        let word = self.place(offset).expect("a word about sleeping");
        word.load(Ordering::Relaxed)
    }
    fn store16(&self, offset: usize, value: u16) {
        if let Some(word) = self.place(offset) {
            word.store(value, Ordering::Relaxed);
        }
    }
    fn load64(&self, _: usize) -> u64 {
        0
    }
    fn store64(&self, _: usize, _: u64) {}
}

/// The device has seen a first entry, and falls asleep: it says so, and looks once more. Either it
/// sees the second one, or it is notified.
fn falls_asleep(has_events: bool) {
    loom::model(move || {
        let words = Words::new();
        let mut split = Split::new(words.clone(), LAYOUT, has_events);
        split.push(0);
        split.publish();
        // It was awake, and had no need of notifications.
        words.used_flags.store(1, Ordering::Relaxed);
        let was_notified = Arc::new(AtomicBool::new(false));
        let driver = {
            let was_notified = was_notified.clone();
            thread::spawn(move || {
                split.push(1);
                if split.publish() {
                    was_notified.store(true, Ordering::Release);
                }
            })
        };
        let mut seen = 1;
        loop {
            match has_events {
                true => words.avail_event.store(seen, Ordering::Relaxed),
                false => words.used_flags.store(0, Ordering::Relaxed),
            }
            fence(Ordering::SeqCst);
            let again = words.avail_index.load(Ordering::Relaxed);
            if again == seen {
                break;
            }
            seen = again;
        }
        driver.join().expect("the driver ends");
        assert!(
            seen == 2 || was_notified.load(Ordering::Acquire),
            "the device sleeps at {seen}, and nobody notifies it"
        );
    });
}

#[test]
fn either_the_device_sees_the_entry_or_it_is_notified() {
    falls_asleep(true);
}

#[test]
fn either_the_device_sees_the_entry_or_it_is_notified_by_flags() {
    falls_asleep(false);
}

/// The driver asks for interrupts again while the device uses an entry. Either it sees that it has
/// been used, or it is interrupted.
fn arms(has_events: bool) {
    loom::model(move || {
        let words = Words::new();
        let mut split = Split::new(words.clone(), LAYOUT, has_events);
        split.push(0);
        split.publish();
        let was_interrupted = Arc::new(AtomicBool::new(false));
        let device = {
            let (words, was_interrupted) = (words.clone(), was_interrupted.clone());
            thread::spawn(move || {
                words.used_index.store(1, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                let is_wanted = match has_events {
                    true => is_passed(words.used_event.load(Ordering::Relaxed), 1, 0),
                    false => words.avail_flags.load(Ordering::Relaxed) & 1 == 0,
                };
                if is_wanted {
                    was_interrupted.store(true, Ordering::Release);
                }
            })
        };
        let is_seen = split.arm();
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
