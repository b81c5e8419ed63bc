//! NVMe controllers: what the `nvme` crate asks of its platform, and its namespaces as block devices.

use crate::block::{
    BlockDevice, BlockError, Completion, Durability, Geometry, Limits, Operation, Refused, Request,
    Ticket,
};
use crate::dma::{self, DmaLimits, DmaMemory, OnTheBus};
use crate::mmio::RegisterWindow;
use crate::pci::Function;
use crate::pci::device::{Device, DeviceError, Owners};
use crate::pci::ecam::Ecam;
use crate::storage::Name;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use phyr::{DmaAddr, DmaRange};
use spin::Mutex;

/// Class, subclass and interface of NVM Express controllers (PCI Code and ID Assignment, section 1.2).
const CLASS: [u8; 3] = [0x01, 0x08, 0x02];

/// The base address register of the controller registers.
const REGISTERS: u8 = 0;

/// Whether a function is an NVMe controller.
pub fn is_controller(function: &Function) -> bool {
    function.class == CLASS
}

/// One controller's place in the machine.
struct NvmePlatform {
    // Dropped first: bus mastering goes off before anything the device could reach is freed.
    device: Device<Ecam>,
    registers: Registers,
}

struct Registers(RegisterWindow);

impl nvme::Registers for Registers {
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        self.0.read32(offset)
    }

    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        self.0.write32(offset, value);
    }

    fn read64(&self, offset: usize) -> u64 {
        self.0.read64(offset)
    }

    fn write64(&self, offset: usize, value: u64) {
        self.0.write64(offset, value);
    }
}

struct Shared(DmaMemory);

// SAFETY: `DmaMemory` is one range of frames of its own, at the address that `bus` tells.
unsafe impl nvme::SharedMemory for Shared {
    fn bus(&self) -> DmaRange {
        self.0.bus()
    }

    #[inline]
    fn load64(&self, offset: usize) -> u64 {
        self.0.load64(offset)
    }

    #[inline]
    fn store64(&self, offset: usize, value: u64) {
        self.0.store64(offset, value);
    }
}

// SAFETY: the registers are those of the device's own base address register, and a device without
// bus mastering reaches no memory (PCI Local Bus specification 3.0, section 6.2.2).
unsafe impl nvme::Platform for NvmePlatform {
    type Registers = Registers;
    type Shared = Shared;

    fn registers(&self) -> &Registers {
        &self.registers
    }

    fn allocate(&self, bytes: usize) -> Result<Shared, nvme::OutOfMemory> {
        DmaMemory::allocate(bytes as u64)
            .map(Shared)
            .map_err(|_| nvme::OutOfMemory)
    }

    fn microseconds(&self) -> u64 {
        crate::time::microseconds()
    }

    async fn pause(&self, microseconds: u64) {
        let until = crate::time::microseconds().saturating_add(microseconds);
        poll_fn(|cx| {
            if crate::time::microseconds() >= until {
                return Poll::Ready(());
            }
            core::hint::spin_loop();
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn device(&self) -> Option<nvme::Device> {
        let function = self.device.function();
        Some(nvme::Device {
            vendor: function.vendor,
            device: function.device,
        })
    }

    fn is_present(&self) -> bool {
        self.device.is_present()
    }

    fn start_dma(&self) {
        // SAFETY: the driver starts DMA when the controller is confirmed disabled. From then on it
        // tells it only of `DmaMemory` and of the ranges of a request, which outlive the transfer.
        unsafe { self.device.enable_bus_master() };
    }

    fn stop_dma(&self) -> bool {
        // Reading the command register back waits for what was on its way, and a device that has
        // left the machine is on no bus.
        self.device.disable_bus_master();
        true
    }
}

/// A controller with its one queue.
struct Engine {
    // Dropped first: the queue of a controller that is shut down just goes.
    queue: nvme::Queue<NvmePlatform, OnTheBus>,
    controller: nvme::Controller<NvmePlatform>,
}

impl Engine {
    async fn new(platform: NvmePlatform) -> Result<Self, nvme::Error> {
        let controller = nvme::Controller::new(platform, nvme::Options::default()).await?;
        let queue = controller.queue(None).await?;
        Ok(Self { queue, controller })
    }

    /// Carries out a request.
    fn execute(&mut self, request: nvme::Request<OnTheBus>) -> nvme::Done<OnTheBus> {
        let ticket = match self.queue.submit(request) {
            Ok(ticket) => ticket,
            Err(refused) => {
                return nvme::Done {
                    data: refused.request.data,
                    metadata: refused.request.metadata,
                    result: Err(refused.error),
                };
            }
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut service = pin!(self.controller.service());
        let mut scanned = crate::time::microseconds();
        loop {
            self.queue.turn();
            if let Poll::Ready(done) = self.queue.poll(&ticket, &mut cx) {
                return done;
            }
            core::hint::spin_loop();
            let now = crate::time::microseconds();
            if now.saturating_sub(scanned) >= self.queue.scan_microseconds() {
                scanned = now;
                self.queue.scan();
                let _ = service.as_mut().poll(&mut cx);
            } else if self.queue.is_held() {
                let _ = service.as_mut().poll(&mut cx);
            }
        }
    }
}

/// Polls a future until it is ready.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
            return result;
        }
    }
}

/// Why a controller is not used.
#[derive(Debug)]
pub enum ProbeError {
    /// Its registers cannot be had.
    Device(DeviceError),
    /// The driver gave up on it.
    Driver(nvme::Error),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Driver(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ProbeError {}

/// What was found behind one controller.
pub struct Found {
    /// The controller's name.
    pub name: Arc<Name>,
    /// The model name, as the controller gives it.
    pub model: String,
    /// The namespaces that can be used.
    pub namespaces: Vec<Namespace>,
    /// The namespaces that cannot, and why.
    pub unusable: Vec<(u32, String)>,
}

/// Brings up a controller, with the next free name. Its namespaces are named after it.
pub fn probe(owners: &Arc<Owners<Ecam>>, function: &Function) -> Result<Found, ProbeError> {
    let device = owners.claim(function).map_err(ProbeError::Device)?;
    let registers = Registers(device.registers(REGISTERS).map_err(ProbeError::Device)?);
    let engine =
        wait(Engine::new(NvmePlatform { device, registers })).map_err(ProbeError::Driver)?;
    let model = format!("{}", engine.controller.identity().model);
    let listed = engine.controller.namespaces();
    let engine = Arc::new(Mutex::new(engine));
    let name = Arc::new(Name::numbered("nvme"));
    let mut found = Found {
        name: name.clone(),
        model,
        namespaces: Vec::new(),
        unusable: Vec::new(),
    };
    for namespace in listed {
        match namespace.unusable {
            Some(reason) => found.unusable.push((namespace.id, format!("{reason}"))),
            // A block device has nowhere to put metadata, and writes where it likes.
            None if !namespace.is_plain() => {
                let reason = format!("blocks of {} bytes", namespace.format);
                found.unusable.push((namespace.id, reason));
            }
            None if namespace.zoned.is_some() => {
                found.unusable.push((namespace.id, "it is zoned".into()));
            }
            None => found.namespaces.push(Namespace {
                name: Name::or_next(&format!("{name}n{}", namespace.id)),
                _controller_name: name.clone(),
                namespace,
                geometry: Geometry {
                    block_size: namespace.block_size,
                    blocks: namespace.blocks,
                    writable: !namespace.write_protected,
                },
                engine: engine.clone(),
                done: Mutex::new(Vec::new()),
                next: AtomicU64::new(0),
            }),
        }
    }
    Ok(found)
}

/// A namespace as a block device.
pub struct Namespace {
    name: Name,
    /// Taken for as long as there is a namespace named after it.
    _controller_name: Arc<Name>,
    namespace: nvme::Namespace,
    geometry: Geometry,
    engine: Arc<Mutex<Engine>>,
    /// What is done, and has not been asked for.
    done: Mutex<Vec<(u64, Completion)>>,
    next: AtomicU64,
}

/// NVMe addresses all 64 bits; data pieces start at multiples of 4 bytes (NVMe base specification, section 4.3).
const LIMITS: DmaLimits = DmaLimits {
    last: DmaAddr::new(u64::MAX),
    alignment: 4,
};

impl BlockDevice for Namespace {
    fn name(&self) -> &str {
        &self.name
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn limits(&self) -> Limits {
        Limits {
            write_cache: true,
            ..Limits::NONE
        }
    }

    fn submit(&self, request: Request) -> Result<Ticket, Refused> {
        if let Err(error) = request.check(&self.geometry, &self.limits()) {
            return Err(request.refused(error));
        }
        let completion = self.carry_out(request);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.done.lock().push((number, completion));
        Ok(Ticket::new(number))
    }

    fn poll(&self, ticket: &Ticket, _: &mut Context<'_>) -> Poll<Completion> {
        let mut done = self.done.lock();
        let at = done
            .iter()
            .position(|(number, _)| *number == ticket.number())
            .expect("a ticket is asked for once");
        Poll::Ready(done.swap_remove(at).1)
    }

    fn abandon(&self, ticket: Ticket) {
        let mut done = self.done.lock();
        done.retain(|(number, _)| *number != ticket.number());
    }

    fn poll_room(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn outstanding(&self) -> usize {
        0
    }
}

impl Namespace {
    /// Does what a request says, and waits for it.
    fn carry_out(&self, request: Request) -> Completion {
        let failed = |memory, error| Completion {
            memory: Some(memory),
            result: Err(error),
        };
        match request.operation {
            Operation::Read(buffer) => match dma::map(buffer, &LIMITS) {
                Err((error, buffer)) => failed(buffer.into_memory(), error.into()),
                Ok(mapping) => {
                    let blocks = mapping.ranges().bytes() / u64::from(self.geometry.block_size);
                    let operation = self.namespace.read(request.block, blocks);
                    self.transfer(operation, OnTheBus::FromDevice(mapping))
                }
            },
            Operation::Write(buffer, Durability::Flushed) => match dma::map(buffer, &LIMITS) {
                Err((error, buffer)) => failed(buffer.into_memory(), error.into()),
                Ok(mapping) => {
                    let blocks = mapping.ranges().bytes() / u64::from(self.geometry.block_size);
                    let operation = self.namespace.write(request.block, blocks);
                    self.transfer(operation, OnTheBus::ToDevice(mapping))
                }
            },
            Operation::Flush => {
                let result = match self.namespace.flush() {
                    None => Ok(()),
                    Some(operation) => {
                        let request = nvme::Request::new(operation);
                        let done = self.engine.lock().execute(request);
                        done.result.map(|_| ()).map_err(block_error)
                    }
                };
                Completion {
                    memory: None,
                    result,
                }
            }
            _ => Completion {
                memory: request.into_memory(),
                result: Err(BlockError::Unsupported),
            },
        }
    }

    fn transfer(
        &self,
        operation: Result<nvme::Operation, nvme::RequestError>,
        memory: OnTheBus,
    ) -> Completion {
        let operation = match operation {
            Ok(operation) => operation,
            Err(error) => {
                return Completion {
                    memory: Some(memory.into_memory()),
                    result: Err(block_error(nvme::Error::Request(error))),
                };
            }
        };
        let request = nvme::Request::with_data(operation, memory);
        let done = self.engine.lock().execute(request);
        Completion {
            memory: done.data.map(OnTheBus::into_memory),
            result: done.result.map(|_| ()).map_err(block_error),
        }
    }
}

fn block_error(error: nvme::Error) -> BlockError {
    use nvme::{Error, RequestError};
    match error {
        Error::Request(RequestError::Memory(_)) => BlockError::NeedsBounce,
        Error::Request(RequestError::OutOfRange { .. }) => BlockError::OutOfRange,
        Error::Request(RequestError::Length { .. }) => BlockError::Length,
        Error::Request(RequestError::WriteProtected { .. }) => BlockError::ReadOnly,
        other => BlockError::device(&other),
    }
}
