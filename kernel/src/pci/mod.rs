//! PCI: from the firmware's window on configuration space to devices that drivers own.
//!
//! Fast firmware (qboot, microvm) assigns nothing, so the kernel does all of it, always, and has one
//! path to test: it numbers the buses ([`scan`]), sizes every BAR ([`bar`]), lays BARs and bridge
//! windows out in the holes of the memory map ([`resources`]), and writes their places back.
//!
//! - Configuration space is reached through ECAM only; each access is within the window ([`ecam`]).
//! - A BAR is a [`Phyr`](phyr::Phyr) like any other memory.
//! - Interrupts are messages, which devices write like any other memory ([`msix`]), or, where a function has none, a line that
//!   it shares ([`intx`]).
//! - Bus mastering is off until a driver owns the function ([`device`]).
//! - Functions come and go ([`hotplug`]). What was true at boot is only where it began.

pub mod bar;
pub mod device;
pub mod ecam;
#[cfg(test)]
mod fake;
mod function;
pub mod hotplug;
pub mod intx;
pub mod msix;
mod place;
pub mod resources;
pub mod scan;

pub use bar::{Bar, BarKind};
pub use device::Device;
pub use function::Function;
pub use pci_types::PciAddress;
pub use scan::Bus;

/// Offsets in the configuration header (PCI Local Bus specification 3.0, section 6.1, and
/// PCI-to-PCI Bridge specification 1.2, section 3.2).
pub(crate) mod header {
    pub(crate) const ID: u16 = 0x00;
    pub(crate) const COMMAND: u16 = 0x04;
    pub(crate) const CLASS: u16 = 0x08;
    pub(crate) const TYPE: u16 = 0x0c;
    pub(crate) const FIRST_BAR: u16 = 0x10;
    pub(crate) const BUS_NUMBERS: u16 = 0x18;
    pub(crate) const IO_WINDOW: u16 = 0x1c;
    pub(crate) const MEMORY_WINDOW: u16 = 0x20;
    pub(crate) const PREFETCHABLE_WINDOW: u16 = 0x24;
    pub(crate) const PREFETCHABLE_BASE_UPPER: u16 = 0x28;
    pub(crate) const PREFETCHABLE_LIMIT_UPPER: u16 = 0x2c;
    pub(crate) const CAPABILITIES: u16 = 0x34;
    pub(crate) const INTERRUPT: u16 = 0x3c;

    pub(crate) const TYPE_ENDPOINT: u32 = 0;
    pub(crate) const TYPE_BRIDGE: u32 = 1;

    pub(crate) const COMMAND_IO: u32 = 1 << 0;
    pub(crate) const COMMAND_MEMORY: u32 = 1 << 1;
    pub(crate) const COMMAND_BUS_MASTER: u32 = 1 << 2;
    pub(crate) const COMMAND_INTX_DISABLE: u32 = 1 << 10;
    /// The upper half of the command register's word holds status bits that are cleared by writing ones.
    pub(crate) const COMMAND_MASK: u32 = 0xffff;
    pub(crate) const STATUS_CAPABILITIES: u32 = 1 << 20;
}

/// Configuration space, to look at.
pub trait ConfigRead {
    /// Reads the word at `offset`, a multiple of 4; all ones where nothing answers.
    fn read(&self, address: PciAddress, offset: u16) -> u32;
}

/// Configuration space, so that enumeration can be tested on a machine that is an array.
///
/// Whoever can write can move BARs and let devices reach memory. So after enumeration it belongs
/// to [`Owners`](device::Owners), which hands out [`ConfigRead`] only.
pub trait ConfigSpace: ConfigRead {
    /// Writes the word at `offset`, a multiple of 4; nothing happens where nothing answers.
    fn write(&self, address: PciAddress, offset: u16, value: u32);
}
