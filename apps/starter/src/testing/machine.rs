//! A machine that is made of values.

use crate::disks::{Controller, Rate};
use crate::jobs::{Job, Stress};
use crate::system::{self, Core, FreeMemory, System, Volume};
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use core::time::Duration;
use kernel::block::{BlockDevice, Completion, Counters, Request as BlockRequest};
use kernel::dma::Memory;
use kernel::executor::Activity;
use kernel::fs::Folder;
use kernel::memory::DIRECT_MAP;
use kernel::memory::extents::{AllocError, Request};
use kernel::memory::paging::{Cache, LeafCount, MapError};
use kernel::memory::regions::{Kind, Provider};
use kernel::memory::virt::{VirtAddr, VirtRange};
use kernel::net::stack::Stack;
use kernel::pci::bar::Need;
use kernel::pci::{Function, PciAddress};
use kernel::storage::Name;
use phyr::{Phyr, PhyrList, PhysAddr};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(crate) const GIB: u64 = 1 << 30;

/// A machine with 4 GiB of RAM from address 0 on, all of it mapped by leaves of 1 GiB.
pub(crate) struct Fake {
    pub(crate) regions: Vec<MemoryRegion>,
    pub(crate) free: Vec<Phyr>,
    pub(crate) functions: Vec<Function>,
    pub(crate) unplaced: Vec<(PciAddress, Need)>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) shares: Vec<Arc<dyn Folder>>,
    pub(crate) allocated: Cell<Option<Phyr>>,
    pub(crate) clock: Cell<Duration>,
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) balloons: Vec<system::Balloon>,
    pub(crate) screens: Vec<system::Screen>,
    /// Bytes that the CPU has copied: as many as a request has, for each.
    pub(crate) copied: Cell<u64>,
    pub(crate) copies: bool,
    pub(crate) jobs: RefCell<Vec<Job>>,
    pub(crate) stacks: Vec<Stack>,
    /// How each job will end.
    pub(crate) ends: RefCell<Vec<Result<String, String>>>,
}

impl Default for Fake {
    fn default() -> Self {
        let region = |start, end, kind| MemoryRegion { start, end, kind };
        Self {
            regions: vec![
                region(0, 0x9f000, MemoryRegionKind::Usable),
                region(0xf0000, 0x10_0000, MemoryRegionKind::UnknownBios(2)),
                region(0x10_0000, 0x40_0000, MemoryRegionKind::Bootloader),
                region(0x40_0000, 4 * GIB, MemoryRegionKind::Usable),
                region(7, 7, MemoryRegionKind::Usable),
            ],
            free: vec![phyr(0x1000, 0x9e000), phyr(0x40_0000, 4 * GIB - 0x40_0000)],
            functions: Vec::new(),
            unplaced: Vec::new(),
            volumes: Vec::new(),
            shares: Vec::new(),
            allocated: Cell::new(None),
            clock: Cell::new(Duration::from_micros(61_234_567)),
            providers: Vec::new(),
            balloons: Vec::new(),
            screens: Vec::new(),
            copied: Cell::new(0),
            copies: false,
            stacks: Vec::new(),
            jobs: RefCell::default(),
            ends: RefCell::default(),
        }
    }
}

pub(crate) fn phyr(start: u64, len: u64) -> Phyr {
    Phyr::new(PhysAddr::new(start), len).unwrap()
}

/// Memory that is no RAM. Nothing reads or writes it.
pub(crate) fn provider(letters: &str, kind: Kind, memory: Phyr) -> Arc<Provider> {
    let (name, keeper) = (Name::numbered(letters), Arc::new(()));
    // SAFETY: nobody reads or writes what a machine of values has.
    unsafe { Provider::new(name, kind, memory, Cache::Uncached, keeper) }
}

impl Fake {
    /// What a controller answers: the second one is dead.
    fn ask(&self, name: &str, answer: &str) -> Option<Result<String, String>> {
        let controllers = self.controllers();
        let found = controllers.iter().find(|found| found.name == name)?;
        Some(match &found.failure {
            None => Ok(answer.into()),
            Some(failure) => Err(failure.clone()),
        })
    }
}

impl System for Fake {
    fn cpus(&self) -> usize {
        2
    }

    fn cores(&self) -> Vec<Core> {
        let core = |number: usize| Core {
            number,
            activity: Activity {
                turns: 1000,
                polls: 200,
                halts: 30,
                local_wakes: 150,
                remote_wakes: 4,
                calls: number as u64,
                failed_calls: 0,
            },
            interrupts: 7,
        };
        (0..self.cpus()).map(core).collect()
    }

    /// Every look at the clock takes 1.5 ms.
    fn uptime(&self) -> Duration {
        self.clock
            .set(self.clock.get() + Duration::from_micros(1500));
        self.clock.get()
    }

    fn since_power_on(&self) -> Option<Duration> {
        Some(Duration::from_micros(34_999))
    }

    fn transferred(&self) -> Counters {
        let looks = self.clock.get().as_micros() as u64 / 1500 % 2;
        Counters {
            direct: 5000 * looks,
            copied: 17 * looks,
        }
    }

    fn memory_map(&self) -> &[MemoryRegion] {
        &self.regions
    }

    fn free_memory(&self) -> FreeMemory {
        FreeMemory::of(self.free.iter().copied())
    }

    fn functions(&self) -> Vec<Function> {
        self.functions.clone()
    }

    fn unplaced(&self) -> Vec<(PciAddress, Need)> {
        self.unplaced.clone()
    }

    fn volumes(&self) -> Vec<Volume> {
        self.volumes.clone()
    }

    fn shares(&self) -> Vec<Arc<dyn Folder>> {
        self.shares.clone()
    }

    fn translate(&self, range: VirtRange) -> Result<PhyrList, MapError> {
        let start = range.start().get().checked_sub(DIRECT_MAP);
        let start = start.filter(|start| *start < 4 * GIB && range.len() <= 4 * GIB - start);
        let mut list = PhyrList::new();
        let start = start.ok_or(MapError::NotMapped(range.start()))?;
        list.push(phyr(start, range.len()))
            .map_err(MapError::List)?;
        Ok(list)
    }

    fn leaves(&self, range: VirtRange) -> LeafCount {
        let gib_1 = range.last().get() / GIB - range.start().get() / GIB + 1;
        LeafCount {
            gib_1,
            mib_2: 0,
            kib_4: 0,
        }
    }

    fn with_frames(
        &self,
        request: Request,
        look: &mut dyn FnMut(VirtRange, Phyr),
    ) -> Result<(), AllocError> {
        let fits = |free: &Phyr| free.align_inner(request.align)?.sub(0, request.len);
        let phyr = self
            .free
            .iter()
            .find_map(fits)
            .ok_or(AllocError::Exhausted(request))?;
        let start = VirtAddr::new(DIRECT_MAP + phyr.addr().get()).unwrap();
        self.allocated.set(Some(phyr));
        look(VirtRange::new(start, phyr.len()).unwrap(), phyr);
        self.allocated.set(None);
        Ok(())
    }

    fn controllers(&self) -> Vec<Controller> {
        let names = self.volumes.iter().map(|volume| volume.device.name());
        let controller = |name: &str| Controller {
            name: name.trim_end_matches("n1").into(),
            model: "QEMU NVMe Ctrl".into(),
            queues: 4,
            resets: 2,
            commands: 1000,
            doorbells: 300,
            interrupts: 200,
            failure: (name == "nvme1n1").then(|| "the device is gone".into()),
        };
        names.map(controller).collect()
    }

    fn health(&self, name: &str) -> Option<Result<String, String>> {
        self.ask(name, "temperature 50 C\n")
    }

    fn errors(&self, name: &str) -> Option<Result<String, String>> {
        self.ask(name, "no errors\n")
    }

    fn reset(&self, name: &str) -> Option<Result<String, String>> {
        self.ask(name, "")
    }

    fn measure(
        &self,
        device: &Arc<dyn BlockDevice>,
        depth: usize,
        polled: bool,
    ) -> Result<Rate, String> {
        if device.name() == "nvme1n1" {
            return Err("the device is gone".into());
        }
        let requests = depth as u64 * if polled { 5000 } else { 2500 };
        Ok(Rate {
            requests,
            bytes: requests * 4096,
            time: Duration::from_millis(500),
        })
    }

    fn providers(&self) -> Vec<Arc<Provider>> {
        self.providers.clone()
    }

    fn flush(&self, name: &str) -> Option<Result<(), String>> {
        let mut disks = self.volumes.iter();
        if disks.any(|volume| volume.device.name() == name) {
            return Some(Ok(()));
        }
        let provider = self.providers.iter().find(|it| it.name() == name)?;
        let mut persisting = std::pin::pin!(provider.persist());
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(persisted) = persisting.as_mut().poll(&mut cx) else {
            panic!("no device has to be waited for");
        };
        Some(persisted.map_err(|error| error.to_string()))
    }

    fn copied(&self) -> u64 {
        self.copied.get()
    }

    /// Everything goes well, and nothing happens.
    fn carry_out(&self, _: &Arc<dyn BlockDevice>, request: BlockRequest) -> Completion {
        if self.copies {
            self.copied.set(self.copied.get() + request.len() as u64);
        }
        Completion {
            memory: request.into_memory(),
            result: Ok(()),
        }
    }

    fn screens(&self) -> Vec<system::Screen> {
        self.screens.clone()
    }

    fn show(&self, _: &str, _: Memory, _: &system::Shown) -> Result<(), String> {
        Ok(())
    }

    /// Half of the jobs go well: those of an even seed.
    fn random(&self, bytes: &mut [u8]) -> String {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (index as u8).wrapping_mul(7);
        }
        "three dice".into()
    }

    fn balloons(&self) -> Vec<system::Balloon> {
        self.balloons.clone()
    }

    fn report_free(&self) -> Result<(u64, u64), String> {
        match self.balloons.iter().any(|balloon| balloon.reports) {
            true => Ok((2, 4 * GIB - 0x2000)),
            false => Err("nobody asks".into()),
        }
    }

    fn start(&self, stress: Stress) -> usize {
        let number = self.jobs.borrow().len() + 1;
        let end = if stress.seed.is_multiple_of(2) {
            Ok(format!("seed {}, depth {}", stress.seed, stress.depth))
        } else {
            Err("block 7 is torn".into())
        };
        self.jobs.borrow_mut().push(Job {
            number,
            what: format!("iostress {}", stress.device.name()),
            progress: "half of it".into(),
            end: None,
        });
        self.ends.borrow_mut().push(end);
        number
    }

    fn stacks(&self) -> Vec<Stack> {
        self.stacks.clone()
    }

    fn jobs(&self) -> Vec<Job> {
        self.jobs.borrow().clone()
    }

    fn wait(&self, number: usize) -> Option<Job> {
        let end = self.ends.borrow()[number - 1].clone();
        let mut jobs = self.jobs.borrow_mut();
        jobs[number - 1].end = Some(end);
        jobs.get(number - 1).cloned()
    }

    fn serve(&self, service: system::Service) -> Result<String, String> {
        Ok(format!("{service:?} at port {}", service.port()))
    }
}
