//! CPU exceptions in the loader end the machine with a message.
//!
//! Without an interrupt table an exception would become a triple fault, which QEMU reports as a
//! plain exit. Handlers never return, so neither the red zone nor SSE registers need care.

use crate::serial::print;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use rt::exit::{Outcome, end};

const VECTORS: usize = 32;

global_asm!(
    r#"
.section .text.fault_stubs, "ax"
.global fault_stubs
.balign 16
fault_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    // Vectors 8, 10-14, 17, 21, 29 and 30 push an error code of their own.
    .if ((0x60227d00 >> vector) & 1) == 0
    push 0
    .endif
    .byte 0x6a, vector          // push vector
    jmp fault_common
    .set vector, vector + 1
    .endr
fault_common:
    mov rdi, rsp
    and rsp, -16
    call {report}
    ud2
"#,
    report = sym report,
);

unsafe extern "C" {
    static fault_stubs: u8;
}

/// What a stub leaves on the stack (Intel SDM volume 3, section 6.14.2).
#[repr(C)]
struct Frame {
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

extern "C" fn report(frame: &Frame) -> ! {
    let cr2: u64;
    // SAFETY: reading CR2 has no effect.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nomem, nostack, preserves_flags)) };
    print!(
        "loader: CPU exception {} (error code {:#x}) at {:#x}, address {cr2:#x}: this is a defect of the loader\n",
        frame.vector, frame.error, frame.rip
    );
    end(Outcome::Failure)
}

/// One 16-byte interrupt gate in two words (Intel SDM volume 3, section 6.14.1).
struct Table(UnsafeCell<[[u64; 2]; VECTORS]>);

// SAFETY: written once by `install`, on the only CPU, before any gate is used.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([[0; 2]; VECTORS]));

/// Points all 32 exception vectors at the reporter.
pub fn install() {
    let first = (&raw const fault_stubs).addr() as u64;
    let mut gates = [[0; 2]; VECTORS];
    for (vector, gate) in gates.iter_mut().enumerate() {
        let handler = first + 16 * vector as u64;
        // Offset 15:0, code selector 0x08, present interrupt gate, offset 31:16; offset 63:32.
        gate[0] = (handler & 0xffff) | 0x08 << 16 | 0x8e00 << 32 | (handler >> 16 & 0xffff) << 48;
        gate[1] = handler >> 32;
    }
    // SAFETY: no reference to the table exists, and no gate is in use yet.
    unsafe { TABLE.0.get().write(gates) };
    let pointer = Pointer {
        limit: (size_of::<[[u64; 2]; VECTORS]>() - 1) as u16,
        base: TABLE.0.get() as u64,
    };
    // SAFETY: the table is static and its gates point to the stubs above.
    unsafe {
        asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack, preserves_flags))
    };
}

/// The operand of `lidt`.
#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}
