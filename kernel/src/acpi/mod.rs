//! The few firmware tables that the kernel needs (ACPI specification 6.5, chapter 5).
//!
//! The tables say where things are: configuration space (MCFG), the CPUs and their interrupt
//! controllers (MADT), a clock of known rate (HPET, or the PM timer in the FADT), IOMMUs (DMAR, VIOT), persistent
//! memory (NFIT), devices without a bus (DSDT).
//! Everything is copied out of firmware memory, checked against its checksum and its length, and
//! then read from a slice; no pointer of the firmware's is followed without that.
//! A table that is damaged is as good as missing, or ends where it is damaged, if what comes before is sound
//! by itself (MADT, DMAR, VIOT, NFIT). [`Platform::flaws`] says which one and why.

mod button;
mod dmar;
mod dsdt;
mod madt;
mod mcfg;
mod nfit;
mod table;
mod timers;
mod viot;

pub use button::PowerButton;
pub use dmar::{RemappingUnit, ReservedMemory, Scope};
pub use madt::{Cpu, IoApic, Override};
pub use mcfg::EcamRegion;
pub use timers::{Hpet, PmTimer};
pub use viot::{Endpoints, VirtioIommu};

use crate::named::Named;
use alloc::vec::Vec;
use core::fmt;
use phyr::{Phyr, PhysAddr};
use table::{Fields, HEADER, Table};

/// The longest table that is read: far more than any real one of the few that are used.
const LONGEST: u64 = 1 << 20;

/// Where firmware memory is read. The kernel maps it for a moment; tests have an array.
pub trait Firmware {
    /// A copy of the bytes at `range`; `None` if it cannot be read.
    fn read(&self, range: Phyr) -> Option<Vec<u8>>;
}

/// Why a table, or a part of it, was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The address does not lead to readable memory, or the length is absurd.
    Unreadable,
    /// The signature is not the expected one.
    Signature,
    /// The bytes do not add up to zero.
    Checksum,
    /// A field lies beyond the end of the table.
    Truncated,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "its memory cannot be read",
            Self::Signature => "its signature is wrong",
            Self::Checksum => "its checksum is wrong",
            Self::Truncated => "it ends too early",
        })
    }
}

impl core::error::Error for Flaw {}

/// What the firmware said about the machine.
#[derive(Debug, Default)]
pub struct Platform {
    /// Windows of PCI Express configuration space.
    pub ecam: Vec<EcamRegion>,
    /// The CPUs that can be used.
    pub cpus: Vec<Cpu>,
    /// The I/O interrupt controllers.
    pub io_apics: Vec<IoApic>,
    /// Interrupts of the ISA bus that are not what their number says.
    pub overrides: Vec<Override>,
    /// Where each CPU sees its local interrupt controller.
    pub local_apic: Option<PhysAddr>,
    /// The high-precision event timer.
    pub hpet: Option<Hpet>,
    /// The power-management timer.
    pub pm_timer: Option<PmTimer>,
    /// The power button.
    pub power_button: Option<PowerButton>,
    /// The register of events, on a board without fixed registers.
    pub events: Option<Phyr>,
    /// The IOMMUs.
    pub remapping: Vec<RemappingUnit>,
    /// The IOMMUs that are virtio devices.
    pub virtio_iommus: Vec<VirtioIommu>,
    /// Memory that devices must reach, IOMMU or not.
    pub reserved_memory: Vec<ReservedMemory>,
    /// Ranges of persistent memory, none of which overlap.
    pub persistent: Vec<Phyr>,
    /// Places where there may be virtio devices.
    pub virtio: Vec<Named>,
    /// Tables that were damaged, by signature; they are not used, or not all of them is.
    pub flaws: Vec<([u8; 4], Flaw)>,
}

impl Platform {
    /// Reads the tables from the RSDP on. Without one, the platform is empty.
    pub fn discover(rsdp: Option<PhysAddr>, firmware: &impl Firmware) -> Self {
        let mut platform = Self::default();
        let Some(rsdp) = rsdp else { return platform };
        let root = match root(rsdp, firmware) {
            Ok(root) => root,
            Err(flaw) => {
                platform.flaws.push((*b"RSDP", flaw));
                return platform;
            }
        };
        for address in root {
            let Some(signature) = signature_at(address, firmware) else {
                platform.flaws.push((*b"????", Flaw::Unreadable));
                continue;
            };
            if let Err(flaw) = platform.read_table(signature, address, firmware) {
                platform.flaws.push((signature, flaw));
            }
        }
        platform
    }

    fn read_table(
        &mut self,
        signature: [u8; 4],
        address: PhysAddr,
        firmware: &impl Firmware,
    ) -> Result<(), Flaw> {
        let load = || Table::load(address, signature, firmware);
        match &signature {
            b"MCFG" => self.ecam = mcfg::read(&load()?)?,
            b"APIC" => {
                let (madt, flaw) = madt::read(&load()?)?;
                self.local_apic = Some(madt.local_apic);
                self.cpus = madt.cpus;
                self.io_apics = madt.io_apics;
                self.overrides = madt.overrides;
                return flaw.map_or(Ok(()), Err);
            }
            b"DMAR" => {
                let (dmar, flaw) = dmar::read(&load()?)?;
                self.remapping = dmar.units;
                self.reserved_memory = dmar.reserved;
                return flaw.map_or(Ok(()), Err);
            }
            b"VIOT" => {
                let (iommus, flaw) = viot::read(&load()?)?;
                self.virtio_iommus = iommus;
                return flaw.map_or(Ok(()), Err);
            }
            b"NFIT" => {
                let (ranges, flaw) = nfit::read(&load()?);
                self.persistent = ranges;
                return flaw.map_or(Ok(()), Err);
            }
            b"HPET" => self.hpet = Some(timers::read_hpet(&load()?)?),
            b"FACP" => {
                let fadt = load()?;
                self.power_button = button::read(&fadt)?;
                self.pm_timer = timers::read_pm_timer(&fadt)?;
                self.read_description(dsdt::place(&fadt)?, firmware);
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the description of the machine, which only the FADT knows of.
    fn read_description(&mut self, address: PhysAddr, firmware: &impl Firmware) {
        if address == PhysAddr::new(0) {
            return;
        }
        let flaw = match Table::load(address, *b"DSDT", firmware) {
            Ok(table) => {
                let (named, flaw) = dsdt::read(&table);
                self.virtio = named;
                self.events = dsdt::events(&table);
                flaw
            }
            Err(flaw) => Some(flaw),
        };
        self.flaws.extend(flaw.map(|flaw| (*b"DSDT", flaw)));
    }
}

/// The table addresses that the root table lists (section 5.2.5 to 5.2.8).
// No page frame: where tables begin, at any byte.
fn root(rsdp: PhysAddr, firmware: &impl Firmware) -> Result<Vec<PhysAddr>, Flaw> {
    const FIRST_VERSION: u64 = 20;
    const SECOND_VERSION: u64 = 36;
    let read = |len| {
        Phyr::new(rsdp, len)
            .ok()
            .and_then(|range| firmware.read(range))
            .ok_or(Flaw::Unreadable)
    };
    let bytes = read(FIRST_VERSION)?;
    if !bytes.starts_with(b"RSD PTR ") {
        return Err(Flaw::Signature);
    }
    table::check_sum(&bytes)?;
    let revision = Fields(&bytes).u8(15)?;
    let wide = if revision >= 2 {
        let bytes = read(SECOND_VERSION)?;
        table::check_sum(&bytes)?;
        Some(Fields(&bytes).u64(24)?).filter(|address| *address != 0)
    } else {
        None
    };
    let (address, signature, width) = match wide {
        Some(address) => (address, *b"XSDT", 8),
        None => (u64::from(Fields(&bytes).u32(16)?), *b"RSDT", 4),
    };
    let table = Table::load(PhysAddr::new(address), signature, firmware)?;
    let entries = table.bytes()[HEADER..].chunks_exact(width).map(|entry| {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(entry);
        PhysAddr::new(u64::from_le_bytes(wide))
    });
    Ok(entries.collect())
}

fn signature_at(address: PhysAddr, firmware: &impl Firmware) -> Option<[u8; 4]> {
    firmware.read(Phyr::new(address, 4).ok()?)?.try_into().ok()
}

#[cfg(test)]
mod tests;
