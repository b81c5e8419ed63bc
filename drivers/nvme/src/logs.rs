//! Log pages for people and for programs that watch a disk (NVMe base specification 2.0,
//! section 5.16.1).
//!
//! The [wire structures](crate::wire) already have plain fields. What is here is what takes a
//! rule: temperatures, units of data, which entries of a list count, and how all of it is
//! printed. A number that a device made up is printed like any other.

use crate::identity::Text;
use crate::wire::{
    CommandEffects, CriticalWarning, ErrorEntry, FirmwareSlots, Health, SanitizeLog,
};
use core::fmt;

impl Health {
    /// The composite temperature in degrees Celsius; `None` if the controller states none.
    pub const fn celsius(&self) -> Option<i32> {
        match self.temperature {
            0 => None,
            kelvins => Some(kelvins as i32 - 273),
        }
    }

    /// Bytes that hosts have read. Data units are thousands of 512 bytes, rounded up.
    pub const fn bytes_read(&self) -> u128 {
        self.units_read.saturating_mul(512_000)
    }

    /// Bytes that hosts have written.
    pub const fn bytes_written(&self) -> u128 {
        self.units_written.saturating_mul(512_000)
    }
}

impl fmt::Display for CriticalWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warnings = [
            (self.spare(), "little spare left"),
            (self.temperature(), "temperature beyond a threshold"),
            (self.reliability(), "not reliable any more"),
            (self.read_only(), "read-only"),
            (self.backup(), "backup of volatile memory failed"),
            (self.persistent_memory(), "persistent memory failed"),
        ];
        let mut separator = "";
        for (_, text) in warnings.iter().filter(|(is_set, _)| *is_set) {
            write!(f, "{separator}{text}")?;
            separator = ", ";
        }
        match separator {
            "" => f.write_str("none"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "critical warnings   {}", self.warning)?;
        match self.celsius() {
            Some(celsius) => writeln!(f, "temperature         {celsius} °C")?,
            None => writeln!(f, "temperature         unknown")?,
        }
        let (spare, threshold) = (self.spare, self.spare_threshold);
        writeln!(f, "spare               {spare} % (threshold {threshold} %)")?;
        writeln!(f, "used                {} %", self.used)?;
        writeln!(f, "data units read     {}", self.units_read)?;
        writeln!(f, "data units written  {}", self.units_written)?;
        writeln!(f, "read commands       {}", self.reads)?;
        writeln!(f, "write commands      {}", self.writes)?;
        writeln!(f, "busy                {} min", self.busy_minutes)?;
        writeln!(f, "power cycles        {}", self.power_cycles)?;
        writeln!(f, "power on            {} h", self.power_on_hours)?;
        writeln!(f, "unsafe shutdowns    {}", self.unsafe_shutdowns)?;
        writeln!(f, "media errors        {}", self.media_errors)?;
        write!(f, "error log entries   {}", self.error_entries)
    }
}

impl ErrorEntry {
    /// True if the entry reports an error. Others fill the log up.
    pub const fn is_used(&self) -> bool {
        self.count != 0
    }

    /// Byte and bit of the command that are wrong; `None` if the error is elsewhere.
    pub const fn parameter(&self) -> Option<(u8, u8)> {
        match self.location {
            0xffff => None,
            location => Some((location as u8, (location >> 8) as u8 & 7)),
        }
    }
}

impl fmt::Display for ErrorEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            sqid,
            cid,
            status,
            ..
        } = self;
        write!(
            f,
            "error {count}: command {cid:#06x} of queue {sqid}: {status}"
        )?;
        if self.nsid != 0 {
            write!(f, ", namespace {}, block {}", self.nsid, self.lba)?;
        }
        if let Some((byte, bit)) = self.parameter() {
            write!(f, ", byte {byte} bit {bit} of the command")?;
        }
        Ok(())
    }
}

impl FirmwareSlots {
    /// The slots that have firmware, with their numbers, 1 to 7.
    pub fn slots(&self) -> impl Iterator<Item = (u8, Text<8>)> {
        (1..).zip(&self.frs).filter_map(|(slot, revision)| {
            let is_used = revision.iter().any(|byte| *byte != 0);
            is_used.then(|| (slot, Text::new(*revision)))
        })
    }
}

impl fmt::Display for FirmwareSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (slot, revision) in self.slots() {
            write!(f, "{separator}slot {slot}: {revision}")?;
            if slot == self.afi.active() {
                f.write_str(" (running)")?;
            }
            if slot == self.afi.next() {
                f.write_str(" (after the next reset)")?;
            }
            separator = "\n";
        }
        Ok(())
    }
}

impl CommandEffects {
    /// True if namespaces are to be identified again after the command: their capabilities or
    /// their number may have changed.
    pub const fn asks_for_rescan(&self) -> bool {
        self.ncc() || self.nic()
    }

    /// True if no other command may be on the way while the command is.
    pub const fn wants_to_be_alone(&self) -> bool {
        self.cse() != 0
    }
}

/// How a sanitize operation is or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanitizeStatus {
    /// There was none.
    Never,
    /// It is done.
    Done,
    /// It is going on, and has done so many parts of 65536.
    GoingOn(u16),
    /// It failed. Nothing else is allowed until another one succeeds, or failure mode is left.
    Failed,
}

impl SanitizeLog {
    /// How the most recent operation is or was.
    pub const fn status(&self) -> SanitizeStatus {
        match self.sstat.status() {
            0 => SanitizeStatus::Never,
            2 => SanitizeStatus::GoingOn(self.sprog),
            3 => SanitizeStatus::Failed,
            _ => SanitizeStatus::Done,
        }
    }
}

impl fmt::Display for SanitizeLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status() {
            SanitizeStatus::Never => f.write_str("never sanitized"),
            SanitizeStatus::Done => f.write_str("sanitized"),
            SanitizeStatus::GoingOn(parts) => {
                write!(f, "sanitizing, {} % done", u32::from(parts) * 100 / 65536)
            }
            SanitizeStatus::Failed => f.write_str("the last sanitize operation failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;
    use crate::wire::{ActiveFirmware, SanitizeState};

    #[test]
    fn health_is_printed_with_units() {
        let health = Health {
            warning: CriticalWarning::new()
                .with_temperature(true)
                .with_read_only(true),
            temperature: 323,
            spare: 100,
            spare_threshold: 10,
            units_written: 3,
            ..Health::default()
        };
        assert_eq!(health.celsius(), Some(50));
        assert_eq!(health.bytes_written(), 1_536_000);
        let text = format!("{health}");
        assert!(text.contains("temperature beyond a threshold, read-only"));
        assert!(text.contains("50 °C"));
        assert_eq!(Health::default().celsius(), None);
        assert_eq!(format!("{}", CriticalWarning::new()), "none");
        let absurd = Health {
            units_read: u128::MAX,
            ..health
        };
        assert_eq!(absurd.bytes_read(), u128::MAX);
    }

    #[test]
    fn an_error_names_the_command_and_the_bit() {
        let entry = ErrorEntry {
            count: 7,
            sqid: 1,
            cid: 0x12,
            status: Status::new().with_sc(0x80),
            location: 0x0328,
            lba: 99,
            nsid: 1,
            ..ErrorEntry::default()
        };
        assert!(entry.is_used() && !ErrorEntry::default().is_used());
        assert_eq!(entry.parameter(), Some((0x28, 3)));
        let text = format!("{entry}");
        assert!(text.starts_with("error 7: command 0x0012 of queue 1: LBA Out of Range"));
        assert!(text.ends_with(", namespace 1, block 99, byte 40 bit 3 of the command"));
        let elsewhere = ErrorEntry {
            location: 0xffff,
            ..entry
        };
        assert_eq!(elsewhere.parameter(), None);
    }

    #[test]
    fn empty_slots_are_not_listed() {
        let mut slots = FirmwareSlots {
            afi: ActiveFirmware::new().with_active(1).with_next(3),
            ..FirmwareSlots::default()
        };
        slots.frs[0] = *b"1.0     ";
        slots.frs[2] = *b"2.0\xff    ";
        assert_eq!(
            format!("{slots}"),
            "slot 1: 1.0 (running)\nslot 3: 2.0? (after the next reset)"
        );
    }

    #[test]
    fn sanitize_says_how_far_it_is() {
        let log = |status| SanitizeLog {
            sprog: 0x4000,
            sstat: SanitizeState::new().with_status(status),
            ..SanitizeLog::default()
        };
        assert_eq!(log(0).status(), SanitizeStatus::Never);
        assert_eq!(log(1).status(), SanitizeStatus::Done);
        assert_eq!(log(3).status(), SanitizeStatus::Failed);
        assert_eq!(log(4).status(), SanitizeStatus::Done);
        assert_eq!(format!("{}", log(2)), "sanitizing, 25 % done");
    }

    #[test]
    fn effects_say_what_to_do_afterwards() {
        let format = CommandEffects::new().with_ncc(true).with_cse(1);
        assert!(format.asks_for_rescan() && format.wants_to_be_alone());
        let write = CommandEffects::new().with_lbcc(true);
        assert!(!write.asks_for_rescan() && !write.wants_to_be_alone());
    }
}
