//! The instructions on the way to ring 3 and back, and the gates that lead there.

use super::context::{Context, General};
use crate::arch::gdt::{KERNEL_DATA, USER_CODE, USER_DATA};
use crate::arch::idt::{self, GATES, Gates};
use crate::cores::CoreLocal;
use core::arch::global_asm;
use core::mem::offset_of;

/// The distance between two entry stubs, in bytes.
const STUB: u64 = 16;

/// Model-specific registers.
const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;

/// The table while a program runs.
pub(super) static PROGRAM_GATES: Gates = Gates::new();

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
    pub(super) fn ring3_enter(context: *mut Context);
}

/// Where the gate of `vector` leads.
pub(super) fn stub(vector: u8) -> u64 {
    (&raw const ring3_stubs).addr() as u64 + STUB * u64::from(vector)
}
