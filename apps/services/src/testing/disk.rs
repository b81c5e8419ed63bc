//! Disks for tests, and the memory that they are read into.

use kernel::block::{
    BlockDevice, BlockError, Completion, Geometry, Limits, RamDisk, Refusal, Request, Ticket,
};
use kernel::memory::frames::host;
use std::cell::RefCell;
use std::sync::Mutex;
use std::task::{Context, Poll};

thread_local! {
    static ARENA: RefCell<Option<host::Arena>> = const { RefCell::new(None) };
}

/// Makes RAM for this test, which is its alone until it ends.
pub(crate) fn memory() {
    ARENA.with(|arena| {
        arena.borrow_mut().get_or_insert_with(host::arena);
    });
}

/// A disk whose requests fail when a test says so.
pub(crate) struct Flaky {
    pub(crate) disk: RamDisk,
    fails: Mutex<Option<Fails>>,
}

type Fails = Box<dyn FnMut(&Request) -> Option<BlockError> + Send>;

impl Flaky {
    pub(crate) fn new(disk: RamDisk) -> Self {
        Self {
            disk,
            fails: Mutex::new(None),
        }
    }

    /// From now on this says which requests fail.
    pub(crate) fn fail(&self, fails: impl FnMut(&Request) -> Option<BlockError> + Send + 'static) {
        *self.fails.lock().unwrap() = Some(Box::new(fails));
    }
}

impl BlockDevice for Flaky {
    fn name(&self) -> &str {
        self.disk.name()
    }

    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn limits(&self) -> Limits {
        self.disk.limits()
    }

    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal> {
        let mut fails = self.fails.lock().unwrap();
        if let Some(error) = fails.as_mut().and_then(|fails| fails(request)) {
            return Err(Refusal::Error(error));
        }
        self.disk.submit(request, cx)
    }

    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion> {
        self.disk.poll(ticket, cx)
    }

    fn abandon(&self, ticket: Ticket) {
        self.disk.abandon(ticket);
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.disk.poll_room(cx)
    }

    fn outstanding(&self) -> usize {
        self.disk.outstanding()
    }
}
