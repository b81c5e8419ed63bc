//! The stacks of each core, each above a guard page.
//!
//! The precompiled `core` keeps data in the red zone below the stack pointer, and the CPU would
//! push an exception frame right into it. So every vector switches to a stack of its own kind
//! through the interrupt stack table (Intel SDM volume 3, section 6.14.5). Kinds that can
//! interrupt another handler have stacks to themselves.
//!
//! The boot core needs its stacks before there is memory to allocate, so they are static. Those of
//! the other cores come from the allocator, mapped: below a mapping, too, no page is ever mapped.

use crate::cores::{CoreId, MAX_CORES};
use crate::memory::frames::{self, Frames};
use crate::memory::mapping::{MapError, Mapping};
use crate::memory::paging::{Cache, Rights};
use crate::memory::virt::{VirtAddr, VirtRange};
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::fmt;
use spin::Once;

const GUARD: u64 = 4096;
const SIZE: usize = 16 * 1024;

/// The seven entries of the interrupt stack table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Purpose {
    /// #DF: the state is beyond repair, so nothing is shared.
    DoubleFault = 0,
    /// NMI: comes at any time.
    NonMaskable = 1,
    /// #MC: comes at any time.
    MachineCheck = 2,
    /// #PF: stack overflows arrive here.
    PageFault = 3,
    /// #DB: single steps and watchpoints.
    Debug = 4,
    /// Every other exception.
    Exception = 5,
    /// Device interrupts.
    Interrupt = 6,
}

/// How many exception stacks a core has.
pub const COUNT: usize = 7;

/// The stacks of a core: the usable bytes of each. The page below each is not mapped.
#[derive(Debug, Clone, Copy)]
pub struct Stacks {
    /// Where the core's thread of control runs.
    pub main: VirtRange,
    /// The interrupt stack table, by [`Purpose`].
    pub exceptions: [VirtRange; COUNT],
}

impl Stacks {
    fn all(&self) -> impl Iterator<Item = VirtRange> {
        core::iter::once(self.main).chain(self.exceptions)
    }

    /// Makes the stacks of another core than the boot core. They stay for ever.
    pub(crate) fn allocate(main: u64) -> Result<Self, NoStacks> {
        let mut made = Vec::new();
        for len in core::iter::once(main).chain([SIZE as u64; COUNT]) {
            let frames = Frames::allocate(len).map_err(|_| NoStacks::Memory)?;
            // SAFETY: the frames are the stack's alone, cached as everywhere.
            let mapping =
                unsafe { Mapping::map(frames.phyr(), Rights::ReadWrite, Cache::WriteBack) };
            made.push((mapping.map_err(NoStacks::Map)?, frames));
        }
        let mut ranges = made.into_iter().map(|(mapping, frames)| {
            let range = mapping.range();
            core::mem::forget(mapping);
            frames::leak(frames);
            range
        });
        let main = ranges.next().ok_or(NoStacks::Memory)?;
        Ok(Self {
            main,
            exceptions: core::array::from_fn(|_| ranges.next().unwrap_or(main)),
        })
    }
}

/// Why a core has no stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoStacks {
    /// No memory is left for them.
    Memory,
    /// The memory could not be mapped.
    Map(MapError),
}

impl fmt::Display for NoStacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("there is no memory for its stacks"),
            Self::Map(error) => write!(f, "its stacks cannot be mapped: {error}"),
        }
    }
}

/// The address just above a stack, where it starts.
pub fn top(stack: VirtRange) -> u64 {
    stack.last().get() + 1
}

/// The unmapped page below a stack.
pub fn guard(stack: VirtRange) -> VirtRange {
    VirtAddr::new(stack.start().get() - GUARD)
        .and_then(|start| VirtRange::new(start, GUARD))
        .expect("no stack starts at the lower end of the upper half")
}

static STACKS: [Once<Stacks>; MAX_CORES] = [const { Once::new() }; MAX_CORES];

/// The stacks of a core, if it has any yet.
pub fn of(core: CoreId) -> Option<&'static Stacks> {
    STACKS[core.index()].get()
}

/// Notes where the stacks of a core lie. The first call for a core counts.
pub(crate) fn note(core: CoreId, stacks: Stacks) -> &'static Stacks {
    STACKS[core.index()].call_once(|| stacks)
}

/// Notes the boot core's stacks: the one that the loader made, and the static ones.
pub(crate) fn init_boot(main: VirtRange) {
    let exceptions = core::array::from_fn(boot_stack);
    note(CoreId::BOOT, Stacks { main, exceptions });
}

/// The usable bytes of the stack that holds `address`, if one does.
pub fn containing(address: VirtAddr) -> Option<VirtRange> {
    let all = STACKS.iter().filter_map(Once::get).flat_map(Stacks::all);
    all.into_iter()
        .find(|stack| (stack.start()..=stack.last()).contains(&address))
}

/// Whose stack lies above the guard page that holds `address`, if it is in one; and which of the
/// exception stacks it is, if it is not the main stack.
pub fn guarding(address: u64) -> Option<(CoreId, Option<usize>)> {
    let address = VirtAddr::new(address).ok()?;
    let guards = |stack: VirtRange| {
        let page = guard(stack);
        (page.start()..=page.last()).contains(&address)
    };
    (0..MAX_CORES).filter_map(CoreId::new).find_map(|core| {
        let index = of(core)?.all().position(guards)?;
        Some((core, index.checked_sub(1)))
    })
}

#[repr(C, align(4096))]
struct BootStack {
    guard: [u8; GUARD as usize],
    bytes: [u8; SIZE],
}

#[repr(transparent)]
struct BootStacks(UnsafeCell<[BootStack; COUNT]>);

// SAFETY: only the CPU writes here, when it delivers an exception.
unsafe impl Sync for BootStacks {}

static BOOT_STACKS: BootStacks = BootStacks(UnsafeCell::new(
    [const {
        BootStack {
            guard: [0; GUARD as usize],
            bytes: [0; SIZE],
        }
    }; COUNT],
));

/// One of the boot core's exception stacks. [`crate::memory`] unmaps the page below.
pub fn boot_stack(index: usize) -> VirtRange {
    let base = BOOT_STACKS.0.get().addr() + index * size_of::<BootStack>();
    VirtAddr::new(base as u64 + GUARD)
        .and_then(|start| VirtRange::new(start, SIZE as u64))
        .expect("statics have canonical addresses")
}
