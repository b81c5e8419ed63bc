//! Power State Descriptors (NVMe base specification 2.0, section 5.17.2.1, figure 276).

use super::fields::{bitfields, structure};
use bitfield_struct::bitfield;

structure! {
    /// Power State Descriptor (PSD).
    PowerState: 32 {
        /// Maximum Power (MP) in centiwatts, or in units of 0.1 mW if MXPS is set.
        0 => mp: u16,
        /// Flags: MXPS and NOPS.
        3 => flags: PowerFlags,
        /// Entry Latency (ENLAT) in microseconds.
        4 => enlat: u32,
        /// Exit Latency (EXLAT) in microseconds.
        8 => exlat: u32,
        /// Relative Read Throughput (RRT).
        12 => rrt: u8,
        /// Relative Read Latency (RRL).
        13 => rrl: u8,
        /// Relative Write Throughput (RWT).
        14 => rwt: u8,
        /// Relative Write Latency (RWL).
        15 => rwl: u8,
        /// Idle Power (IDLP), in the unit that IPS says.
        16 => idlp: u16,
        /// Idle Power Scale (IPS), in bits 7:6.
        18 => ips: u8,
        /// Active Power (ACTP), in the unit that APS says.
        20 => actp: u16,
        /// Active Power Workload and Scale (APW, APS).
        22 => apw: u8,
    }
}

/// The flags of a Power State Descriptor.
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct PowerFlags {
    /// Max Power Scale (MXPS): Maximum Power is in units of 0.1 mW.
    pub mxps: bool,
    /// Non-Operational State (NOPS): no I/O command is processed in this state.
    pub nops: bool,
    #[bits(6)]
    __: u8,
}

bitfields!(PowerFlags: u8);

impl PowerState {
    /// Maximum Power in units of 0.1 mW; 0 is unsaid.
    pub const fn tenth_milliwatts(&self) -> u32 {
        match self.flags.mxps() {
            true => self.mp as u32,
            // A centiwatt is 10 mW.
            false => self.mp as u32 * 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_has_two_units() {
        let mut bytes = [0; 32];
        bytes[0..2].copy_from_slice(&900_u16.to_le_bytes());
        assert_eq!(PowerState::decode(&bytes).tenth_milliwatts(), 90_000);
        bytes[3] = 3;
        let state = PowerState::decode(&bytes);
        assert_eq!(state.tenth_milliwatts(), 900);
        assert!(state.flags.nops());
    }
}
