//! Stacks for exceptions, each above a guard page.
//!
//! The precompiled `core` keeps data in the red zone below the stack pointer, and the CPU would
//! push an exception frame right into it. So every vector switches to a stack of its own kind
//! through the interrupt stack table (Intel SDM volume 3, section 6.14.5). Kinds that can
//! interrupt another handler have stacks to themselves.

use crate::memory::virt::{VirtAddr, VirtRange};
use core::cell::UnsafeCell;

const GUARD: usize = 4096;
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

/// How many stacks there are.
pub const COUNT: usize = 7;

#[repr(C, align(4096))]
struct Stack {
    guard: [u8; GUARD],
    bytes: [u8; SIZE],
}

#[repr(transparent)]
struct Stacks(UnsafeCell<[Stack; COUNT]>);

// SAFETY: only the CPU writes here, when it delivers an exception.
unsafe impl Sync for Stacks {}

static STACKS: Stacks = Stacks(UnsafeCell::new(
    [const {
        Stack {
            guard: [0; GUARD],
            bytes: [0; SIZE],
        }
    }; COUNT],
));

fn base(index: usize) -> u64 {
    STACKS.0.get().addr() as u64 + (index * size_of::<Stack>()) as u64
}

/// The address just above a stack, where it starts.
pub fn top(index: usize) -> u64 {
    base(index) + size_of::<Stack>() as u64
}

/// The lowest address of a stack's guard page, which [`crate::memory`] unmaps.
pub fn guard(index: usize) -> VirtAddr {
    VirtAddr::new(base(index)).expect("statics have canonical addresses")
}

/// The usable bytes of the stack that holds `address`, if one does.
pub fn containing(address: VirtAddr) -> Option<VirtRange> {
    (0..COUNT)
        .filter_map(|index| {
            VirtRange::new(guard(index).checked_add(GUARD as u64)?, SIZE as u64).ok()
        })
        .find(|stack| (stack.start()..=stack.last()).contains(&address))
}
