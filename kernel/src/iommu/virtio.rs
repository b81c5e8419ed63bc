//! An IOMMU that is a virtio device: it is told what is where, and there are no tables.
//!
//! Firmware's table VIOT says which device it is, and which others are behind it. It is brought up before
//! there are drivers and before there are tasks, so whoever waits for it spins; and whoever maps or unmaps waits
//! for its answer, as with VT-d.
//!
//! An IOMMU that does not answer is the end, as there: nobody can tell what devices still reach.

use super::iova::PAGE;
use super::space::Space;
use super::translation::Translation;
use super::{Fault, Kind, RESERVED};
use crate::acpi;
use crate::acpi::Endpoints;
use crate::dma::{Access, DmaDomain, DmaError, Domain};
use crate::lock::Mutex;
use crate::pci::{Function, PciAddress};
use crate::println;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use phyr::{DmaAddr, DmaList, DmaRange, Phyr, PhyrList, PhysAddr};
use virtio::Platform;
use virtio::iommu::{Error, Iommu, Reason, Request, Status};

/// No device has more lines for addresses.
const ADDRESS_BITS: u32 = 48;

/// What the driver asks for, as the domains need it, which may be used by any core.
pub(crate) trait Shareable: Platform<Shared: Send> + Send + Sync + 'static {}

impl<P: Platform<Shared: Send> + Send + Sync + 'static> Shareable for P {}

/// A virtio IOMMU, and what is behind it.
pub(crate) struct VirtioIommu<P: Shareable> {
    device: Arc<Iommu<P>>,
    addresses: DmaRange,
    function: PciAddress,
    endpoints: Vec<Endpoints>,
    /// The numbers of domains in use.
    numbers: Arc<Mutex<Vec<u32>>>,
    functions: fn() -> Vec<Function>,
}

/// Why an IOMMU is not used that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its smallest pages are larger than those of the CPU.
    Pages,
    /// It translates no address that devices have.
    Addresses,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pages => "its pages are too large",
            Self::Addresses => "it translates no address that devices have",
        })
    }
}

impl<P: Shareable> VirtioIommu<P> {
    /// One that translates, where firmware says that it is.
    pub(crate) fn new(
        device: Iommu<P>,
        place: &acpi::VirtioIommu,
        functions: fn() -> Vec<Function>,
    ) -> Result<Self, Unusable> {
        let properties = device.properties();
        if properties.page > PAGE {
            return Err(Unusable::Pages);
        }
        let last = DmaAddr::new(u64::MAX >> (64 - ADDRESS_BITS));
        let known = DmaRange::from_inclusive(DmaAddr::new(0), last).expect("less than 64 bits");
        let addresses = properties.addresses.intersect(known);
        Ok(Self {
            addresses: addresses.ok_or(Unusable::Addresses)?,
            device: Arc::new(device),
            function: place.function,
            endpoints: place.endpoints.clone(),
            numbers: Arc::default(),
            functions,
        })
    }

    /// The addresses that it translates.
    pub(crate) fn addresses(&self) -> DmaRange {
        self.addresses
    }

    /// What the IOMMU calls a device. Firmware has numbered buses before the kernel did, perhaps
    /// fewer, so what is behind a bridge that is named is behind the IOMMU, too.
    fn endpoint(&self, device: PciAddress) -> Option<u32> {
        if device == self.function {
            return None;
        }
        let functions = (self.functions)();
        let bridge = |place: &PciAddress| {
            let is_before = |function: &&Function| {
                function.address.segment() == place.segment()
                    && function.secondary_bus == Some(place.bus())
            };
            let found = functions.iter().find(is_before);
            found.map(|function| function.address)
        };
        // There are no more bridges on a way than buses.
        let mut way = core::iter::successors(Some(device), bridge).take(256);
        way.find_map(|place| {
            let names = |range: &&Endpoints| range.endpoint(place).is_some();
            let range = self.endpoints.iter().find(names)?;
            Some(range.call(device))
        })
    }

    /// The function that is called so.
    fn number(&self, endpoint: u32) -> u16 {
        let is_it = |range: &&Endpoints| range.first <= endpoint;
        let ranges = self.endpoints.iter().filter(is_it);
        let range = ranges.max_by_key(|range| range.first);
        range.map_or(endpoint as u16, |range| range.function(endpoint))
    }
}

impl<P: Shareable> Kind for VirtioIommu<P> {
    fn domain(&self, device: PciAddress) -> Result<Option<Domain>, DmaError> {
        let Some(endpoint) = self.endpoint(device) else {
            return Ok(None);
        };
        let number = Number::take(&self.numbers, self.device.properties().domains.clone());
        let number = number.ok_or(DmaError::OutOfMemory)?;
        let range =
            |(first, last)| DmaRange::from_inclusive(DmaAddr::new(first), DmaAddr::new(last));
        let taken = RESERVED.into_iter().filter_map(|ends| range(ends).ok());
        let taken: Vec<DmaRange> = taken.collect();
        let told = Told {
            device: self.device.clone(),
            domain: number.number,
            waiting: Vec::new(),
        };
        let space = Space::new(told, self.addresses, &taken).ok_or(DmaError::OutOfMemory)?;
        let domain = number.number;
        let attached = self.device.execute([Request::Attach { domain, endpoint }]);
        attached.map_err(|error| {
            println!("iommu: {device} cannot be put into a domain: {error}");
            DmaError::NoAddresses
        })?;
        Ok(Some(Domain::new(Arc::new(Attached {
            endpoint,
            number,
            space: Mutex::new(space),
        }))))
    }

    fn faults(&self) -> Vec<Fault> {
        let next = || self.device.next_fault().expect("the IOMMU answers");
        core::iter::from_fn(next)
            .map(|fault| Fault {
                device: Fault::requester(self.number(fault.endpoint)),
                page: DmaAddr::new(fault.address.map_or(0, DmaAddr::get) & !(PAGE - 1)),
                read: fault.read,
                reason: match fault.reason {
                    Reason::Unknown => 0,
                    Reason::Domain => 1,
                    Reason::Mapping => 2,
                    Reason::Other(other) => other,
                },
            })
            .collect()
    }
}

/// The number of a domain, for as long as it is used.
struct Number {
    number: u32,
    used: Arc<Mutex<Vec<u32>>>,
}

impl Number {
    fn take(used: &Arc<Mutex<Vec<u32>>>, mut all: core::ops::RangeInclusive<u32>) -> Option<Self> {
        let mut numbers = used.lock();
        let number = all.find(|number| !numbers.contains(number))?;
        numbers.try_reserve(1).ok()?;
        numbers.push(number);
        let used = used.clone();
        Some(Self { number, used })
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.used.lock().retain(|used| *used != self.number);
    }
}

/// What the IOMMU has been told of a domain, and what it is about to be.
struct Told<P: Shareable> {
    device: Arc<Iommu<P>>,
    domain: u32,
    waiting: Vec<Request>,
}

impl<P: Shareable> Translation for Told<P> {
    fn map(&mut self, bus: DmaRange, memory: Phyr, access: Access) -> Result<(), DmaError> {
        let room = self.waiting.try_reserve(1);
        room.map_err(|_| DmaError::OutOfMemory)?;
        self.waiting.push(Request::Map {
            domain: self.domain,
            bus,
            memory,
            read: access != Access::Write,
            write: access != Access::Read,
        });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), DmaError> {
        match self.device.execute(self.waiting.drain(..)) {
            Ok(()) => Ok(()),
            Err(Error::Refused(_)) => Err(DmaError::NoAddresses),
            Err(error) => panic!("{error}"),
        }
    }

    /// The IOMMU answers when no device uses the addresses any more.
    fn clear(&mut self, bus: DmaRange) {
        self.waiting.clear();
        let domain = self.domain;
        match self.device.execute([Request::Unmap { domain, bus }]) {
            // The domain is not there, because its endpoint is in another: so nothing is.
            Ok(()) | Err(Error::Refused(Status::NO_ENTRY)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// The domain of one device.
struct Attached<P: Shareable> {
    endpoint: u32,
    number: Number,
    space: Mutex<Space<Told<P>>>,
}

impl<P: Shareable> fmt::Debug for Attached<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "domain {} of endpoint {}",
            self.number.number, self.endpoint
        )
    }
}

// SAFETY: a range is bus addresses that no other mapping of the domain has, and the IOMMU was told that the
// bytes of the phyrs are there, in their order (`Space::map`). `unmap` waits until it has forgotten that.
unsafe impl<P: Shareable> DmaDomain for Attached<P> {
    fn granule(&self) -> Option<u64> {
        Some(PAGE)
    }

    fn fixed(&self, _: Phyr) -> Option<DmaAddr> {
        None
    }

    fn below(&self, _: DmaAddr) -> Option<PhysAddr> {
        None
    }

    unsafe fn map(
        &self,
        list: PhyrList,
        access: Access,
        last: DmaAddr,
    ) -> Result<DmaList, (DmaError, PhyrList)> {
        let mapped = self.space.lock().map(&list, access, last);
        mapped.map_err(|error| (error, list))
    }

    fn unmap(&self, list: &DmaList) {
        let mut space = self.space.lock();
        if let Some(window) = space.hide(list) {
            space.free(window);
        }
    }
}

impl<P: Shareable> Drop for Attached<P> {
    fn drop(&mut self) {
        let (domain, endpoint) = (self.number.number, self.endpoint);
        let space = self.space.get_mut();
        let device = &space.translation().device;
        match device.execute([Request::Detach { domain, endpoint }]) {
            // It is in another one, or not there any more.
            Ok(()) | Err(Error::Refused(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
