//! What assembly knows of a core: a record behind the GS base.
//!
//! An interrupt stub may use no register that it has not saved, and must not look anything up. The
//! CPU offers one pointer that is always at hand, the base of segment GS (Intel SDM volume 3,
//! section 3.4.4.1), and each core's points to its own record. So `lock bts gs:[PENDING], n` is a
//! whole stub.
//!
//! The records of all cores are one static array. Nothing is allocated, and every core may reach
//! every record: all fields that change are atomic.

use super::{CoreId, MAX_CORES};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

// ANCHOR: record
/// A core's record. Each has its own cache lines, so that cores do not disturb each other.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct CoreLocal {
    /// The core's number.
    id: u32,
    /// What interrupt controllers call the core.
    apic_id: AtomicU32,
    /// The vectors that have been raised and not been looked at, a bit each. Stubs set bits here.
    pub pending: [AtomicU64; 4],
    /// The last request to forget translations that the core has carried out.
    pub flushed: AtomicU64,
    /// How many such requests have interrupted the core. Only its stub counts.
    flushes: AtomicU64,
    /// Where the registers go of the program that the core runs.
    program: AtomicU64,
}
// ANCHOR_END: record

impl CoreLocal {
    /// Where [`pending`](Self::pending) lies in the record, for assembly.
    pub const PENDING: usize = offset_of!(Self, pending);

    /// Where the number of the last flush lies, for assembly.
    pub const FLUSHED: usize = offset_of!(Self, flushed);

    /// Where the count of flushes lies, for assembly.
    pub const FLUSHES: usize = offset_of!(Self, flushes);

    /// Where the address of the program's registers lies, for assembly.
    pub const PROGRAM: usize = offset_of!(Self, program);

    /// Where the core's number lies.
    const ID: usize = offset_of!(Self, id);

    const fn new(id: u32) -> Self {
        Self {
            id,
            apic_id: AtomicU32::new(0),
            pending: [const { AtomicU64::new(0) }; 4],
            flushed: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            program: AtomicU64::new(0),
        }
    }

    /// Whose record this is.
    pub fn id(&self) -> CoreId {
        CoreId(self.id as u8)
    }

    /// How often other cores have interrupted this one to make it forget translations.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// What interrupt controllers call the core. Means something once the core has said it.
    pub fn apic_id(&self) -> u32 {
        self.apic_id.load(Ordering::Relaxed)
    }

    /// Says what interrupt controllers call the core.
    pub fn set_apic_id(&self, id: u32) {
        self.apic_id.store(id, Ordering::Relaxed);
    }
}

static LOCALS: [CoreLocal; MAX_CORES] = {
    let mut locals = [const { CoreLocal::new(0) }; MAX_CORES];
    let mut index = 0;
    while index < MAX_CORES {
        locals[index].id = index as u32;
        index += 1;
    }
    locals
};

/// The record of a core.
#[inline]
pub(super) fn of(core: CoreId) -> &'static CoreLocal {
    &LOCALS[core.index()]
}

/// Points the CPU to its record.
///
/// # Safety
/// The caller runs on that core, and no other core has been given the number.
#[cfg(phyros)]
pub(super) unsafe fn install(core: CoreId) {
    use x86_64::VirtAddr;
    use x86_64::registers::model_specific::GsBase;
    GsBase::write(VirtAddr::from_ptr(of(core)));
}

/// The core that runs this.
#[cfg(phyros)]
#[inline]
pub(super) fn current() -> CoreId {
    let id: u32;
    // SAFETY: the GS base points to a record, whose first field never changes. (Not `pure`, and
    // the compiler moves it at will between points where that makes no difference: a thread of
    // control stays on its core.)
    unsafe {
        core::arch::asm!("mov {:e}, gs:[{}]", out(reg) id, const CoreLocal::ID,
            options(pure, nomem, nostack, preserves_flags));
    }
    CoreId(id as u8)
}

#[cfg(not(phyros))]
pub(super) use host::current;

/// Threads as cores. A number is free again when its thread ends.
#[cfg(not(phyros))]
mod host {
    use super::CoreId;
    use crate::cores::ONLINE;
    use core::sync::atomic::Ordering;

    struct Seat(CoreId);

    impl Seat {
        /// Takes the lowest free number, or waits for one.
        fn take() -> Self {
            loop {
                let taken = ONLINE.load(Ordering::SeqCst);
                let free = CoreId::new(taken.trailing_ones() as usize);
                if let Some(core) = free
                    && ONLINE.fetch_or(core.bit(), Ordering::SeqCst) & core.bit() == 0
                {
                    return Self(core);
                }
                std::thread::yield_now();
            }
        }
    }

    impl Drop for Seat {
        fn drop(&mut self) {
            ONLINE.fetch_and(!self.0.bit(), Ordering::SeqCst);
        }
    }

    std::thread_local! {
        static SEAT: Seat = Seat::take();
    }

    pub(in crate::cores) fn current() -> CoreId {
        SEAT.with(|seat| seat.0)
    }
}
