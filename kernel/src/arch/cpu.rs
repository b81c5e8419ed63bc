//! Protection features of the CPU, and instructions that have no better place.

use crate::memory::paging::{PAT, PAT_MSR};
use core::arch::x86_64::{__cpuid, __cpuid_count};
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::Msr;

/// Turns on what the CPU offers against the kernel's own mistakes: global pages are not among
/// it, supervisor execution and access of user pages (SMEP, SMAP) and user-mode reads of
/// descriptor tables (UMIP) are (Intel SDM volume 3, section 2.5).
///
/// Write protection and no-execute are on already: they are part of the boot contract.
pub fn enable_protection() {
    /// Structured extended features. A CPU that has no such leaf answers with another one's data.
    const FEATURES: u32 = 7;
    if __cpuid(0).eax < FEATURES {
        return;
    }
    let extended = __cpuid_count(FEATURES, 0);
    let mut wanted = Cr4Flags::empty();
    wanted.set(
        Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        extended.ebx & 1 << 7 != 0,
    );
    wanted.set(
        Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION,
        extended.ebx & 1 << 20 != 0,
    );
    wanted.set(
        Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION,
        extended.ecx & 1 << 2 != 0,
    );
    // A program that could write the GS base could point handlers to memory of its choice.
    let unwanted = Cr4Flags::FSGSBASE;
    let change = |flags: &mut Cr4Flags| *flags = (*flags | wanted) - unwanted;
    // SAFETY: the kernel never executes or accesses user pages, and each flag is supported; and it
    // does not use the instructions that are taken away.
    unsafe { Cr4::update(change) };
}

/// Sets what the cache modes of page-table entries mean, which each core has for itself.
pub(crate) fn set_page_attributes() {
    // SAFETY: the value only changes the meaning of an entry that the loader and the firmware do not use.
    unsafe { Msr::new(PAT_MSR).write(PAT) };
}

/// The time-stamp counter. It counts up at a constant rate that [`crate::time`] measures.
pub fn time_stamp() -> u64 {
    // SAFETY: every x86_64 CPU has RDTSC, and the kernel runs with the right to use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Says to whoever counts instructions outside the machine that a measurement begins (0) or ends
/// (any other number): a `nop` with a number in it, which does nothing at all.
#[inline(always)]
pub fn mark<const ID: u32>() {
    // SAFETY: a `nop` reads its operand's address and never the operand.
    unsafe {
        core::arch::asm!("nop dword ptr [rax + {}]", const 0x4d4b_0000_u32 | ID,
            options(nomem, nostack, preserves_flags));
    }
}
