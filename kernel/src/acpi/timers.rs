//! Clocks of a known rate: the HPET and the PM timer.

use super::Flaw;
use super::table::{HEADER, Table};
use phyr::{Phyr, PhysAddr};

/// The high-precision event timer (IA-PC HPET specification 1.0a, section 3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hpet {
    /// 1 KiB of memory.
    registers: Phyr,
}

impl Hpet {
    /// The length of the registers.
    const BYTES: u64 = 1024;

    /// The registers.
    pub fn registers(&self) -> Phyr {
        self.registers
    }
}

/// The power-management timer: 3.579545 MHz, 24 or 32 bits (section 4.8.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PmTimer {
    /// Its I/O port, 32 bits wide.
    pub port: u16,
    /// Whether it counts in 32 bits and not in 24.
    pub is_32_bit: bool,
}

const MEMORY_SPACE: u8 = 0;
const IO_SPACE: u8 = 1;

pub(super) fn read_hpet(table: &Table) -> Result<Hpet, Flaw> {
    // The address is a generic address structure: space, width, offset, access size, address.
    let address = HEADER + 4;
    let fields = table.fields();
    if fields.u8(address)? != MEMORY_SPACE {
        return Err(Flaw::Unreadable);
    }
    let start = PhysAddr::new(fields.u64(address + 4)?);
    let registers = Phyr::new(start, Hpet::BYTES).map_err(|_| Flaw::Unreadable)?;
    Ok(Hpet { registers })
}

/// `None` when the FADT is sound but says that there is no such timer.
pub(super) fn read_pm_timer(table: &Table) -> Result<Option<PmTimer>, Flaw> {
    const FLAGS: usize = 112;
    const TIMER_IS_32_BIT: u32 = 1 << 8;
    const BLOCK: usize = 76;
    const BLOCK_LENGTH: usize = 91;
    const EXTENDED_BLOCK: usize = 208;
    let fields = table.fields();
    let is_32_bit = fields.u32(FLAGS)? & TIMER_IS_32_BIT != 0;
    // Later tables have an extended address, which wins where it is set (section 5.2.9).
    let extended = match (fields.u8(EXTENDED_BLOCK), fields.u64(EXTENDED_BLOCK + 4)) {
        (Ok(IO_SPACE), Ok(address)) if address != 0 => Some(address),
        _ => None,
    };
    let block = extended.unwrap_or(u64::from(fields.u32(BLOCK)?));
    let present = fields.u8(BLOCK_LENGTH)? == 4 && block != 0;
    let port = u16::try_from(block).map_err(|_| Flaw::Unreadable);
    if present {
        port.map(|port| Some(PmTimer { port, is_32_bit }))
    } else {
        Ok(None)
    }
}
