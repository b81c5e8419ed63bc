//! The IOMMU: devices reach what they were given, and nothing else.
//!
//! Without one, a device with a driver reaches all memory, and a wrong address in a command
//! overwrites something else. With one (Intel's VT-d, as most PCs have it, or a hypervisor's virtio device), each
//! device has bus addresses of its own, and something says what is there. At first nothing is. [`dma::map`](crate::dma::map) adds memory and
//! takes it away again; what a device wants besides is refused and recorded as a [`Fault`].
//!
//! - Whether there is an IOMMU is found out when the machine starts. Drivers are the same: they get a
//!   [`Domain`] with their device, and pass it on.
//! - A device gets its domain when its driver asks. Until then, and after its driver has gone, it reaches nothing.
//! - Interrupts are not remapped: a device that masters the bus can send any message to the interrupt controllers.
//! - Memory that firmware reserved for a device stays where the device knows it.
//! - Functions of conventional PCI behind a bridge speak with the bridge's number, and reach nothing here.
//!
//! There are two kinds. [VT-d](vt_d) reads page tables in memory; [`virtio`] is told what is where. They
//! are the same to the rest: `iova` is the free addresses of a domain, `translation` what its IOMMU is told, and
//! `space` both together.

mod iova;
mod space;
mod translation;
mod virtio;
mod vt_d;

use crate::acpi::Platform;
use crate::dma::{DmaError, Domain, Domains};
use crate::pci::{Function, PciAddress};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use iova::PAGE;
use phyr::DmaAddr;
use vt_d::VtD;

#[cfg(phyros)]
pub(crate) use virtio::{Unusable, VirtioIommu};

/// Addresses that are no memory for any device.
const RESERVED: [(u64, u64); 2] = [
    // Many a device takes 0 for nothing.
    (0, PAGE - 1),
    // Registers of devices, which a bridge may find before the IOMMU does, and the addresses of
    // interrupts, which are not translated (section 3.14).
    (0x8000_0000, 0xffff_ffff),
];

/// All IOMMUs of the machine.
pub struct Iommu {
    kinds: Vec<Box<dyn Kind>>,
}

/// IOMMUs of one kind.
pub(crate) trait Kind: Send + Sync {
    /// A new domain for a device, in which it reaches nothing yet; `None` if it is not behind one of these.
    fn domain(&self, device: PciAddress) -> Result<Option<Domain>, DmaError>;

    /// The faults since the last call, oldest first.
    fn faults(&self) -> Vec<Fault>;
}

/// Something that a device was not let do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The bus, device and function that asked.
    pub device: (u8, u8, u8),
    /// The page that it wanted.
    // No page frame: VT-d records no more of an address than this.
    pub page: DmaAddr,
    /// It wanted to read, not to write. A virtio IOMMU does not say that of devices that are in no domain.
    pub read: bool,
    /// Why not, as the IOMMU says it: VT-d by section 7.1.3 of its specification, virtio by section 5.13.6.10.
    pub reason: u8,
}

impl Fault {
    fn requester(number: u16) -> (u8, u8, u8) {
        let [function, bus] = number.to_le_bytes();
        (bus, function >> 3, function & 7)
    }
}

impl Iommu {
    /// Turns the IOMMUs on that firmware tells of, and takes in those that are on: `others`. `None` if there are
    /// none. From now on no device behind them reaches memory without a domain.
    ///
    /// `functions` says what is on the bus now.
    ///
    /// # Safety
    /// The firmware's IOMMUs are IOMMUs, and nobody else uses them.
    pub(crate) unsafe fn start(
        platform: &Platform,
        others: Vec<Box<dyn Kind>>,
        functions: fn() -> Vec<Function>,
    ) -> Option<Arc<Self>> {
        let mut kinds = others;
        // SAFETY: the caller's promise.
        if let Some(vt_d) = unsafe { VtD::start(platform, functions) } {
            kinds.push(Box::new(vt_d));
        }
        (!kinds.is_empty()).then(|| Arc::new(Self { kinds }))
    }

    /// The faults since the last call. VT-d has room for one in most machines; what comes before that is taken is
    /// lost.
    pub fn take_faults(&self) -> Vec<Fault> {
        self.kinds.iter().flat_map(|kind| kind.faults()).collect()
    }
}

impl Domains for Iommu {
    fn domain(&self, device: PciAddress) -> Result<Domain, DmaError> {
        for kind in &self.kinds {
            if let Some(domain) = kind.domain(device)? {
                return Ok(domain);
            }
        }
        Ok(Domain::DIRECT)
    }
}
