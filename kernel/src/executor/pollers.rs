//! Device queues that are looked at instead of waited for.
//!
//! Under load an interrupt for each completion costs more than looking. A driver registers a
//! function that looks at its queue; the executor calls it once a turn. What the function says
//! decides whether the core may halt.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::mem;

/// What a poller has come to. The greatest of all says what the core does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// There was nothing. When there is something, an interrupt will say so: the core may halt.
    Idle,
    /// There was nothing, but there will be, and no interrupt will tell: the core must look again.
    Waiting,
    /// Something was done.
    Worked,
}

struct Entry {
    ended: Cell<bool>,
    /// `None` while it is called, and after its end.
    look: Cell<Option<Box<dyn FnMut() -> Look>>>,
}

/// A function that the executor of this core calls once a turn. Dropping it ends that.
#[must_use = "dropping a poller ends it"]
pub struct Poller(Rc<Entry>);

impl Drop for Poller {
    fn drop(&mut self) {
        self.0.ended.set(true);
        // What the function holds goes now, and the entry with the next look. But a function that drops
        // its own poller is needed until it returns.
        drop(self.0.look.take());
    }
}

/// The pollers of one core.
pub(super) struct Pollers {
    list: RefCell<Vec<Rc<Entry>>>,
    /// Those that were added by pollers: the list cannot grow while it is looked at.
    added: RefCell<Vec<Rc<Entry>>>,
    /// How many there are, to say "none" quickly.
    count: Cell<usize>,
}

impl Pollers {
    pub(super) const fn new() -> Self {
        Self {
            list: RefCell::new(Vec::new()),
            added: RefCell::new(Vec::new()),
            count: Cell::new(0),
        }
    }

    pub(super) fn add(&self, look: impl FnMut() -> Look + 'static) -> Poller {
        let entry = Rc::new(Entry {
            ended: Cell::new(false),
            look: Cell::new(Some(Box::new(look))),
        });
        match self.list.try_borrow_mut() {
            Ok(mut list) => list.push(entry.clone()),
            Err(_) => self.added.borrow_mut().push(entry.clone()),
        }
        self.count.set(self.count.get() + 1);
        Poller(entry)
    }

    /// Calls each poller once. Pollers may add and drop pollers.
    #[inline(always)]
    pub(super) fn look(&self) -> Look {
        if self.count.get() == 0 {
            return Look::Idle;
        }
        let mut result = Look::Idle;
        let mut called = 0_usize;
        for entry in self.list.borrow().iter() {
            if let Some(mut look) = entry.look.take() {
                result = result.max(look());
                called = called.wrapping_add(1);
                match entry.ended.get() {
                    true => drop(look),
                    // There is nothing in its place to be dropped.
                    false => mem::forget(entry.look.replace(Some(look))),
                }
            }
        }
        if called != self.count.get() {
            self.tidy();
        }
        result
    }

    /// Removes those that have ended, and takes in those that were added.
    #[cold]
    fn tidy(&self) {
        let mut list = self.list.borrow_mut();
        list.append(&mut self.added.borrow_mut());
        list.retain(|entry| !entry.ended.get());
        // Dropping a function may have added others.
        self.count.set(list.len() + self.added.borrow().len());
    }
}
