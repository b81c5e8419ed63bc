//! Bringing a controller up (NVMe base specification 2.0, section 3.5.1).
//!
//! The order is the specification's: disable, admin queues, enable, identify, number of
//! queues, namespaces, and queues last. It is the same for a new controller and after a reset,
//! and starts from whatever state firmware or a failure has left. The device may reach memory
//! only from the moment on when it has confirmed that it is disabled.

use crate::admin::{AsynchronousEvents, Feature, HostBehaviour, Identify, Save, set_feature};
use crate::admin_queue::MAX_EVENT_REQUESTS;
use crate::command::{self, Command};
use crate::controller::ADMIN_MICROSECONDS;
use crate::doorbell::Shadows;
use crate::error::{Error, Failure, Unsupported};
use crate::identity::Identity;
use crate::platform::{Platform, SharedMemory};
use crate::port::AdminQueues;
use crate::quirks::Quirks;
use crate::shared::Shared;
use crate::wire::{IdentifyController, SubmissionEntry};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

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

    /// Sends an admin command without data.
    pub(crate) async fn simple(
        self: &Arc<Self>,
        command: Command,
        entry: SubmissionEntry,
    ) -> Result<u64, Error> {
        let sent = self.admin(command, entry, None, ADMIN_MICROSECONDS);
        Ok(sent.await?.0)
    }

    /// Identifies something that the controller need not have.
    pub(crate) async fn try_identify(
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
