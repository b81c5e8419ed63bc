//! What a controller can be asked and told besides reading and writing: logs, features,
//! formats, namespaces (NVMe base specification 2.0, section 5).
//!
//! Everything here is a call on [`Controller`] that sends one admin command and waits for it, or
//! a few of them. Commands that change namespaces are followed by a look at all namespaces, so
//! that [`Controller::namespaces`] shows what is true. Queues know nothing of namespaces;
//! a request that was made for a namespace as it was before is for the caller to throw away.

use crate::admin::{
    Attachment, Coalescing, Feature, Format, HostBehaviour, Identify, LogPage, NewNamespace,
    PowerManagement, Sanitize, Save, Select, SelfTest, Supported, Timestamp, VectorConfiguration,
    create_namespace, delete_namespace, device_self_test, format_nvm, get_feature,
    namespace_attachment, sanitize, set_feature,
};
use crate::command::Command;
use crate::controller::{ADMIN_MICROSECONDS, Controller};
use crate::error::{Error, RequestError};
use crate::platform::Platform;
use crate::power::{Transitions, transitions};
use crate::wire::{
    Effects, ErrorEntry, FirmwareSlots, Health, IdentifyNamespace, SanitizeLog, SubmissionEntry,
    controller_list, controllers, namespace_list,
};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Microseconds that a command may take which goes over a whole disk: an hour.
const LONG_MICROSECONDS: u64 = 3_600_000_000;

/// The namespace identifier that stands for all of them.
const ALL: u32 = u32::MAX;

/// Logs.
impl<P: Platform> Controller<P> {
    /// How the disk is (log page 02h).
    pub async fn health(&self) -> Result<Health, Error> {
        Ok(Health::decode(&self.log(LogPage::Health).await?))
    }

    /// The most recent errors, the last one first (log page 01h).
    pub async fn errors(&self) -> Result<Vec<ErrorEntry>, Error> {
        // As many as a page of memory has, or as the controller has.
        const MOST: u16 = (4096 / ErrorEntry::BYTES) as u16;
        let entries = self.identity().abilities.error_entries.min(MOST);
        let bytes = u32::from(entries) * ErrorEntry::BYTES as u32;
        let data = self.log_page(LogPage::Errors, ALL, bytes).await?;
        let (entries, _) = data.as_chunks();
        let entries = entries.iter().map(ErrorEntry::decode);
        Ok(entries.filter(ErrorEntry::is_used).collect())
    }

    /// Which firmware is in which slot (log page 03h).
    pub async fn firmware_slots(&self) -> Result<FirmwareSlots, Error> {
        let log = self.log(LogPage::FirmwareSlots).await?;
        Ok(FirmwareSlots::decode(&log))
    }

    /// Which commands there are, and what each does to others (log page 05h).
    pub async fn effects(&self) -> Result<Box<Effects>, Error> {
        self.need(self.identity().abilities.logs.effects())?;
        let log = self.log(LogPage::Effects).await?;
        Ok(Box::new(Effects::decode(&log)))
    }

    /// How the last sanitize operation is or was (log page 81h).
    pub async fn sanitize_status(&self) -> Result<SanitizeLog, Error> {
        Ok(SanitizeLog::decode(&self.log(LogPage::Sanitize).await?))
    }

    /// The first `N` bytes of a log page of the controller.
    async fn log<const N: usize>(&self, page: LogPage) -> Result<[u8; N], Error> {
        let data = self.log_page(page, ALL, N as u32).await?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&data);
        Ok(bytes)
    }
}

/// Features.
impl<P: Platform> Controller<P> {
    /// The value of a feature that has one dword, of namespace `nsid` or of the controller with
    /// 0. `selector` says which of several values it is, for features that have some.
    pub async fn feature(
        &self,
        feature: Feature,
        nsid: u32,
        select: Select,
        selector: u32,
    ) -> Result<u32, Error> {
        self.need(feature.bytes() == 0 || select == Select::Supported)?;
        // Without the ability, a controller looks at no selection, and answers another question.
        let abilities = self.identity().abilities;
        self.need(abilities.io.save_select() || select == Select::Current)?;
        let entry = get_feature(feature, nsid, select, selector);
        Ok(self.admin(Command::GetFeatures, entry).await? as u32)
    }

    /// What can be done with a feature.
    pub async fn supported(&self, feature: Feature, nsid: u32) -> Result<Supported, Error> {
        let value = self.feature(feature, nsid, Select::Supported, 0).await?;
        Ok(Supported::from(value))
    }

    /// Sets a feature that has one dword.
    ///
    /// Features that the driver itself depends on are refused: the number of queues, and those
    /// with memory, which have calls of their own.
    pub async fn set_feature(
        &self,
        feature: Feature,
        nsid: u32,
        value: u32,
        save: Save,
    ) -> Result<(), Error> {
        let is_drivers = matches!(
            feature,
            Feature::NumberOfQueues | Feature::AsynchronousEvents
        );
        self.need(feature.bytes() == 0 && !is_drivers)?;
        let entry = set_feature(feature, nsid, value, save);
        self.admin(Command::SetFeatures, entry).await?;
        Ok(())
    }

    /// Whether the volatile write cache is on.
    pub async fn write_cache(&self) -> Result<bool, Error> {
        self.need(self.identity().write_cache)?;
        let feature = Feature::VolatileWriteCache;
        let value = self.feature(feature, 0, Select::Current, 0).await?;
        Ok(value & 1 != 0)
    }

    /// Turns the volatile write cache on or off, until the next reset.
    ///
    /// Off, a write is durable when it is complete. Flushes are sent as before, and cost little.
    pub async fn set_write_cache(&self, is_on: bool) -> Result<(), Error> {
        self.need(self.identity().write_cache)?;
        let feature = Feature::VolatileWriteCache;
        self.set_feature(feature, 0, u32::from(is_on), Save::No)
            .await
    }

    /// Lets the controller collect completions before it raises an interrupt.
    pub async fn coalesce(&self, coalescing: Coalescing) -> Result<(), Error> {
        let feature = Feature::InterruptCoalescing;
        self.set_feature(feature, 0, coalescing.into_bits(), Save::No)
            .await
    }

    /// Whether completions of a vector are collected, too, when those of the controller are.
    pub async fn vector_configuration(&self, vector: u16) -> Result<VectorConfiguration, Error> {
        let feature = Feature::InterruptVectorConfiguration;
        let selector = u32::from(vector);
        let value = self.feature(feature, 0, Select::Current, selector).await?;
        Ok(VectorConfiguration::from(value))
    }

    /// Says whether completions of a vector are collected when those of the controller are, until the
    /// next reset. One that is waited for had better interrupt at once.
    pub async fn configure_vector(&self, what: VectorConfiguration) -> Result<(), Error> {
        let feature = Feature::InterruptVectorConfiguration;
        self.set_feature(feature, 0, what.into_bits(), Save::No)
            .await
    }

    /// Milliseconds since the year 1970, by the controller's clock.
    pub async fn timestamp(&self) -> Result<Timestamp, Error> {
        self.need(self.identity().abilities.io.timestamp())?;
        let entry = get_feature(Feature::Timestamp, 0, Select::Current, 0);
        let read = self
            .shared
            .admin_read(Command::GetFeatures, entry, Timestamp::BYTES);
        let (_, data) = read.await?;
        let bytes = data.first_chunk().copied().unwrap_or_default();
        Ok(Timestamp::from(u64::from_le_bytes(bytes)))
    }

    /// Sets the controller's clock.
    pub async fn set_timestamp(&self, milliseconds: u64) -> Result<(), Error> {
        self.need(self.identity().abilities.io.timestamp())?;
        let entry = set_feature(Feature::Timestamp, 0, 0, Save::No);
        // The clock has 48 bits, and the host says nothing of the rest.
        let bytes = (milliseconds & 0xffff_ffff_ffff).to_le_bytes();
        self.write(Command::SetFeatures, entry, &bytes).await
    }

    /// What the controller knows of the host.
    pub async fn host_behaviour(&self) -> Result<HostBehaviour, Error> {
        let entry = get_feature(Feature::HostBehaviour, 0, Select::Current, 0);
        let read = self
            .shared
            .admin_read(Command::GetFeatures, entry, HostBehaviour::BYTES);
        let (_, data) = read.await?;
        let bytes = data.first_chunk().copied();
        Ok(HostBehaviour::decode(&bytes.unwrap_or([0; 512])))
    }

    /// The power state that the controller is in.
    pub async fn power_state(&self) -> Result<u8, Error> {
        let feature = Feature::PowerManagement;
        let value = self.feature(feature, 0, Select::Current, 0).await?;
        Ok(PowerManagement::from(value).state())
    }

    /// Puts the controller into a power state.
    pub async fn set_power_state(&self, state: u8) -> Result<(), Error> {
        let states = self.identity().abilities.power;
        self.need(usize::from(state) < states.states().len())?;
        let value = PowerManagement::new().with_state(state);
        let feature = Feature::PowerManagement;
        self.set_feature(feature, 0, value.into_bits(), Save::No)
            .await
    }

    /// Lets the controller sleep when it is idle, if the first command after that takes at most
    /// `microseconds` longer; 0 keeps it awake. Returns the table that it got.
    pub async fn sleep_within(&self, microseconds: u32) -> Result<Transitions, Error> {
        let states = self.identity().abilities.power;
        self.need(states.autonomous)?;
        let table = transitions(&states, microseconds);
        let is_on = u32::from(!table.is_empty());
        let entry = set_feature(Feature::AutonomousPowerStates, 0, is_on, Save::No);
        self.write(Command::SetFeatures, entry, &table.encode())
            .await?;
        Ok(table)
    }
}

/// Namespaces.
impl<P: Platform> Controller<P> {
    /// Formats a namespace. All its blocks are lost, and where the controller says so, those of
    /// all other namespaces, too ([`formats_all`](crate::Abilities::formats_all)).
    pub async fn format(&self, nsid: u32, format: Format) -> Result<(), Error> {
        self.need(self.identity().abilities.admin.format())?;
        let entry = format_nvm(nsid, format);
        self.long(Command::FormatNvm, entry).await?;
        self.rescan().await
    }

    /// Attaches a namespace to controllers or detaches it; to this one, if `controllers` is
    /// empty.
    pub async fn attach(
        &self,
        nsid: u32,
        what: Attachment,
        controllers: &[u16],
    ) -> Result<(), Error> {
        let identity = self.identity();
        self.need(identity.abilities.admin.namespaces())?;
        let list = match controllers {
            [] => controller_list(&[identity.controller]),
            some => controller_list(some),
        };
        let entry = namespace_attachment(nsid, what);
        self.write(Command::NamespaceAttachment, entry, &list)
            .await?;
        self.rescan().await
    }

    /// Creates a namespace, which is attached to no controller yet. Returns its identifier.
    pub async fn create_namespace(&self, new: NewNamespace) -> Result<u32, Error> {
        self.need(self.identity().abilities.admin.namespaces())?;
        let command = Command::NamespaceManagement;
        let data = new.encode();
        let sent = self.shared.admin_write(command, create_namespace(), &data);
        Ok(sent.await? as u32)
    }

    /// Deletes a namespace, with all that is in it.
    pub async fn delete_namespace(&self, nsid: u32) -> Result<(), Error> {
        self.need(self.identity().abilities.admin.namespaces())?;
        let entry = delete_namespace(nsid);
        self.long(Command::NamespaceManagement, entry).await?;
        self.rescan().await
    }

    /// The first 1024 namespaces that exist, attached or not.
    pub async fn allocated_namespaces(&self) -> Result<Vec<u32>, Error> {
        self.alive()?;
        let list = self.shared.identify(Identify::AllocatedNamespaces(0));
        Ok(namespace_list(&list.await?).collect())
    }

    /// What a namespace that exists is like, attached or not.
    pub async fn describe(&self, nsid: u32) -> Result<Box<IdentifyNamespace>, Error> {
        self.alive()?;
        let data = self.shared.identify(Identify::AllocatedNamespace(nsid));
        Ok(Box::new(IdentifyNamespace::decode(&data.await?)))
    }

    /// The controllers that a namespace is attached to.
    pub async fn controllers_of(&self, nsid: u32) -> Result<Vec<u16>, Error> {
        self.alive()?;
        let list = self.shared.identify(Identify::AttachedControllers(nsid, 0));
        Ok(controllers(&list.await?).collect())
    }
}

/// Maintenance.
impl<P: Platform> Controller<P> {
    /// Begins to sanitize the whole subsystem: all data of all namespaces is lost.
    ///
    /// [`sanitize_status`](Self::sanitize_status) says how far it is.
    pub async fn sanitize(&self, what: Sanitize) -> Result<(), Error> {
        let can = self.identity().abilities.sanitize;
        self.need(match what {
            Sanitize::ExitFailure => can.into_bits() & 7 != 0,
            Sanitize::BlockErase => can.block_erase(),
            Sanitize::Overwrite { .. } => can.overwrite(),
            Sanitize::CryptoErase => can.crypto_erase(),
        })?;
        self.admin(Command::Sanitize, sanitize(what)).await?;
        Ok(())
    }

    /// Begins a test that the controller makes of itself and of all namespaces.
    pub async fn self_test(&self, what: SelfTest) -> Result<(), Error> {
        self.need(self.identity().abilities.admin.self_test())?;
        let entry = device_self_test(ALL, what);
        self.admin(Command::DeviceSelfTest, entry).await?;
        Ok(())
    }
}

impl<P: Platform> Controller<P> {
    /// Sends a command without data.
    async fn admin(&self, command: Command, entry: SubmissionEntry) -> Result<u64, Error> {
        self.alive()?;
        let sent = self.shared.admin(command, entry, None, ADMIN_MICROSECONDS);
        Ok(sent.await?.0)
    }

    /// Sends a command without data that may take long.
    async fn long(&self, command: Command, entry: SubmissionEntry) -> Result<u64, Error> {
        self.alive()?;
        let sent = self.shared.admin(command, entry, None, LONG_MICROSECONDS);
        Ok(sent.await?.0)
    }

    /// Sends a command with data.
    async fn write(
        &self,
        command: Command,
        entry: SubmissionEntry,
        data: &[u8],
    ) -> Result<(), Error> {
        self.alive()?;
        self.shared.admin_write(command, entry, data).await?;
        Ok(())
    }

    /// Refuses what the controller does not offer, before anything is sent.
    fn need(&self, is_offered: bool) -> Result<(), Error> {
        self.alive()?;
        match is_offered {
            true => Ok(()),
            false => Err(Error::Request(RequestError::Unsupported)),
        }
    }
}
