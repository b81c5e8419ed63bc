//! Features (NVMe base specification 2.0, sections 5.15 and 5.27): settings of a controller
//! or of a namespace.
//!
//! Most values are one dword: dword 11 of Set Features, and dword 0 of the completion of Get
//! Features. A few come through memory, and say so. What they mean is in `settings`.

use super::settings::{HostBehaviour, Timestamp};
use crate::command::Command;
use crate::wire::SubmissionEntry;
use bitfield_struct::bitfield;
use phyr::DmaRange;

/// A feature, by its Feature Identifier (FID).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// [`Arbitration`](super::Arbitration) between submission queues.
    Arbitration,
    /// [`PowerManagement`](super::PowerManagement).
    PowerManagement,
    /// [`TemperatureThreshold`](super::TemperatureThreshold).
    TemperatureThreshold,
    /// [`ErrorRecovery`](super::ErrorRecovery); of a namespace.
    ErrorRecovery,
    /// Volatile Write Cache: bit 0 is on.
    VolatileWriteCache,
    /// Number of Queues.
    NumberOfQueues,
    /// Interrupt [`Coalescing`](super::Coalescing).
    InterruptCoalescing,
    /// Interrupt [`VectorConfiguration`](super::VectorConfiguration).
    InterruptVectorConfiguration,
    /// Write Atomicity Normal: bit 0 says that AWUN and NAWUN need not hold.
    WriteAtomicity,
    /// Configuration of [`AsynchronousEvents`](super::AsynchronousEvents).
    AsynchronousEvents,
    /// Autonomous Power State Transition: bit 0 is on; 256 bytes of memory are the table.
    AutonomousPowerStates,
    /// [Host memory buffer](host_memory_buffer).
    HostMemoryBuffer,
    /// [`Timestamp`], in 8 bytes of memory.
    Timestamp,
    /// Keep Alive Timer: milliseconds; 0 is off.
    KeepAliveTimer,
    /// Host Controlled [`ThermalManagement`](super::ThermalManagement).
    ThermalManagement,
    /// [`HostBehaviour`], in 512 bytes of memory.
    HostBehaviour,
    /// Namespace Write Protection Configuration; of a namespace.
    WriteProtection,
}

impl Feature {
    /// Feature Identifier (FID).
    pub const fn id(self) -> u8 {
        match self {
            Self::Arbitration => 0x01,
            Self::PowerManagement => 0x02,
            Self::TemperatureThreshold => 0x04,
            Self::ErrorRecovery => 0x05,
            Self::VolatileWriteCache => 0x06,
            Self::NumberOfQueues => 0x07,
            Self::InterruptCoalescing => 0x08,
            Self::InterruptVectorConfiguration => 0x09,
            Self::WriteAtomicity => 0x0a,
            Self::AsynchronousEvents => 0x0b,
            Self::AutonomousPowerStates => 0x0c,
            Self::HostMemoryBuffer => 0x0d,
            Self::Timestamp => 0x0e,
            Self::KeepAliveTimer => 0x0f,
            Self::ThermalManagement => 0x10,
            Self::HostBehaviour => 0x16,
            Self::WriteProtection => 0x84,
        }
    }

    /// Bytes of memory that come with a Get Features of it; 0 for most.
    pub const fn bytes(self) -> usize {
        match self {
            Self::AutonomousPowerStates => 256,
            Self::HostMemoryBuffer => 4096,
            Self::Timestamp => Timestamp::BYTES,
            Self::HostBehaviour => HostBehaviour::BYTES,
            _ => 0,
        }
    }
}

/// Which value of a feature Get Features is about (SEL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The one in use.
    Current,
    /// The one that it left the factory with.
    Default,
    /// The one that will be in use after a reset or without power.
    Saved,
    /// None: what can be done with the feature, as [`Supported`].
    Supported,
}

/// Whether Set Features is to outlive a reset and a loss of power (SV).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Save {
    /// Until the next reset.
    No,
    /// For good, if the feature can be saved.
    Yes,
}

/// What can be done with a feature: dword 0 of Get Features with [`Select::Supported`].
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Supported {
    /// It can be saved.
    pub saveable: bool,
    /// Each namespace has a value of its own.
    pub namespace_specific: bool,
    /// It can be changed.
    pub changeable: bool,
    #[bits(29)]
    __: u32,
}

/// Asks for a value of a feature of namespace `nsid`, or of the controller with 0.
///
/// `selector` is dword 11: which one of several values, for features that have some.
pub const fn get_feature(
    feature: Feature,
    nsid: u32,
    select: Select,
    selector: u32,
) -> SubmissionEntry {
    let select = match select {
        Select::Current => 0,
        Select::Default => 1,
        Select::Saved => 2,
        Select::Supported => 3,
    };
    SubmissionEntry {
        nsid,
        cdw10_11: feature.id() as u64 | select << 8 | (selector as u64) << 32,
        ..Command::GetFeatures.entry()
    }
}

/// Sets a feature of namespace `nsid`, or of the controller with 0.
pub const fn set_feature(feature: Feature, nsid: u32, value: u32, save: Save) -> SubmissionEntry {
    let save = match save {
        Save::No => 0,
        Save::Yes => 1 << 31,
    };
    SubmissionEntry {
        nsid,
        cdw10_11: feature.id() as u64 | save | (value as u64) << 32,
        ..Command::SetFeatures.entry()
    }
}

/// Gives the controller a host memory buffer, or takes it back with `None`.
///
/// `list` is where its descriptors lie, `descriptors` how many there are, and `pages` how many
/// pages of 4 KiB they have together. `is_return` says that this is memory which the controller
/// had before, with what it wrote there (Memory Return).
pub const fn host_memory_buffer(
    list: Option<DmaRange>,
    descriptors: u32,
    pages: u32,
    is_return: bool,
) -> SubmissionEntry {
    const ENABLE: u32 = 1;
    const MEMORY_RETURN: u32 = 2;
    let off = set_feature(Feature::HostMemoryBuffer, 0, 0, Save::No);
    let Some(list) = list else {
        return off;
    };
    let flags = match is_return {
        true => ENABLE | MEMORY_RETURN,
        false => ENABLE,
    };
    let bus = list.addr().get();
    SubmissionEntry {
        cdw12_13: pages as u64 | bus << 32,
        cdw14_15: bus >> 32 | (descriptors as u64) << 32,
        ..set_feature(Feature::HostMemoryBuffer, 0, flags, Save::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::DmaAddr;

    #[test]
    fn commands_are_laid_out_as_specified() {
        let entry = get_feature(Feature::TemperatureThreshold, 0, Select::Saved, 0x10_0000);
        assert_eq!(entry.cdw0.opcode(), 0x0a);
        assert_eq!(entry.cdw10_11, 0x0010_0000_0000_0204);
        let entry = set_feature(Feature::VolatileWriteCache, 0, 1, Save::Yes);
        assert_eq!(entry.cdw0.opcode(), 0x09);
        assert_eq!(entry.cdw10_11, 0x0000_0001_8000_0006);
        let entry = set_feature(Feature::ErrorRecovery, 3, 0x1_0005, Save::No);
        assert_eq!((entry.nsid, entry.cdw10_11), (3, 0x0001_0005_0000_0005));
    }

    #[test]
    fn a_host_memory_buffer_is_given_and_taken() {
        let bus = DmaAddr::new(0x1_2345_6000);
        let list = DmaRange::new(bus, 4096).expect("a range");
        let entry = host_memory_buffer(Some(list), 3, 0x800, false);
        assert_eq!(entry.cdw10_11, 0x0000_0001_0000_000d);
        assert_eq!(entry.cdw12_13, 0x2345_6000_0000_0800);
        assert_eq!(entry.cdw14_15, 0x0000_0003_0000_0001);
        let entry = host_memory_buffer(Some(list), 3, 0x800, true);
        assert_eq!(entry.cdw10_11 >> 32, 3);
        let entry = host_memory_buffer(None, 0, 0, false);
        assert_eq!(
            (entry.cdw10_11, entry.cdw12_13, entry.cdw14_15),
            (0x0d, 0, 0)
        );
    }

    #[test]
    fn what_can_be_done_with_a_feature_is_in_three_bits() {
        assert!(Supported::from(5).saveable() && Supported::from(5).changeable());
        assert!(!Supported::from(5).namespace_specific());
    }
}
