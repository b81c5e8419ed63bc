//! The debug console's port: one byte out is one byte at the host.

/// QEMU's `isa-debugcon` listens here.
#[cfg(phyros)]
const DEBUGCON: u16 = 0xe9;

/// Sends one byte to the host.
#[cfg(phyros)]
pub(crate) fn send(byte: u8) {
    // SAFETY: writing this port has no effect on memory or on the CPU's state;
    // where no device listens, the byte is lost.
    unsafe {
        core::arch::asm!(
            "out dx, al",
            in("dx") DEBUGCON,
            in("al") byte,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// On the host there is nobody to tell.
#[cfg(not(phyros))]
pub(crate) fn send(_byte: u8) {}
