//! The cores: which one runs this, which ones there are, and what belongs to one alone.
//!
//! Each core has one thread of control, and nothing ever interrupts Rust with Rust: an interrupt
//! sets a bit, and an exception ends the machine. So what belongs to one core needs neither a lock
//! nor an atomic operation. That is what the two types here are for:
//!
//! - [`CoreLocal`] is the record that assembly knows, too: the CPU finds its own behind the GS base;
//! - [`PerCore`] is any value that each core has one of.
//!
//! A [`CoreId`] is a small number, given in the order in which the cores were found; the boot core
//! is 0. What the interrupt controllers call a core, its APIC identifier, is a detail of theirs.
//!
//! On the host, where the kernel's modules are tested, a thread is a core for as long as it lives.

pub mod board;
#[cfg(phyros)]
pub(crate) mod bring_up;
mod local;
mod per_core;
pub mod shootdown;
#[cfg(phyros)]
pub(crate) mod stop;

pub use local::CoreLocal;
pub use per_core::PerCore;

#[cfg(phyros)]
use crate::arch;
#[cfg(phyros)]
use crate::machine::machine;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// The most cores that take part. A set of cores is one word.
pub const MAX_CORES: usize = 64;

/// A core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(u8);

impl CoreId {
    /// The core that the machine started with.
    pub const BOOT: Self = Self(0);

    /// The core of this number. `None` if it is not below [`MAX_CORES`].
    pub const fn new(index: usize) -> Option<Self> {
        if index < MAX_CORES {
            Some(Self(index as u8))
        } else {
            None
        }
    }

    /// The number of the core, below [`MAX_CORES`].
    #[inline]
    pub const fn index(self) -> usize {
        // The mask tells the compiler what the constructor has checked.
        self.0 as usize % MAX_CORES
    }

    const fn bit(self) -> u64 {
        1 << self.index()
    }
}

impl fmt::Display for CoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "core {}", self.0)
    }
}

/// The cores that take part, a bit each.
static ONLINE: AtomicU64 = AtomicU64::new(if cfg!(phyros) { CoreId::BOOT.bit() } else { 0 });

/// The core that runs this.
#[inline]
pub fn current() -> CoreId {
    local::current()
}

/// The cores that take part at this moment, in the order of their numbers.
///
/// A core that has come never leaves.
pub fn online() -> impl Iterator<Item = CoreId> {
    let set = ONLINE.load(Ordering::SeqCst);
    (0..MAX_CORES)
        .filter_map(CoreId::new)
        .filter(move |core| set & core.bit() != 0)
}

/// Whether a core takes part.
pub fn is_online(core: CoreId) -> bool {
    ONLINE.load(Ordering::SeqCst) & core.bit() != 0
}

/// The record of the core that runs this.
#[inline]
pub fn local() -> &'static CoreLocal {
    local::of(current())
}

/// The record of any core: its atomic fields may be used from everywhere.
#[inline]
pub fn local_of(core: CoreId) -> &'static CoreLocal {
    local::of(core)
}

/// Makes the boot core know that it is one. The first thing that the kernel does.
#[cfg(phyros)]
pub(crate) fn init_boot() {
    // SAFETY: this is the boot core.
    unsafe { local::install(CoreId::BOOT) };
}

/// Starts the other cores and waits until they take part. Call it on the boot core.
#[cfg(phyros)]
pub(crate) fn start_others() {
    arch::flush::init();
    bring_up::start_all(&machine().platform.cpus);
}

/// In a report: says which core it is about, where there are several.
#[cfg(phyros)]
pub(crate) fn say_which() {
    if online().nth(1).is_some() {
        crate::console::emergency(format_args!("  on {}\n", current()));
    }
}

/// What [`board`] uses of the CPU. Its tests put a model in the place.
mod sync {
    pub(super) use core::sync::atomic::{AtomicU64, Ordering, fence};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_numbers_are_bounded() {
        assert_eq!(CoreId::new(0), Some(CoreId::BOOT));
        let last = CoreId::new(MAX_CORES - 1).unwrap();
        assert_eq!(last.index(), MAX_CORES - 1);
        assert_eq!(CoreId::new(MAX_CORES), None);
        assert_eq!(last.to_string(), "core 63");
    }

    #[test]
    fn a_thread_is_a_core_while_it_lives() {
        let mine = current();
        assert_eq!(current(), mine);
        assert!(is_online(mine) && online().any(|core| core == mine));
        let other = std::thread::spawn(move || {
            assert_ne!(current(), mine);
            current()
        });
        let other = other.join().unwrap();
        assert_ne!(other, mine);
        assert_eq!(local().id(), mine);
        assert_eq!(local_of(other).id(), other);
    }
}
