//! How the CPU reaches its local APIC: memory, or model-specific registers.

use super::registers::{Mode, Register};

/// The way to the registers of the running core's APIC.
///
/// All cores see their own APIC at the same place, so one value serves all of them.
pub trait Bus {
    /// Which of the two ways it is.
    fn mode(&self) -> Mode;
    /// Reads a register.
    fn read(&self, register: Register) -> u32;
    /// Writes a register.
    fn write(&self, register: Register, value: u32);
    /// Writes [`Register::Command`] as the 64 bits that it is in x2APIC mode.
    fn write_wide(&self, register: Register, value: u64);
}

#[cfg(phyros)]
pub use hardware::Hardware;

#[cfg(phyros)]
mod hardware {
    use super::{Bus, Mode, Register};
    use crate::memory::is_ram;
    use crate::memory::mapping::MapError;
    use crate::memory::virt::VirtAddr;
    use crate::mmio::RegisterWindow;
    use core::arch::x86_64::{__cpuid, _mm_lfence, _mm_mfence};
    use phyr::{Phyr, PhysAddr};
    use x86_64::registers::model_specific::Msr;

    /// The register that says where the APIC is and turns it on (section 11.4.4).
    const BASE: Msr = Msr::new(0x1b);
    const BASE_X2APIC: u64 = 1 << 10;
    const BASE_ENABLED: u64 = 1 << 11;
    const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    const PAGE: u64 = 4096;

    /// The CPU's own APIC.
    #[derive(Debug)]
    pub enum Hardware {
        /// By memory.
        Xapic(RegisterWindow),
        /// By model-specific registers.
        X2apic,
    }

    /// Why the APIC cannot be used.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::arch::apic) enum OpenError {
        /// Its registers are said to lie in RAM.
        InRam(PhysAddr),
        /// They cannot be mapped.
        Map(MapError),
    }

    impl Hardware {
        /// Finds the APIC and turns it on, in x2APIC mode where the CPU has it.
        pub(in crate::arch::apic) fn open() -> Result<Self, OpenError> {
            if has_x2apic() {
                turn_on(Mode::X2apic);
                return Ok(Self::X2apic);
            }
            turn_on(Mode::Xapic);
            // SAFETY: every CPU in long mode has an APIC, and with it this register.
            let address = PhysAddr::new(unsafe { BASE.read() } & BASE_ADDRESS);
            let page = Phyr::new(address, PAGE)
                .ok()
                .filter(|page| !is_ram(*page))
                .ok_or(OpenError::InRam(address))?;
            // SAFETY: the CPU says that its APIC is there, and the kernel has one driver for it.
            let window = unsafe { RegisterWindow::map(page) }.map_err(OpenError::Map)?;
            Ok(Self::Xapic(window))
        }

        /// Where the registers are visible. `None`: they are no memory.
        pub(in crate::arch) fn start(&self) -> Option<VirtAddr> {
            match self {
                Self::Xapic(window) => Some(window.start()),
                Self::X2apic => None,
            }
        }
    }

    fn has_x2apic() -> bool {
        __cpuid(1).ecx & 1 << 21 != 0
    }

    /// Turns the running core's APIC on. From x2APIC mode there is no way back but a reset, and
    /// none is wanted.
    pub(in crate::arch::apic) fn turn_on(mode: Mode) {
        let bits = match mode {
            Mode::Xapic => BASE_ENABLED,
            Mode::X2apic => BASE_ENABLED | BASE_X2APIC,
        };
        let mut base = BASE;
        // SAFETY: every CPU in long mode has this register.
        let before = unsafe { base.read() };
        // A CPU that is off goes to x2APIC mode by way of xAPIC mode (figure 11-27).
        for value in [before | BASE_ENABLED, before | bits] {
            // SAFETY: the mode is one that the CPU has, and the address stays.
            unsafe { base.write(value) };
        }
    }

    impl Bus for Hardware {
        fn mode(&self) -> Mode {
            match self {
                Self::Xapic(_) => Mode::Xapic,
                Self::X2apic => Mode::X2apic,
            }
        }

        fn read(&self, register: Register) -> u32 {
            match self {
                Self::Xapic(window) => window.read32(register.offset()),
                // SAFETY: the mode is on, and each `Register` is readable in it or is not read.
                Self::X2apic => unsafe { Msr::new(register.msr()).read() as u32 },
            }
        }

        fn write(&self, register: Register, value: u32) {
            match self {
                Self::Xapic(window) => window.write32(register.offset(), value),
                Self::X2apic => self.write_wide(register, u64::from(value)),
            }
        }

        fn write_wide(&self, register: Register, value: u64) {
            if register == Register::Command {
                // The write waits for no store: without fences another core could get the interrupt
                // before it sees what the interrupt is about (section 11.12.3).
                // SAFETY: every x86_64 CPU has these two.
                unsafe { _mm_mfence() };
                // SAFETY: as above.
                unsafe { _mm_lfence() };
            }
            let mut msr = Msr::new(register.msr());
            // SAFETY: the mode is on, and the words of `registers` have no reserved bit set.
            unsafe { msr.write(value) };
        }
    }
}

#[cfg(phyros)]
pub(super) use hardware::{OpenError, turn_on};
