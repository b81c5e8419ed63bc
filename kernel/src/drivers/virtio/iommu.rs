//! IOMMUs that are virtio devices: found where firmware says, and brought up before everything that is behind
//! them. What they do then is in [`iommu`](crate::iommu).

use super::platform::{Registers, Shared, VirtioPlatform};
use super::{ProbeError, Reached, UsesLine, reach};
use crate::acpi;
use crate::iommu::{Kind, Unusable, VirtioIommu};
use crate::pci::Function;
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use crate::println;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use virtio::iommu::Iommu;
use virtio::transport::{DeviceKind, Transport};

/// Why an IOMMU is not used.
enum StartError {
    Missing,
    Reach(ProbeError),
    Driver(virtio::iommu::Error),
    Unusable(Unusable),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is none"),
            Self::Reach(error) => error.fmt(f),
            Self::Driver(error) => error.fmt(f),
            Self::Unusable(error) => error.fmt(f),
        }
    }
}

/// Brings all up that firmware tells of. Of those that are not used it is said why.
pub(crate) fn start_all(
    platform: &acpi::Platform,
    owners: &Arc<Owners<Ecam>>,
    now: &[Function],
    functions: fn() -> Vec<Function>,
) -> Vec<Box<dyn Kind>> {
    let mut started: Vec<Box<dyn Kind>> = Vec::new();
    for place in &platform.virtio_iommus {
        match start(owners, now, place, functions) {
            Ok(iommu) => {
                let bits = iommu.addresses().last().get().ilog2() + 1;
                println!("iommu: on; {bits} bits of bus address for each device");
                started.push(Box::new(iommu));
            }
            Err(error) => println!("iommu: the one at {} is not used: {error}", place.function),
        }
    }
    started
}

fn start(
    owners: &Arc<Owners<Ecam>>,
    now: &[Function],
    place: &acpi::VirtioIommu,
    functions: fn() -> Vec<Function>,
) -> Result<VirtioIommu<Spinning>, StartError> {
    let is_it = |function: &&Function| {
        function.address == place.function
            && DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::IOMMU)
    };
    let function = now.iter().find(is_it).ok_or(StartError::Missing)?;
    let reached = reach(owners, function, UsesLine::No).map_err(StartError::Reach)?;
    let Reached {
        platform, blocks, ..
    } = reached;
    let started = embassy_futures::block_on(Iommu::start(Spinning(platform), blocks.notify));
    let iommu = started.map_err(StartError::Driver)?;
    VirtioIommu::new(iommu, place, functions).map_err(StartError::Unusable)
}

/// The platform of a device whose driver spins: there may be no tasks yet, and nobody else can do anything
/// meanwhile.
struct Spinning(VirtioPlatform);

// SAFETY: it is the other, which keeps the duties.
unsafe impl virtio::Platform for Spinning {
    type Registers = Registers;
    type Shared = Shared;

    fn transport(&self) -> Transport {
        self.0.transport()
    }

    fn common(&self) -> &Registers {
        self.0.common()
    }

    fn notify(&self) -> &Registers {
        self.0.notify()
    }

    fn config(&self) -> &Registers {
        self.0.config()
    }

    fn allocate(&self, bytes: usize) -> Result<Shared, virtio::OutOfMemory> {
        self.0.allocate(bytes)
    }

    fn microseconds(&self) -> u64 {
        self.0.microseconds()
    }

    async fn pause(&self, microseconds: u64) {
        let start = self.microseconds();
        while self.microseconds().saturating_sub(start) < microseconds {
            core::hint::spin_loop();
        }
    }

    fn is_present(&self) -> bool {
        self.0.is_present()
    }

    fn start_dma(&self) {
        self.0.start_dma();
    }

    fn stop_dma(&self) -> bool {
        self.0.stop_dma()
    }
}
