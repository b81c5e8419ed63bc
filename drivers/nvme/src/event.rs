//! Asynchronous events (NVMe base specification 2.0, section 5.2).
//!
//! A controller has something to say at a time of its own choosing: it completes one of the
//! requests that it was given for that. The completion says what happened and which log page
//! knows more. Until that page is read, the controller reports no event of the same type
//! again. So each [`Event`] names the page, and whoever takes an event reads it.

use crate::admin::LogPage;
use core::fmt;

/// Something that the controller reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub what: Happening,
    /// Log Page Identifier: what to read in order to know more, and to hear of the next event
    /// of this type. 0 is none.
    pub log: u8,
    /// Event Specific Parameter, dword 1 of the completion.
    pub parameter: u32,
}

/// What happened: Asynchronous Event Type and Information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// The host wrote to a doorbell of a queue that does not exist.
    InvalidDoorbell,
    /// The host wrote a value to a doorbell that is out of range, or the same one again.
    InvalidDoorbellValue,
    /// The controller found a fault in itself.
    DiagnosticFailure,
    /// It has an internal error that a reset does not cure.
    PersistentError,
    /// It had an internal error, and goes on.
    TransientError,
    /// It could not load its firmware.
    FirmwareLoadError,
    /// It is not reliable any more.
    Reliability,
    /// A temperature is beyond a threshold.
    Temperature,
    /// It has less spare than it should.
    Spare,
    /// Namespaces were attached, detached, resized or formatted.
    NamespacesChanged,
    /// A firmware activation has begun: no commands until it is over.
    FirmwareActivation,
    /// Its telemetry log has changed.
    Telemetry,
    /// Namespaces can be reached in other ways than before.
    AccessChanged,
    /// Zones changed their state by themselves.
    ZonesChanged,
    /// A sanitize operation is over.
    Sanitized,
    /// Something that this driver has no name for.
    Other {
        /// Asynchronous Event Type.
        kind: u8,
        /// Asynchronous Event Information.
        information: u8,
    },
}

/// What the driver has to do about an event, beyond reading the log page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nothing. Whoever watches the health of the disk may want to know.
    Report,
    /// Identify all namespaces again.
    Rescan,
    /// Reset the controller.
    Reset,
}

impl Event {
    /// The event that dwords 0 and 1 of a completion report.
    pub const fn decode(result: u64) -> Self {
        let (kind, information) = (result as u8 & 7, (result >> 8) as u8);
        let what = match (kind, information) {
            (0, 0) => Happening::InvalidDoorbell,
            (0, 1) => Happening::InvalidDoorbellValue,
            (0, 2) => Happening::DiagnosticFailure,
            (0, 3) => Happening::PersistentError,
            (0, 4) => Happening::TransientError,
            (0, 5) => Happening::FirmwareLoadError,
            (1, 0) => Happening::Reliability,
            (1, 1) => Happening::Temperature,
            (1, 2) => Happening::Spare,
            (2, 0) => Happening::NamespacesChanged,
            (2, 1) => Happening::FirmwareActivation,
            (2, 2) => Happening::Telemetry,
            (2, 3) => Happening::AccessChanged,
            (2, 0xef) => Happening::ZonesChanged,
            (6, 1) => Happening::Sanitized,
            (kind, information) => Happening::Other { kind, information },
        };
        Self {
            what,
            log: (result >> 16) as u8,
            parameter: (result >> 32) as u32,
        }
    }

    /// The log page that knows more, if this driver knows it.
    pub const fn log_page(&self) -> Option<LogPage> {
        LogPage::new(self.log)
    }

    /// What the driver has to do.
    pub const fn response(&self) -> Response {
        match self.what {
            Happening::NamespacesChanged => Response::Rescan,
            // Errors that the host or the device has no other way out of.
            Happening::PersistentError => Response::Reset,
            _ => Response::Report,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.what {
            Happening::InvalidDoorbell => "a doorbell was rung that has no queue",
            Happening::InvalidDoorbellValue => "a doorbell was rung with an invalid value",
            Happening::DiagnosticFailure => "the controller found a fault in itself",
            Happening::PersistentError => "the controller has an internal error",
            Happening::TransientError => "the controller had an internal error",
            Happening::FirmwareLoadError => "the firmware could not be loaded",
            Happening::Reliability => "the disk is not reliable any more",
            Happening::Temperature => "a temperature is beyond its threshold",
            Happening::Spare => "the spare is below its threshold",
            Happening::NamespacesChanged => "namespaces changed",
            Happening::FirmwareActivation => "new firmware is being started",
            Happening::Telemetry => "the telemetry log changed",
            Happening::AccessChanged => "the access to namespaces changed",
            Happening::ZonesChanged => "zones changed",
            Happening::Sanitized => "a sanitize operation is over",
            Happening::Other { kind, information } => {
                return write!(f, "event of type {kind}, information {information:#04x}");
            }
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU sends after a doorbell was rung with a value out of range.
    #[test]
    fn an_event_has_type_information_and_page() {
        let event = Event::decode(0x0001_0100);
        assert_eq!(event.what, Happening::InvalidDoorbellValue);
        assert_eq!(event.log_page(), Some(LogPage::Errors));
        assert_eq!(event.response(), Response::Report);
        let event = Event::decode(0x0002_0101);
        assert_eq!(event.what, Happening::Temperature);
        assert_eq!(event.log_page(), Some(LogPage::Health));
    }

    #[test]
    fn changed_namespaces_are_read_and_rescanned() {
        let event = Event::decode(0x0004_0002);
        assert_eq!(event.what, Happening::NamespacesChanged);
        assert_eq!(event.log_page(), Some(LogPage::ChangedNamespaces));
        assert_eq!(event.response(), Response::Rescan);
    }

    #[test]
    fn every_word_is_an_event_with_a_name() {
        for result in (0..1_u64 << 24).step_by(97) {
            let event = Event::decode(result | result << 32);
            assert!(!format!("{event}").is_empty());
            assert_eq!(u64::from(event.parameter), result);
        }
        let other = Event::decode(0xaa07);
        assert_eq!(
            other.what,
            Happening::Other {
                kind: 7,
                information: 0xaa
            }
        );
        assert_eq!(other.log_page(), None);
    }
}
