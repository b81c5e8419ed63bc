//! Bringing a controller up (NVMe base specification 2.0, section 3.5.1).
//!
//! The order is the specification's: disable, admin queues, enable, identify, number of
//! queues, namespaces, and queues last. It is the same for a new controller and after a reset,
//! and starts from whatever state firmware or a failure has left. The device may reach memory
//! only from the moment on when it has confirmed that it is disabled.

use crate::admin::{
    AsynchronousEvents, CommandSet, Feature, HostBehaviour, Identify, Save, set_feature,
};
use crate::admin_queue::MAX_EVENT_REQUESTS;
use crate::command::{self, Command};
use crate::controller::ADMIN_MICROSECONDS;
use crate::doorbell::Shadows;
use crate::error::{Error, Failure, Unsupported};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::link::Order;
use crate::memory::Memory;
use crate::namespace::{Description, Namespace, stripe};
use crate::platform::{Platform, SharedMemory};
use crate::port::AdminQueues;
use crate::queue::Queue;
use crate::quirks::Quirks;
use crate::rings::Rings;
use crate::shared::{Member, Shared};
use crate::wire::{
    Descriptors, IdentifyController, IdentifyNamespace, NvmController, NvmNamespace,
    SubmissionEntry, ZonedController, ZonedNamespace,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

/// Most namespaces that the driver keeps, and most that it asks for one by one.
const MAX_NAMESPACES: usize = 1024;

/// Bytes of any identify data structure.
const IDENTIFY_BYTES: usize = 4096;

impl<P: Platform> Shared<P> {
    /// Brings the controller up, without its I/O queues.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.enable().await.map_err(Error::Failed)?;
        self.identify_controller().await?;
        self.set_features().await?;
        self.lend().await?;
        self.negotiate_queues().await?;
        self.open_controller_memory();
        self.set_up_shadows().await?;
        self.identify_namespaces().await?;
        self.state.lock().trouble = None;
        self.request_events(self.wanted_events())
    }

    /// Disables whatever runs, and enables the controller with fresh admin queues.
    async fn enable(&self) -> Result<(), Failure> {
        self.port.disable().await?;
        let queues = {
            let mut admin = self.admin.lock();
            let admin = admin.as_mut().ok_or(Failure::SetUp)?;
            admin.clean(Failure::Reset);
            admin.refill(self.port.platform());
            AdminQueues {
                entries: admin.rings().entries(),
                submission: admin.rings().submission_bus(),
                completion: admin.rings().completion_bus(),
            }
        };
        self.is_stopped.store(false, Ordering::Release);
        self.port.platform().start_dma();
        self.port.enable(queues).await?;
        if let Some(admin) = &mut *self.admin.lock() {
            admin.go_live();
        }
        Ok(())
    }

    async fn identify_controller(self: &Arc<Self>) -> Result<(), Error> {
        let data = self.identify(Identify::Controller);
        let identify = IdentifyController::decode(&data.await?);
        let version = self.port.version();
        if version.major() == 0 {
            return Err(Error::Unsupported(Unsupported::Version(version)));
        }
        let (sqes, cqes) = (identify.sqes, identify.cqes);
        if !offers(sqes, 6) || !offers(cqes, 4) {
            return Err(Error::Unsupported(Unsupported::EntrySize { sqes, cqes }));
        }
        let device = self.port.platform().device();
        let quirks = device.map(Quirks::of).unwrap_or_default();
        self.state.lock().identity = Identity::new(&identify, version).with_quirks(quirks);
        Ok(())
    }

    /// Turns on what the driver makes use of. A controller that refuses does without.
    async fn set_features(self: &Arc<Self>) -> Result<(), Error> {
        let identity = self.state.lock().identity;
        let abilities = &identity.abilities;
        self.retry_delays.store(0, Ordering::Relaxed);
        let offered = AsynchronousEvents::from(abilities.events);
        if offered.namespaces() {
            // All critical warnings, which every controller can report.
            let events = offered.with_health(0x1f).with_telemetry(false);
            let events = events.with_access(false).with_firmware(false);
            let feature = Feature::AsynchronousEvents;
            let entry = set_feature(feature, 0, events.into_bits(), Save::No);
            optional(self.simple(Command::SetFeatures, entry).await)?;
        }
        if let Some(coalescing) = self.options.coalescing {
            let feature = Feature::InterruptCoalescing;
            let entry = set_feature(feature, 0, coalescing.into_bits(), Save::No);
            optional(self.simple(Command::SetFeatures, entry).await)?;
        }
        let behaviour = HostBehaviour {
            advanced_retry: abilities.retry_delays != [0; 3],
            extended_formats: abilities.extended_formats,
        };
        if behaviour != HostBehaviour::default() {
            let entry = set_feature(Feature::HostBehaviour, 0, 0, Save::No);
            let data = behaviour.encode();
            let set = self.admin_write(Command::SetFeatures, entry, &data);
            if optional(set.await)? && behaviour.advanced_retry {
                let [first, second, third] = abilities.retry_delays.map(u64::from);
                let delays = first | second << 16 | third << 32;
                self.retry_delays.store(delays, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Asks for as many I/O queue pairs as are wanted. At least one is always granted.
    async fn negotiate_queues(self: &Arc<Self>) -> Result<(), Error> {
        let wanted = self.options.queues.clamp(1, self.port.doorbell_pairs());
        let command = Command::SetNumberOfQueues;
        let entry = command::set_number_of_queues(wanted);
        let (granted, _) = self.admin(command, entry, None, ADMIN_MICROSECONDS).await?;
        // Both numbers are zero-based, and may be larger than what was asked for.
        let submission = (granted as u16).saturating_add(1);
        let completion = ((granted >> 16) as u16).saturating_add(1);
        self.state.lock().granted = wanted.min(submission).min(completion);
        Ok(())
    }

    /// Turns shadow doorbells on, if the controller has them: before there is any I/O queue, so
    /// that all values are zeros.
    async fn set_up_shadows(self: &Arc<Self>) -> Result<(), Error> {
        self.is_shadowed.store(false, Ordering::Release);
        let is_offered = {
            let state = self.state.lock();
            let has_room =
                Shadows::<P::Shared>::have_room_for(state.granted, self.port.cap().dstrd());
            let is_close = state.controller_memory.is_none();
            state.identity.abilities.admin.doorbell_buffer() && has_room && is_close
        };
        if !is_offered || !self.options.shadow_doorbells {
            return Ok(());
        }
        let shadows = {
            let mut shadows = self.shadows.lock();
            match &*shadows {
                Some(shadows) => shadows.clone(),
                None => {
                    let bytes = Shadows::<P::Shared>::BYTES;
                    let Ok(memory) = self.port.platform().allocate(bytes) else {
                        // Registers are dearer, and need none.
                        return Ok(());
                    };
                    let new = Arc::new(Shadows::new(memory, self.port.cap().dstrd()));
                    shadows.insert(new).clone()
                }
            }
        };
        shadows.clear();
        let entry = command::doorbell_buffer_config(shadows.memory().bus().addr().get());
        // From the moment on when the controller carries out the command.
        self.connect_admin(Some(shadows));
        let is_on = optional(self.simple(Command::DoorbellBufferConfig, entry).await)?;
        if !is_on {
            self.connect_admin(None);
        }
        self.is_shadowed.store(is_on, Ordering::Release);
        Ok(())
    }

    fn connect_admin(&self, shadows: Option<Arc<Shadows<P::Shared>>>) {
        if let Some(admin) = &mut *self.admin.lock() {
            admin.connect(shadows);
        }
    }

    /// Asynchronous Event Requests that are to wait.
    pub(crate) fn wanted_events(&self) -> u16 {
        let most = self.state.lock().identity.abilities.event_requests;
        most.min(MAX_EVENT_REQUESTS)
    }

    /// Entries of an I/O queue.
    fn entries(&self) -> u16 {
        let most = match self.state.lock().identity.quirks.one_at_a_time() {
            // A ring of two entries holds one.
            true => 2,
            false => self.port.cap().mqes().saturating_add(1),
        };
        self.options.entries.clamp(2, 256).min(most)
    }

    /// Makes a new I/O queue pair.
    pub(crate) async fn create_queue<B: Memory>(
        self: &Arc<Self>,
        vector: Option<u16>,
    ) -> Result<Queue<P, B>, Error> {
        let quirks = self.state.lock().identity.quirks;
        let vector = match quirks.single_vector() {
            true => vector.map(|_| 0),
            false => vector,
        };
        let mut may_be_remote = true;
        loop {
            let (mut queue, generation, is_remote) = self.new_member(vector, may_be_remote).await?;
            let member = queue.member().clone();
            match self.introduce(&member, generation).await {
                // If a reset came in between, it is one of the queues that this brings back.
                Ok(()) | Err(Introduction::Overtaken) => {
                    queue.turn();
                    return Ok(queue);
                }
                Err(Introduction::Refused(error)) => {
                    queue.is_unknown();
                    if !is_remote {
                        return Err(error);
                    }
                    // Perhaps it is only the place that the controller does not like.
                    may_be_remote = false;
                }
                Err(Introduction::Failed(error)) => return Err(error),
            }
        }
    }

    /// Allocates a queue and puts it into the list, while nobody resets the controller. Returns
    /// how often that was reset before, and whether the queue is in the controller's memory.
    async fn new_member<B: Memory>(
        self: &Arc<Self>,
        vector: Option<u16>,
        may_be_remote: bool,
    ) -> Result<(Queue<P, B>, u64, bool), Error> {
        loop {
            self.recovered().await?;
            let entries = self.entries();
            let (id, limits) = {
                let mut state = self.state.lock();
                let is_there = |member: &Arc<Member>| !member.is_gone.load(Ordering::Acquire);
                state.members.retain(is_there);
                let is_free = |id: &u16| state.members.iter().all(|member| member.id != *id);
                let id = (1..=state.granted).find(is_free).ok_or(Error::Full)?;
                (id, Limits::of(&state.identity, entries - 1))
            };
            let bytes = Rings::<P::Shared>::submission_bytes(entries);
            let remote = match may_be_remote {
                true => self.controller_memory(id, bytes),
                false => None,
            };
            let is_remote = remote.is_some();
            let mut queue = Queue::allocate(self.clone(), id, entries, vector, limits, remote)?;
            {
                let mut state = self.state.lock();
                let is_taken = state.members.iter().any(|member| member.id == id);
                if !is_taken && !state.is_recovering {
                    state.members.push(queue.member().clone());
                    return Ok((queue, state.failures, is_remote));
                }
            }
            queue.is_unknown();
        }
    }

    /// Makes a queue's rings known to the controller, the completion queue first, and lets the
    /// queue go on.
    ///
    /// A reset may come in between, after the one with number `generation`. Then what the
    /// controller has said was about rings that it has forgotten, and to go on would be to
    /// talk about those that it may know again by now.
    pub(crate) async fn introduce(
        self: &Arc<Self>,
        member: &Member,
        generation: u64,
    ) -> Result<(), Introduction> {
        let is_overtaken = || self.state.lock().failures != generation;
        let (id, entries) = (member.id, member.entries);
        let mut entry = command::create_completion_queue(id, entries, member.completion);
        if let Some(vector) = member.vector {
            const INTERRUPTS_ENABLED: u64 = 1 << 33;
            entry.cdw10_11 |= INTERRUPTS_ENABLED | u64::from(vector) << 48;
        }
        let created = self.simple(Command::CreateCompletionQueue, entry).await;
        if is_overtaken() {
            return Err(Introduction::Overtaken);
        }
        created.map_err(Introduction::of)?;
        let entry = command::create_submission_queue(id, entries, member.submission);
        if let Err(error) = self.simple(Command::CreateSubmissionQueue, entry).await {
            if is_overtaken() {
                return Err(Introduction::Overtaken);
            }
            // The completion queue must not stay behind in memory that goes back.
            let entry = command::delete_completion_queue(id);
            let deleted = self.simple(Command::DeleteCompletionQueue, entry).await;
            if is_overtaken() {
                return Err(Introduction::Overtaken);
            }
            return Err(match deleted {
                Ok(_) => Introduction::of(error),
                Err(_) => Introduction::Failed(error),
            });
        }
        {
            // Whoever starts a reset does so with this lock, and gives its orders later.
            let state = self.state.lock();
            if state.failures != generation {
                return Err(Introduction::Overtaken);
            }
            member.is_created.store(true, Ordering::Release);
            member.link.command(Order::Live);
        }
        member.attendant.wake();
        Ok(())
    }

    /// Sends an admin command without data.
    pub(crate) async fn simple(
        self: &Arc<Self>,
        command: Command,
        entry: SubmissionEntry,
    ) -> Result<u64, Error> {
        let sent = self.admin(command, entry, None, ADMIN_MICROSECONDS);
        Ok(sent.await?.0)
    }

    /// Lists the active namespaces and identifies each.
    pub(crate) async fn identify_namespaces(self: &Arc<Self>) -> Result<(), Error> {
        const INVALID_FIELD: u8 = 0x02;
        let identity = self.state.lock().identity;
        let set = self.identify_command_set(&identity).await?;
        let mut namespaces = Vec::new();
        let mut left_out = false;
        match self.list_active_namespaces(identity.max_namespace).await {
            Ok((active, is_cut)) => {
                left_out = is_cut;
                for id in active {
                    namespaces.push(self.identify_namespace(id, &identity, set.as_ref()).await?);
                }
            }
            // Controllers before version 1.1 have no such list.
            Err(Error::Command(error))
                if error.status.sct() == 0 && error.status.sc() == INVALID_FIELD =>
            {
                let most = MAX_NAMESPACES as u32;
                left_out |= identity.max_namespace > most;
                for id in 1..=identity.max_namespace.min(most) {
                    namespaces.push(self.identify_namespace(id, &identity, set.as_ref()).await?);
                }
                // An inactive namespace is described by zeros.
                namespaces.retain(|namespace| !namespace.looks_inactive());
            }
            Err(error) => return Err(error),
        }
        let mut state = self.state.lock();
        state.namespaces = namespaces;
        state.namespaces_left_out = left_out;
        Ok(())
    }

    /// The identifiers of the active namespaces, in order, and whether there may be more.
    ///
    /// The list comes in pages of 1024. An identifier that is no larger than the one
    /// before, or too large altogether, ends it: the rest cannot be believed.
    async fn list_active_namespaces(
        self: &Arc<Self>,
        largest: u32,
    ) -> Result<(Vec<u32>, bool), Error> {
        let mut active = Vec::new();
        let mut last = 0;
        loop {
            let what = Identify::ActiveNamespaces(last);
            let data = self.identify(what).await?;
            let (ids, _) = data.as_chunks::<4>();
            for id in ids.iter().map(|bytes| u32::from_le_bytes(*bytes)) {
                if id == 0 {
                    return Ok((active, false));
                }
                let is_credible = id > last && id <= largest;
                if !is_credible || active.len() == MAX_NAMESPACES {
                    return Ok((active, true));
                }
                last = id;
                active.push(id);
            }
        }
    }

    async fn identify_namespace(
        self: &Arc<Self>,
        id: u32,
        identity: &Identity,
        set: Option<&NvmController>,
    ) -> Result<Namespace, Error> {
        let limits = Limits::of(identity, self.entries() - 1);
        let data = match self.identify(Identify::Namespace(id)).await {
            Ok(data) => data,
            Err(Error::Command(error)) => {
                return Ok(Namespace::not_identified(id, error.status, limits));
            }
            Err(error) => return Err(error),
        };
        let mut description = Description {
            identify: IdentifyNamespace::decode(&data),
            ..Description::default()
        };
        if identity.has_descriptors()
            && let Some(data) = self.try_identify(Identify::Descriptors(id)).await?
        {
            description.descriptors = Descriptors::decode(&data);
        }
        if identity.abilities.extended_formats {
            let what = Identify::NamespaceOf(id, CommandSet::Nvm);
            let data = self.try_identify(what).await?;
            description.extended = data.map(|data| NvmNamespace::decode(&data));
        }
        if description.descriptors.csi == Some(CommandSet::Zoned.csi()) {
            let what = Identify::NamespaceOf(id, CommandSet::Zoned);
            let controller = Identify::ControllerOf(CommandSet::Zoned);
            if let Some(namespace) = self.try_identify(what).await?
                && let Some(controller) = self.try_identify(controller).await?
            {
                let zoned = ZonedNamespace::decode(&namespace);
                description.zoned = Some((zoned, ZonedController::decode(&controller)));
            }
        }
        if identity.quirks.false_identifiers() {
            description.descriptors = Descriptors {
                csi: description.descriptors.csi,
                ..Descriptors::default()
            };
            description.identify.nguid = [0; 16];
            description.identify.eui64 = [0; 8];
        }
        if identity.quirks.stripes() && description.identify.noiob == 0 {
            description.identify.noiob = stripe(&description.identify);
        }
        let namespace = Namespace::new(id, &description, limits);
        let namespace = namespace.with_controller(
            &description.identify,
            set,
            &identity.abilities,
            identity.write_cache,
        );
        Ok(namespace)
    }

    /// What the controller says of the NVM command set. It may say nothing.
    async fn identify_command_set(
        self: &Arc<Self>,
        identity: &Identity,
    ) -> Result<Option<NvmController>, Error> {
        // Controllers before version 2.0 say it only if they have several command sets.
        if !self.port.cap().css_selectable() && identity.version.major() < 2 {
            return Ok(None);
        }
        let data = self.try_identify(Identify::ControllerOf(CommandSet::Nvm));
        Ok(data.await?.map(|data| NvmController::decode(&data)))
    }

    /// Identifies something that the controller need not have.
    async fn try_identify(
        self: &Arc<Self>,
        what: Identify,
    ) -> Result<Option<[u8; IDENTIFY_BYTES]>, Error> {
        match self.identify(what).await {
            Ok(data) => Ok(Some(data)),
            Err(Error::Command(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends an Identify command and takes a copy of what it brings.
    ///
    /// The memory is zeroed, so a controller that writes nothing shows nothing.
    pub(crate) async fn identify(
        self: &Arc<Self>,
        what: Identify,
    ) -> Result<[u8; IDENTIFY_BYTES], Error> {
        let data = self.admin_read(what.command(), what.entry(), IDENTIFY_BYTES);
        let (_, data) = data.await?;
        let mut structure = [0; IDENTIFY_BYTES];
        structure.copy_from_slice(&data);
        Ok(structure)
    }
}

/// Why the controller does not know a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Introduction {
    /// The controller has refused it. It does not use the queue's memory.
    Refused(Error),
    /// Something went wrong. It may use the queue's memory.
    Failed(Error),
    /// The controller was reset in between. Whoever did that tells it of all queues.
    Overtaken,
}

impl Introduction {
    /// Of an error of a command that would have created a queue.
    fn of(error: Error) -> Self {
        match error {
            Error::Command(_) => Self::Refused(error),
            error => Self::Failed(error),
        }
    }
}

/// Whether a command succeeded that the controller need not know.
pub(crate) fn optional(result: Result<u64, Error>) -> Result<bool, Error> {
    match result {
        Ok(_) => Ok(true),
        Err(Error::Command(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// True if a range of powers of two, smallest in the lower four bits, has `shift` in it.
fn offers(range: u8, shift: u8) -> bool {
    (range & 0xf..=range >> 4).contains(&shift)
}
