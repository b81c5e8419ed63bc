//! What a program's registers hold.

use super::{Fault, PAGE_FAULT};

/// Flags that a program may have as it likes: CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC, ID.
const PROGRAMS_FLAGS: u64 = 0x0025_0dd5;
/// Interrupts are enabled, and the bit that is always 1.
const FIXED_FLAGS: u64 = 1 << 9 | 1 << 1;

/// What a program's registers hold while it does not run, and what the way back needs.
#[repr(C, align(16))]
pub struct Context {
    /// As FXSAVE writes it.
    pub(super) extended: [u8; 512],
    pub(super) general: General,
    pub(super) rip: u64,
    pub(super) rflags: u64,
    pub(super) rsp: u64,
    /// What ended the last turn.
    pub(super) vector: u64,
    pub(super) error: u64,
    pub(super) cr2: u64,
    /// The kernel's, while the program runs.
    pub(super) kernel_rsp: u64,
    pub(super) kernel_cr3: u64,
    /// The program's.
    pub(super) cr3: u64,
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

    /// Takes the flags away that no program has.
    pub(super) fn restrict_flags(&mut self) {
        self.rflags = self.rflags & PROGRAMS_FLAGS | FIXED_FLAGS;
    }

    pub(super) fn fault(&self, vector: u8) -> Fault {
        Fault {
            vector,
            error: self.error,
            at: self.rip,
            address: (vector == PAGE_FAULT).then_some(self.cr2),
        }
    }
}
