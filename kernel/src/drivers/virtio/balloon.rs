//! Memory balloons: free memory is reported to the hypervisor as it is, in phyrs, and memory that the hypervisor wants
//! is kept out of use.
//!
//! Nothing is remembered of what was reported. A free extent is taken out of the allocator, so that nobody gets it
//! meanwhile, shown to the device, and given back. What the device has punched a hole into costs nothing
//! to report again.

use super::platform::VirtioPlatform;
use super::{AskError, ProbeError, Reached, UsesLine, reach};
use crate::dma::{self, Buffer, DmaLimits, Domain, FromDevice, Mixed, Owner, Transfer};
use crate::memory::extents::Request;
use crate::memory::frames::{Frames, with_allocator};
use crate::memory::ram_bytes;
use crate::memory::window::PAGE;
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use crate::pci::{Function, PciAddress};
use alloc::sync::Arc;
use alloc::vec::Vec;
use embassy_futures::select::select;
use embassy_time::{Duration, Timer};
use phyr::{Phyr, PhysAddr};
use virtio::balloon::{Options, Statistics, Surrendered};
use virtio::transport::DeviceKind;

/// The driver's handle of a device.
pub type Handle = virtio::balloon::Balloon<VirtioPlatform, InBalloon, Transfer>;

/// virtio addresses all 64 bits, and does not ask for any alignment.
const LIMITS: DmaLimits = DmaLimits::NONE;

/// Shorter extents are not reported: the hypervisor has little from them.
pub const LEAST: u64 = 2 << 20;

/// Most bytes that are out of the allocator at once. A descriptor could say four times as much.
const MOST: u64 = 1 << 30;

/// Most bytes of a step into the balloon.
const STEP: u64 = 4 << 20;

/// Bytes of the pages that a balloon counts.
pub const UNIT: u64 = virtio::balloon::PAGE;

/// Memory that stays free, whatever the hypervisor wants.
const RESERVE: u64 = 16 << 20;

/// The end of what a balloon can say, whose page numbers have 32 bits.
const END: PhysAddr = PhysAddr::new(1 << 44);

/// How often the hypervisor is asked what it wants.
const PERIOD: Duration = Duration::from_secs(1);

/// A balloon in use.
pub struct Balloon {
    address: PciAddress,
    handle: Handle,
    domain: Domain,
}

/// RAM that is in a balloon.
#[derive(Debug)]
pub struct InBalloon(Frames);

// SAFETY: frames are RAM that belongs to the value alone. Here nobody can get at the bytes.
unsafe impl Surrendered for InBalloon {
    fn phyr(&self) -> Phyr {
        self.0.phyr()
    }
}

/// What one pass over the free memory has reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reported {
    /// Bytes.
    pub bytes: u64,
    /// The phyrs that these were.
    pub phyrs: u64,
    /// Messages to the device.
    pub messages: u64,
}

/// Whether a function is such a device.
pub fn is_it(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::BALLOON)
}

/// Brings a device up.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Balloon>, ProbeError> {
    let Reached {
        platform, blocks, ..
    } = reach(owners, function, UsesLine::Yes)?;
    let domain = platform.domain().clone();
    let handle = Handle::new(platform, blocks.notify, Options::default()).await;
    Ok(Arc::new(Balloon {
        address: function.address,
        handle: handle.map_err(ProbeError::Driver)?,
        domain,
    }))
}

impl Balloon {
    /// Where it is.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The driver's handle, to be asked how the device is.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    // ANCHOR: report
    /// Reports all free extents of at least [`LEAST`] bytes, in the order of their addresses.
    ///
    /// While a piece is reported it is nobody's: no more than half of what is free at once.
    ///
    /// # Errors
    /// What the device says. What was taken out of the allocator is back, unless the device may still have it.
    pub async fn report_free(&self) -> Result<Reported, AskError> {
        let mut reported = Reported::default();
        let mut from = PhysAddr::new(0);
        loop {
            let batch = self.take_free(&mut from);
            if batch.is_empty() {
                return Ok(reported);
            }
            reported.phyrs += batch.len() as u64;
            reported.bytes += batch.iter().map(|frames| frames.phyr().len()).sum::<u64>();
            reported.messages += 1;
            let mut mixed = Mixed::new();
            batch.into_iter().for_each(|frames| mixed.push(frames));
            let buffer = Buffer::<FromDevice>::from_device(mixed.into_memory());
            let mapped = dma::map(buffer, &self.domain, &LIMITS);
            let mapped = mapped.map_err(|(error, _)| AskError::Memory(error))?;
            let answer = self.handle.report(mapped.into()).await;
            // Back into the allocator with it.
            drop(answer.map_err(|(error, _)| error)?);
        }
    }
    // ANCHOR_END: report

    /// Takes the next free memory out of the allocator, as much as fits into a report.
    fn take_free(&self, from: &mut PhysAddr) -> Vec<Frames> {
        let mut batch: Vec<Frames> = Vec::new();
        // The heap asks the same allocator, so the room is made before.
        let most = usize::from(self.handle.most_ranges());
        if batch.try_reserve_exact(most).is_err() {
            return batch;
        }
        let free = with_allocator(|allocator| allocator.free_bytes());
        let mut room = (free / 2).min(MOST);
        while batch.len() < most
            && let Some(frames) = take_next(*from, room)
        {
            let Some(next) = frames.phyr().last().checked_add(1) else {
                break;
            };
            (*from, room) = (next, room - frames.phyr().len());
            batch.push(frames);
        }
        batch
    }

    /// Gives the hypervisor what it wants, or takes back what it does not want any more, as far as there is memory.
    /// Returns how many pages are in the balloon then.
    ///
    /// # Errors
    /// What the device says.
    pub async fn adjust(&self) -> Result<u32, AskError> {
        let target = self.handle.target().map_err(virtio::Error::Failed)?;
        while self.handle.pages() > target {
            if self.handle.deflate().await?.is_none() {
                break;
            }
        }
        while self.handle.pages() < target {
            let wanted = u64::from(target - self.handle.pages()) * PAGE;
            let Some(frames) = take_for_balloon(wanted.min(STEP)) else {
                break;
            };
            let inflated = self.handle.inflate(InBalloon(frames)).await;
            inflated.map_err(|(error, _)| error)?;
        }
        Ok(self.handle.pages())
    }

    /// Tells the hypervisor how much memory there is, if it has asked since the last time. Returns what it was told.
    ///
    /// # Errors
    /// What the device says.
    pub fn answer(&self) -> Result<Option<Statistics>, AskError> {
        let mut told = None;
        if self.handle.may_ask() {
            self.handle.answer(|| *told.insert(statistics()))?;
        }
        Ok(told)
    }

    /// Does what the hypervisor wants from now on, tells it of memory when it asks, and reports free memory when there is
    /// more of it than before.
    /// Resolves when the device is out of use.
    pub async fn tend(&self) {
        let mut free_before = 0;
        while self.handle.failure().is_none() {
            let _ = self.adjust().await;
            let _ = self.answer();
            let free = with_allocator(|allocator| allocator.free_bytes());
            if self.handle.can_report() && free > free_before + free_before / 8 {
                let _ = self.report_free().await;
                free_before = free;
            }
            free_before = free_before.min(free);
            // It says so, where it has a way to.
            select(Timer::after(PERIOD), self.handle.retargeted()).await;
        }
    }

    /// Takes everything out of the balloon, and lets the device go.
    pub async fn leave(&self) {
        while let Ok(Some(frames)) = self.handle.deflate().await {
            drop(frames);
        }
        self.handle.shutdown();
        while let Some(frames) = self.handle.reclaim() {
            drop(frames);
        }
    }
}

/// How much memory there is now. Nothing is kept that could be given up for somebody else.
fn statistics() -> Statistics {
    let free = with_allocator(|allocator| allocator.free_bytes());
    Statistics {
        free,
        total: ram_bytes(),
        available: free,
    }
}

/// Takes the next piece of free memory that is worth a report out of the allocator: from this address on, and not
/// longer than that.
fn take_next(from: PhysAddr, room: u64) -> Option<Frames> {
    let piece = with_allocator(|allocator| {
        let behind = |extent: Phyr| match from.offset_from(extent.addr()) {
            Some(offset @ 1..) => extent.split_at(offset).map(|(_, behind)| behind),
            _ => Some(extent),
        };
        let rests = allocator.extents().filter(|extent| extent.last() >= from);
        let mut rests = rests.filter_map(behind);
        rests.find(|rest| rest.len() >= LEAST)
    })?;
    let most = room / PAGE * PAGE;
    let piece = match piece.len() > most {
        true => piece.sub(0, most)?,
        false => piece,
    };
    // Somebody may have been faster. Then it is not free, and what is behind it comes later.
    match piece.len() >= LEAST {
        true => Frames::take(piece).ok(),
        false => None,
    }
}

/// Memory for the balloon, in one piece, if there is enough without the reserve.
fn take_for_balloon(most: u64) -> Option<Frames> {
    let free = with_allocator(|allocator| allocator.free_bytes());
    let mut len = most.min(free.saturating_sub(RESERVE)) / PAGE * PAGE;
    while len > 0 {
        let request = Request {
            len,
            align: PAGE,
            below: Some(END),
        };
        match Frames::request(request) {
            Ok(frames) => return Some(frames),
            Err(_) => len = len / 2 / PAGE * PAGE,
        }
    }
    None
}
