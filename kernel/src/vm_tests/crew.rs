//! Work for the other cores, for tests.

use crate::cores::{self, CoreId};
use crate::executor;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Sends a core on an errand.
pub(super) fn send(core: CoreId, errand: impl FnOnce() + Send + 'static) {
    executor::spawn_on(core, move || async move { errand() }).detach();
}

/// The cores beside this one.
pub(super) fn others() -> Vec<CoreId> {
    let me = cores::current();
    cores::online().filter(|core| *core != me).collect()
}

/// Lets all cores, this one too, do something at the same time, and waits until all have. Who is ready
/// sleeps, and leaves the host's time to the others.
pub(super) fn together(action: impl Fn(CoreId) + Send + Sync + 'static) {
    let action = Arc::new(action);
    let all = cores::online().count();
    let present = Arc::new(AtomicUsize::new(0));
    let errand = || {
        let (action, present) = (action.clone(), present.clone());
        move || {
            present.fetch_add(1, Ordering::SeqCst);
            wait_until(|| present.load(Ordering::SeqCst) == all);
            action(cores::current());
            drop(action);
        }
    };
    let run = |core| {
        let errand = errand();
        executor::spawn_on(core, move || async move { errand() })
    };
    let tasks: Vec<_> = others().into_iter().map(run).collect();
    errand()();
    for task in tasks {
        executor::block_on(task);
    }
}

/// Waits without an end; the test's own limit is one.
pub(super) fn wait_until(happened: impl Fn() -> bool) {
    while !happened() {
        core::hint::spin_loop();
    }
}
