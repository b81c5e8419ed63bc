//! MADT: CPUs and interrupt controllers (section 5.2.12).
//!
//! The table is a list of entries, each with its kind and length. An entry that is too short for its
//! kind is left out. One whose length cannot be right hides where the next one starts, and ends the
//! list. What was read beside it counts: a machine with one core fewer is better than one without
//! interrupts. Either way the table is named as flawed.
//!
//! Each CPU is listed here once, however often the firmware lists it.

use super::Flaw;
use super::table::{Fields, HEADER, Table};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use phyr::PhysAddr;

/// A CPU that is enabled. No two have one identifier, and none has that which means all of them.
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

#[derive(Debug)]
pub(super) struct Madt {
    pub(super) local_apic: PhysAddr,
    pub(super) cpus: Vec<Cpu>,
    pub(super) io_apics: Vec<IoApic>,
    pub(super) overrides: Vec<Override>,
}

/// A CPU as an entry describes it.
struct Listed {
    /// What the rest of the firmware calls it.
    processor: u32,
    apic_id: u32,
    kind: Kind,
}

/// Which entry describes a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One with identifiers of 8 bits (section 5.2.12.2).
    Narrow,
    /// One with identifiers of 32 bits (section 5.2.12.12).
    X2apic,
}

/// What the table says, and the first thing that is wrong with it.
pub(super) fn read(table: &Table) -> Result<(Madt, Option<Flaw>), Flaw> {
    let mut madt = Madt {
        local_apic: PhysAddr::new(u64::from(table.fields().u32(HEADER)?)),
        cpus: Vec::new(),
        io_apics: Vec::new(),
        overrides: Vec::new(),
    };
    let mut listed = Vec::new();
    let mut flaw = None;
    let mut rest = table.bytes().get(HEADER + 8..).ok_or(Flaw::Truncated)?;
    while let [_, len, ..] = *rest {
        let Some((entry, next)) = rest
            .split_at_checked(usize::from(len))
            .filter(|(entry, _)| entry.len() >= 2)
        else {
            flaw = flaw.or(Some(Flaw::Truncated));
            break;
        };
        if let Err(error) = read_entry(&Fields(entry), &mut madt, &mut listed) {
            flaw = flaw.or(Some(error));
        }
        rest = next;
    }
    madt.cpus = each_once(&listed);
    Ok((madt, flaw))
}

fn read_entry(fields: &Fields<'_>, madt: &mut Madt, listed: &mut Vec<Listed>) -> Result<(), Flaw> {
    const ENABLED: u32 = 1;
    match fields.u8(0)? {
        0 if fields.u32(4)? & ENABLED != 0 => listed.push(Listed {
            processor: u32::from(fields.u8(2)?),
            apic_id: u32::from(fields.u8(3)?),
            kind: Kind::Narrow,
        }),
        1 => madt.io_apics.push(IoApic {
            address: PhysAddr::new(u64::from(fields.u32(4)?)),
            first_interrupt: fields.u32(8)?,
        }),
        2 => madt.overrides.push(Override::read(fields)?),
        5 => madt.local_apic = PhysAddr::new(fields.u64(4)?),
        9 if fields.u32(8)? & ENABLED != 0 => listed.push(Listed {
            processor: fields.u32(12)?,
            apic_id: fields.u32(4)?,
            kind: Kind::X2apic,
        }),
        _ => {}
    }
    Ok(())
}

/// The CPUs in the order of the table, each once.
///
/// Some firmware describes a CPU by an entry of either kind. Then the wide one counts: the narrow one
/// has only the lower 8 bits of an identifier that is larger, or 0xff.
fn each_once(listed: &[Listed]) -> Vec<Cpu> {
    let wide: BTreeSet<(u32, u32)> = listed
        .iter()
        .filter(|entry| entry.kind == Kind::X2apic)
        .map(|entry| (entry.processor, entry.apic_id & 0xff))
        .collect();
    let mut seen = BTreeSet::new();
    let mut counts = |entry: &Listed| {
        // A message to the highest identifier reaches everybody.
        let counts = match entry.kind {
            Kind::Narrow => {
                entry.apic_id != 0xff && !wide.contains(&(entry.processor, entry.apic_id))
            }
            Kind::X2apic => entry.apic_id != u32::MAX,
        };
        counts && seen.insert(entry.apic_id)
    };
    let cpus = listed.iter().filter(|entry| counts(entry));
    cpus.map(|entry| Cpu {
        apic_id: entry.apic_id,
    })
    .collect()
}

#[cfg(test)]
#[path = "madt_tests.rs"]
mod tests;
