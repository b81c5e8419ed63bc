//! Counts heap allocations, except the model's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Allocations of this thread.
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Whether the model is at work, which may allocate as it likes.
    static IN_MODEL: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: everything is left to the system's allocator. The counter is a `Cell` that needs
// no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IN_MODEL.get() {
            COUNT.set(COUNT.get() + 1);
        }
        // SAFETY: the caller's promises are passed on as they are.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Allocations that `f` makes.
pub(crate) fn count(f: impl FnOnce()) -> usize {
    let before = COUNT.get();
    f();
    COUNT.get() - before
}

/// Runs a part of the model, whose allocations do not count.
pub(crate) fn of_the_model<T>(f: impl FnOnce() -> T) -> T {
    let outer = IN_MODEL.replace(true);
    let result = f();
    IN_MODEL.set(outer);
    result
}
