//! A storm of interrupts, for the test that handlers keep what they must.
//!
//! The storm is a function that fills every register and the red zone with values it knows, lets
//! itself be interrupted over and over, and then writes down what is in them. Only assembly can
//! know what is in a register, so it is a naked function; and because each value is left alone for
//! the whole storm, one damaged by any of the interrupts is seen.

use super::apic::registers::Register;
use super::interrupts::{self, X2APIC_VECTOR};
use super::{apic, vectors};
use crate::cores::CoreLocal;
use core::arch::naked_asm;

/// The vector of the storm, and the bit in the byte that its handler sets.
const VECTOR: u8 = *vectors::DEVICES.end();
const BYTE: usize = CoreLocal::PENDING + VECTOR as usize / 8;
const BIT: u8 = 1 << (VECTOR % 8);

/// The same for the vector whose handler is that of the other mode.
const OTHER_BYTE: usize = CoreLocal::PENDING + X2APIC_VECTOR as usize / 8;
const OTHER_BIT: u8 = 1 << (X2APIC_VECTOR % 8);

/// What is in the registers after a storm.
#[repr(C, align(16))]
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    /// `rax`, `rbx`, `rcx`, `rdx`, `rbp`, `r8` to `r14`.
    pub general: [u64; 12],
    /// `xmm0` to `xmm15`.
    pub xmm: [[u64; 2]; 16],
    /// The 128 bytes below the stack pointer, the lowest first.
    pub red_zone: [u64; 16],
}

impl State {
    /// What should be there.
    pub const EXPECTED: Self = {
        let mut state = Self {
            general: [0; 12],
            xmm: [[0; 2]; 16],
            red_zone: [0; 16],
        };
        let mut index = 0;
        while index < 16 {
            if index < 12 {
                state.general[index] = 0x4700 + index as u64;
            }
            state.xmm[index] = [0x5800 + index as u64; 2];
            state.red_zone[index] = 0x6900 + index as u64;
            index += 1;
        }
        state
    };

    const NOTHING: Self = Self {
        general: [0; 12],
        xmm: [[0; 2]; 16],
        red_zone: [0; 16],
    };
}

/// Is interrupted `times` times by its own local APIC, and as often by the handler of x2APIC mode;
/// returns what the registers hold then. Interrupts are enabled.
///
/// # Panics
/// In x2APIC mode.
pub fn storm(times: u32) -> State {
    let mut state = State::NOTHING;
    let registers = apic::local().bus().start();
    let apic = registers.expect("the storm comes by memory").get();
    interrupts::use_x2apic_handler();
    // SAFETY: the function follows the calling convention; the vectors have handlers, and `apic` is
    // the only device that it writes to.
    unsafe { run(&State::EXPECTED, apic, &mut state, u64::from(times)) };
    state
}

/// # Safety
/// `apic` is where the running core's APIC is mapped, and interrupts are enabled.
#[unsafe(naked)]
unsafe extern "C" fn run(values: &State, apic: u64, state: &mut State, times: u64) {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        // What the loop needs lies above the red zone: the counter and the result's place.
        "push rdx", "push rcx",
        // The values. `rdi` holds them, `rsi` the APIC, `r15` what is being copied.
        ".set index, 0",
        ".rept 16",
        "mov r15, [rdi + {red_zone} + 8 * index]",
        "mov [rsp - 128 + 8 * index], r15",
        ".set index, index + 1",
        ".endr",
        "movaps xmm0, [rdi + {xmm}]", "movaps xmm1, [rdi + {xmm} + 0x10]",
        "movaps xmm2, [rdi + {xmm} + 0x20]", "movaps xmm3, [rdi + {xmm} + 0x30]",
        "movaps xmm4, [rdi + {xmm} + 0x40]", "movaps xmm5, [rdi + {xmm} + 0x50]",
        "movaps xmm6, [rdi + {xmm} + 0x60]", "movaps xmm7, [rdi + {xmm} + 0x70]",
        "movaps xmm8, [rdi + {xmm} + 0x80]", "movaps xmm9, [rdi + {xmm} + 0x90]",
        "movaps xmm10, [rdi + {xmm} + 0xa0]", "movaps xmm11, [rdi + {xmm} + 0xb0]",
        "movaps xmm12, [rdi + {xmm} + 0xc0]", "movaps xmm13, [rdi + {xmm} + 0xd0]",
        "movaps xmm14, [rdi + {xmm} + 0xe0]", "movaps xmm15, [rdi + {xmm} + 0xf0]",
        "mov rax, [rdi]", "mov rbx, [rdi + 8]", "mov rcx, [rdi + 16]", "mov rdx, [rdi + 24]",
        "mov rbp, [rdi + 32]", "mov r8, [rdi + 40]", "mov r9, [rdi + 48]", "mov r10, [rdi + 56]",
        "mov r11, [rdi + 64]", "mov r12, [rdi + 72]", "mov r13, [rdi + 80]", "mov r14, [rdi + 88]",
        // To itself, whoever it is: destination shorthand 01.
        "2:",
        "mov dword ptr [rsi + {command}], 0x44000 | {vector}",
        "3:",
        "pause",
        "test byte ptr gs:[{byte}], {bit}",
        "jz 3b",
        "lock xor byte ptr gs:[{byte}], {bit}",
        "int {other_vector}",
        "test byte ptr gs:[{other_byte}], {other_bit}",
        "jz 4f",
        "lock xor byte ptr gs:[{other_byte}], {other_bit}",
        "dec qword ptr [rsp]",
        "jnz 2b",
        "4:",
        // What has become of them.
        "mov rdi, [rsp + 8]",
        "mov [rdi], rax", "mov [rdi + 8], rbx", "mov [rdi + 16], rcx", "mov [rdi + 24], rdx",
        "mov [rdi + 32], rbp", "mov [rdi + 40], r8", "mov [rdi + 48], r9", "mov [rdi + 56], r10",
        "mov [rdi + 64], r11", "mov [rdi + 72], r12", "mov [rdi + 80], r13", "mov [rdi + 88], r14",
        "movaps [rdi + {xmm}], xmm0", "movaps [rdi + {xmm} + 0x10], xmm1",
        "movaps [rdi + {xmm} + 0x20], xmm2", "movaps [rdi + {xmm} + 0x30], xmm3",
        "movaps [rdi + {xmm} + 0x40], xmm4", "movaps [rdi + {xmm} + 0x50], xmm5",
        "movaps [rdi + {xmm} + 0x60], xmm6", "movaps [rdi + {xmm} + 0x70], xmm7",
        "movaps [rdi + {xmm} + 0x80], xmm8", "movaps [rdi + {xmm} + 0x90], xmm9",
        "movaps [rdi + {xmm} + 0xa0], xmm10", "movaps [rdi + {xmm} + 0xb0], xmm11",
        "movaps [rdi + {xmm} + 0xc0], xmm12", "movaps [rdi + {xmm} + 0xd0], xmm13",
        "movaps [rdi + {xmm} + 0xe0], xmm14", "movaps [rdi + {xmm} + 0xf0], xmm15",
        ".set index, 0",
        ".rept 16",
        "mov r15, [rsp - 128 + 8 * index]",
        "mov [rdi + {red_zone} + 8 * index], r15",
        ".set index, index + 1",
        ".endr",
        // A storm that ended early, because a handler set no bit, is a damaged state.
        "mov rcx, [rsp]",
        "add [rdi], rcx",
        "add rsp, 16",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "ret",
        xmm = const core::mem::offset_of!(State, xmm),
        red_zone = const core::mem::offset_of!(State, red_zone),
        command = const Register::Command.offset(),
        vector = const VECTOR,
        byte = const BYTE,
        bit = const BIT,
        other_vector = const X2APIC_VECTOR,
        other_byte = const OTHER_BYTE,
        other_bit = const OTHER_BIT,
    )
}
