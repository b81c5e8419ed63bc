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

use super::gdt::{KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA};
use super::idt::{self, Callers, GATES, Gates};
use super::{exceptions, vectors};
use crate::cores::CoreLocal;
use crate::memory::address_space::{AddressSpace, USER};
use crate::memory::virt::VirtAddr;
use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;
use x86_64::instructions::interrupts;

/// The distance between two entry stubs, in bytes.
const STUB: u64 = 16;

/// Model-specific registers.
const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;

/// Flags that a program may have as it likes: CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC, ID.
const PROGRAMS_FLAGS: u64 = 0x0025_0dd5;
/// Interrupts are enabled, and the bit that is always 1.
const FIXED_FLAGS: u64 = 1 << 9 | 1 << 1;

/// The vectors that are handled by the kernel's own handler, whoever runs: NMI, machine check.
const NON_MASKABLE: u8 = 2;
const MACHINE_CHECK: u8 = 18;
const PAGE_FAULT: u8 = 14;
/// Below this are exceptions, from here on interrupts.
const FIRST_INTERRUPT: u8 = 32;

/// What a program's registers hold while it does not run, and what the way back needs.
#[repr(C, align(16))]
pub struct Context {
    /// As FXSAVE writes it.
    extended: [u8; 512],
    general: General,
    rip: u64,
    rflags: u64,
    rsp: u64,
    /// What ended the last turn.
    vector: u64,
    error: u64,
    cr2: u64,
    /// The kernel's, while the program runs.
    kernel_rsp: u64,
    kernel_cr3: u64,
    /// The program's.
    cr3: u64,
}

/// The general registers, but for RSP.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
#[expect(missing_docs, reason = "they are the registers of that name")]
pub struct General {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
}

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

/// The table while a program runs.
static PROGRAM_GATES: Gates = Gates::new();

global_asm!(
    r#"
.section .rodata.ring3, "a"
.balign 8
kernel_table:
    .word {limit}
    .quad {kernel_gates}
program_table:
    .word {limit}
    .quad {program_gates}
kernel_mxcsr:
    .long 0x1f80

.section .text.ring3, "ax"
.balign {stub}
.global ring3_stubs, ring3_enter
ring3_stubs:
    .set vector, 0
    .rept 256
    .balign {stub}
    // Vectors 8, 10-14, 17, 21, 29 and 30 push an error code of their own.
    .if vector > 31 || ((0x60227d00 >> (vector & 31)) & 1) == 0
    push 0
    .endif
    .byte 0x68                  // push imm32
    .long vector
    jmp ring3_leave
    .set vector, vector + 1
    .endr

// On the stack: vector, error, rip, cs, rflags, rsp, ss.
ring3_leave:
    test byte ptr [rsp + 24], 3
    jz ring3_between
    swapgs
    push rdi
    mov rdi, gs:[{program}]
    mov [rdi + {rax}], rax
    mov [rdi + {rbx}], rbx
    mov [rdi + {rcx}], rcx
    mov [rdi + {rdx}], rdx
    mov [rdi + {rsi}], rsi
    pop qword ptr [rdi + {rdi}]
    mov [rdi + {rbp}], rbp
    mov [rdi + {r8}], r8
    mov [rdi + {r9}], r9
    mov [rdi + {r10}], r10
    mov [rdi + {r11}], r11
    mov [rdi + {r12}], r12
    mov [rdi + {r13}], r13
    mov [rdi + {r14}], r14
    mov [rdi + {r15}], r15
    pop qword ptr [rdi + {vector}]
    pop qword ptr [rdi + {error}]
    pop qword ptr [rdi + {rip}]
    pop rax                     // cs
    pop qword ptr [rdi + {rflags}]
    pop qword ptr [rdi + {rsp}]
    mov rax, cr2
    mov [rdi + {cr2}], rax
    fxsave64 [rdi]
    // From here on as the kernel left it.
    mov rsp, [rdi + {kernel_rsp}]
    mov rax, [rdi + {kernel_cr3}]
    mov cr3, rax                // forgets what the program's tables said
    lidt [rip + kernel_table]
    mov eax, {kernel_data}
    mov ss, eax
    mov ds, eax
    mov es, eax
    push 2                      // no AC, no DF, no TF, no NT; interrupts disabled
    popfq
    fninit
    ldmxcsr [rip + kernel_mxcsr]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

// Between the kernel's state and the program's. The way to the kernel's report, which ends the machine.
ring3_between:
    push rax
    push rcx
    push rdx
    mov ecx, {gs_base}
    rdmsr
    test edx, edx
    js 1f
    swapgs
1:  pop rdx
    pop rcx
    pop rax
    jmp exception_common

// Context in rdi; interrupts are disabled.
ring3_enter:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rdi + {kernel_rsp}], rsp
    mov rax, cr3
    mov [rdi + {kernel_cr3}], rax
    mov gs:[{program}], rdi
    push {user_data}
    push qword ptr [rdi + {rsp}]
    push qword ptr [rdi + {rflags}]
    push {user_code}
    push qword ptr [rdi + {rip}]
    fxrstor64 [rdi]
    mov rax, [rdi + {cr3}]
    lidt [rip + program_table]
    mov cr3, rax
    swapgs
    xor eax, eax
    xor edx, edx
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov ecx, {fs_base}
    wrmsr
    mov ecx, {gs_base}
    wrmsr
    mov rax, [rdi + {rax}]
    mov rbx, [rdi + {rbx}]
    mov rcx, [rdi + {rcx}]
    mov rdx, [rdi + {rdx}]
    mov rsi, [rdi + {rsi}]
    mov rbp, [rdi + {rbp}]
    mov r8, [rdi + {r8}]
    mov r9, [rdi + {r9}]
    mov r10, [rdi + {r10}]
    mov r11, [rdi + {r11}]
    mov r12, [rdi + {r12}]
    mov r13, [rdi + {r13}]
    mov r14, [rdi + {r14}]
    mov r15, [rdi + {r15}]
    mov rdi, [rdi + {rdi}]
    iretq
"#,
    limit = const idt::LIMIT,
    kernel_gates = sym GATES,
    program_gates = sym PROGRAM_GATES,
    stub = const STUB,
    program = const CoreLocal::PROGRAM,
    gs_base = const GS_BASE,
    fs_base = const FS_BASE,
    kernel_data = const KERNEL_DATA,
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    rax = const GENERAL + offset_of!(General, rax),
    rbx = const GENERAL + offset_of!(General, rbx),
    rcx = const GENERAL + offset_of!(General, rcx),
    rdx = const GENERAL + offset_of!(General, rdx),
    rsi = const GENERAL + offset_of!(General, rsi),
    rdi = const GENERAL + offset_of!(General, rdi),
    rbp = const GENERAL + offset_of!(General, rbp),
    r8 = const GENERAL + offset_of!(General, r8),
    r9 = const GENERAL + offset_of!(General, r9),
    r10 = const GENERAL + offset_of!(General, r10),
    r11 = const GENERAL + offset_of!(General, r11),
    r12 = const GENERAL + offset_of!(General, r12),
    r13 = const GENERAL + offset_of!(General, r13),
    r14 = const GENERAL + offset_of!(General, r14),
    r15 = const GENERAL + offset_of!(General, r15),
    rip = const offset_of!(Context, rip),
    rflags = const offset_of!(Context, rflags),
    rsp = const offset_of!(Context, rsp),
    vector = const offset_of!(Context, vector),
    error = const offset_of!(Context, error),
    cr2 = const offset_of!(Context, cr2),
    kernel_rsp = const offset_of!(Context, kernel_rsp),
    kernel_cr3 = const offset_of!(Context, kernel_cr3),
    cr3 = const offset_of!(Context, cr3),
);

const GENERAL: usize = offset_of!(Context, general);
const _: () = assert!(offset_of!(Context, extended) == 0);

unsafe extern "C" {
    static ring3_stubs: u8;
    fn ring3_enter(context: *mut Context);
}

/// Fills the table for programs. The kernel's segments are loaded.
pub(super) fn init() {
    for vector in 0..=255u8 {
        let stub = (&raw const ring3_stubs).addr() as u64 + STUB * u64::from(vector);
        let callers = match vector {
            vectors::SYSTEM_CALL => Callers::Programs,
            _ => Callers::Kernel,
        };
        // SAFETY: the stub is that of this vector. It goes back to where the program was entered, and
        // the table is only loaded there.
        unsafe { PROGRAM_GATES.set(vector, stub, exceptions::stack_for(vector), callers) };
    }
}

impl Context {
    /// A program that is to begin at `rip`, with its stack below `rsp`.
    pub fn new(rip: u64, rsp: u64, general: General) -> Self {
        let mut extended = [0; 512];
        // The control word and MXCSR as after a reset: no exceptions (Intel SDM volume 1, 10.5.1).
        extended[0..2].copy_from_slice(&0x037f_u16.to_le_bytes());
        extended[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
        Self {
            extended,
            general,
            rip,
            rflags: FIXED_FLAGS,
            rsp,
            vector: 0,
            error: 0,
            cr2: 0,
            kernel_rsp: 0,
            kernel_cr3: 0,
            cr3: 0,
        }
    }

    /// The general registers.
    pub fn general(&mut self) -> &mut General {
        &mut self.general
    }

    fn fault(&self, vector: u8) -> Fault {
        Fault {
            vector,
            error: self.error,
            at: self.rip,
            address: (vector == PAGE_FAULT).then_some(self.cr2),
        }
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
    context.rflags = context.rflags & PROGRAMS_FLAGS | FIXED_FLAGS;
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
    unsafe { ring3_enter(context) };
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
