//! Runs the one test of this boot.

use core::fmt::Debug;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::record;
use crate::test::TESTS;

static SEED: AtomicU64 = AtomicU64::new(0);
static KILLS: AtomicU64 = AtomicU64::new(0);

/// The number that makes this boot's data differ from every other boot's.
///
/// Disks that the harness makes hold the [pattern](crate::pattern) of this seed.
pub fn seed() -> u64 {
    SEED.load(Ordering::Relaxed)
}

/// How often this test's machine [was killed](crate::control::kill) before it was booted this time.
pub fn kills() -> u64 {
    KILLS.load(Ordering::Relaxed)
}

/// Runs the test of this name and returns when it has returned.
///
/// Then the guest has said all it has to say, and ends the machine with success.
///
/// # Panics
/// If there is no such test; and the test itself may.
pub fn run(name: &str, seed: u64, kills: u64) {
    SEED.store(seed, Ordering::Relaxed);
    KILLS.store(kills, Ordering::Relaxed);
    record::hello();
    let Some(test) = TESTS.iter().find(|test| test.name() == name) else {
        panic!("the image contains no test of the name `{name}`");
    };
    record::begin(test.name());
    test.call();
    record::returned();
    record::bye();
}

/// What a test function may return.
pub trait Outcome {
    /// Panics if this is no success.
    fn settle(self);
}

impl Outcome for () {
    fn settle(self) {}
}

impl<E: Debug> Outcome for Result<(), E> {
    fn settle(self) {
        if let Err(error) = self {
            panic!("the test returned an error: {error:?}");
        }
    }
}
