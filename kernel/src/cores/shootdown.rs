//! TLB shoot-down: all cores forget a translation before its memory is used again.
//!
//! A core remembers translations in its TLB, and the CPU keeps no other core's up to date. So who
//! removes or restricts a mapping must interrupt the others and wait ([`Board`] is the protocol,
//! [`arch::flush`](crate::arch) its receiving side). No core runs Rust for it, and none has to
//! be awake.
//!
//! Why that ends:
//! - One core at a time changes the kernel's tables, or those of a program: it holds their lock. One at a
//!   time posts: it holds the board's. Another that wants to waits for the lock with interrupts
//!   enabled, and answers meanwhile.
//! - Rust runs with interrupts enabled. Where it disables them for a few instructions, to look around
//!   before it halts, it waits for nothing and takes no lock. Who wants the lock of the tables in spite of
//!   that is told so ([`may_wait`]).
//! - A core that does not answer for [`PATIENCE`] is a defect of the kernel, and is reported.
//!
//! It is the most expensive thing that unmapping does: a message to each other core, and the time
//! until the slowest has answered. Fast paths map nothing and unmap nothing.

use super::board::Board;
use super::{CoreId, ONLINE, local};
use crate::lock::Mutex;
use crate::memory::paging::{Flush, LocalTlb};
use crate::memory::virt::{VirtAddr, VirtRange};
use core::sync::atomic::{AtomicU64, Ordering};

pub use crate::memory::paging::FEW;

/// How long the others may take to answer, in microseconds. On a host that is short of CPUs, a
/// virtual core may wait for seconds until it runs.
const PATIENCE: u64 = 20_000_000;

/// What is posted.
pub(crate) static BOARD: Board<FEW> = Board {
    number: AtomicU64::new(0),
    count: AtomicU64::new(0),
    leaves: [const { AtomicU64::new(0) }; FEW],
};

/// Who has the board, from posting until all have answered: several address spaces share it.
static TURN: Mutex<()> = Mutex::new(());

/// How many changes had to interrupt other cores.
static SHOOT_DOWNS: AtomicU64 = AtomicU64::new(0);

/// How many changes had to interrupt other cores since boot.
pub fn count() -> u64 {
    SHOOT_DOWNS.load(Ordering::Relaxed)
}

/// The TLBs of all cores.
#[derive(Debug)]
pub struct AllTlbs {
    /// What the running core must forget, and all others too.
    local: LocalTlb,
}

impl AllTlbs {
    /// TLBs for which nothing is pending.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            local: LocalTlb::new(),
        }
    }
}

impl Default for AllTlbs {
    fn default() -> Self {
        Self::new()
    }
}

impl Flush for AllTlbs {
    fn leaf(&mut self, leaf: VirtRange) {
        self.local.leaf(leaf);
    }

    fn settle(&mut self) {
        let turn = TURN.lock();
        let me = super::current();
        let leaves = self.local.few();
        let leaves = leaves.map(|leaves| leaves.iter().copied().map(VirtAddr::get));
        let posted = BOARD.post(leaves, &ONLINE);
        let others = posted.cores & !me.bit();
        if others != 0 {
            SHOOT_DOWNS.fetch_add(1, Ordering::Relaxed);
            cores_in(others).for_each(interrupt);
        }
        self.local.settle();
        local::of(me)
            .flushed
            .store(posted.number, Ordering::Relaxed);
        cores_in(others).for_each(|core| wait_for(core, posted.number));
        drop(turn);
    }
}

fn cores_in(set: u64) -> impl Iterator<Item = CoreId> {
    let all = (0..super::MAX_CORES).filter_map(CoreId::new);
    all.filter(move |core| set & core.bit() != 0)
}

/// Raises the vector on another core.
fn interrupt(core: CoreId) {
    #[cfg(phyros)]
    if let Err(error) = crate::arch::apic::send_ipi(core, crate::arch::vectors::FLUSH) {
        panic!("{core} cannot be made to forget a mapping: {error}");
    }
    // On the host there are no other cores.
    #[cfg(not(phyros))]
    let _ = core;
}

/// Waits until a core has carried out a number.
fn wait_for(core: CoreId, number: u64) {
    let flushed = &local::of(core).flushed;
    let mut since = None;
    while !BOARD.is_done(number, flushed) {
        core::hint::spin_loop();
        let now = crate::time::microseconds();
        let waited = now.saturating_sub(*since.get_or_insert(now));
        assert!(
            waited < PATIENCE,
            "{core} has not forgotten a mapping for {} s: are its interrupts disabled?",
            PATIENCE / 1_000_000
        );
    }
}

/// Whether the running core may wait for another one: it answers meanwhile, or nobody asks.
#[cfg(phyros)]
pub(crate) fn may_wait() -> bool {
    x86_64::instructions::interrupts::are_enabled() || super::online().nth(1).is_none()
}

/// Lets the running core take part: from here on, changes wait for it. Its interrupts are disabled,
/// and will be enabled soon.
#[cfg(phyros)]
pub(super) fn join(core: CoreId) {
    let flushed = &local::of(core).flushed;
    let forget_everything = x86_64::instructions::tlb::flush_all;
    BOARD.join(&ONLINE, core.bit(), flushed, forget_everything);
}
