//! One thread of control with a clock that moves only when nothing else does.
//!
//! Tasks are polled when they were woken, and only then, so a wake-up that is lost is seen as
//! a test that has nothing left to do. After the tasks, each queue has its turn, as in a
//! kernel. When all is quiet the device works for a moment, and time passes.

use super::platform::{Data, Machine};
use crate::allocation;
use nvme::Queue;
use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A queue, as its tasks reach it.
pub(crate) type Reach = Rc<RefCell<Queue<Machine, Data>>>;

/// Whether a task was woken.
struct Flag(AtomicBool);

impl Flag {
    fn raised() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
    waker: Waker,
}

/// Tasks and queues of one thread.
pub(crate) struct Executor {
    machine: Machine,
    tasks: RefCell<Vec<Task>>,
    pub(crate) queues: RefCell<Vec<Reach>>,
}

impl Executor {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            tasks: RefCell::default(),
            queues: RefCell::default(),
        }
    }

    /// Adds a task that runs while something is waited for.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let flag = Flag::raised();
        let waker = Waker::from(flag.clone());
        self.tasks.borrow_mut().push(Task {
            future: Box::pin(future),
            flag,
            waker,
        });
    }

    /// Ends all tasks.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.queues.borrow_mut().clear();
    }

    /// Runs everything until `future` is ready.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let flag = allocation::of_the_model(Flag::raised);
        let waker = Waker::from(flag.clone());
        loop {
            let mut is_quiet = true;
            if flag.take() {
                is_quiet = false;
                if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return result;
                }
            }
            is_quiet &= !self.turn();
            if is_quiet && !flag.0.load(Ordering::Relaxed) {
                allocation::of_the_model(|| self.machine.pass());
            }
        }
    }

    /// Polls what was woken, then all queues. Returns whether anything happened.
    fn turn(&self) -> bool {
        let mut is_busy = false;
        let mut tasks = self.tasks.borrow_mut();
        tasks.retain_mut(|task| {
            if !task.flag.take() {
                return true;
            }
            is_busy = true;
            let mut cx = Context::from_waker(&task.waker);
            task.future.as_mut().poll(&mut cx).is_pending()
        });
        drop(tasks);
        for queue in self.queues.borrow().iter() {
            is_busy |= queue.borrow_mut().turn().completed > 0;
        }
        is_busy
    }
}
