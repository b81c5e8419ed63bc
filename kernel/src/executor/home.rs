//! The executor of one core: what others may touch, and what is its own.
//!
//! Everybody may hold a reference to any core's [`Home`] and put tasks into its inbox. The rest,
//! [`Local`], has neither locks nor atomics. It is reached through a [`Here`], which is only made on
//! its own core and cannot be sent to another: that is why the rest needs none.

use super::alarms::Alarms;
use super::counters::{Activity, Counters};
use super::doze::Doze;
use super::inbox::Inbox;
use super::line::Line;
use super::pollers::Pollers;
use super::task::Runnable;
use crate::cores::{self, CoreId, MAX_CORES};
use alloc::boxed::Box;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// A core's executor, as all cores see it. It stays for ever.
#[repr(align(128))]
pub(super) struct Home {
    core: CoreId,
    /// Tasks that other cores have woken.
    inbox: Inbox<Runnable>,
    /// Another core has woken the future that `block_on` waits for.
    root_called: AtomicBool,
    pub(super) doze: Doze,
    pub(super) counters: Counters,
    #[cfg(not(phyros))]
    thread: std::sync::OnceLock<std::thread::Thread>,
    local: Local,
}

/// What only the core itself touches.
pub(super) struct Local {
    /// Tasks to be polled.
    pub(super) ready: Line<Runnable>,
    /// The future that `block_on` waits for is to be polled.
    pub(super) root_ready: Cell<bool>,
    pub(super) pollers: Pollers,
    pub(super) alarms: Alarms,
    /// `block_on` or `run` is on the stack.
    pub(super) running: Cell<bool>,
}

// SAFETY: all fields but `local` may be shared. `local` is private and reached through `Here` alone,
// which exists on one core only.
unsafe impl Sync for Home {}

/// The executor of the core that runs this.
#[derive(Clone, Copy)]
pub(super) struct Here {
    home: &'static Home,
    /// Neither `Send` nor `Sync`: it would be somebody else's `here`.
    stays: PhantomData<*const ()>,
}

static HOMES: [AtomicPtr<Home>; MAX_CORES] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CORES];

/// The executor of the core that runs this.
#[inline]
pub(super) fn here() -> Here {
    let core = cores::current();
    let home = Home::of(core);
    #[cfg(not(phyros))]
    let home = home.taken_by_this_thread();
    Here {
        home,
        stays: PhantomData,
    }
}

impl Here {
    #[inline]
    pub(super) fn home(self) -> &'static Home {
        self.home
    }

    /// Moves tasks that other cores have woken to those that are ready.
    #[inline]
    pub(super) fn empty_inbox(self) {
        if !self.home.inbox.is_empty() {
            self.home.inbox.drain(|task| self.ready.push(task));
        }
    }

    /// Whether the future of `block_on` was woken since the last time this was asked.
    #[inline]
    pub(super) fn take_root_call(self) -> bool {
        let called = &self.home.root_called;
        let remote = called.load(Ordering::Relaxed) && called.swap(false, Ordering::Acquire);
        self.root_ready.replace(false) | remote
    }

    /// Whether the future of `block_on` was woken.
    #[inline]
    pub(super) fn is_root_called(self) -> bool {
        self.root_ready.get() || self.home.root_called.load(Ordering::Relaxed)
    }

    /// Whether a task or the future of `block_on` is to be polled.
    pub(super) fn has_work(self) -> bool {
        !self.ready.is_empty() || !self.home.inbox.is_empty() || self.is_root_called()
    }
}

impl Deref for Here {
    type Target = Local;

    #[inline]
    fn deref(&self) -> &Local {
        &self.home.local
    }
}

impl Home {
    fn new(core: CoreId) -> Self {
        Self {
            core,
            inbox: Inbox::new(),
            root_called: AtomicBool::new(false),
            doze: Doze::new(),
            counters: Counters::default(),
            #[cfg(not(phyros))]
            thread: std::sync::OnceLock::new(),
            local: Local {
                ready: Line::new(),
                root_ready: Cell::new(false),
                pollers: Pollers::new(),
                alarms: Alarms::new(),
                running: Cell::new(false),
            },
        }
    }

    /// The executor of a core. Whoever asks first makes it.
    #[inline]
    pub(super) fn of(core: CoreId) -> &'static Self {
        // SAFETY: the pointer is null or was leaked by `make`. Acquire: what it points to is seen whole.
        match unsafe { HOMES[core.index()].load(Ordering::Acquire).as_ref() } {
            Some(home) => home,
            None => Self::make(core, ptr::null_mut()),
        }
    }

    #[cold]
    fn make(core: CoreId, instead_of: *mut Self) -> &'static Self {
        let made = Box::into_raw(Box::new(Self::new(core)));
        let place = &HOMES[core.index()];
        let winner =
            match place.compare_exchange(instead_of, made, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => made,
                Err(winner) => {
                    // SAFETY: the pointer is from above, and nobody else has seen it.
                    drop(unsafe { Box::from_raw(made) });
                    winner
                }
            };
        // SAFETY: whoever won, it was made above and is never freed.
        unsafe { &*winner }
    }

    /// Whose executor this is.
    pub(super) fn core(&self) -> CoreId {
        self.core
    }

    /// This executor as the running core's, if it is that.
    #[inline]
    pub(super) fn as_here(&'static self) -> Option<Here> {
        self.is_here().then_some(Here {
            home: self,
            stays: PhantomData,
        })
    }

    #[cfg(phyros)]
    #[inline]
    fn is_here(&self) -> bool {
        self.core == cores::current()
    }

    /// Makes a woken task run soon. From any core.
    #[inline]
    pub(super) fn schedule(&'static self, task: Runnable) {
        if let Some(here) = self.as_here() {
            self.counters.local_wakes.add(1);
            here.ready.push(task);
        } else {
            self.schedule_from_afar(task);
        }
    }

    /// Apart, so that a wake on the core itself does not pay for what this one needs.
    #[cold]
    fn schedule_from_afar(&'static self, task: Runnable) {
        self.inbox.push(task);
        self.call();
    }

    /// Makes the future of `block_on` be polled soon. From any core.
    #[inline]
    pub(super) fn wake_root(&'static self) {
        if let Some(here) = self.as_here() {
            here.root_ready.set(true);
        } else {
            self.root_called.store(true, Ordering::Release);
            self.call();
        }
    }

    /// Interrupts the core, which has been given something to do, if it may be asleep.
    fn call(&'static self) {
        let counters = &here().home.counters;
        counters.remote_wakes.add(1);
        if self.doze.must_be_called() {
            counters.calls.add(1);
            if !self.interrupt() {
                counters.failed_calls.add(1);
            }
        }
    }

    #[cfg(phyros)]
    fn interrupt(&self) -> bool {
        use crate::arch::{apic, vectors};
        apic::send_ipi(self.core, vectors::WAKE).is_ok()
    }
}

/// On the host a core is a thread, and its interrupt an unpark. Numbers of cores are used again by
/// other threads; executors are not.
#[cfg(not(phyros))]
impl Home {
    fn taken_by_this_thread(&'static self) -> &'static Self {
        let mut home = self;
        while !home.try_take() {
            home = Self::make(home.core, ptr::from_ref(home).cast_mut());
        }
        home
    }

    fn try_take(&self) -> bool {
        let this = std::thread::current();
        self.thread.get_or_init(|| this.clone()).id() == this.id()
    }

    fn is_here(&self) -> bool {
        let this = std::thread::current();
        self.thread
            .get()
            .is_some_and(|owner| owner.id() == this.id())
    }

    fn interrupt(&self) -> bool {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        true
    }
}

/// What a core has done since it came.
pub fn activity(core: CoreId) -> Activity {
    Home::of(core).counters.read()
}
