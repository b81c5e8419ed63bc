//! Devices that a driver owns.
//!
//! A [`Function`] is a description, free to copy. A [`Device`] is the right to drive it.
//!
//! - There is one `Device` at a time for each function: [`Owners`] keeps the list.
//! - `Owners` has configuration space to itself and lends it for reading only. So after
//!   enumeration only a `Device` changes the command register, and only of its own function.
//! - A device that masters the bus writes wherever it has been told to. So turning bus mastering on
//!   is `unsafe`: only the driver knows what it has told the device.
//! - The line that a function may interrupt by is shared with others (INTx). It is turned off, but for a `Device` that has
//!   [turned it on](Device::use_line).
//! - When a `Device` is dropped, bus mastering goes off, and its line: a device that had a driver and lost it
//!   reaches no memory, and holds nobody's line up. Where there was no driver yet, it is as [`scan`](scan::scan) left it.

use super::function::{Function, vendor_capabilities};
use super::msix::{self, Msix, MsixError};
use super::{ConfigRead, ConfigSpace, PciAddress, header, scan};
use crate::dma::{DmaError, Domain, Domains};
use crate::lock::Mutex;
use crate::memory::mapping::MapError;
use crate::memory::paging::Cache;
use crate::memory::regions::{Kind, Provider};
use crate::mmio::RegisterWindow;
use crate::storage::Name;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::AtomicBool;
use phyr::Phyr;
use spin::Once;

/// Why a driver cannot have a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceError {
    /// Another driver has it.
    Taken,
    /// The base address register is not implemented, or found no place.
    NoBar(u8),
    /// The device names memory that is in none of its base address registers.
    Outside(Phyr),
    /// The part is not inside of the base address register.
    NotInside(u8),
    /// The registers could not be mapped.
    Map(MapError),
    /// The IOMMU has no place for it.
    Domain(DmaError),
}

/// How much of a base address register's memory is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarPart {
    /// All of it.
    All,
    /// A part of it. What the device says of itself may lead anywhere, and is checked.
    Bytes {
        /// Bytes from its start.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => write!(f, "another driver has the device"),
            Self::NoBar(index) => {
                write!(f, "base address register {index} has no memory behind it")
            }
            Self::Outside(part) => write!(f, "its registers are not where {part} is"),
            Self::NotInside(index) => {
                write!(f, "base address register {index} has not so much memory")
            }
            Self::Map(error) => write!(f, "its registers cannot be mapped: {error}"),
            Self::Domain(error) => write!(f, "the IOMMU keeps it from memory: {error}"),
        }
    }
}

impl core::error::Error for DeviceError {}

/// Configuration space, and which of its functions have owners.
pub struct Owners<C> {
    pub(super) config: C,
    taken: Mutex<Vec<PciAddress>>,
    domains: Once<Arc<dyn Domains>>,
}

impl<C: ConfigSpace> Owners<C> {
    /// Nobody owns anything yet.
    pub fn new(config: C) -> Self {
        Self {
            config,
            taken: Mutex::new(Vec::new()),
            domains: Once::new(),
        }
    }

    /// From now on, drivers have the domains of an IOMMU. Only the first call counts.
    pub fn use_domains(&self, domains: Arc<dyn Domains>) {
        self.domains.call_once(|| domains);
    }

    /// Makes the caller the driver of a function.
    pub fn claim(self: &Arc<Self>, function: &Function) -> Result<Device<C>, DeviceError> {
        let mut taken = self.taken.lock();
        if taken.contains(&function.address) {
            return Err(DeviceError::Taken);
        }
        taken.push(function.address);
        Ok(Device {
            claim: Arc::new(Claim {
                function: function.clone(),
                owners: self.clone(),
                messages: AtomicBool::new(false),
                uses_line: Mutex::new(false),
                domain: Mutex::new(None),
            }),
        })
    }

    /// Configuration space, for those in this module who place functions and switch slots.
    pub(super) fn config_space(&self) -> &C {
        &self.config
    }

    /// Whether one of these functions has a driver.
    pub(super) fn drives_any(&self, which: impl FnMut(PciAddress) -> bool) -> bool {
        self.taken.lock().iter().copied().any(which)
    }

    /// Configuration space, to look at.
    ///
    /// Nobody writes through it, whatever `C` can do:
    ///
    /// ```compile_fail,E0599
    /// use kernel::pci::device::Owners;
    /// use kernel::pci::{ConfigRead, ConfigSpace, PciAddress};
    /// fn meddle(owners: &Owners<impl ConfigSpace>, address: PciAddress) {
    ///     owners.config().read(address, 4);
    ///     owners.config().write(address, 4, 6);
    /// }
    /// ```
    pub fn config(&self) -> &impl ConfigRead {
        &self.config
    }
}

/// That a function has a driver. It ends when the last part of the driver is gone: the [`Device`],
/// or its messages ([`Msix`]).
pub(super) struct Claim<C> {
    pub(super) function: Function,
    pub(super) owners: Arc<Owners<C>>,
    /// Somebody has the messages.
    pub(super) messages: AtomicBool,
    /// Its line is on. Held while the command register changes: bus mastering is in the same word.
    uses_line: Mutex<bool>,
    /// Where it finds memory, once its driver has asked.
    domain: Mutex<Option<Domain>>,
}

impl<C> Drop for Claim<C> {
    fn drop(&mut self) {
        let mut taken = self.owners.taken.lock();
        taken.retain(|address| *address != self.function.address);
    }
}

/// A function with a driver.
pub struct Device<C: ConfigSpace> {
    claim: Arc<Claim<C>>,
}

impl<C: ConfigSpace> Device<C> {
    /// What configuration space says about it.
    pub fn function(&self) -> &Function {
        &self.claim.function
    }

    #[cfg(test)]
    pub(super) fn claim(&self) -> &Arc<Claim<C>> {
        &self.claim
    }

    /// Maps the registers behind base address register `index`.
    pub fn registers(&self, index: u8) -> Result<RegisterWindow, DeviceError> {
        let bar = self
            .claim
            .function
            .bar(index)
            .ok_or(DeviceError::NoBar(index))?;
        // SAFETY: enumeration placed the register's memory there, and `self` is its driver.
        unsafe { RegisterWindow::map(bar.phyr) }.map_err(DeviceError::Map)
    }

    /// Maps a part of one of the device's base address registers. Which part, the device has said
    /// somewhere: it is checked here.
    pub fn window(&self, part: Phyr) -> Result<RegisterWindow, DeviceError> {
        let mut bars = self.claim.function.bars.iter();
        if !bars.any(|bar| bar.phyr.contains(part)) {
            return Err(DeviceError::Outside(part));
        }
        // SAFETY: enumeration placed the register's memory there, and `self` is its driver.
        unsafe { RegisterWindow::map(part) }.map_err(DeviceError::Map)
    }

    /// The vendor-specific capabilities, in list order, each with the bytes that it says it has.
    pub fn vendor_capabilities(&self) -> Vec<Vec<u8>> {
        let address = self.claim.function.address;
        vendor_capabilities(&self.claim.owners.config, address)
    }

    /// Where the device finds memory. Behind an IOMMU it finds none before this is called, and then
    /// only what is put there.
    pub fn domain(&self) -> Result<Domain, DeviceError> {
        let Some(domains) = self.claim.owners.domains.get() else {
            return Ok(Domain::DIRECT);
        };
        let mut domain = self.claim.domain.lock();
        if let Some(domain) = &*domain {
            return Ok(domain.clone());
        }
        let made = domains.domain(self.claim.function.address);
        let made = made.map_err(DeviceError::Domain)?;
        *domain = Some(made.clone());
        Ok(made)
    }

    /// What is needed to give out the device's memory, apart from the device itself.
    pub fn bars(&self) -> Bars<C> {
        Bars {
            claim: self.claim.clone(),
        }
    }

    /// The device's messages, every one masked. They are the driver's, apart from the registers,
    /// even where both lie in one BAR.
    pub fn messages(&self) -> Result<Msix<C>, MsixError> {
        Msix::open(&self.claim)
    }

    /// Lets the device reach memory.
    ///
    /// # Safety
    /// Until bus mastering is off again, everything that the device has been told to reach is
    /// memory that it may reach.
    pub unsafe fn enable_bus_master(&self) {
        self.set(header::COMMAND_BUS_MASTER, header::COMMAND_BUS_MASTER);
    }

    /// Keeps the device from memory. Reading the register back waits for what was on its way.
    ///
    /// Returns whether that is certain: the device has taken the bit, or is not there any more.
    pub fn disable_bus_master(&self) -> bool {
        self.set(header::COMMAND_BUS_MASTER, 0);
        let config = &self.claim.owners.config;
        let command = config.read(self.claim.function.address, header::COMMAND);
        command & header::COMMAND_BUS_MASTER == 0 || !self.is_present()
    }

    /// Whether the device still answers: a removed one reads as all ones.
    pub fn is_present(&self) -> bool {
        self.claim
            .owners
            .config
            .read(self.claim.function.address, header::ID) as u16
            == self.claim.function.vendor
    }

    /// Whether the function has a line to interrupt by: its interrupt pin register names one of four.
    pub fn has_line(&self) -> bool {
        let config = &self.claim.owners.config;
        let word = config.read(self.claim.function.address, header::INTERRUPT);
        (1..=4).contains(&(word >> 8 & 0xff))
    }

    /// Turns its line on: whoever does that is asked when a line rises ([`intx`](super::intx)). It stays on until the `Device`
    /// is dropped. Messages that firmware may have left on go off, or there would be no line; who has [messages](Self::messages)
    /// has no use for one.
    pub fn use_line(&self) {
        msix::turn_off(&self.claim);
        *self.claim.uses_line.lock() = true;
        self.set(0, 0);
    }

    /// Of the command register, sets the bits in `which` to `bits`, and the line's as it is to be. Decoding stays as
    /// enumeration left it: on only where every BAR has its place.
    fn set(&self, which: u32, bits: u32) {
        let uses_line = self.claim.uses_line.lock();
        let line = match *uses_line {
            true => 0,
            false => header::COMMAND_INTX_DISABLE,
        };
        scan::command(
            &self.claim.owners.config,
            self.claim.function.address,
            which | header::COMMAND_INTX_DISABLE,
            bits | line,
        );
    }
}

/// The base address registers of a function that has a driver, as memory to give out.
///
/// The function stays taken for as long as this exists.
pub struct Bars<C: ConfigSpace> {
    claim: Arc<Claim<C>>,
}

impl<C: ConfigSpace> Bars<C> {
    /// The memory behind base address register `index`, for a provider to give out.
    ///
    /// The function stays taken for as long as the provider, or a region of it, exists: nobody
    /// else drives it, and nothing else is placed at its addresses.
    ///
    /// # Errors
    /// If there is no such register, or the part is not inside of it.
    ///
    /// # Safety
    /// What [`Provider::new`] asks of the part: it is linear memory, and none of it is registers or
    /// memory that the driver uses in another way.
    pub unsafe fn memory(
        &self,
        index: u8,
        part: BarPart,
        name: Name,
        kind: Kind,
    ) -> Result<Arc<Provider>, DeviceError>
    where
        C: Send + Sync + 'static,
    {
        let bar = self.claim.function.bar(index);
        let bar = bar.ok_or(DeviceError::NoBar(index))?;
        let phyr = match part {
            BarPart::All => Some(bar.phyr),
            BarPart::Bytes { offset, len } => bar.phyr.sub(offset, len),
        };
        let phyr = phyr.ok_or(DeviceError::NotInside(index))?;
        // Reads of prefetchable memory have no side effects, so nothing is lost if writes are gathered.
        let cache = match bar.prefetchable {
            true => Cache::WriteCombining,
            false => Cache::Uncached,
        };
        let keeper = self.claim.clone();
        // SAFETY: enumeration placed the register's memory there and nothing else; the rest is the
        // caller's promise. The claim keeps the place from others.
        Ok(unsafe { Provider::new(name, kind, phyr, cache, keeper) })
    }
}

impl<C: ConfigSpace> Drop for Device<C> {
    fn drop(&mut self) {
        *self.claim.uses_line.lock() = false;
        self.disable_bus_master();
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
