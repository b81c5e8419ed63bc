//! The values of features (NVMe base specification 2.0, section 5.27.1): what the dword of each
//! means, or its memory.

use bitfield_struct::bitfield;

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
