//! What a status means to whoever sent the command (NVMe base specification 2.0, sections
//! 3.3.3.2.1 and 8.6).
//!
//! A controller says with Do Not Retry (DNR) that the same command would fail again. Without
//! it, a retry is allowed, but it helps only where the cause may go away. And it may say how
//! long to wait before (Command Retry Delay, CRD), if the host has turned that on (ACRE).

use crate::status::Status;

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The command did what it was to do.
    Success,
    /// The command itself is wrong, or the controller cannot do it. Sent again, it fails again.
    Refused,
    /// The namespace or the controller cannot do it now, and may be able to soon.
    Busy,
    /// The command was stopped: by a reset, a deleted queue, or an Abort. Nobody knows how much
    /// of it was done.
    Aborted,
    /// Something went wrong between the command and the media.
    Transient,
    /// The data is not there any more, or could not be stored.
    Media,
    /// The data is there, but its protection information says that it is not what was written.
    Integrity,
    /// Compare found a difference. Nothing is wrong with the disk.
    Mismatch,
    /// The namespace is not to be written, or not by this host.
    Protected,
    /// There is no room: in the namespace, or for one more zone.
    Exhausted,
    /// The zone is not in a state in which the command can be done.
    Zone,
}

impl Status {
    /// What the status means to whoever sent the command.
    pub const fn meaning(&self) -> Meaning {
        match (self.sct(), self.sc()) {
            (0, 0x00) => Meaning::Success,
            // Power loss, abort, deleted queue, fused partner, preempted.
            (0, 0x05 | 0x07..=0x0a | 0x1b) => Meaning::Aborted,
            // Data transfer, internal, interrupted, transport.
            (0, 0x04 | 0x06 | 0x21 | 0x22) => Meaning::Transient,
            // Sanitize, media and namespace not ready, format going on.
            (0, 0x1d | 0x24 | 0x82 | 0x84) => Meaning::Busy,
            (0, 0x15 | 0x20 | 0x83) | (1, 0x82) | (2, 0x86) => Meaning::Protected,
            (0, 0x81) | (1, 0x15 | 0x26 | 0xbd | 0xbe) => Meaning::Exhausted,
            (0, 0x88) => Meaning::Media,
            (1, 0xb8..=0xbc | 0xbf) => Meaning::Zone,
            (2, 0x80 | 0x81 | 0x87) => Meaning::Media,
            (2, 0x82..=0x84 | 0x88) => Meaning::Integrity,
            (2, 0x85) => Meaning::Mismatch,
            // Paths: internal, transition, controller, host, aborted by host.
            (3, 0x03) => Meaning::Busy,
            (3, 0x00 | 0x60 | 0x70) => Meaning::Transient,
            (3, 0x71) => Meaning::Aborted,
            _ => Meaning::Refused,
        }
    }

    /// How many milliseconds to wait before the same command is sent again, with the
    /// controller's delay times (CRDT1 to 3, in units of 100 ms). `None` if it must not or
    /// should not be sent again.
    ///
    /// The caller bounds how often it does so.
    pub const fn retry_after(&self, delays: [u16; 3]) -> Option<u32> {
        if self.dnr() {
            return None;
        }
        match self.meaning() {
            Meaning::Busy | Meaning::Aborted | Meaning::Transient | Meaning::Media => {}
            Meaning::Success
            | Meaning::Refused
            | Meaning::Integrity
            | Meaning::Mismatch
            | Meaning::Protected
            | Meaning::Exhausted
            | Meaning::Zone => return None,
        }
        Some(match self.crd() {
            0 => 0,
            index => delays[index as usize - 1] as u32 * 100,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(sct: u8, sc: u8) -> Status {
        Status::new().with_sct(sct).with_sc(sc)
    }

    #[test]
    fn what_may_be_retried_depends_on_type_and_code() {
        let table = [
            (0, 0x00, Meaning::Success, false),
            (0, 0x02, Meaning::Refused, false),
            (0, 0x04, Meaning::Transient, true),
            (0, 0x07, Meaning::Aborted, true),
            (0, 0x08, Meaning::Aborted, true),
            (0, 0x13, Meaning::Refused, false),
            (0, 0x20, Meaning::Protected, false),
            (0, 0x80, Meaning::Refused, false),
            (0, 0x81, Meaning::Exhausted, false),
            (0, 0x82, Meaning::Busy, true),
            (0, 0x84, Meaning::Busy, true),
            (1, 0x80, Meaning::Refused, false),
            (1, 0xb9, Meaning::Zone, false),
            (1, 0xbc, Meaning::Zone, false),
            (1, 0xbd, Meaning::Exhausted, false),
            (2, 0x80, Meaning::Media, true),
            (2, 0x81, Meaning::Media, true),
            (2, 0x82, Meaning::Integrity, false),
            (2, 0x85, Meaning::Mismatch, false),
            (3, 0x00, Meaning::Transient, true),
            (7, 0x00, Meaning::Refused, false),
        ];
        for (sct, sc, meaning, is_retried) in table {
            let status = status(sct, sc);
            assert_eq!(status.meaning(), meaning, "{status}");
            assert_eq!(status.retry_after([0; 3]).is_some(), is_retried, "{status}");
            assert_eq!(status.with_dnr(true).retry_after([0; 3]), None, "{status}");
        }
    }

    #[test]
    fn only_success_means_success() {
        for word in 0..=u16::MAX {
            let status = Status::from(word);
            let is_success = status.meaning() == Meaning::Success;
            assert_eq!(is_success, status.is_success(), "{status}");
        }
    }

    #[test]
    fn delays_are_the_controllers() {
        let delays = [1, 20, 300];
        let after = |crd| status(0, 0x82).with_crd(crd).retry_after(delays);
        assert_eq!(
            [0, 1, 2, 3].map(after),
            [Some(0), Some(100), Some(2000), Some(30_000)]
        );
    }
}
