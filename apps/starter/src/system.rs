//! What the shell asks of the machine that it runs on.
//!
//! The kernel answers in the real program. In tests a machine that is made of values does, so
//! that what a command prints can be compared with what it should print.

use crate::disks::{Controller, Rate};
use crate::jobs::{Job, Stress};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootloader_api::info::MemoryRegion;
use core::time::Duration;
use kernel::block::{self, BlockDevice, Completion, Counters};
use kernel::dma::Memory;
use kernel::executor::Activity;
use kernel::fs::Folder;
use kernel::memory::extents::{AllocError, Request};
use kernel::memory::paging::{LeafCount, MapError};
use kernel::memory::regions::Provider;
use kernel::memory::virt::VirtRange;
use kernel::net::stack::Stack;
use kernel::pci::bar::Need;
use kernel::pci::{Function, PciAddress};
use phyr::{Phyr, PhyrList};

/// A machine, seen from the shell.
pub trait System {
    /// The number of CPUs that the firmware reports.
    fn cpus(&self) -> usize;

    /// What each core has done, in the order of their numbers.
    fn cores(&self) -> Vec<Core>;

    /// The time since the kernel started its clock.
    fn uptime(&self) -> Duration;

    /// The time since the machine was switched on, if the clock knows it.
    fn since_power_on(&self) -> Option<Duration>;

    /// What was read from disks since the start.
    fn transferred(&self) -> Counters;

    /// The memory map as the loader passed it.
    fn memory_map(&self) -> &[MemoryRegion];

    /// The free memory at this moment.
    fn free_memory(&self) -> FreeMemory;

    /// Every PCI function.
    fn functions(&self) -> Vec<Function>;

    /// Base address registers that have no place.
    fn unplaced(&self) -> Vec<(PciAddress, Need)>;

    /// The disks at this moment, each followed by its partitions. The first call may take the time
    /// to look for them.
    fn volumes(&self) -> Vec<Volume>;

    /// The folders of the host's at this moment.
    fn shares(&self) -> Vec<Arc<dyn Folder>>;

    /// The phyrs behind a virtual range.
    fn translate(&self, range: VirtRange) -> Result<PhyrList, MapError>;

    /// How many leaves of each size map a virtual range.
    fn leaves(&self, range: VirtRange) -> LeafCount;

    /// Allocates memory, shows where it is and where the CPU sees it, and frees it again.
    fn with_frames(
        &self,
        request: Request,
        look: &mut dyn FnMut(VirtRange, Phyr),
    ) -> Result<(), AllocError>;

    /// The NVMe controllers.
    fn controllers(&self) -> Vec<Controller>;

    /// The health log of a controller, in words. `None` if there is no such controller.
    fn health(&self, name: &str) -> Option<Result<String, String>>;

    /// The error log of a controller, in words.
    fn errors(&self, name: &str) -> Option<Result<String, String>>;

    /// Resets a controller. Says what there is to say.
    fn reset(&self, name: &str) -> Option<Result<String, String>>;

    /// Reads 4 KiB at random places for a moment, so many at a time; polled or by interrupt.
    fn measure(
        &self,
        device: &Arc<dyn BlockDevice>,
        depth: usize,
        polled: bool,
    ) -> Result<Rate, String>;

    /// Memory that is no RAM, and who gives it out, in the order of their addresses.
    fn providers(&self) -> Vec<Arc<Provider>>;

    /// Carries out a request, and waits for its end.
    fn carry_out(&self, device: &Arc<dyn BlockDevice>, request: block::Request) -> Completion;

    /// Makes everything last that was written to a disk or to persistent memory. `None` if nothing has this name.
    ///
    /// # Errors
    /// Why it may not last, in words.
    fn flush(&self, name: &str) -> Option<Result<(), String>>;

    /// Bytes of requests so far that the CPU has copied, because a disk has no way to their memory.
    fn copied(&self) -> u64;

    /// The screens at this moment.
    fn screens(&self) -> Vec<Screen>;

    /// Shows a picture on the screen of this name, until the next one. It lies in the screen's own memory, if it has
    /// some, else anywhere.
    ///
    /// # Errors
    /// Why not, in words.
    fn show(&self, screen: &str, memory: Memory, picture: &Shown) -> Result<(), String>;

    /// Random bytes, and what they come from, in words.
    fn random(&self, bytes: &mut [u8]) -> String;

    /// The memory balloons.
    fn balloons(&self) -> Vec<Balloon>;

    /// Tells the hypervisor of all memory that is free. Returns how many phyrs that were, and how many bytes.
    ///
    /// # Errors
    /// Why not, in words.
    fn report_free(&self) -> Result<(u64, u64), String>;

    /// The stacks of network interfaces, when those that there are have theirs.
    fn stacks(&self) -> Vec<Stack>;

    /// Begins a job. Returns its number.
    fn start(&self, stress: Stress) -> usize;

    /// All jobs since the start, the oldest first.
    fn jobs(&self) -> Vec<Job>;

    /// Waits until a job has ended. `None` if there is no such job.
    fn wait(&self, number: usize) -> Option<Job>;

    /// Starts a service; if it runs already, nothing happens. Says where it is, and what it has done.
    ///
    /// # Errors
    /// Why not, in words.
    fn serve(&self, service: Service) -> Result<String, String>;
}

/// What a machine can do for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Files, disks, and pages about itself.
    Http,
    /// Disks.
    Nbd {
        /// Whether they may be changed.
        writable: bool,
    },
    /// Bytes, for iperf3 to be counted.
    Iperf,
    /// What comes goes back.
    Echo,
}

impl Service {
    /// The port that it is at.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Nbd { .. } => 10_809,
            Self::Iperf => 5201,
            Self::Echo => 7,
        }
    }

    /// Understands what the host wants to be started: words with a space between them.
    ///
    /// # Errors
    /// The word that means nothing.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, &str> {
        let one = |word| match word {
            "http" => Ok(Self::Http),
            "nbd" => Ok(Self::Nbd { writable: false }),
            "nbd-write" => Ok(Self::Nbd { writable: true }),
            "iperf" => Ok(Self::Iperf),
            "echo" => Ok(Self::Echo),
            other => Err(other),
        };
        text.split_ascii_whitespace().map(one).collect()
    }
}

/// A memory balloon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balloon {
    /// Where it is.
    pub address: PciAddress,
    /// Bytes that are in it.
    pub inside: u64,
    /// Bytes that the hypervisor wants in it.
    pub wanted: u64,
    /// It wants to know what is free.
    pub reports: bool,
}

/// A screen.
#[derive(Debug, Clone)]
pub struct Screen {
    /// What it is called.
    pub name: String,
    /// The memory in which pictures have to be. `None`: they may be anywhere, and their lines in either order.
    pub memory: Option<Arc<Provider>>,
}

/// A picture in memory: lines without a gap, four bytes a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Pixels of a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
    /// Bytes before the first pixel.
    pub start: u64,
    /// The first line in memory is the lowest.
    pub is_upside_down: bool,
}

/// What a core has done since it came.
#[derive(Debug, Clone, Copy)]
pub struct Core {
    /// The core's number.
    pub number: usize,
    /// What its executor has done.
    pub activity: Activity,
    /// The interrupts of devices that it has noticed.
    pub interrupts: u64,
}

/// A disk or a partition.
#[derive(Clone)]
pub struct Volume {
    /// Its blocks, and its name.
    pub device: Arc<dyn BlockDevice>,
    /// The model of the disk; empty for a partition.
    pub model: String,
    /// Whether it claims to have an ext4 file system.
    pub has_ext4: bool,
}

/// How many free extents are listed one by one.
pub const LISTED: usize = 64;

/// The free memory at one moment.
///
/// It is an array and not a list, because it is filled while the allocator is locked. A list
/// would grow on the heap, and the heap asks the same allocator.
#[derive(Debug, Clone, Copy)]
pub struct FreeMemory {
    listed: [Option<Phyr>; LISTED],
    /// The number of extents.
    pub extents: usize,
    /// The bytes in them.
    pub bytes: u64,
    /// The longest one.
    pub longest: Option<Phyr>,
}

impl FreeMemory {
    /// Counts the extents and keeps the first [`LISTED`]. Allocates nothing.
    pub fn of(extents: impl Iterator<Item = Phyr>) -> Self {
        let mut free = Self {
            listed: [None; LISTED],
            extents: 0,
            bytes: 0,
            longest: None,
        };
        for extent in extents {
            if let Some(place) = free.listed.get_mut(free.extents) {
                *place = Some(extent);
            }
            free.extents += 1;
            free.bytes = free.bytes.saturating_add(extent.len());
            if free
                .longest
                .is_none_or(|longest| longest.len() < extent.len())
            {
                free.longest = Some(extent);
            }
        }
        free
    }

    /// The first extents, in the order of their addresses.
    pub fn listed(&self) -> impl Iterator<Item = Phyr> {
        self.listed.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::PhysAddr;

    #[test]
    fn services_are_started_by_their_names() {
        let all = Service::parse_all("http nbd-write\n iperf echo");
        let expected = [
            Service::Http,
            Service::Nbd { writable: true },
            Service::Iperf,
            Service::Echo,
        ];
        assert_eq!(all.as_deref(), Ok(&expected[..]));
        assert_eq!(Service::parse_all("nbd ftp"), Err("ftp"));
        assert_eq!(Service::parse_all(""), Ok(vec![]));
    }

    #[test]
    fn more_extents_than_are_listed_are_still_counted() {
        let extents =
            (1..=LISTED as u64 + 3).map(|n| Phyr::new(PhysAddr::new(n << 20), n * 4096).unwrap());
        let free = FreeMemory::of(extents);
        assert_eq!(free.extents, LISTED + 3);
        assert_eq!(free.listed().count(), LISTED);
        assert_eq!(free.bytes, (1..=LISTED as u64 + 3).sum::<u64>() * 4096);
        assert_eq!(
            free.longest.unwrap().addr(),
            PhysAddr::new((LISTED as u64 + 3) << 20)
        );
    }
}
