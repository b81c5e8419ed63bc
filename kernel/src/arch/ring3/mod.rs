//! The way to ring 3 and back.
//!
//! A program in ring 3 is called like a function: [`enter`] returns when the program calls, faults, or is
//! interrupted. Whatever ended its turn, it has left no trace in the kernel when `enter` returns: neither in
//! a register, nor in the CPU's tables, nor in the address space.
//!
//! **A table of its own.** The handlers of the kernel take the GS base for granted, as they
//! must: it is one instruction in the path of every interrupt. In ring 3 it cannot be taken for
//! granted, because a program can load GS. So while a core runs a program it has another interrupt
//! descriptor table, and all 256 gates of that lead here. What the kernel does with its own
//! interrupts is not changed by an instruction.
//!
//! **One way in.** An interrupt of a device ends the turn like a fault or a call. When the kernel's state is
//! back, the kernel's own handler is run, with a frame as the CPU would have made it, and then the
//! executor has its turn. That is all the preemption there is: of programs, at any instruction, and of
//! nothing else. `syscall` is not enabled: it would be a second way in, on the program's stack.
//!
//! **Stacks.** Every gate switches to the stack for its purpose, as in the kernel. The registers go from
//! there to the [`Context`], and the stack is empty again before anything else is done. So no
//! interrupt frame is ever pushed into a red zone, neither of the kernel nor of the program.
//!
//! **What a program can set, and what becomes of it:**
//!
//! | | |
//! |---|---|
//! | flags: AC (lifts SMAP), DF, TF, NT | cleared before any Rust; NT is never given back |
//! | GS, FS, DS, ES | `swapgs` on the way; all null, with base 0, whenever it gets its turn |
//! | x87, SSE, MXCSR | saved and restored with it; the kernel gets what the calling convention promises |
//! | RSP, RIP | only stored; RIP is checked before it is used again |
//!
//! In the few instructions between the kernel's state and the program's, only an NMI or a machine
//! check can come. They find which GS base is loaded by its sign: no base of a program's is negative,
//! because a descriptor has 32 bits of base, and the instruction that sets 64 is disabled.

mod context;
mod entry;

use super::gdt::{KERNEL_CODE, KERNEL_DATA};
use super::idt::{self, Callers};
use super::{exceptions, vectors};
use crate::memory::address_space::{AddressSpace, USER};
use crate::memory::virt::VirtAddr;
use core::arch::naked_asm;
use x86_64::instructions::interrupts;

pub use context::{Context, General};

/// The vectors that are handled by the kernel's own handler, whoever runs: NMI, machine check.
const NON_MASKABLE: u8 = 2;
const MACHINE_CHECK: u8 = 18;
const PAGE_FAULT: u8 = 14;
/// The error code of a page fault: the page is there, it was a write, in ring 3 (Intel SDM volume 3, 4.7).
const REFUSED_WRITE: u64 = 0b111;
/// Below this are exceptions, from here on interrupts.
const FIRST_INTERRUPT: u8 = 32;

/// What ended a program's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It calls the kernel.
    Call,
    /// An interrupt came, of a device, a timer, or another core. It has been taken notice of.
    Interrupt,
    /// It did what it must not, or cannot.
    Fault(Fault),
}

/// An exception in ring 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The exception's vector.
    pub vector: u8,
    /// Its error code.
    pub error: u64,
    /// Where the program was.
    pub at: u64,
    /// Of a page fault: the address that it wanted.
    pub address: Option<u64>,
}

impl Fault {
    /// The address, if the program has tried to write to a page of its own that it may only read.
    pub fn refused_write(self) -> Option<u64> {
        let refused = self.vector == PAGE_FAULT && self.error == REFUSED_WRITE;
        self.address.filter(|_| refused)
    }
}

/// Fills the table for programs. The kernel's segments are loaded.
pub(super) fn init() {
    for vector in 0..=255u8 {
        let stub = entry::stub(vector);
        let callers = match vector {
            vectors::SYSTEM_CALL => Callers::Programs,
            _ => Callers::Kernel,
        };
        // SAFETY: the stub is that of this vector. It goes back to where the program was entered, and
        // the table is only loaded there.
        unsafe { entry::PROGRAM_GATES.set(vector, stub, exceptions::stack_for(vector), callers) };
    }
}

/// Lets a program run until something ends its turn. If an interrupt came before, that is at once.
///
/// Interrupts are enabled. Nothing here sees to it that one comes.
///
/// # Panics
/// If the address space is the kernel's.
pub fn enter(context: &mut Context, space: &mut AddressSpace) -> Event {
    // A return to an address that is none would fault in the kernel.
    let in_bounds = |rip| VirtAddr::new(rip).is_ok_and(|at| at <= USER.last());
    if !in_bounds(context.rip) {
        return Event::Fault(context.fault(PAGE_FAULT));
    }
    context.restrict_flags();
    interrupts::disable();
    // The last look. What came before it, the timer perhaps, would not come again.
    if crate::interrupts::is_pending() {
        interrupts::enable();
        return Event::Interrupt;
    }
    let root = space.enter().expect("programs do not run in the kernel");
    context.cr3 = root.get();
    // SAFETY: the context is whole, the tables show the kernel's half as it is, and nobody else
    // runs in them; interrupts are disabled. The function keeps what the calling convention wants.
    unsafe { entry::ring3_enter(context) };
    let vector = context.vector as u8;
    let event = match vector {
        vectors::SYSTEM_CALL => Event::Call,
        NON_MASKABLE | MACHINE_CHECK | FIRST_INTERRUPT.. => {
            // SAFETY: it is the handler of this vector, which pushes no error code; none of the three
            // kinds has one. The CPU has raised it, and the kernel's state is back.
            unsafe { handle(idt::handler(vector)) };
            Event::Interrupt
        }
        _ => Event::Fault(context.fault(vector)),
    };
    interrupts::enable();
    event
}

/// Runs a handler as if the CPU had raised its vector here.
///
/// # Safety
/// The handler is that of a vector without an error code which the CPU has raised and nobody has
/// handled. Interrupts are disabled.
#[unsafe(naked)]
unsafe extern "C" fn handle(handler: u64) {
    naked_asm!(
        "mov rax, rsp",
        "push {data}",
        "push rax",
        "pushfq",
        "push {code}",
        "lea rax, [rip + 2f]",
        "push rax",
        "jmp rdi",
        "2:",
        "ret",
        data = const KERNEL_DATA,
        code = const KERNEL_CODE,
    )
}
