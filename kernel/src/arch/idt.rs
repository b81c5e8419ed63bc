//! The interrupt descriptor table: for each vector the code that runs, and its stack (Intel SDM
//! volume 3, section 6.14.1).
//!
//! There is one table for all cores. Each core has stacks of its own, because the gates name an entry
//! of the interrupt stack table and each core's task state segment has its own table.
//!
//! There is a second table, for as long as a core runs a program in ring 3: see [`super::ring3`].
//!
//! The typed setters of `InterruptDescriptorTable` in the `x86_64` crate differ between vectors
//! with and without an error code and leave out reserved ones. Here all vectors are alike.

use super::stacks::Purpose;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, Segment};
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

/// Vectors, of two words each.
const VECTORS: usize = 256;

/// A table.
#[repr(C, align(16))]
pub(super) struct Gates([[AtomicU64; 2]; VECTORS]);

/// The last byte of a table, as LIDT wants it.
pub(super) const LIMIT: u16 = (size_of::<Gates>() - 1) as u16;

/// The table of all cores that are in the kernel.
pub(super) static GATES: Gates = Gates::new();

/// From where a vector may be raised with `int`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Callers {
    Kernel = 0,
    Programs = 3,
}

impl Gates {
    pub(super) const fn new() -> Self {
        Self([const { [const { AtomicU64::new(0) }; 2] }; VECTORS])
    }

    /// Lets a vector run the code at `handler`, on the stack for `purpose`, with interrupts disabled.
    ///
    /// # Safety
    /// As for [`set`], but for how the handler ends.
    pub(super) unsafe fn set(&self, vector: u8, handler: u64, purpose: Purpose, callers: Callers) {
        const PRESENT_INTERRUPT_GATE: u64 = 0x8e00 << 32;
        let stack = purpose as u64 + 1;
        let low = (handler & 0xffff)
            | u64::from(CS::get_reg().0) << 16
            | stack << 32
            | PRESENT_INTERRUPT_GATE
            | (callers as u64) << 45
            | (handler >> 16 & 0xffff) << 48;
        let [first, second] = &self.0[usize::from(vector)];
        second.store(handler >> 32, Ordering::Relaxed);
        first.store(low, Ordering::Relaxed);
    }
}

/// Lets a vector run the code at `handler`, on the stack for `purpose`, with interrupts disabled.
///
/// # Safety
/// The code is an interrupt handler for this vector: it expects what the CPU pushes, keeps every
/// register, and ends with `iretq`. The running core's code segment is the kernel's. While the gate
/// of a loaded table changes, the vector is not raised.
pub(super) unsafe fn set(vector: u8, handler: u64, purpose: Purpose) {
    // SAFETY: the caller's promise.
    unsafe { GATES.set(vector, handler, purpose, Callers::Kernel) };
}

/// Makes the running core use the table.
///
/// # Safety
/// Every vector has its gate, and the running core's segments are the kernel's.
pub(super) unsafe fn load() {
    let pointer = DescriptorTablePointer {
        limit: LIMIT,
        base: VirtAddr::from_ptr(&raw const GATES),
    };
    // SAFETY: the table is static, and the caller says that its gates are good.
    unsafe { lidt(&pointer) };
}

/// The code that a vector runs.
pub(super) fn handler(vector: u8) -> u64 {
    let [first, second] = &GATES.0[usize::from(vector)];
    let (first, second) = (
        first.load(Ordering::Relaxed),
        second.load(Ordering::Relaxed),
    );
    (first & 0xffff) | (first >> 48) << 16 | second << 32
}
