//! The machine that the driver believes to run on.

use super::memory::{Ours, PAGE};
use super::{Config, Model};
use crate::allocation;
use nvme::{Access, Device, Memory, OutOfMemory, Platform, Ranges, Registers, SharedMemory};
use phyr::{DmaAddr, DmaList, DmaRange};
use std::cell::{RefCell, RefMut};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The platform: a way to the model.
#[derive(Clone)]
pub(crate) struct Machine(Rc<RefCell<Model>>);

impl Machine {
    pub(crate) fn new(config: Config) -> Self {
        Self(Rc::new(RefCell::new(Model::new(config))))
    }

    pub(crate) fn model(&self) -> RefMut<'_, Model> {
        self.0.borrow_mut()
    }

    /// One turn of the device, and time for it.
    pub(crate) fn tick(&self) {
        allocation::of_the_model(|| self.model().tick());
    }

    /// The machine is not needed any more. Whoever has forgotten a piece of it keeps no more than
    /// that.
    pub(crate) fn scrap(&self) {
        *self.model() = Model::new(Config {
            pages: 0,
            ..Config::default()
        });
    }

    /// Nobody has anything to do: the device works, and time passes. Where the device has
    /// nothing to do either, it passes at once until somebody waits for no longer.
    pub(crate) fn pass(&self) {
        let mut model = self.model();
        if model.is_quiet() {
            let next = model.timers.iter().map(|(until, _)| *until).min();
            let next = next.expect("nobody waits for anything: a wake-up was lost");
            model.clock = model.clock.max(next);
        }
        model.tick();
        let now = model.clock;
        let due: Vec<Waker> = model
            .timers
            .extract_if(.., |(until, _)| *until <= now)
            .map(|(_, waker)| waker)
            .collect();
        drop(model);
        due.into_iter().for_each(Waker::wake);
    }
}

// SAFETY: the model is this machine's only controller. It reaches memory by itself, and looks at
// the switch that `stop_dma` sets before each access.
unsafe impl Platform for Machine {
    type Registers = Self;
    type Shared = Shared;

    fn registers(&self) -> &Self {
        self
    }

    fn allocate(&self, bytes: usize) -> Result<Shared, OutOfMemory> {
        allocation::of_the_model(|| {
            let mut model = self.model();
            let number = model.allocations;
            model.allocations += 1;
            if model.config.failing_allocation == Some(number) {
                return Err(OutOfMemory);
            }
            let pages = bytes.div_ceil(PAGE as usize);
            let bus = model.memory.map(pages).ok_or(OutOfMemory)?;
            model.memory.bytes_mut(bus, pages * PAGE as usize).fill(0);
            Ok(Shared {
                machine: self.clone(),
                bus,
                bytes,
                remote: None,
            })
        })
    }

    fn controller_memory(&self, bar: u8, offset: u64, bytes: usize) -> Option<Shared> {
        let model = self.model();
        let start = usize::try_from(offset).ok()?;
        let is_inside = start
            .checked_add(bytes)
            .is_some_and(|end| end <= model.window());
        let is_shown = bar == 0 && is_inside && !model.hides_controller_memory;
        is_shown.then(|| Shared {
            machine: self.clone(),
            bus: BAR + offset,
            bytes,
            remote: Some(start),
        })
    }

    fn microseconds(&self) -> u64 {
        self.model().clock
    }

    fn pause(&self, microseconds: u64) -> impl Future<Output = ()> {
        Pause {
            machine: self.clone(),
            until: self.model().clock + microseconds,
        }
    }

    fn device(&self) -> Option<Device> {
        self.model().config.device
    }

    fn is_present(&self) -> bool {
        let model = self.model();
        !model.all_ones && !model.all_zeros
    }

    fn start_dma(&self) {
        let mut model = self.model();
        if model.rdy {
            model.offence("DMA started while the controller runs");
        }
        model.memory.dma = true;
    }

    fn stop_dma(&self) -> bool {
        let mut model = self.model();
        model.stops += 1;
        if model.ignores_stop {
            return false;
        }
        model.is_cut_off |= model.rdy;
        model.memory.dma = false;
        true
    }
}

/// A time that passes.
struct Pause {
    machine: Machine,
    until: u64,
}

impl Future for Pause {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        allocation::of_the_model(|| {
            let mut model = self.machine.model();
            if model.clock >= self.until {
                return Poll::Ready(());
            }
            model.timers.push((self.until, cx.waker().clone()));
            Poll::Pending
        })
    }
}

impl Registers for Machine {
    fn len(&self) -> usize {
        self.model().window()
    }
    fn read32(&self, offset: usize) -> u32 {
        self.model().read32(offset)
    }
    fn write32(&self, offset: usize, value: u32) {
        allocation::of_the_model(|| self.model().write32(offset, value));
    }
    fn read64(&self, offset: usize) -> u64 {
        self.model().read64(offset)
    }
    fn write64(&self, offset: usize, value: u64) {
        self.model().write64(offset, value);
    }
}

/// Where the registers are on the bus, and the controller's own memory with them.
const BAR: u64 = 0xfe00_0000;

/// Memory that driver and model share.
pub(crate) struct Shared {
    machine: Machine,
    bus: u64,
    bytes: usize,
    /// It is the controller's, from this offset of its registers on.
    remote: Option<usize>,
}

impl Shared {
    fn at(&self, offset: usize) -> u64 {
        assert_eq!(offset % 8, 0, "misaligned access to shared memory");
        assert!(offset + 8 <= self.bytes, "access behind shared memory");
        self.bus + offset as u64
    }
}

// SAFETY: a piece of the model's arena, taken by nobody else until it is dropped.
unsafe impl SharedMemory for Shared {
    fn bus(&self) -> DmaRange {
        DmaRange::new(DmaAddr::new(self.bus), self.bytes as u64).expect("a range")
    }
    fn load64(&self, offset: usize) -> u64 {
        let mut model = self.machine.model();
        let at = self.at(offset);
        if self.remote.is_some() {
            model.offence("controller memory is read");
            return 0;
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(model.memory.bytes(at, 8));
        // The device may be quick right after it.
        model.host_loads(at);
        u64::from_le_bytes(bytes)
    }
    fn store64(&self, offset: usize, value: u64) {
        let mut model = self.machine.model();
        let at = self.at(offset);
        if let Some(start) = self.remote {
            return model.write64(start + offset, value);
        }
        let bytes = model.memory.bytes_mut(at, 8);
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.remote.is_some() {
            return;
        }
        let pages = self.bytes.div_ceil(PAGE as usize);
        self.machine.model().memory.unmap(self.bus, pages);
    }
}

/// Memory of a request. The ranges may be anybody's, or pages that go with the value.
pub(crate) struct Data {
    list: DmaList,
    access: Access,
    owned: Option<(Machine, u64, usize)>,
}

impl Data {
    /// Ranges that stay whoever's they are.
    pub(crate) fn lent(list: &Ours, access: Access) -> Self {
        Self {
            list: list.try_clone().expect("memory for the list"),
            access,
            owned: None,
        }
    }

    /// Pages of its own. They are unmapped when it is dropped, and whatever the device does to
    /// them then is a fault.
    pub(crate) fn owned(machine: &Machine, pages: usize, access: Access) -> Self {
        let whole = [(0, pages as u64 * PAGE)];
        Self::scattered(machine, pages, &whole, access).expect("memory for data")
    }

    /// The same, and only these pieces of them are data: (offset, length). `None` if there is
    /// no memory left.
    pub(crate) fn scattered(
        machine: &Machine,
        pages: usize,
        pieces: &[(u64, u64)],
        access: Access,
    ) -> Option<Self> {
        let mut model = machine.model();
        let bus = model.memory.map(pages)?;
        model.lent += 1;
        let mut list = DmaList::new();
        for (offset, len) in pieces {
            let range = DmaRange::new(DmaAddr::new(bus + offset), *len).expect("a range");
            list.push(range).expect("memory for the list");
        }
        Some(Self {
            list,
            access,
            owned: Some((machine.clone(), bus, pages)),
        })
    }

    /// Sets the data.
    pub(crate) fn fill(&self, contents: &[u8]) {
        if let Some((machine, _, _)) = &self.owned {
            machine.model().memory.set_contents(&self.list, contents);
        }
    }

    /// All of its pages, with what is not data.
    pub(crate) fn whole_pages(&self) -> Vec<u8> {
        match &self.owned {
            None => Vec::new(),
            Some((machine, bus, pages)) => {
                let model = machine.model();
                model.memory.bytes(*bus, pages * PAGE as usize).to_vec()
            }
        }
    }

    pub(crate) fn list(&self) -> &DmaList {
        &self.list
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.list.fmt(f)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some((machine, bus, pages)) = &self.owned {
            let mut model = machine.model();
            model.memory.unmap(*bus, *pages);
            model.lent -= 1;
        }
    }
}

// SAFETY: the device is the model. Its bus addresses are positions in a vector that it owns and
// never lends, it looks each of them up, and without unsafe code: no list leads it anywhere else.
unsafe impl Memory for Data {
    fn ranges(&self) -> Ranges<'_> {
        Ranges::List(&self.list)
    }
    fn access(&self) -> Access {
        self.access
    }
}
