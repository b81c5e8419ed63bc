//! What the CPU runs when a device interrupts: a few instructions, none of them Rust.
//!
//! Compiled Rust keeps data below the stack pointer and in SSE registers. A handler in Rust would
//! have to save all of that, and the code it interrupts would have to be ready to be changed behind
//! its back. So a handler here does three things: it sets the vector's bit in its core's record, it
//! tells the local APIC that it is done, and it returns. Who waits for the bit is none of its concern.
//!
//! - It runs on a stack of its own, through the interrupt stack table: the red zone is untouched.
//! - It uses at most three registers, which it saves. The flags are saved by the CPU.
//! - It is not interrupted: the gates disable interrupts, and every handler ends in the time of a
//!   register access. So one stack is enough for all vectors of a core.
//!
//! The two modes of the local APIC are told that an interrupt is done in two ways. Instead of a
//! branch in each handler there are two sets of handlers, and the gates choose.

use super::apic::registers::{Mode, Register};
use super::stacks::Purpose;
use super::{apic, idt, vectors};
use crate::cores::CoreLocal;
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// The vectors that have a handler in each set.
const FIRST: u8 = *vectors::DEVICES.start();
const LAST: u8 = vectors::WAKE;

/// The distance between two handlers, in bytes.
const STUB: u64 = 32;

/// Where a write in xAPIC mode ends the interrupt that is being served.
pub(super) static END_OF_INTERRUPT: AtomicU64 = AtomicU64::new(0);

/// Interrupts that were none: requests that were withdrawn on their way to the CPU.
static SPURIOUS: AtomicU64 = AtomicU64::new(0);

// ANCHOR: stubs
global_asm!(
    r#"
.section .text.interrupt_stubs, "ax"
.global xapic_stubs, x2apic_stubs, spurious_stub

.balign {size}
xapic_stubs:
    .set vector, {first}
    .rept {last} - {first} + 1
    .balign {size}
    push rax
    lock or byte ptr gs:[{pending} + vector / 8], 1 << (vector & 7)
    mov rax, [rip + {end_of_interrupt}]
    mov dword ptr [rax], 0
    pop rax
    iretq
    .set vector, vector + 1
    .endr

.balign {size}
x2apic_stubs:
    .set vector, {first}
    .rept {last} - {first} + 1
    .balign {size}
    push rax
    push rcx
    push rdx
    lock or byte ptr gs:[{pending} + vector / 8], 1 << (vector & 7)
    mov ecx, {end_of_interrupt_msr}
    xor eax, eax
    xor edx, edx
    wrmsr
    pop rdx
    pop rcx
    pop rax
    iretq
    .set vector, vector + 1
    .endr

// Nothing is being served, so there is nothing to end.
spurious_stub:
    lock inc qword ptr [rip + {spurious}]
    iretq
"#,
    size = const STUB,
    first = const FIRST,
    last = const LAST,
    pending = const CoreLocal::PENDING,
    end_of_interrupt = sym END_OF_INTERRUPT,
    end_of_interrupt_msr = const Register::EndOfInterrupt.msr(),
    spurious = sym SPURIOUS,
);
// ANCHOR_END: stubs

unsafe extern "C" {
    static xapic_stubs: u8;
    static x2apic_stubs: u8;
    static spurious_stub: u8;
}

/// Points the gates to the handlers for the local APIC's mode. Interrupts are still disabled.
///
/// Vectors that are not named here go on to report themselves as exceptions do.
pub(crate) fn init() {
    let local = apic::local();
    if let Some(registers) = local.bus().start() {
        let address = registers.get() + Register::EndOfInterrupt.offset() as u64;
        END_OF_INTERRUPT.store(address, Ordering::Relaxed);
    }
    let stubs = match local.mode() {
        Mode::Xapic => &raw const xapic_stubs,
        Mode::X2apic => &raw const x2apic_stubs,
    };
    let alone = [vectors::TIMER, vectors::APIC_ERROR, vectors::WAKE];
    for vector in vectors::DEVICES.chain(alone) {
        let stub = stubs.addr() as u64 + STUB * u64::from(vector - FIRST);
        // SAFETY: the stub keeps all registers and ends with `iretq`. Nothing raises the vector
        // before interrupts are enabled.
        unsafe { idt::set(vector, stub, Purpose::Interrupt) };
    }
    for vector in [vectors::SPURIOUS, vectors::LEGACY_SPURIOUS] {
        let stub = (&raw const spurious_stub).addr() as u64;
        // SAFETY: as above.
        unsafe { idt::set(vector, stub, Purpose::Interrupt) };
    }
}

/// A vector of no use, for which a test runs the handler of x2APIC mode with `int`. Outside that mode
/// the CPU takes the end of an interrupt that was none for a write to nowhere, or refuses it.
#[cfg(feature = "vm-tests")]
pub(super) const X2APIC_VECTOR: u8 = vectors::APIC_ERROR - 2;

/// Gives that vector the handler.
#[cfg(feature = "vm-tests")]
pub(super) fn use_x2apic_handler() {
    let stub = (&raw const x2apic_stubs).addr() as u64 + STUB * u64::from(X2APIC_VECTOR - FIRST);
    // SAFETY: the stub keeps all registers and ends with `iretq`. Nothing raises the vector yet.
    unsafe { idt::set(X2APIC_VECTOR, stub, Purpose::Interrupt) };
}

/// Interrupts, on all cores since boot, that were none.
pub(crate) fn spurious() -> u64 {
    SPURIOUS.load(Ordering::Relaxed)
}
