//! Exceptions: print what happened and where, then end the machine.
//!
//! The kernel makes no use of exceptions, so each one is a defect, and the most useful answer is
//! a complete report: registers, the faulting address in words, a backtrace.
//! The one exception that is meant is that of a test that probes what is forbidden; it goes on.
//! All 256 vectors have a gate, so that not even a stray interrupt is silent.

use super::stacks::{self, Purpose};
use super::{backtrace, idt, machine_check};
use crate::console::emergency;
use crate::cores::{self, stop};
use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, Ordering};
use x86_64::instructions::port::Port;
use x86_64::registers::control::{Cr2, Cr3};

/// The distance between two entry stubs, in bytes.
const STUB: u64 = 16;

global_asm!(
    r#"
.section .text.exception_stubs, "ax"
.balign 16
.global exception_stubs
exception_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    // Vectors 8, 10-14, 17, 21, 29 and 30 push an error code of their own.
    .if vector > 31 || ((0x60227d00 >> (vector & 31)) & 1) == 0
    push 0
    .endif
    .byte 0x68                  // push imm32
    .long vector
    jmp exception_common
    .set vector, vector + 1
    .endr

.global exception_common
exception_common:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    mov rbx, rsp
    cld
    and rsp, -16
    call {report}
    mov rsp, rbx                // only a probe's fault comes back here
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16                 // vector and error code
    iretq
"#,
    report = sym report,
);

unsafe extern "C" {
    static exception_stubs: u8;
}

/// The registers as the stubs and the CPU pushed them, lowest address first.
#[repr(C)]
#[derive(Debug)]
struct Registers {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

const NON_MASKABLE: u64 = 2;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;

/// An exception is being reported. Another one then is the reporter's own.
static REPORTING: AtomicBool = AtomicBool::new(false);

/// Gives every vector its gate and its stack. Interrupts stay disabled.
///
/// The kernel's own segments are loaded: the gates name the code segment.
pub(crate) fn init() {
    for vector in 0..=255u8 {
        let stub = (&raw const exception_stubs).addr() as u64 + STUB * u64::from(vector);
        // SAFETY: the stub is that of this vector, and the table is not loaded yet. `gdt::init` runs
        // first, as `kernel::start` has it.
        unsafe { idt::set(vector, stub, stack_for(vector)) };
    }
    super::ring3::init();
    load();
}

/// Makes the running core report exceptions. [`init`] was called, on whatever core.
pub(crate) fn load() {
    // SAFETY: `init` set every gate. `gdt::init` runs first on every core.
    unsafe { idt::load() };
}

/// Whether a vector leads to the report, and to nothing of its own.
#[cfg(feature = "vm-tests")]
pub(crate) fn reports_itself(vector: u8) -> bool {
    let stub = (&raw const exception_stubs).addr() as u64 + STUB * u64::from(vector);
    idt::handler(vector) == stub
}

/// The stack that a vector runs on.
pub(super) fn stack_for(vector: u8) -> Purpose {
    match vector {
        1 => Purpose::Debug,
        2 => Purpose::NonMaskable,
        8 => Purpose::DoubleFault,
        14 => Purpose::PageFault,
        18 => Purpose::MachineCheck,
        0..32 => Purpose::Exception,
        32.. => Purpose::Interrupt,
    }
}

/// Names from the Intel SDM volume 3, table 6-1.
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error (#DE)",
        1 => "debug exception (#DB)",
        2 => "non-maskable interrupt",
        3 => "breakpoint (#BP)",
        4 => "overflow (#OF)",
        5 => "bound range exceeded (#BR)",
        6 => "invalid opcode (#UD)",
        7 => "device not available (#NM)",
        8 => "double fault (#DF)",
        10 => "invalid TSS (#TS)",
        11 => "segment not present (#NP)",
        12 => "stack-segment fault (#SS)",
        13 => "general protection (#GP)",
        14 => "page fault (#PF)",
        16 => "x87 floating-point error (#MF)",
        17 => "alignment check (#AC)",
        18 => "machine check (#MC)",
        19 => "SIMD floating-point exception (#XM)",
        20 => "virtualization exception (#VE)",
        21 => "control protection (#CP)",
        9 | 15 | 22..32 => "reserved exception",
        _ => "unexpected interrupt",
    }
}

extern "C" fn report(registers: &mut Registers) {
    let vector = registers.vector;
    if vector == NON_MASKABLE && stop::is_wanted() {
        stop::stand_still(cores::current());
    }
    #[cfg(feature = "vm-tests")]
    if let Some(resume) = super::probe::resume_at(registers.rip) {
        (registers.rip, registers.rax) = (resume, super::probe::failure(vector, registers.error));
        return;
    }
    stop::others();
    // The stack table would start the same stack afresh, again and again.
    if REPORTING.swap(true, Ordering::Relaxed) {
        crate::exit::failure();
    }
    #[cfg(feature = "vm-tests")]
    vm_test::record::fault(vector as u8);
    emergency(format_args!(
        "\nEXCEPTION {vector}: {}, error code {:#x}\n",
        name(vector),
        registers.error
    ));
    cores::say_which();
    match vector {
        NON_MASKABLE => explain_non_maskable(),
        PAGE_FAULT => explain_page_fault(registers),
        MACHINE_CHECK => explain_machine_check(),
        _ => {}
    }
    let r = registers;
    emergency(format_args!(
        "  rip {:#018x}  rsp {:#018x}  rbp {:#018x}  rflags {:#010x}\n\
         \x20 rax {:#018x}  rbx {:#018x}  rcx {:#018x}  rdx {:#018x}\n\
         \x20 rsi {:#018x}  rdi {:#018x}  r8  {:#018x}  r9  {:#018x}\n\
         \x20 r10 {:#018x}  r11 {:#018x}  r12 {:#018x}  r13 {:#018x}\n\
         \x20 r14 {:#018x}  r15 {:#018x}  cr3 {:#018x}  cs/ss {:#x}/{:#x}\n",
        r.rip,
        r.rsp,
        r.rbp,
        r.rflags,
        r.rax,
        r.rbx,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        r.r8,
        r.r9,
        r.r10,
        r.r11,
        r.r12,
        r.r13,
        r.r14,
        r.r15,
        Cr3::read_raw().0.start_address().as_u64(),
        r.cs,
        r.ss
    ));
    backtrace::print(Some(r.rip), r.rbp);
    crate::exit::failure()
}

/// Who may have sent a non-maskable interrupt that is not another core's report.
fn explain_non_maskable() {
    /// System control port B of every PC; its upper bits are the two causes that a PC knows.
    const CONTROL: u16 = 0x61;
    // SAFETY: reading the port has no effect.
    let control: u8 = unsafe { Port::new(CONTROL).read() };
    let cause = match (control & 1 << 7 != 0, control & 1 << 6 != 0) {
        (true, _) => "a device on PCI reports a system error (SERR#), or memory has lost a bit",
        (_, true) => "a device on the ISA bus reports an error (IOCHK#)",
        _ => "nobody says why; a person may have pressed the button for it",
    };
    emergency(format_args!("  {cause}\n"));
}

/// What the banks of a machine check have found.
fn explain_machine_check() {
    let mut found = false;
    machine_check::findings(|finding| {
        found = true;
        emergency(format_args!("  {finding}\n"));
    });
    if !found {
        emergency(format_args!("  no bank has found anything\n"));
    }
    if !machine_check::could_go_on() {
        emergency(format_args!("  the program that ran could not go on\n"));
    }
}

/// What the error code of a page fault says (Intel SDM volume 3, section 4.7).
fn explain_page_fault(registers: &Registers) {
    let error = registers.error;
    let action = match (error & 1 << 4 != 0, error & 1 << 1 != 0) {
        (true, _) => "execution of",
        (false, true) => "write to",
        (false, false) => "read of",
    };
    let cause = if error & 1 != 0 {
        "a page that does not allow it"
    } else {
        "an unmapped page"
    };
    let address = Cr2::read_raw();
    emergency(format_args!("  {action} {cause}, at {address:#018x}\n"));
    if let Some((core, stack)) = stacks::guarding(address) {
        let kind = match stack {
            None => "main",
            Some(_) => "exception",
        };
        emergency(format_args!(
            "  the address is in the guard page of {core}'s {kind} stack: the stack overflowed\n"
        ));
    }
}
