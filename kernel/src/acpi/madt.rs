//! MADT: CPUs and interrupt controllers (section 5.2.12).

use super::Flaw;
use super::table::{Fields, HEADER, Table};
use alloc::vec::Vec;
use phyr::PhysAddr;

/// A CPU that is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// The identifier of its local interrupt controller.
    pub apic_id: u32,
}

/// An I/O interrupt controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoApic {
    /// Its registers.
    pub address: PhysAddr,
    /// The first global system interrupt that it serves.
    pub first_interrupt: u32,
}

/// An interrupt of the ISA bus that arrives elsewhere, or otherwise, than its number says (section
/// 5.2.12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// The number on the ISA bus.
    pub irq: u8,
    /// The global system interrupt that it is.
    pub interrupt: u32,
    /// It asks while the line is low.
    pub active_low: bool,
    /// It asks for as long as the line says so, and not once a change.
    pub level: bool,
}

impl Override {
    fn read(fields: &Fields<'_>) -> Result<Self, Flaw> {
        let flags = fields.u16(8)?;
        Ok(Self {
            irq: fields.u8(3)?,
            interrupt: fields.u32(4)?,
            // Table 5.26: what is not said is as the bus has it, high and once a change.
            active_low: flags & 0b11 == 0b11,
            level: flags >> 2 & 0b11 == 0b11,
        })
    }
}

pub(super) struct Madt {
    pub(super) local_apic: PhysAddr,
    pub(super) cpus: Vec<Cpu>,
    pub(super) io_apics: Vec<IoApic>,
    pub(super) overrides: Vec<Override>,
}

pub(super) fn read(table: &Table) -> Result<Madt, Flaw> {
    const ENABLED: u32 = 1;
    let fields = table.fields();
    let mut madt = Madt {
        local_apic: PhysAddr::new(u64::from(fields.u32(HEADER)?)),
        cpus: Vec::new(),
        io_apics: Vec::new(),
        overrides: Vec::new(),
    };
    let mut rest = table.bytes().get(HEADER + 8..).ok_or(Flaw::Truncated)?;
    while let [kind, len, ..] = *rest {
        let entry = rest
            .get(..usize::from(len))
            .filter(|entry| entry.len() >= 2)
            .ok_or(Flaw::Truncated)?;
        let fields = Fields(entry);
        match kind {
            0 if fields.u32(4)? & ENABLED != 0 => madt.cpus.push(Cpu {
                apic_id: u32::from(fields.u8(3)?),
            }),
            1 => madt.io_apics.push(IoApic {
                address: PhysAddr::new(u64::from(fields.u32(4)?)),
                first_interrupt: fields.u32(8)?,
            }),
            2 => madt.overrides.push(Override::read(&fields)?),
            5 => madt.local_apic = PhysAddr::new(fields.u64(4)?),
            9 if fields.u32(8)? & ENABLED != 0 => madt.cpus.push(Cpu {
                apic_id: fields.u32(4)?,
            }),
            _ => {}
        }
        rest = &rest[usize::from(len)..];
    }
    Ok(madt)
}
