//! An interrupt that somebody owns.

use super::allocation::Vectors;
use super::message::Message;
use super::{COUNTS, DEVICE_VECTORS, OWNED, WAITERS, first_vector};
use crate::cores::{self, CoreId, MAX_CORES};
use crate::lock::Mutex;
use alloc::boxed::Box;
use core::future::poll_fn;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::task::{Context, Poll};

/// The vectors in use, by core.
static VECTORS: Mutex<[Option<Box<Vectors>>; MAX_CORES]> = Mutex::new([const { None }; MAX_CORES]);

/// Numbers for interrupts, none given twice.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A device vector of one core, for one user.
///
/// Holding an `Interrupt` tells you:
/// - the vector is given to nobody else, unless the core has none left; then several share it, and
///   each is woken for all;
/// - being woken says that the device *may* have something. Look at the device, not at the
///   interrupt: several interrupts may look like one, and one may be another user's.
///
/// It may be made and dropped on any core. Waiting happens on the vector's own.
#[derive(Debug)]
pub struct Interrupt {
    core: CoreId,
    /// The vector, counted from the first for devices.
    index: usize,
    id: u64,
    /// The count at the last look.
    seen: AtomicU32,
    /// The lines of I/O APICs that raise the vector, if it is no message.
    #[cfg(phyros)]
    pub(super) lines: alloc::vec::Vec<super::legacy::Line>,
}

impl Interrupt {
    /// Takes a vector of a core. When none is free, one that is in use.
    pub fn allocate(core: CoreId) -> Self {
        let mut vectors = VECTORS.lock();
        let index = vectors[core.index()]
            .get_or_insert_with(|| Box::new(Vectors::new()))
            .take();
        OWNED[core.index()][index / 64].fetch_or(1 << (index % 64), Ordering::Relaxed);
        drop(vectors);
        Self {
            core,
            index,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            seen: AtomicU32::new(count(core, index)),
            #[cfg(phyros)]
            lines: alloc::vec::Vec::new(),
        }
    }

    /// The core that is interrupted, and whose tasks can wait.
    pub fn core(&self) -> CoreId {
        self.core
    }

    /// The vector that is raised.
    pub fn vector(&self) -> u8 {
        first_vector() + self.index as u8
    }

    /// What the device has to write to raise it. `None` for the rare core that no message reaches,
    /// because its identifier has more than 8 bits: poll the device instead.
    pub fn message(&self) -> Option<Message> {
        Message::new(cores::local_of(self.core).apic_id(), self.vector())
    }

    /// How often [`drain`](super::drain) has taken notice of the vector. Only differences mean anything.
    pub fn noticed(&self) -> u32 {
        count(self.core, self.index)
    }

    /// Whether the vector has been raised since the last look.
    ///
    /// Only what [`drain`](super::drain) has taken notice of counts.
    pub fn take_raised(&self) -> bool {
        let count = count(self.core, self.index);
        // No read-modify-write: one user looks at a time, and at worst one is told twice.
        let seen = self.seen.load(Ordering::Relaxed);
        self.seen.store(count, Ordering::Relaxed);
        seen != count
    }

    /// Ready if the vector has been raised since the last look. Otherwise the task is woken when it is.
    ///
    /// # Panics
    /// On another core than the vector's own.
    pub fn poll_raised(&self, context: &mut Context<'_>) -> Poll<()> {
        assert!(
            cores::current() == self.core,
            "an interrupt of {} is waited for on {}",
            self.core,
            cores::current()
        );
        if self.take_raised() {
            return Poll::Ready(());
        }
        // Nothing is lost between the look and this: the count changes in `drain` only, and that
        // runs on this core, so not now.
        WAITERS.here().wait(self.index, self.id, context.waker());
        Poll::Pending
    }

    /// Waits until the vector is raised.
    pub async fn raised(&self) {
        poll_fn(|context| self.poll_raised(context)).await;
    }
}

fn count(core: CoreId, index: usize) -> u32 {
    COUNTS[core.index()][index].load(Ordering::Acquire)
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // Silent before the vector is somebody else's.
        #[cfg(phyros)]
        self.lines.clear();
        // On another core the waker stays until the vector is raised or waited for again. It then
        // wakes a task that finds nothing, which tasks are used to.
        if cores::current() == self.core {
            WAITERS.here().forget(self.index, self.id);
        }
        let mut vectors = VECTORS.lock();
        if let Some(vectors) = &mut vectors[self.core.index()]
            && vectors.give(self.index)
        {
            let bit = 1u64 << (self.index % 64);
            OWNED[self.core.index()][self.index / 64].fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

const _: () = assert!(DEVICE_VECTORS <= 256, "vectors have 8 bits");
