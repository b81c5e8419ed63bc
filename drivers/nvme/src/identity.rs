//! Who the controller says it is.

use crate::abilities::Abilities;
use crate::host_memory::Wanted;
use crate::quirks::Quirks;
use crate::registers::Version;
use crate::wire::IdentifyController;
use core::fmt;

/// What Identify Controller says about the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// PCI Vendor ID (VID).
    pub vendor: u16,
    /// Serial Number (SN).
    pub serial: Text<20>,
    /// Model Number (MN).
    pub model: Text<40>,
    /// Firmware Revision (FR).
    pub firmware: Text<8>,
    /// Version of the specification (VS).
    pub version: Version,
    /// Maximum Data Transfer Size (MDTS): a power of two of 4 KiB; 0 is no limit.
    pub mdts: u8,
    /// Number of Namespaces (NN): the largest namespace identifier that can be.
    pub max_namespace: u32,
    /// There is a volatile write cache (VWC), so flushes mean something.
    pub write_cache: bool,
    /// Microseconds that a shutdown may take (RTD3E); 0 if unknown.
    pub shutdown_microseconds: u32,
    /// Controller ID (CNTLID).
    pub controller: u16,
    /// What the controller can do beyond what every controller can.
    pub abilities: Abilities,
    /// What it is known to do otherwise. The abilities already take account of that.
    pub quirks: Quirks,
    /// Host memory that it would like to borrow.
    pub host_memory: Option<Wanted>,
}

impl Identity {
    pub(crate) fn new(identify: &IdentifyController, version: Version) -> Self {
        Self {
            vendor: identify.vid,
            serial: Text::new(identify.sn),
            model: Text::new(identify.mn),
            firmware: Text::new(identify.fr),
            version,
            mdts: identify.mdts,
            max_namespace: identify.nn,
            write_cache: identify.vwc & 1 != 0,
            shutdown_microseconds: identify.rtd3e,
            controller: identify.cntlid,
            abilities: Abilities::new(identify),
            quirks: Quirks::new(),
            host_memory: Wanted::new(identify),
        }
    }

    /// The same controller, with what is known of it.
    pub(crate) fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        let abilities = &mut self.abilities;
        abilities
            .io
            .set_verify(abilities.io.verify() || quirks.verifies());
        if quirks.no_write_zeroes() {
            abilities.io.set_write_zeroes(false);
        }
        if quirks.no_deepest_power_state() {
            abilities.power = abilities.power.without_deepest();
        }
        self
    }

    /// True if it can be asked what identifies its namespaces (CNS 03h, since version 1.3).
    pub(crate) fn has_descriptors(&self) -> bool {
        let version = (self.version.major(), self.version.minor());
        let is_sound = !self.quirks.no_descriptors() && !self.quirks.old_identify();
        version >= (1, 3) && is_sound
    }
}

/// Text from the device: at most `N` bytes of printable ASCII, no spaces at the ends.
///
/// Devices pad with spaces, or zeros, or promise ASCII and send something else. What is not
/// printable becomes `?`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    start: usize,
    end: usize,
}

impl<const N: usize> Text<N> {
    /// The text in a field of the device.
    pub(crate) fn new(mut bytes: [u8; N]) -> Self {
        let is_padding = |byte: &u8| *byte == b' ' || *byte == 0;
        let start = bytes.iter().take_while(|byte| is_padding(byte)).count();
        let padded = bytes.iter().rev().take_while(|byte| is_padding(byte));
        let end = (N - padded.count()).max(start);
        for byte in &mut bytes {
            if !matches!(byte, b' '..=b'~') {
                *byte = b'?';
            }
        }
        Self { bytes, start, end }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // It is ASCII throughout, so the conversion succeeds.
        core::str::from_utf8(&self.bytes[self.start..self.end]).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quirks_take_and_give_abilities() {
        let identify = IdentifyController {
            oncs: 8,
            npss: 4,
            ..IdentifyController::default()
        };
        let version = Version::from(0x0001_0300);
        let plain = Identity::new(&identify, version).with_quirks(Quirks::new());
        assert!(plain.abilities.io.write_zeroes() && !plain.abilities.io.verify());
        assert!(plain.has_descriptors());
        assert_eq!(plain.abilities.power.states().len(), 5);
        let quirks = Quirks::new()
            .with_no_write_zeroes(true)
            .with_verifies(true)
            .with_no_descriptors(true)
            .with_no_deepest_power_state(true);
        let odd = plain.with_quirks(quirks);
        assert!(!odd.abilities.io.write_zeroes() && odd.abilities.io.verify());
        assert!(!odd.has_descriptors());
        assert_eq!(odd.abilities.power.states().len(), 4);
        let old = Identity::new(&identify, Version::from(0x0001_0200));
        assert!(!old.has_descriptors());
    }

    #[test]
    fn padding_goes_and_inner_spaces_stay() {
        assert_eq!(Text::new(*b"QEMU NVMe Ctrl  ").as_str(), "QEMU NVMe Ctrl");
        assert_eq!(Text::new(*b"  a b\0\0\0").as_str(), "a b");
        assert_eq!(Text::new(*b"full").as_str(), "full");
    }

    #[test]
    fn nothing_but_padding_is_empty() {
        assert_eq!(Text::new([b' '; 20]).as_str(), "");
        assert_eq!(Text::new([0; 20]).as_str(), "");
    }

    #[test]
    fn what_is_no_printable_ascii_is_marked() {
        assert_eq!(Text::new(*b"a\x1b[2J\xff\x80\n.").as_str(), "a?[2J???.");
        assert_eq!(format!("{:>4}|", Text::new(*b"ab")), "  ab|");
    }
}
