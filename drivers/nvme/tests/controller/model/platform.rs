//! The machine that the driver believes to run on.

use super::executor::{Executor, Reach};
use super::memory::{Ours, PAGE};
use super::{Config, Model};
use crate::allocation;
use nvme::{
    Access, Controller, Counters, Device, Done, Error, Failure, Limits, Memory, Namespace,
    Operation, Options, OutOfMemory, Platform, Queue, Ranges, Registers, Request, RequestError,
    SharedMemory, attend, execute,
};
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

/// A controller in use, and the machine around it.
pub(crate) struct Bench {
    pub(crate) controller: Controller<Machine>,
    pub(crate) machine: Machine,
    pub(crate) executor: Executor,
    pub(crate) queue: Reach,
}

/// One queue, and a driver that gives up at the first sign of trouble: most tests are about
/// one command or one failure.
pub(crate) fn strict() -> Options {
    let mut options = Options::default();
    options.retries = 0;
    options.resets = 0;
    options
}

/// Brings a controller up.
pub(crate) fn bring_up(machine: &Machine) -> Result<Controller<Machine>, Error> {
    let executor = Executor::new(machine.clone());
    executor.block_on(Controller::new(machine.clone(), strict()))
}

/// Brings a controller up with a queue.
pub(crate) fn bring_up_with_queue(
    machine: &Machine,
) -> Result<(Controller<Machine>, Queue<Machine, Data>), Error> {
    let executor = Executor::new(machine.clone());
    executor.block_on(async {
        let controller = Controller::new(machine.clone(), strict()).await?;
        let queue = controller.queue(None).await?;
        Ok((controller, queue))
    })
}

impl Bench {
    /// Brings a controller up that should come up.
    pub(crate) fn new(config: Config) -> Self {
        Self::with_options(config, strict())
    }

    pub(crate) fn with_options(config: Config, options: Options) -> Self {
        match Self::start_with(Machine::new(config), options) {
            Ok(bench) => bench,
            Err(error) => panic!("{error}"),
        }
    }

    /// Brings a controller up that may not come up.
    pub(crate) fn start(machine: Machine) -> Result<Self, Error> {
        Self::start_with(machine, strict())
    }

    /// The same, with a driver that is told how patient to be.
    pub(crate) fn start_with(machine: Machine, options: Options) -> Result<Self, Error> {
        let executor = Executor::new(machine.clone());
        let (controller, queue) = executor.block_on(async {
            let controller = Controller::new(machine.clone(), options).await?;
            let queue = controller.queue(None).await?;
            Ok::<_, Error>((controller, Rc::new(RefCell::new(queue))))
        })?;
        let bench = Self {
            controller,
            machine,
            executor,
            queue,
        };
        let service = bench.controller.clone();
        bench.executor.spawn(async move { service.service().await });
        bench.add(bench.queue.clone());
        Ok(bench)
    }

    /// Looks after another queue.
    pub(crate) fn add(&self, queue: Reach) {
        self.executor.spawn(attend(queue.clone()));
        self.executor.queues.borrow_mut().push(queue);
    }

    /// Runs everything until `future` is ready.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.executor.block_on(future)
    }

    /// Lets so many microseconds pass.
    pub(crate) fn sleep(&self, microseconds: u64) {
        self.run(self.machine.pause(microseconds));
    }

    pub(crate) fn namespace(&self, nsid: u32) -> Result<Namespace, Error> {
        let missing = Error::Request(RequestError::NoSuchNamespace { nsid });
        self.controller.namespace(nsid).ok_or(missing)
    }

    /// Carries out a request.
    pub(crate) fn execute(&self, request: Request<Data>) -> Done<Data> {
        self.run(execute(self.queue.clone(), request))
    }

    /// Carries out what needs no memory.
    pub(crate) fn perform(&self, operation: Operation) -> Result<u64, Error> {
        self.execute(Request::new(operation)).result
    }

    /// Reads blocks until `memory` is full.
    pub(crate) fn read(&self, nsid: u32, block: u64, memory: &Ours) -> Result<(), Error> {
        let blocks = self.blocks(nsid, memory)?;
        let operation = self.namespace(nsid)?.read(block, blocks);
        let operation = operation.map_err(Error::Request)?;
        let data = Data::lent(memory, Access::FROM_DEVICE);
        let done = self.execute(Request::with_data(operation, data));
        done.result.map(|_| ())
    }

    /// Writes all of `memory`.
    pub(crate) fn write(&self, nsid: u32, block: u64, memory: &Ours) -> Result<(), Error> {
        let blocks = self.blocks(nsid, memory)?;
        let operation = self.namespace(nsid)?.write(block, blocks);
        let operation = operation.map_err(Error::Request)?;
        let data = Data::lent(memory, Access::TO_DEVICE);
        let done = self.execute(Request::with_data(operation, data));
        done.result.map(|_| ())
    }

    /// Blocks that fill `memory`.
    fn blocks(&self, nsid: u32, memory: &Ours) -> Result<u64, Error> {
        let namespace = self.namespace(nsid)?;
        if namespace.unusable.is_some() {
            return Ok(1);
        }
        let block_size = namespace.block_size;
        let bytes = memory.bytes();
        match bytes.checked_div(u64::from(block_size)) {
            Some(blocks) if bytes.is_multiple_of(u64::from(block_size)) => Ok(blocks),
            None => Ok(1),
            Some(_) => Err(Error::Request(RequestError::Length { bytes, block_size })),
        }
    }

    pub(crate) fn flush(&self, nsid: u32) -> Result<(), Error> {
        match self.namespace(nsid)?.flush() {
            None => Ok(()),
            Some(operation) => self.perform(operation).map(|_| ()),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        *self.queue.borrow().counters()
    }

    /// What one command of a namespace can transfer.
    pub(crate) fn limits(&self, nsid: u32) -> Result<Limits, Error> {
        let namespace = self.namespace(nsid)?;
        namespace.read(0, 1).map_err(Error::Request)?;
        Ok(namespace.limits())
    }

    pub(crate) fn reset(&self) -> Result<(), Error> {
        self.run(self.controller.reset())
    }

    pub(crate) fn shutdown(&self) -> Result<(), Error> {
        self.run(self.controller.shutdown())
    }

    pub(crate) fn dead(&self) -> Option<Failure> {
        self.controller.failure()
    }

    /// Maps pages for data, full of canaries. Returns the bus address.
    pub(crate) fn pages(&self, pages: usize) -> u64 {
        let bus = self.machine.model().memory.map(pages);
        bus.expect("memory for data")
    }

    /// What the disk holds.
    pub(crate) fn disk(&self, nsid: u32, block: u64, blocks: u64) -> Vec<u8> {
        let model = self.machine.model();
        let namespace = model.namespace(nsid).expect("a namespace");
        let shift = namespace.lbaf[namespace.format_index()].lbads();
        model.contents(nsid, block, blocks, shift)
    }

    pub(crate) fn contents(&self, list: &DmaList) -> Vec<u8> {
        self.machine.model().memory.contents(list)
    }

    pub(crate) fn set_contents(&self, list: &DmaList, contents: &[u8]) {
        let mut model = self.machine.model();
        model.memory.set_contents(list, contents);
    }

    /// Nothing has happened that may not happen, and the device is done with all memory.
    pub(crate) fn check(&self) {
        let model = self.machine.model();
        assert_eq!(model.offences, [""; 0]);
        assert_eq!(model.memory.faults, []);
        assert!(!model.is_busy(), "the device still works on memory");
    }

    /// I/O commands since the last call: opcode, namespace, first block, blocks.
    pub(crate) fn commands(&self) -> Vec<(u8, u32, u64, u64)> {
        let log = std::mem::take(&mut self.machine.model().log);
        let describe = |entry: &nvme::wire::SubmissionEntry| {
            let blocks = (entry.cdw12_13 & 0xffff) + 1;
            (entry.cdw0.opcode(), entry.nsid, entry.cdw10_11, blocks)
        };
        log.iter().map(describe).collect()
    }
}

impl Drop for Bench {
    /// Whatever a test was about, the driver has kept the rules.
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.machine.model().forgives {
            self.check();
        }
        self.executor.clear();
    }
}
