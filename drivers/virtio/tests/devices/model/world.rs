//! One thread of control with a clock that moves only when nothing else does.
//!
//! Tasks are polled when they were woken, and only then, so a wake-up that is lost is seen as a test
//! that does not end. After the tasks, each queue has its turn. When all is quiet the device works
//! for a moment, and time passes.

use super::data::Data;
use super::device::Device;
use super::platform::{MULTIPLIER, Machine};
use super::ram::Ram;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use virtio::blk::{Disk, Done, Operation, Options, Queue, Reach, Request, attend};
use virtio::transport::mmio::Window;
use virtio::transport::{Blocks, Notify, Transport};
use virtio::{Access, Error};

/// Microseconds after which a test has hung.
const TOO_LONG: u64 = 3_600_000_000;

pub(crate) type DiskQueue = Queue<Machine, Data>;

/// A way to a queue.
#[derive(Clone)]
pub(crate) struct Way(pub(crate) Rc<RefCell<DiskQueue>>);

impl Reach for Way {
    type Platform = Machine;
    type Memory = Data;
    fn with<R>(&self, f: impl FnOnce(&mut DiskQueue) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
}

impl Task {
    pub(crate) fn new(future: impl Future<Output = ()> + 'static) -> Self {
        Self {
            future: Box::pin(future),
            flag: Arc::new(Flag(AtomicBool::new(true))),
        }
    }
}

/// A machine, its disk, and who uses it.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) disk: Disk<Machine>,
    pub(crate) queue: Way,
    tasks: RefCell<Vec<Task>>,
    /// The queue has its turn only when its interrupt was raised, or somebody has submitted.
    pub(crate) sleeps: bool,
}

/// Where the device's notifications are said to be.
pub(crate) fn notify() -> Notify {
    if crate::TRANSPORT == Transport::Mmio {
        let window = phyr::Phyr::new(phyr::PhysAddr::new(0xfeb0_0e00), 512).expect("a range");
        return Window::new(window).expect("large enough").notify();
    }
    let capability = |kind: u8, offset: u32, len: u32| {
        let mut bytes = vec![0x09, 0, 20, kind, 0, 0, 0, 0];
        for word in [offset, len, MULTIPLIER as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    };
    let all = [
        capability(1, 0, 56),
        capability(2, 0x100, 64),
        capability(4, 0x200, 60),
    ];
    let bar = phyr::Phyr::new(phyr::PhysAddr::new(0xfe00_0000), 0x1000).expect("a range");
    let blocks = Blocks::find(all.iter().map(Vec::as_slice), |_| Some(bar));
    blocks.expect("all are there").notify
}

/// Tries to bring a device up.
pub(crate) fn bring_up(
    machine: &Machine,
    change: impl FnOnce(&mut Options),
) -> Result<Disk<Machine>, Error> {
    let mut options = Options::default();
    options.config_vector = Some(0);
    change(&mut options);
    let disk = Disk::new(machine.clone(), notify(), options);
    run_alone(machine, disk)
}

impl World {
    pub(crate) fn new(device: impl FnOnce(&Rc<Ram>) -> Device) -> Self {
        let machine = Machine::new(device);
        let disk = bring_up(&machine, |_| {}).expect("a good device");
        let queue = Way(Rc::new(RefCell::new(disk.queue(Some(1)).expect("a queue"))));
        let world = Self {
            machine,
            disk: disk.clone(),
            queue: queue.clone(),
            tasks: RefCell::default(),
            sleeps: false,
        };
        world.spawn(attend(queue));
        let service = disk.clone();
        world.spawn(async move { service.service().await });
        let start = disk.clone();
        world
            .run(async move { start.start().await })
            .expect("it starts");
        world
    }

    pub(crate) fn device(&self) -> std::cell::RefMut<'_, Device> {
        self.machine.device.borrow_mut()
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.tasks.borrow_mut().push(Task::new(future));
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let turn = |has_worked: bool| {
            let raised = std::mem::take(&mut self.device().raised[1]);
            let looks = !self.sleeps || has_worked || raised;
            looks && self.queue.with(Queue::turn).completed > 0
        };
        run(&self.machine, &self.tasks, &turn, future)
    }

    /// Memory for a read, in pieces.
    pub(crate) fn target(&self, pieces: &[u64]) -> Data {
        Data::new(&self.machine.ram, pieces, Access::FromDevice)
    }

    /// Memory for a write, in pieces, with content.
    pub(crate) fn source(&self, pieces: &[u64], bytes: &[u8]) -> Data {
        let data = Data::new(&self.machine.ram, pieces, Access::ToDevice);
        data.fill(bytes);
        data
    }

    /// A request as a future.
    #[expect(clippy::result_large_err, reason = "the request comes back by value")]
    pub(crate) fn execute(
        &self,
        operation: Operation,
        data: Option<Data>,
    ) -> impl Future<Output = Done<Data>> + use<> {
        let way = self.queue.clone();
        async move {
            let mut request = Request { operation, data };
            let ticket = loop {
                match way.with(|queue| queue.submit(request, Waker::noop())) {
                    Ok(ticket) => break ticket,
                    Err(refused) if refused.error == Error::Full => request = refused.request,
                    Err(refused) => {
                        return Done {
                            data: refused.request.data,
                            result: Err(refused.error),
                        };
                    }
                }
                poll_fn(|cx| way.with(|queue| queue.poll_room(cx))).await;
            };
            poll_fn(|cx| way.with(|queue| queue.poll(&ticket, cx))).await
        }
    }

    /// Reads blocks, and compares them with the disk's content.
    pub(crate) fn check_read(&self, block: u64, pieces: &[u64]) {
        let properties = self.disk.properties();
        let bytes: u64 = pieces.iter().sum();
        let blocks = bytes / u64::from(properties.block_size);
        let operation = properties.read_blocks(block, blocks).expect("inside");
        let done = self.run(self.execute(operation, Some(self.target(pieces))));
        assert_eq!(done.result, Ok(()));
        let start = (block * u64::from(properties.block_size)) as usize;
        let data = done.data.expect("it comes back").bytes();
        assert!(data == self.device().disk[start..][..bytes as usize]);
    }

    /// Ends the use of the device. All memory and all places in the queue are back, and no memory was
    /// touched that was nobody's.
    pub(crate) fn end(self) {
        assert!(self.queue.0.borrow().is_idle(), "a slot is missing");
        let ram = self.machine.ram.clone();
        let disk = self.disk.clone();
        self.run(async move { disk.shutdown().await });
        drop(self);
        assert_eq!(
            ram.wild(),
            0,
            "the device was told of memory that is nobody's"
        );
        assert_eq!(ram.live(), 0, "memory is missing");
    }
}

/// Wakes those who wait for a call that has come.
fn wake_callers(machine: &Machine) -> bool {
    let calls = machine.device.borrow().calls;
    let mut callers = machine.callers.borrow_mut();
    let before = callers.len();
    callers.retain(|(seen, waker)| {
        let is_same = Some(*seen) == calls;
        if !is_same {
            waker.wake_by_ref();
        }
        is_same
    });
    callers.len() != before
}

/// Runs a future of a machine in which nothing else runs but the device.
pub(crate) fn run_alone<T>(machine: &Machine, future: impl Future<Output = T>) -> T {
    run(machine, &RefCell::default(), &|_| false, future)
}

/// Runs a future, tasks, and what is done once in each turn, which is told whether anything happened before,
/// and says whether it has done anything.
pub(crate) fn run<T>(
    machine: &Machine,
    tasks: &RefCell<Vec<Task>>,
    turn: &dyn Fn(bool) -> bool,
    future: impl Future<Output = T>,
) -> T {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    let limit = machine.clock.get() + TOO_LONG;
    loop {
        let mut worked = false;
        if flag.0.swap(false, Ordering::Relaxed) {
            worked = true;
            if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return result;
            }
        }
        tasks.borrow_mut().retain_mut(|task| {
            if !task.flag.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            worked = true;
            let waker = Waker::from(task.flag.clone());
            let poll = task.future.as_mut().poll(&mut Context::from_waker(&waker));
            poll.is_pending()
        });
        worked |= turn(worked);
        worked |= machine.device.borrow_mut().work();
        worked |= wake_callers(machine);
        if worked {
            continue;
        }
        let mut timers = machine.timers.borrow_mut();
        let next = timers.iter().map(|(at, _)| *at).min();
        let next = next.expect("nothing is left to do");
        machine.clock.set(next.max(machine.clock.get()));
        assert!(machine.clock.get() < limit, "it hangs");
        timers.retain(|(at, waker)| {
            let is_due = *at <= next;
            if is_due {
                waker.wake_by_ref();
            }
            !is_due
        });
    }
}
