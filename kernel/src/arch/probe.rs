//! Accesses that may fault and say so, for tests of what must be forbidden.
//!
//! A probe is one instruction at a known address. When it faults, the exception handler lets the
//! CPU go on behind it, with the vector and the error code in `rax`.
//! The handler runs Rust code, so a probe counts as a call that clobbers what calls clobber.

use core::arch::{asm, global_asm};

global_asm!(
    r#"
.section .text.probes, "ax"
// Global, because the users below may end up in another object file.
.global probe_read, probe_write, probe_execute, probe_failed, probe_execute_failed
probe_read:
    mov al, [rdi]
    xor eax, eax
    ret
probe_write:
    mov [rdi], al
    xor eax, eax
    ret
// An execution faults at its target, with the return address pushed already.
probe_execute:
    call rdi
    xor eax, eax
    ret
probe_failed:
    ret
probe_execute_failed:
    add rsp, 8                  // the target never returned
    ret
"#
);

unsafe extern "C" {
    static probe_read: u8;
    static probe_write: u8;
    static probe_execute: u8;
    static probe_failed: u8;
    static probe_execute_failed: u8;
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The access was allowed.
    Allowed,
    /// The access raised an exception.
    Fault {
        /// The exception's vector.
        vector: u8,
        /// Its error code.
        error: u32,
    },
}

/// The target of an execution under way, or 0.
static EXECUTING: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

/// Where the CPU goes on after an exception at `rip`, if a probe raised it.
pub(super) fn resume_at(rip: u64) -> Option<u64> {
    use core::sync::atomic::Ordering::Relaxed;
    let address = |symbol: *const u8| symbol.addr() as u64;
    if rip == address(&raw const probe_read) || rip == address(&raw const probe_write) {
        return Some(address(&raw const probe_failed));
    }
    let target = EXECUTING.load(Relaxed);
    (target != 0 && rip == target).then(|| address(&raw const probe_execute_failed))
}

/// The answer of a probe that failed; no success is ever this large.
pub(super) fn failure(vector: u64, error: u64) -> u64 {
    1 << 63 | vector << 32 | error & 0xffff_ffff
}

fn probe(function: *const u8, address: u64) -> Probe {
    let result: u64;
    // SAFETY: the function is one of the three above. They keep the stack in order and change only
    // `rax`, or call what the handler's clobbers cover.
    unsafe {
        asm!("call {function}", function = in(reg) function, in("rdi") address, lateout("rax") result, clobber_abi("C"));
    }
    if result == 0 {
        Probe::Allowed
    } else {
        Probe::Fault {
            vector: (result >> 32) as u8,
            error: result as u32,
        }
    }
}

/// Reads a byte.
pub fn read(address: u64) -> Probe {
    probe(&raw const probe_read, address)
}

/// Writes a byte (of no particular value).
///
/// # Safety
/// If the write is allowed, it harms nothing.
pub unsafe fn write(address: u64) -> Probe {
    probe(&raw const probe_write, address)
}

/// Calls a function.
///
/// # Safety
/// If the execution is allowed, there is a function at `address` that returns at once.
pub unsafe fn execute(address: u64) -> Probe {
    use core::sync::atomic::Ordering::Relaxed;
    EXECUTING.store(address, Relaxed);
    let result = probe(&raw const probe_execute, address);
    EXECUTING.store(0, Relaxed);
    result
}
