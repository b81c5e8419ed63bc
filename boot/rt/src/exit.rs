//! How a virtual machine ends and says how it went.
//!
//! QEMU's `isa-debug-exit` device ends the process when its port is written.
//! A written value `v` becomes the exit status `(v << 1) | 1`.
//! The two values here give 33 and 65, which are neither 0 (what QEMU itself returns when a
//! guest merely vanished) nor 1 (what it returns when it failed itself).
//! A machine without that device halts instead.

/// The port where `isa-debug-exit` listens (`iobase=0xf4`).
pub const DEBUG_EXIT_PORT: u16 = 0xf4;

/// What the machine says when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// All went well: QEMU exits with status 33.
    Success = 0x10,
    /// Something failed, and the console says what: QEMU exits with status 65.
    Failure = 0x20,
}

/// Ends the machine. Never returns, with or without the exit device.
#[cfg(phyros)]
pub fn end(outcome: Outcome) -> ! {
    // SAFETY: writing this port ends the machine or, where nothing listens, does nothing.
    unsafe {
        core::arch::asm!("out dx, eax", in("dx") DEBUG_EXIT_PORT, in("eax") outcome as u32,
                         options(nomem, nostack, preserves_flags));
    }
    loop {
        // SAFETY: with interrupts off this stops the CPU for good, which is the intent.
        unsafe { core::arch::asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
