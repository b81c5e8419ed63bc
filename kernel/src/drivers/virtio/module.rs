//! Persistent memory of the hypervisor's: its memory is given out as that of a module is, and lasts by a flush.
//!
//! The device says where its memory is, and that is believed only if nothing else is there. It has no
//! message-signalled interrupts in QEMU: who waits for a flush is told by its line.

use super::platform::VirtioPlatform;
use super::{ProbeError, Reached, UsesLine, reach};
use crate::machine::machine;
use crate::memory::boot_regions;
use crate::memory::paging::{Cache, Features};
use crate::memory::regions::{
    self, Kind, Neighbour, Persist, PersistError, Persisting, Provider, check_place,
};
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use crate::pci::{Function, PciAddress};
use crate::storage::Name;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use phyr::{Phyr, PhysAddr};
use virtio::pmem::Options;
use virtio::transport::DeviceKind;

/// The driver's handle of a device.
pub type Handle = virtio::pmem::Module<VirtioPlatform>;

/// Persistent memory in use.
pub struct Module {
    address: PciAddress,
    device: Arc<Device>,
    provider: Arc<Provider>,
}

/// The device, which must not end before its memory is nobody's.
struct Device(Handle);

impl Persist for Device {
    fn persist(&self) -> Persisting<'_> {
        Box::pin(async {
            let flushed = self.0.flush().await;
            flushed.map_err(|error| PersistError::Device(format!("{error}").into()))
        })
    }
}

/// Whether a function is such a device.
pub fn is_module(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::PMEM)
}

/// Brings a device up, and gives out its memory under the next free name.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Module>, ProbeError> {
    let Reached {
        platform,
        blocks,
        shared,
    } = reach(owners, function, UsesLine::Yes)?;
    let shared = shared.map_err(ProbeError::Capability)?;
    let handle = Handle::new(platform, blocks.notify, shared, Options::default()).await;
    let handle = handle.map_err(ProbeError::Driver)?;
    let memory = handle.memory();
    let own = [blocks.common, blocks.notify.block(), blocks.device];
    let in_own_bar = shared.filter(|shared| *shared == memory).is_some();
    let neighbours = neighbours(|other, bar| {
        let is_own = other.address == function.address;
        !(in_own_bar && is_own && bar.contains(memory))
    });
    let own = own.map(|block| (Neighbour::Registers, block));
    let physical_bits = Features::detect().physical_bits;
    check_place(memory, physical_bits, neighbours.into_iter().chain(own))
        .map_err(ProbeError::Place)?;
    let device = Arc::new(Device(handle));
    let (name, keeper) = (Name::numbered("pmem"), device.clone());
    // Memory of the hypervisor's like RAM: caches see what is written by anybody, and the file behind it sees
    // what caches do.
    let cache = Cache::WriteBack;
    // SAFETY: by its specification the device's memory is linear. It is neither RAM, nor anybody's registers, nor given
    // out, and enumeration keeps devices from there. The keeper has the claim on the function.
    let provider = unsafe { Provider::new(name, Kind::Persistent, memory, cache, keeper) };
    provider.lasts_by(device.clone());
    regions::add(provider.clone());
    Ok(Arc::new(Module {
        address: function.address,
        device,
        provider,
    }))
}

/// Everything that is known to be somewhere. Of registers, those of which the function says so.
fn neighbours(counts: impl Fn(&Function, Phyr) -> bool) -> Vec<(Neighbour, Phyr)> {
    let machine = machine();
    let mut all = Vec::new();
    let map = boot_regions().iter().filter_map(|region| {
        let len = region.end.checked_sub(region.start)?;
        Phyr::new(PhysAddr::new(region.start), len).ok()
    });
    all.extend(map.map(|phyr| (Neighbour::Mapped, phyr)));
    let ecam = machine.platform.ecam.iter().map(|region| region.window);
    let units = machine.platform.remapping.iter();
    let fixed = ecam.chain(units.map(|unit| unit.registers));
    all.extend(fixed.map(|phyr| (Neighbour::Registers, phyr)));
    for function in machine.functions() {
        let bars = function.bars.iter().map(|bar| bar.phyr);
        let bars = bars.filter(|bar| counts(&function, *bar));
        all.extend(bars.map(|phyr| (Neighbour::Registers, phyr)));
    }
    let given_out = regions::providers();
    let given_out = given_out.iter().map(|provider| provider.phyr());
    all.extend(given_out.map(|phyr| (Neighbour::GivenOut, phyr)));
    all
}

impl Module {
    /// Where it is.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The driver's handle, to be asked how the device is.
    pub fn handle(&self) -> &Handle {
        &self.device.0
    }

    /// Who gives out its memory.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// Takes the memory back, waits until it is in use no more, and lets the device go.
    pub async fn leave(&self) {
        regions::remove(&self.provider);
        self.provider.revoke().await;
        self.device.0.shutdown();
    }
}
