//! What the shell asks, answered by the kernel.

mod disks;
mod jobs;
mod screens;
pub(crate) mod services;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootloader_api::info::MemoryRegion;
use core::time::Duration;
use kernel::block::{self, BlockDevice, Completion, Counters};
use kernel::cores::CoreId;
use kernel::dma::Memory;
use kernel::drivers::helpers;
use kernel::drivers::virtio::balloon;
use kernel::fs::Folder;
use kernel::machine::machine;
use kernel::memory::extents::{AllocError, Request};
use kernel::memory::frames::{Frames, with_allocator};
use kernel::memory::paging::{LeafCount, MapError};
use kernel::memory::regions::{self, Provider};
use kernel::memory::virt::{VirtAddr, VirtRange};
use kernel::memory::{self, mapping};
use kernel::net::stack::{self, Options, Stack};
use kernel::pci::bar::Need;
use kernel::pci::hotplug::Tree;
use kernel::pci::{Function, PciAddress};
use kernel::time::{self, Source};
use kernel::{arch, cores, executor, interrupts, random, storage};
use phyr::{Phyr, PhyrList};
use shell::disks::{Controller, Rate};
use shell::jobs::{Job, Stress};
use shell::system::{Balloon, Core, FreeMemory, Screen, Service, Shown, System, Volume};

/// The machine that the kernel runs on.
#[derive(Default)]
pub(crate) struct Machine;

impl System for Machine {
    fn cpus(&self) -> usize {
        cores::online().count()
    }

    fn cores(&self) -> Vec<Core> {
        let core = |core: CoreId| Core {
            number: core.index(),
            activity: executor::activity(core),
            interrupts: interrupts::noticed(core),
        };
        cores::online().map(core).collect()
    }

    fn uptime(&self) -> Duration {
        time::now()
    }

    fn since_power_on(&self) -> Option<Duration> {
        // The counter starts with the machine.
        let clock = time::clock().filter(|clock| clock.source() != Source::Assumed)?;
        let micros = u128::from(arch::cpu::time_stamp()) * 1_000_000 / u128::from(clock.hertz());
        u64::try_from(micros).ok().map(Duration::from_micros)
    }

    fn transferred(&self) -> Counters {
        block::counters()
    }

    fn memory_map(&self) -> &[MemoryRegion] {
        memory::boot_regions()
    }

    fn free_memory(&self) -> FreeMemory {
        with_allocator(|allocator| FreeMemory::of(allocator.extents()))
    }

    fn functions(&self) -> Vec<Function> {
        machine().functions()
    }

    fn unplaced(&self) -> Vec<(PciAddress, Need)> {
        let pci = machine().pci.as_ref();
        pci.map(Tree::unplaced).unwrap_or_default()
    }

    fn volumes(&self) -> Vec<Volume> {
        let volume = |found: storage::Volume| Volume {
            device: found.device,
            model: found.model.unwrap_or_default(),
            has_ext4: found.has_ext4,
        };
        storage::volumes().into_iter().map(volume).collect()
    }

    fn shares(&self) -> Vec<Arc<dyn Folder>> {
        let shares = helpers::shares().into_iter();
        shares
            .map(|share| Arc::new(share) as Arc<dyn Folder>)
            .collect()
    }

    fn translate(&self, range: VirtRange) -> Result<PhyrList, MapError> {
        memory::translate(range)
    }

    fn leaves(&self, range: VirtRange) -> LeafCount {
        mapping::leaves(range)
    }

    fn with_frames(
        &self,
        request: Request,
        look: &mut dyn FnMut(VirtRange, Phyr),
    ) -> Result<(), AllocError> {
        let frames = Frames::request(request)?;
        let start = VirtAddr::of(frames.pointer().as_ptr());
        let range = VirtRange::new(start, frames.phyr().len()).expect("RAM is mapped in one half");
        look(range, frames.phyr());
        Ok(())
    }

    fn controllers(&self) -> Vec<Controller> {
        disks::controllers()
    }

    fn health(&self, name: &str) -> Option<Result<String, String>> {
        disks::health(name)
    }

    fn errors(&self, name: &str) -> Option<Result<String, String>> {
        disks::errors(name)
    }

    fn reset(&self, name: &str) -> Option<Result<String, String>> {
        disks::reset(name)
    }

    fn measure(
        &self,
        device: &Arc<dyn BlockDevice>,
        depth: usize,
        polled: bool,
    ) -> Result<Rate, String> {
        disks::measure(device, depth, polled)
    }

    fn providers(&self) -> Vec<Arc<Provider>> {
        // What a controller has is known when the controller is.
        storage::volumes();
        regions::providers()
    }

    fn carry_out(&self, device: &Arc<dyn BlockDevice>, request: block::Request) -> Completion {
        executor::block_on(device.execute(request))
    }

    fn flush(&self, name: &str) -> Option<Result<(), String>> {
        if let Some(volume) = storage::volume(name) {
            let flushed = executor::block_on(volume.device.flush());
            return Some(flushed.map_err(|error| error.to_string()));
        }
        let provider = regions::find(name)?;
        let persisted = executor::block_on(provider.persist());
        Some(persisted.map_err(|error| error.to_string()))
    }

    fn copied(&self) -> u64 {
        let disks = storage::virtio_disks();
        disks.iter().map(|disk| disk.bounced()).sum()
    }

    fn screens(&self) -> Vec<Screen> {
        screens::all()
    }

    fn show(&self, screen: &str, memory: Memory, picture: &Shown) -> Result<(), String> {
        screens::show(screen, memory, picture)
    }

    fn random(&self, bytes: &mut [u8]) -> String {
        random::fill(bytes);
        random::origin().to_string()
    }

    fn balloons(&self) -> Vec<Balloon> {
        let balloon = |balloon: Arc<balloon::Balloon>| {
            let handle = balloon.handle();
            let bytes = |pages: u32| u64::from(pages) * balloon::UNIT;
            Balloon {
                address: balloon.address(),
                inside: bytes(handle.pages()),
                wanted: bytes(handle.target().unwrap_or(0)),
                reports: handle.can_report(),
            }
        };
        helpers::balloons().into_iter().map(balloon).collect()
    }

    fn report_free(&self) -> Result<(u64, u64), String> {
        let balloons = helpers::balloons();
        let asks = |balloon: &&Arc<balloon::Balloon>| balloon.handle().can_report();
        let balloon = balloons.iter().find(asks);
        let balloon = balloon.ok_or("no hypervisor asks what is free")?;
        let reported = executor::block_on(balloon.report_free());
        let reported = reported.map_err(|error| error.to_string())?;
        Ok((reported.phyrs, reported.bytes))
    }

    fn stacks(&self) -> Vec<Stack> {
        stack::start(Options::default());
        executor::block_on(stack::started());
        stack::stacks()
    }

    fn start(&self, stress: Stress) -> usize {
        jobs::start(stress)
    }

    fn jobs(&self) -> Vec<Job> {
        jobs::list()
    }

    fn wait(&self, number: usize) -> Option<Job> {
        jobs::wait(number)
    }

    fn serve(&self, service: Service) -> Result<String, String> {
        services::start(service)
    }
}
