//! Features (NVMe base specification 2.0, sections 5.15 and 5.27): settings of a controller
//! or of a namespace.
//!
//! Most values are one dword: dword 11 of Set Features, and dword 0 of the completion of Get
//! Features. A few come through memory, and say so.

use crate::command::Command;
use crate::wire::SubmissionEntry;
use bitfield_struct::bitfield;
use phyr::DmaRange;

/// A feature, by its Feature Identifier (FID).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// [`Arbitration`] between submission queues.
    Arbitration,
    /// [`PowerManagement`].
    PowerManagement,
    /// [`TemperatureThreshold`].
    TemperatureThreshold,
    /// [`ErrorRecovery`]; of a namespace.
    ErrorRecovery,
    /// Volatile Write Cache: bit 0 is on.
    VolatileWriteCache,
    /// Number of Queues.
    NumberOfQueues,
    /// Interrupt [`Coalescing`].
    InterruptCoalescing,
    /// Interrupt [`VectorConfiguration`].
    InterruptVectorConfiguration,
    /// Write Atomicity Normal: bit 0 says that AWUN and NAWUN need not hold.
    WriteAtomicity,
    /// Configuration of [`AsynchronousEvents`].
    AsynchronousEvents,
    /// Autonomous Power State Transition: bit 0 is on; 256 bytes of memory are the table.
    AutonomousPowerStates,
    /// [Host memory buffer](host_memory_buffer).
    HostMemoryBuffer,
    /// [`Timestamp`], in 8 bytes of memory.
    Timestamp,
    /// Keep Alive Timer: milliseconds; 0 is off.
    KeepAliveTimer,
    /// Host Controlled [`ThermalManagement`].
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

/// How the controller chooses between submission queues.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Arbitration {
    /// Arbitration Burst (AB): commands at a time, as a power of two; 7 is no limit.
    #[bits(3)]
    pub burst: u8,
    #[bits(5)]
    __: u8,
    /// Low Priority Weight (LPW), zero-based.
    pub low: u8,
    /// Medium Priority Weight (MPW), zero-based.
    pub medium: u8,
    /// High Priority Weight (HPW), zero-based.
    pub high: u8,
}

/// The power state.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct PowerManagement {
    /// Power State (PS).
    #[bits(5)]
    pub state: u8,
    /// Workload Hint (WH).
    #[bits(3)]
    pub workload: u8,
    #[bits(24)]
    __: u32,
}

/// A temperature at which the controller says something.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct TemperatureThreshold {
    /// Temperature Threshold (TMPTH) in kelvins.
    pub kelvins: u16,
    /// Threshold Temperature Select (TMPSEL): 0 is the composite temperature, 1 to 8 are
    /// sensors.
    #[bits(4)]
    pub sensor: u8,
    /// The threshold is the lower one (THSEL).
    pub is_under: bool,
    #[bits(11)]
    __: u16,
}

/// What the controller does about errors of a namespace.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct ErrorRecovery {
    /// Time Limited Error Recovery (TLER), in units of 100 ms; 0 is no limit.
    pub retry: u16,
    /// Deallocated or Unwritten Logical Block Error Enable (DULBE).
    pub deallocated: bool,
    #[bits(15)]
    __: u16,
}

/// When completions raise an interrupt.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Coalescing {
    /// Aggregation Threshold (THR): completions, zero-based.
    pub threshold: u8,
    /// Aggregation Time (TIME), in units of 100 µs; 0 is no delay.
    pub time: u8,
    #[bits(16)]
    __: u16,
}

/// Whether a vector is coalesced.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct VectorConfiguration {
    /// Interrupt Vector (IV).
    pub vector: u16,
    /// Coalescing Disable (CD).
    pub is_immediate: bool,
    #[bits(15)]
    __: u16,
}

/// Which asynchronous events the controller reports. The upper half is like OAES.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct AsynchronousEvents {
    /// SMART / Health Critical Warnings, a bit for each.
    pub health: u8,
    /// Namespace Attribute Notices.
    pub namespaces: bool,
    /// Firmware Activation Notices.
    pub firmware: bool,
    /// Telemetry Log Notices.
    pub telemetry: bool,
    /// Asymmetric Namespace Access Change Notices.
    pub access: bool,
    #[bits(15)]
    __: u16,
    /// Zone Descriptor Changed Notices.
    pub zones: bool,
    #[bits(4)]
    __: u8,
}

/// Temperatures at which the controller makes itself slower.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct ThermalManagement {
    /// Thermal Management Temperature 2 (TMT2) in kelvins: whatever it costs.
    pub heavy: u16,
    /// Thermal Management Temperature 1 (TMT1) in kelvins: while it costs little.
    pub light: u16,
}

/// Milliseconds since the year 1970, and where they come from.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Timestamp {
    /// Milliseconds.
    #[bits(48)]
    pub milliseconds: u64,
    /// The clock stood still at times (Synch).
    pub is_stale: bool,
    /// Timestamp Origin: 0 is a reset, 1 a host.
    #[bits(3)]
    pub origin: u8,
    #[bits(12)]
    __: u16,
}

impl Timestamp {
    /// Bytes in memory.
    pub const BYTES: usize = 8;
}

/// What the host says that it can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostBehaviour {
    /// Advanced Command Retry Enable (ACRE): the host waits before it sends a command again,
    /// for as long as the status says.
    pub advanced_retry: bool,
    /// LBA Format Extension Enable (LBAFEE): the host knows formats beyond the sixteenth, and
    /// guards of 32 and 64 bits.
    pub extended_formats: bool,
}

impl HostBehaviour {
    /// Bytes in memory.
    pub const BYTES: usize = 512;

    /// The structure as it lies in memory.
    pub const fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.advanced_retry as u8;
        bytes[2] = self.extended_formats as u8;
        bytes
    }

    /// The structure that lies in memory as `bytes`.
    pub const fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        Self {
            advanced_retry: bytes[0] & 1 != 0,
            extended_formats: bytes[2] & 1 != 0,
        }
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
    fn values_have_their_bits() {
        let threshold = TemperatureThreshold::new()
            .with_kelvins(353)
            .with_sensor(1)
            .with_is_under(true);
        assert_eq!(threshold.into_bits(), 0x0011_0161);
        let events = AsynchronousEvents::new()
            .with_health(0x1f)
            .with_namespaces(true)
            .with_zones(true);
        assert_eq!(events.into_bits(), 0x0800_011f);
        let coalescing = Coalescing::new().with_threshold(7).with_time(2);
        assert_eq!(coalescing.into_bits(), 0x0207);
        let vector = VectorConfiguration::new()
            .with_vector(3)
            .with_is_immediate(true);
        assert_eq!(vector.into_bits(), 0x1_0003);
        let power = PowerManagement::new().with_state(4).with_workload(1);
        assert_eq!(power.into_bits(), 0x24);
        let thermal = ThermalManagement::new().with_light(340).with_heavy(350);
        assert_eq!(thermal.into_bits(), 340 << 16 | 350);
        assert_eq!(
            Arbitration::new().with_burst(7).with_low(1).into_bits(),
            0x107
        );
        assert_eq!(
            ErrorRecovery::new().with_deallocated(true).into_bits(),
            0x1_0000
        );
        assert!(Supported::from(5).saveable() && Supported::from(5).changeable());
    }

    #[test]
    fn structures_in_memory_have_their_bytes() {
        let behaviour = HostBehaviour {
            advanced_retry: true,
            extended_formats: true,
        };
        let bytes = behaviour.encode();
        assert_eq!(bytes[..4], [1, 0, 1, 0]);
        assert_eq!(HostBehaviour::decode(&bytes), behaviour);
        let time = Timestamp::new()
            .with_milliseconds(0x1234_5678_9abc)
            .with_is_stale(true)
            .with_origin(1);
        assert_eq!(u64::from(time), 0x0003_1234_5678_9abc);
    }
}
