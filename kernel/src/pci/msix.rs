//! MSI-X: a table in the device that says what each of its interrupts writes, and where (PCI Express
//! Base specification 6.0, section 7.7.2).
//!
//! The table is memory of the device's, in one of its BARs, often the one that also has the
//! registers. Where in which BAR is said by a capability in configuration space, so by the device,
//! and is believed only as far as it lies inside the BAR.
//!
//! - An entry is told only [`Message`]s of [`Interrupt`]s. A device cannot be made to write anywhere
//!   else through a [`Msix`].
//! - Every entry is masked from the start, and while it changes. A masked entry that would have
//!   interrupted does so when it is unmasked: nothing is lost.
//! - When a `Msix` is dropped, the device sends no more messages.

use super::device::Claim;
use super::function::Function;
use super::{ConfigRead, ConfigSpace, PciAddress};
use crate::interrupts::{Interrupt, Message};
use crate::memory::mapping::MapError;
use crate::mmio::RegisterWindow;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering;
use pci_types::ConfigRegionAccess;
use pci_types::capability::{MsixCapability, PciCapability};
use phyr::Phyr;

/// The bytes of an entry, and its words (section 7.7.2.7).
const ENTRY: usize = 16;
const ADDRESS: usize = 0;
const ADDRESS_UPPER: usize = 4;
const DATA: usize = 8;
const CONTROL: usize = 12;

/// In an entry's control word: it does not interrupt.
const MASKED: u32 = 1;

/// Why a device has no messages to send. Poll it instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsixError {
    /// It has no such capability.
    Absent,
    /// Its messages are somebody's already.
    Taken,
    /// The table is in a BAR that is not implemented, or found no place.
    NoBar(u8),
    /// The table does not lie inside its BAR. The device is wrong.
    Outside(u8),
    /// The table cannot be mapped.
    Map(MapError),
    /// The table has no such entry.
    NoEntry(u16),
    /// No message reaches the interrupt's core.
    Unreachable,
}

impl fmt::Display for MsixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the device has no MSI-X"),
            Self::Taken => f.write_str("the device's messages have an owner"),
            Self::NoBar(index) => write!(f, "the MSI-X table's BAR {index} has no memory"),
            Self::Outside(index) => write!(f, "the MSI-X table does not lie inside BAR {index}"),
            Self::Map(error) => write!(f, "the MSI-X table cannot be mapped: {error}"),
            Self::NoEntry(entry) => write!(f, "the MSI-X table has no entry {entry}"),
            Self::Unreachable => f.write_str("no message reaches the core"),
        }
    }
}

impl core::error::Error for MsixError {}

/// What the capability says.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    capability: MsixCapability,
    entries: u16,
    table: Phyr,
    pending: Phyr,
}

impl Layout {
    /// Reads the capability, and believes what is possible.
    pub(super) fn read(config: &impl ConfigRead, function: &Function) -> Result<Self, MsixError> {
        let capability = function.msix(config).ok_or(MsixError::Absent)?;
        let inside = |index, offset, len| {
            let bar = function.bar(index).ok_or(MsixError::NoBar(index))?;
            let part = bar.phyr.sub(u64::from(offset), len);
            part.ok_or(MsixError::Outside(index))
        };
        let entries = capability.table_size();
        let count = u64::from(entries);
        let table = inside(
            capability.table_bar(),
            capability.table_offset(),
            count * ENTRY as u64,
        )?;
        let pending = inside(
            capability.pba_bar(),
            capability.pba_offset(),
            count.div_ceil(64) * 8,
        )?;
        Ok(Self {
            capability,
            entries,
            table,
            pending,
        })
    }
}

/// The table's memory, or the pending bits'.
pub trait Words {
    /// Reads a word.
    fn read(&self, offset: usize) -> u32;
    /// Writes a word.
    fn write(&self, offset: usize, value: u32);
}

impl Words for RegisterWindow {
    fn read(&self, offset: usize) -> u32 {
        self.read32(offset)
    }

    fn write(&self, offset: usize, value: u32) {
        self.write32(offset, value);
    }
}

/// Lets `pci_types` change the capability.
struct Access<'a, C>(&'a C);

impl<C: ConfigSpace> ConfigRegionAccess for Access<'_, C> {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        self.0.read(address, offset)
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        self.0.write(address, offset, value);
    }
}

/// Turns messages off, with a table and without one, whoever has turned them on before there was a driver. A function
/// whose messages are on raises no line (PCI Local Bus specification 3.0, sections 6.8.1.3 and 6.8.2.3).
pub(super) fn turn_off<C: ConfigSpace>(claim: &Claim<C>) {
    let config = &claim.owners.config;
    for capability in claim.function.decoded(config) {
        match capability {
            PciCapability::Msi(msi) => msi.set_enabled(false, Access(config)),
            PciCapability::MsiX(mut msix) => msix.set_enabled(false, Access(config)),
            _ => {}
        }
    }
}

/// The messages of a device.
pub struct Msix<C: ConfigSpace, W: Words = RegisterWindow> {
    claim: Arc<Claim<C>>,
    capability: MsixCapability,
    entries: u16,
    table: W,
    pending: W,
}

impl<C: ConfigSpace> Msix<C> {
    /// Maps the table of a device that the caller drives.
    pub(super) fn open(claim: &Arc<Claim<C>>) -> Result<Self, MsixError> {
        let map = |phyr| {
            // SAFETY: enumeration placed the BAR there, and the device is the caller's. Where the
            // driver has mapped the BAR too, it is as registers, with the same cache mode.
            unsafe { RegisterWindow::map(phyr) }.map_err(MsixError::Map)
        };
        Msix::start(claim, map)
    }
}

impl<C: ConfigSpace, W: Words> Msix<C, W> {
    /// Turns messages on, with every entry masked.
    pub(super) fn start(
        claim: &Arc<Claim<C>>,
        map: impl Fn(Phyr) -> Result<W, MsixError>,
    ) -> Result<Self, MsixError> {
        let layout = Layout::read(&claim.owners.config, &claim.function)?;
        let (table, pending) = (map(layout.table)?, map(layout.pending)?);
        if claim.messages.swap(true, Ordering::Relaxed) {
            return Err(MsixError::Taken);
        }
        let mut msix = Self {
            claim: claim.clone(),
            capability: layout.capability,
            entries: layout.entries,
            table,
            pending,
        };
        // The function's mask covers the time in which the entries are whatever they are.
        msix.set_function_mask(true);
        msix.set_enabled(true);
        for entry in 0..msix.entries {
            msix.set_control(entry, MASKED);
        }
        msix.set_function_mask(false);
        Ok(msix)
    }

    /// How many entries there are, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a table is never empty")]
    pub fn len(&self) -> u16 {
        self.entries
    }

    /// The entry for the `wanted`th purpose of a driver that wants more than there may be: they go
    /// round, and share.
    pub fn entry_for(&self, wanted: usize) -> u16 {
        (wanted % usize::from(self.entries)) as u16
    }

    /// Lets an entry raise an interrupt, and unmasks it.
    ///
    /// Mask it before the interrupt is dropped. What comes later is counted as stray.
    /// An entry is one caller's: of two that route the same one, neither knows what it says.
    pub fn route(&self, entry: u16, interrupt: &Interrupt) -> Result<(), MsixError> {
        let message: Message = interrupt.message().ok_or(MsixError::Unreachable)?;
        self.mask(entry)?;
        let base = usize::from(entry) * ENTRY;
        let address = message.address().get();
        self.table.write(base + ADDRESS, address as u32);
        self.table
            .write(base + ADDRESS_UPPER, (address >> 32) as u32);
        self.table.write(base + DATA, message.data());
        self.unmask(entry)
    }

    /// Keeps an entry from interrupting, and waits until the device knows.
    pub fn mask(&self, entry: u16) -> Result<(), MsixError> {
        self.check(entry)?;
        self.set_control(entry, MASKED);
        // A read comes back after the write has arrived.
        self.table.read(usize::from(entry) * ENTRY + CONTROL);
        Ok(())
    }

    /// Keeps an entry from interrupting, but does not wait: an interrupt may still be on its way.
    pub fn hush(&self, entry: u16) -> Result<(), MsixError> {
        self.check(entry)?;
        self.set_control(entry, MASKED);
        Ok(())
    }

    /// Lets an entry interrupt. What it would have done while it was masked, it does now.
    pub fn unmask(&self, entry: u16) -> Result<(), MsixError> {
        self.check(entry)?;
        self.set_control(entry, 0);
        Ok(())
    }

    /// Whether a masked entry has something to say.
    pub fn is_pending(&self, entry: u16) -> bool {
        let word = || self.pending.read(usize::from(entry / 32) * 4);
        entry < self.entries && word() & 1 << (entry % 32) != 0
    }

    /// Masks all entries at once, or lets each be as it is.
    pub fn set_function_mask(&mut self, masked: bool) {
        let access = Access(&self.claim.owners.config);
        self.capability.set_function_mask(masked, access);
    }

    fn set_enabled(&mut self, enabled: bool) {
        let access = Access(&self.claim.owners.config);
        self.capability.set_enabled(enabled, access);
    }

    fn set_control(&self, entry: u16, control: u32) {
        self.table
            .write(usize::from(entry) * ENTRY + CONTROL, control);
    }

    fn check(&self, entry: u16) -> Result<(), MsixError> {
        if entry < self.entries {
            Ok(())
        } else {
            Err(MsixError::NoEntry(entry))
        }
    }
}

impl<C: ConfigSpace, W: Words> Drop for Msix<C, W> {
    fn drop(&mut self) {
        self.set_function_mask(true);
        self.set_enabled(false);
        self.claim.messages.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "msix_tests.rs"]
mod tests;
