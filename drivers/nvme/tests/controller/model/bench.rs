//! A driver at work: the model's machine, a controller that was brought up, and a queue.

use super::Config;
use super::executor::{Executor, Reach};
use super::memory::Ours;
use super::platform::{Data, Machine};
use nvme::{
    Access, Controller, Counters, Done, Error, Failure, Limits, Namespace, Operation, Options,
    Platform, Queue, Request, RequestError, attend, execute,
};
use phyr::DmaList;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

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
