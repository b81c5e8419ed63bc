//! What a core runs when another one asks it to forget translations.
//!
//! Like every interrupt handler it is a few instructions of assembly. It is the receiving side of
//! [`Board`], and does the same as [`Board::answer`]: look at the number, forget what is posted, write
//! the number into the core's record. A core that sleeps is woken by it and goes on sleeping.
//!
//! INVLPG also empties the paging-structure caches, whatever its address (Intel SDM volume 3,
//! section 4.10.4.1); so leaves that are few are forgotten one by one. A load of CR3 forgets
//! everything, because nothing is global.

use super::interrupts::END_OF_INTERRUPT;
use super::stacks::Purpose;
use super::{apic, idt, vectors};
use crate::cores::CoreLocal;
use crate::cores::board::Board;
use crate::cores::shootdown::{BOARD, FEW};
use core::arch::global_asm;

global_asm!(
    r#"
.section .text.flush_stub, "ax"
.global flush_stub
flush_stub:
    push rax
    push rcx
    push rdx
    mov rdx, [rip + {board} + {number}]
    cmp rdx, gs:[{flushed}]
    je 3f                       // it has answered while it waited for something itself
    mov rcx, [rip + {board} + {count}]
    cmp rcx, {few}
    ja 4f
1:  test rcx, rcx
    jz 2f
    lea rax, [rip + {board} + {leaves}]
    mov rax, [rax + rcx * 8 - 8]
    invlpg [rax]
    dec rcx
    jmp 1b
4:  mov rax, cr3
    mov cr3, rax
2:  mov gs:[{flushed}], rdx
    inc qword ptr gs:[{flushes}]
3:  mov rax, [rip + {end_of_interrupt}]
    test rax, rax
    jz 5f
    mov dword ptr [rax], 0
    jmp 6f
5:  mov ecx, {end_of_interrupt_msr}
    xor eax, eax
    xor edx, edx
    wrmsr
6:  pop rdx
    pop rcx
    pop rax
    iretq
"#,
    board = sym BOARD,
    number = const Board::<FEW>::NUMBER,
    count = const Board::<FEW>::COUNT,
    leaves = const Board::<FEW>::LEAVES,
    few = const FEW,
    flushed = const CoreLocal::FLUSHED,
    flushes = const CoreLocal::FLUSHES,
    end_of_interrupt = sym END_OF_INTERRUPT,
    end_of_interrupt_msr = const apic::registers::Register::EndOfInterrupt.msr(),
);

unsafe extern "C" {
    static flush_stub: u8;
}

/// Gives the vector its gate.
pub(crate) fn init() {
    let stub = (&raw const flush_stub).addr() as u64;
    // SAFETY: the stub keeps all registers and ends with `iretq`. Nobody raises the vector yet.
    unsafe { idt::set(vectors::FLUSH, stub, Purpose::Interrupt) };
}
