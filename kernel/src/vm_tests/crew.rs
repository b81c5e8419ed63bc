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

/// Lets all cores, this one too, do something at the same time, and waits until all have.
pub(super) fn together(action: impl Fn(CoreId) + Send + Sync + 'static) {
    let action = Arc::new(action);
    let all = cores::online().count();
    let (present, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let errand = || {
        let (action, present, done) = (action.clone(), present.clone(), done.clone());
        move || {
            present.fetch_add(1, Ordering::SeqCst);
            wait_until(|| present.load(Ordering::SeqCst) == all);
            action(cores::current());
            drop(action);
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    for core in others() {
        send(core, errand());
    }
    errand()();
    wait_until(|| done.load(Ordering::SeqCst) == all);
}

/// Waits without an end; the test's own limit is one.
pub(super) fn wait_until(happened: impl Fn() -> bool) {
    while !happened() {
        core::hint::spin_loop();
    }
}
