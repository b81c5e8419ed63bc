//! Device queues that are looked at instead of waited for.
//!
//! Under load an interrupt for each completion costs more than looking. A driver registers a
//! function that looks at its queue; the executor calls it once a turn. What the function says
//! decides whether the core may halt.

use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

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

type Function = RefCell<dyn FnMut() -> Look>;

/// A function that the executor of this core calls once a turn. Dropping it ends that.
#[must_use = "dropping a poller ends it"]
pub struct Poller {
    // Dropping this is what ends it: the list has weak pointers.
    _function: Rc<Function>,
}

/// The pollers of one core.
pub(super) struct Pollers {
    list: RefCell<Vec<Weak<Function>>>,
    /// How many there are, to say "none" quickly.
    count: Cell<usize>,
}

impl Pollers {
    pub(super) const fn new() -> Self {
        Self {
            list: RefCell::new(Vec::new()),
            count: Cell::new(0),
        }
    }

    pub(super) fn add(&self, look: impl FnMut() -> Look + 'static) -> Poller {
        let function: Rc<Function> = Rc::new(RefCell::new(look));
        self.list.borrow_mut().push(Rc::downgrade(&function));
        self.count.set(self.count.get() + 1);
        Poller {
            _function: function,
        }
    }

    /// Calls each poller once. Pollers may add and drop pollers.
    #[inline]
    pub(super) fn look(&self) -> Look {
        if self.count.get() == 0 {
            return Look::Idle;
        }
        self.look_at_all()
    }

    fn look_at_all(&self) -> Look {
        let mut result = Look::Idle;
        let mut index = 0;
        loop {
            let mut list = self.list.borrow_mut();
            let Some(poller) = list.get(index) else {
                self.count.set(list.len());
                return result;
            };
            let Some(function) = poller.upgrade() else {
                list.swap_remove(index);
                continue;
            };
            drop(list);
            index += 1;
            // It can only be borrowed already while it is called, and it is called only here.
            if let Ok(mut look) = function.try_borrow_mut() {
                result = result.max(look());
            }
        }
    }
}
