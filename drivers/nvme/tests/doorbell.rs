//! Shadow doorbells in every order that two processors can make of them: nobody waits for ever.

#![expect(
    clippy::arc_with_non_send_sync,
    reason = "the threads are the model checker's"
)]

extern crate alloc;

mod atomics {
    pub(crate) use loom::sync::atomic::{Ordering, fence};
}

/// Words that host and device share, as the driver sees them.
mod platform {
    pub(crate) trait SharedMemory {
        fn load64(&self, offset: usize) -> u64;
        fn store64(&self, offset: usize, value: u64);
    }
}

#[path = "../src/doorbell.rs"]
#[allow(dead_code, reason = "the test uses a part of it")]
mod doorbell;

use alloc::sync::Arc;
use atomics::{Ordering, fence};
use doorbell::{Doorbells, Shadows};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU64};
use loom::thread;
use platform::SharedMemory;

/// Queue 1's pair of shadows, and what the device says of them.
struct Words {
    /// The second entry of the ring. The model checker objects if it is read while it is written, or
    /// before the shadow says that it is there.
    entry: UnsafeCell<u64>,
    shadow: AtomicU64,
    event: AtomicU64,
}

impl SharedMemory for std::sync::Arc<Words> {
    fn load64(&self, offset: usize) -> u64 {
        assert_eq!(offset, 4096 + 8);
        self.event.load(Ordering::Relaxed)
    }
    fn store64(&self, offset: usize, value: u64) {
        assert_eq!(offset, 8);
        self.shadow.store(value, Ordering::Relaxed);
    }
}

/// The device was rung for a first entry, and falls asleep: it leaves EventIdx, and looks once
/// more. Either it sees the second one, as it was written, or it is rung.
#[test]
fn either_the_device_sees_the_tail_or_it_is_rung() {
    loom::model(|| {
        let words = std::sync::Arc::new(Words {
            entry: UnsafeCell::new(0),
            shadow: AtomicU64::new(1),
            event: AtomicU64::new(0),
        });
        let was_rung = Arc::new(AtomicBool::new(false));
        let host = {
            let (words, was_rung) = (words.clone(), was_rung.clone());
            thread::spawn(move || {
                // SAFETY: the device has not been told of it.
                words.entry.with_mut(|entry| unsafe { *entry = 1 });
                let shadows = std::sync::Arc::new(Shadows::new(words, 0));
                let mut doorbells = Doorbells::shadowed(shadows, 1, 1, 0);
                if doorbells.announce(1, Some(2), None).submission {
                    was_rung.store(true, Ordering::Release);
                }
            })
        };
        // It takes what it sees at once.
        let look = || {
            let tail = words.shadow.load(Ordering::Relaxed);
            if tail == 2 {
                fence(Ordering::Acquire);
                // SAFETY: that the host is done with it is what is tested.
                let entry = words.entry.with(|entry| unsafe { *entry });
                assert_eq!(entry, 1, "the tail has overtaken the entry");
            }
            tail
        };
        // It sees entries up to some tail, says so, and looks once more.
        let mut tail = look();
        loop {
            words.event.store(tail, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let again = look();
            if again == tail {
                break;
            }
            tail = again;
        }
        host.join().expect("the host ends");
        assert!(
            tail == 2 || was_rung.load(Ordering::Acquire),
            "the device sleeps at {tail}, and nobody rings"
        );
    });
}
