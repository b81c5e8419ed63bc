//! A device's own memory behind an IOMMU: for one, a disk controller's buffer.
//!
//! The controller compares each address of a command with those that it was told are its buffer's, and only the
//! others go out to the bus. So what it is told must be bus addresses that nothing else of its has. They are had by
//! putting the whole buffer on the bus, for as long as the controller has a driver. Whether the
//! controller takes such an address for its own, or goes out and is led back by the IOMMU, it is the same memory.
//!
//! A request's memory in the buffer is then where that one mapping has it, and the rest of the request is mapped
//! as ever.

use super::domain::{Access, DmaDomain, Domain};
use super::mapping::DmaError;
use crate::lock::Mutex;
use alloc::sync::Arc;
use alloc::vec::Vec;
use phyr::{DmaAddr, DmaList, DmaRange, Phyr, PhyrList, PhysAddr};

/// The domain of a controller that has memory at fixed bus addresses, besides what is mapped.
#[derive(Debug)]
struct WithOwnMemory {
    others: Domain,
    memory: Phyr,
    bus: DmaRange,
    /// What is mapped of requests that have memory on both sides.
    mixed: Mutex<Vec<DmaList>>,
}

/// Puts all of a controller's own memory on the bus. Returns where, and the domain for requests.
///
/// # Errors
/// If it cannot be mapped in one piece.
///
/// # Safety
/// The memory is a provider's. It is there, and nobody else's, for as long as the domain.
pub unsafe fn with_own_memory(
    others: &Domain,
    memory: Phyr,
) -> Result<(DmaRange, Domain), DmaError> {
    let last = DmaAddr::new(u64::MAX);
    // SAFETY: the caller's promise; it is unmapped when the domain is dropped.
    let mapped = unsafe { others.map(PhyrList::from(memory), Access::Both, last) };
    let mapped = mapped.map_err(|(error, _)| error)?;
    let bus = mapped.first().ok_or(DmaError::NoAddresses)?;
    let domain = WithOwnMemory {
        others: others.clone(),
        memory,
        bus,
        mixed: Mutex::default(),
    };
    if bus.len() != memory.len() {
        return Err(DmaError::NoAddresses);
    }
    Ok((bus, Domain::new(Arc::new(domain))))
}

impl Drop for WithOwnMemory {
    fn drop(&mut self) {
        self.others.unmap(&DmaList::from(self.bus));
    }
}

/// What of a list lies on one side of the edge of the memory.
enum Run {
    Own(DmaRange),
    Others(PhyrList),
}

impl WithOwnMemory {
    /// Where the controller has a part of its memory.
    fn own(&self, phyr: Phyr) -> Option<DmaRange> {
        let offset = phyr.addr().offset_from(self.memory.addr())?;
        self.bus.sub(offset, phyr.len())
    }

    /// Parts a list where it enters or leaves the memory.
    fn runs(&self, list: &PhyrList) -> Result<Vec<Run>, DmaError> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, phyr) in list.iter().enumerate() {
            runs.try_reserve(1).map_err(|_| DmaError::OutOfMemory)?;
            match (self.own(phyr), runs.last_mut()) {
                (Some(own), _) => runs.push(Run::Own(own)),
                (None, _) if self.memory.overlaps(phyr) => {
                    return Err(DmaError::Unreachable { index });
                }
                (None, Some(Run::Others(others))) => {
                    let pushed = others.push_apart(phyr);
                    pushed.map_err(|_| DmaError::OutOfMemory)?;
                }
                (None, _) => runs.push(Run::Others(PhyrList::from(phyr))),
            }
        }
        Ok(runs)
    }

    /// Maps the runs. What was mapped of others goes to `mapped`, also after an error.
    ///
    /// # Safety
    /// As for [`DmaDomain::map`].
    unsafe fn map_runs(
        &self,
        runs: Vec<Run>,
        access: Access,
        last: DmaAddr,
        mapped: &mut Vec<DmaList>,
    ) -> Result<DmaList, DmaError> {
        let room = mapped.try_reserve(runs.len());
        room.map_err(|_| DmaError::OutOfMemory)?;
        let mut ranges = DmaList::new();
        for run in runs {
            let pushed = match run {
                Run::Own(own) if own.last() > last => return Err(DmaError::NoAddresses),
                Run::Own(own) => ranges.push_apart(own),
                Run::Others(list) => {
                    // SAFETY: the caller's promise.
                    let part = unsafe { self.others.map(list, access, last) };
                    let part = part.map_err(|(error, _)| error)?;
                    let pushed = part.iter().try_for_each(|range| ranges.push_apart(range));
                    mapped.push(part);
                    pushed
                }
            };
            pushed.map_err(|_| DmaError::OutOfMemory)?;
        }
        Ok(ranges)
    }
}

// SAFETY: a range is either of the one mapping of the own memory, at the bytes of the phyr, or of a mapping of the
// other domain, in the order of the list; the latter are unmapped there.
unsafe impl DmaDomain for WithOwnMemory {
    fn granule(&self) -> Option<u64> {
        self.others.granule()
    }

    fn fixed(&self, phyr: Phyr) -> Option<DmaAddr> {
        let own = self.own(phyr).map(|own| own.addr());
        own.or_else(|| self.others.fixed(phyr))
    }

    fn below(&self, last: DmaAddr) -> Option<PhysAddr> {
        self.others.below(last)
    }

    unsafe fn map(
        &self,
        list: PhyrList,
        access: Access,
        last: DmaAddr,
    ) -> Result<DmaList, (DmaError, PhyrList)> {
        if !list.iter().any(|phyr| self.memory.overlaps(phyr)) {
            // SAFETY: the caller's promise.
            return unsafe { self.others.map(list, access, last) };
        }
        let mut mapped = Vec::new();
        let ranges = self.runs(&list).and_then(|runs| {
            // SAFETY: the caller's promise.
            unsafe { self.map_runs(runs, access, last, &mut mapped) }
        });
        let mut mixed = self.mixed.lock();
        let ranges = ranges.and_then(|ranges| {
            let room = mixed.try_reserve(mapped.len());
            room.map(|()| ranges).map_err(|_| DmaError::OutOfMemory)
        });
        match ranges {
            Ok(ranges) => {
                mixed.append(&mut mapped);
                Ok(ranges)
            }
            Err(error) => {
                mapped.iter().for_each(|part| self.others.unmap(part));
                Err((error, list))
            }
        }
    }

    fn unmap(&self, list: &DmaList) {
        if !list.iter().any(|range| self.bus.contains(range)) {
            return self.others.unmap(list);
        }
        for range in list {
            let mut mixed = self.mixed.lock();
            let begins = |part: &DmaList| part.first().map(|first| first.addr());
            let found = mixed
                .iter()
                .position(|part| begins(part) == Some(range.addr()));
            if let Some(part) = found.map(|found| mixed.swap_remove(found)) {
                drop(mixed);
                self.others.unmap(&part);
            }
        }
    }
}
