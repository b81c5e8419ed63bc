//! Machine checks: the hardware says that it has failed (Intel SDM volume 3, chapter 16).
//!
//! The CPU, its caches and its memory controller have banks of registers for errors. Without a
//! word from the kernel most of them stay silent, and an error that cannot be corrected resets the
//! machine. With it, exception 18 says which bank has found what.

use core::arch::x86_64::__cpuid;
use core::fmt;
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::Msr;

/// How many banks there are, and what else.
const MCG_CAP: u32 = 0x179;
/// The state of the whole.
const MCG_STATUS: u32 = 0x17a;
/// Which features report; exists only if MCG_CAP says so.
const MCG_CTL: u32 = 0x17b;
/// The first bank: control, status, address, more.
const MC0_CTL: u32 = 0x400;

const CTL_PRESENT: u64 = 1 << 8;
/// No CPU has more banks than that.
const MOST_BANKS: u8 = 32;

/// Whether the CPU has both machine checks and banks of the architecture's.
fn is_supported() -> bool {
    const MCE_AND_MCA: u32 = 1 << 7 | 1 << 14;
    __cpuid(1).edx & MCE_AND_MCA == MCE_AND_MCA
}

fn read(register: u32) -> u64 {
    // SAFETY: callers read only registers that the CPU has said to have.
    unsafe { Msr::new(register).read() }
}

fn write(register: u32, value: u64) {
    // SAFETY: callers write only registers that the CPU has said to have, and only what the manual
    // prescribes for the start: all ones, or zero.
    unsafe { Msr::new(register).write(value) }
}

fn banks() -> u8 {
    ((read(MCG_CAP) & 0xff) as u8).min(MOST_BANKS)
}

/// Makes all banks of the running core report, and its errors exceptions.
pub(crate) fn enable() {
    if !is_supported() {
        return;
    }
    if read(MCG_CAP) & CTL_PRESENT != 0 {
        write(MCG_CTL, u64::MAX);
    }
    for bank in 0..banks() {
        let bank = MC0_CTL + 4 * u32::from(bank);
        write(bank, u64::MAX);
        // What was found before the kernel ran is not the kernel's.
        write(bank + 1, 0);
    }
    // SAFETY: the exception has a handler and a stack.
    unsafe { Cr4::update(|flags| flags.insert(Cr4Flags::MACHINE_CHECK_EXCEPTION)) };
}

/// What one bank has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    bank: u8,
    status: u64,
    address: u64,
    more: u64,
}

/// Shows what the banks of the running core have found.
pub(crate) fn findings(mut show: impl FnMut(Finding)) {
    if !is_supported() {
        return;
    }
    for bank in 0..banks() {
        let first = MC0_CTL + 4 * u32::from(bank);
        let status = read(first + 1);
        let mut finding = Finding {
            bank,
            status,
            address: 0,
            more: 0,
        };
        if !finding.has(Finding::VALID) {
            continue;
        }
        if finding.has(Finding::ADDRESS_VALID) {
            finding.address = read(first + 2);
        }
        if finding.has(Finding::MORE_VALID) {
            finding.more = read(first + 3);
        }
        show(finding);
    }
}

/// Whether the interrupted program could go on, by IA32_MCG_STATUS.
pub(crate) fn could_go_on() -> bool {
    is_supported() && read(MCG_STATUS) & 1 != 0
}

impl Finding {
    const VALID: u64 = 1 << 63;
    const OVERFLOWN: u64 = 1 << 62;
    const UNCORRECTED: u64 = 1 << 61;
    const MORE_VALID: u64 = 1 << 59;
    const ADDRESS_VALID: u64 = 1 << 58;
    const CORRUPT: u64 = 1 << 57;

    const fn has(&self, flag: u64) -> bool {
        self.status & flag != 0
    }

    /// The error code's meaning (table 16-9): the highest bit that is set says what kind it is.
    fn kind(&self) -> &'static str {
        match self.status as u16 & 0x0fff {
            0 => "no error",
            1 => "an unclassified error",
            2 => "a parity error in microcode",
            3 => "an error that another core or chip signalled",
            4 => "cores of different opinion",
            5 => "an internal parity error",
            0x400..=0x7ff => "an internal error",
            0x800..=0xfff => "an error of the bus or the interconnect",
            0x100..=0x1ff => "an error in the hierarchy of caches",
            0x080..=0x0ff => "an error of the memory controller",
            0x010..=0x01f => "an error of the TLB",
            0x00c..=0x00f => "an error in the hierarchy of caches",
            _ => "an error of a kind that only its maker knows",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let corrected = if self.has(Self::UNCORRECTED) {
            "not corrected"
        } else {
            "corrected"
        };
        write!(
            f,
            "bank {}: {}, {corrected}, status {:#018x}",
            self.bank,
            self.kind(),
            self.status
        )?;
        if self.has(Self::ADDRESS_VALID) {
            write!(f, ", at {:#018x}", self.address)?;
        }
        if self.has(Self::MORE_VALID) {
            write!(f, ", more {:#018x}", self.more)?;
        }
        if self.has(Self::CORRUPT) {
            f.write_str(", the core's state is lost")?;
        }
        if self.has(Self::OVERFLOWN) {
            f.write_str(", and there were errors before it")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_put_into_words() {
        let finding = Finding {
            bank: 9,
            status: 0xbe00_0000_0000_009f,
            address: 0x1234_5000,
            more: 0x8c,
        };
        assert_eq!(
            finding.to_string(),
            "bank 9: an error of the memory controller, not corrected, status 0xbe0000000000009f, \
             at 0x0000000012345000, more 0x000000000000008c, the core's state is lost"
        );
        let plain = Finding {
            status: Finding::VALID | Finding::OVERFLOWN | 0x0135,
            ..finding
        };
        assert_eq!(
            plain.to_string(),
            "bank 9: an error in the hierarchy of caches, corrected, status 0xc000000000000135, \
             and there were errors before it"
        );
    }
}
