//! Bringing a controller up (NVMe base specification 2.0, section 3.5.1).
//!
//! The order is the specification's: disable, admin queues, enable, identify, number of
//! queues, I/O queues, namespaces. It is the same for a new controller and for a reset, and
//! starts from whatever state firmware or a failure has left. The device may reach memory
//! only from the moment on when it has confirmed that it is disabled.

use crate::command::{self, Command};
use crate::controller::Controller;
use crate::counters::Counters;
use crate::error::{Error, Failure, Unsupported};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::namespace::Namespace;
use crate::page::PAGE;
use crate::platform::{Platform, SharedMemory};
use crate::port::{AdminQueues, Port};
use crate::queue::QueuePair;
use crate::registers::Version;
use crate::transfer::IoQueue;
use crate::wire::{IdentifyController, IdentifyNamespace};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Entries of the admin queues. The driver has one admin command on the way at a time.
const ADMIN_ENTRIES: u16 = 16;

/// Most entries of the I/O queues, which have fewer if MQES says so.
///
/// The submission queue is one page then. 63 commands keep a polled controller busy.
const IO_ENTRIES: u16 = 64;

/// Most namespaces that the driver keeps, and most that it asks for one by one.
const MAX_NAMESPACES: usize = 1024;

/// Bytes of any identify data structure.
const IDENTIFY_BYTES: usize = 4096;

impl<P: Platform> Controller<P> {
    /// Takes a controller over and brings it up, from whatever state it is in.
    ///
    /// All memory that the driver will ever share with the device is allocated here. If
    /// this fails, the device cannot reach memory any more.
    pub fn new(platform: P) -> Result<Self, Error> {
        let port = Port::open(platform)?;
        let admin = QueuePair::allocate(port.platform(), 0, ADMIN_ENTRIES)?;
        let page = port.platform().allocate(IDENTIFY_BYTES)?;
        let mut controller = Self {
            port,
            admin,
            io: None,
            page,
            identity: Identity::new(
                &IdentifyController::decode(&[0; IDENTIFY_BYTES]),
                Version::new(),
            ),
            namespaces: Vec::new(),
            namespaces_left_out: false,
            counters: Counters::default(),
            dead: None,
        };
        controller.start()?;
        Ok(controller)
    }

    /// Resets the controller and brings it up again, dead or not.
    ///
    /// Namespaces are read anew: their sizes may have changed. The memory that is shared
    /// with the device stays the same.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.counters.resets += 1;
        self.start()
    }

    /// Brings the controller up. If that fails, it is dead.
    fn start(&mut self) -> Result<(), Error> {
        self.dead = None;
        let result = self.try_start();
        if result.is_err() && self.dead.is_none() {
            self.fail(Failure::SetUp);
        }
        result
    }

    fn try_start(&mut self) -> Result<(), Error> {
        self.enable().map_err(|failure| self.fail(failure))?;
        self.identify_controller()?;
        self.create_io_queues()?;
        self.identify_namespaces()
    }

    /// Disables whatever runs, and enables the controller with fresh admin queues.
    fn enable(&mut self) -> Result<(), Failure> {
        self.port.settle()?;
        self.port.disable()?;
        self.admin.reset();
        if let Some(io) = &mut self.io {
            io.pair.reset();
        }
        self.port.platform().start_dma();
        self.port.enable(AdminQueues {
            entries: self.admin.entries(),
            submission: self.admin.submission_bus(),
            completion: self.admin.completion_bus(),
        })
    }

    fn identify_controller(&mut self) -> Result<(), Error> {
        let entry = command::identify_controller(self.page_bus());
        let data = self.identify(Command::IdentifyController, 0, entry)?;
        let identify = IdentifyController::decode(&data);
        let version = self.port.version();
        if version.major() == 0 {
            return Err(Error::Unsupported(Unsupported::Version(version)));
        }
        let (sqes, cqes) = (identify.sqes, identify.cqes);
        if !offers(sqes, 6) || !offers(cqes, 4) {
            return Err(Error::Unsupported(Unsupported::EntrySize { sqes, cqes }));
        }
        self.identity = Identity::new(&identify, version);
        Ok(())
    }

    /// Creates the one I/O queue pair, the completion queue first.
    fn create_io_queues(&mut self) -> Result<(), Error> {
        // One pair is always granted. A controller that can have more says so in the
        // result, which is of no use here.
        self.admin(
            Command::SetNumberOfQueues,
            0,
            command::set_number_of_queues(1),
        )?;
        let io = match &mut self.io {
            Some(io) => io,
            none => {
                let entries = self.port.cap().mqes().saturating_add(1).min(IO_ENTRIES);
                let pages = Limits::new(self.identity.mdts, entries - 1).max_pages;
                none.insert(IoQueue::allocate(self.port.platform(), entries, pages)?)
            }
        };
        let (id, entries) = (IoQueue::<P::Shared>::ID, io.pair.entries());
        let (submission, completion) = (io.pair.submission_bus(), io.pair.completion_bus());
        self.admin(
            Command::CreateCompletionQueue,
            0,
            command::create_completion_queue(id, entries, completion),
        )?;
        self.admin(
            Command::CreateSubmissionQueue,
            0,
            command::create_submission_queue(id, entries, submission),
        )?;
        Ok(())
    }

    /// Lists the active namespaces and identifies each.
    fn identify_namespaces(&mut self) -> Result<(), Error> {
        const INVALID_FIELD: u8 = 0x02;
        self.namespaces.clear();
        self.namespaces_left_out = false;
        match self.list_active_namespaces() {
            Ok(active) => {
                for id in active {
                    self.identify_namespace(id)?;
                }
                Ok(())
            }
            // Controllers before version 1.1 have no such list.
            Err(Error::Command(error))
                if error.status.sct() == 0 && error.status.sc() == INVALID_FIELD =>
            {
                let most = MAX_NAMESPACES as u32;
                self.namespaces_left_out = self.identity.max_namespace > most;
                for id in 1..=self.identity.max_namespace.min(most) {
                    self.identify_namespace(id)?;
                }
                // An inactive namespace is described by zeros.
                self.namespaces
                    .retain(|namespace| !namespace.looks_inactive());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The identifiers of the active namespaces, in order.
    ///
    /// The list comes in pages of 1024. An identifier that is no larger than the one
    /// before, or too large altogether, ends it: the rest cannot be believed.
    fn list_active_namespaces(&mut self) -> Result<Vec<u32>, Error> {
        let mut active = Vec::new();
        let mut last = 0;
        loop {
            let entry = command::identify_active_namespaces(last, self.page_bus());
            let data = self.identify(Command::IdentifyActiveNamespaces, 0, entry)?;
            let (ids, _) = data.as_chunks::<4>();
            for id in ids.iter().map(|bytes| u32::from_le_bytes(*bytes)) {
                if id == 0 {
                    return Ok(active);
                }
                let is_credible = id > last && id <= self.identity.max_namespace;
                if !is_credible || active.len() == MAX_NAMESPACES {
                    self.namespaces_left_out = true;
                    return Ok(active);
                }
                last = id;
                active.push(id);
            }
        }
    }

    fn identify_namespace(&mut self, id: u32) -> Result<(), Error> {
        let Some(io) = &self.io else {
            return Ok(());
        };
        let commands = io.pair.entries() - 1;
        let limits = Limits::new(self.identity.mdts, commands).within_pages(io.max_pages());
        let entry = command::identify_namespace(id, self.page_bus());
        let namespace = match self.identify(Command::IdentifyNamespace, id, entry) {
            Ok(data) => Namespace::new(id, &IdentifyNamespace::decode(&data), limits),
            Err(Error::Command(error)) => Namespace::not_identified(id, error.status, limits),
            Err(error) => return Err(error),
        };
        self.namespaces.push(namespace);
        Ok(())
    }

    /// Sends an Identify command and takes a copy of what it brings.
    ///
    /// The page is cleared before, so that a controller that writes nothing shows nothing.
    fn identify(
        &mut self,
        name: Command,
        nsid: u32,
        entry: crate::wire::SubmissionEntry,
    ) -> Result<Box<[u8; IDENTIFY_BYTES]>, Error> {
        for offset in (0..IDENTIFY_BYTES).step_by(8) {
            self.page.store64(offset, 0);
        }
        self.admin(name, nsid, entry)?;
        let mut data = Box::new([0; IDENTIFY_BYTES]);
        let (words, _) = data.as_chunks_mut::<8>();
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.page.load64(index * 8).to_le_bytes();
        }
        Ok(data)
    }

    fn page_bus(&self) -> u64 {
        debug_assert!(self.page.bus().len() >= PAGE);
        self.page.bus().addr().get()
    }
}

/// True if a range of powers of two, smallest in the lower four bits, has `shift` in it.
fn offers(range: u8, shift: u8) -> bool {
    (range & 0xf..=range >> 4).contains(&shift)
}
