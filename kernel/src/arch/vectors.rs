//! What the 256 interrupt vectors are used for (Intel SDM volume 3, section 6.2).
//!
//! The CPU serves the highest vector first. So what concerns the machine as a whole lies above the
//! devices, and of the devices none is more important than another: only one bit is set for each.

use core::ops::RangeInclusive;

/// The vectors that are handed out to devices. Those below are the CPU's own exceptions.
pub const DEVICES: RangeInclusive<u8> = 0x20..=0xef;

/// The first of eight for the old interrupt controllers (8259A). They are masked, but one that
/// loses a request on the way still sends the last of its eight.
pub const LEGACY: u8 = 0xf0;

/// What a masked 8259A may send all the same.
pub const LEGACY_SPURIOUS: u8 = LEGACY + 7;

/// A program calls the kernel: `int` with this number. No device has it.
pub const SYSTEM_CALL: u8 = 0xf8;

/// The local APIC's one-shot timer ran out.
pub const TIMER: u8 = 0xfb;

/// The local APIC found an error in a message.
pub const APIC_ERROR: u8 = 0xfc;

/// Another core asks to forget translations. The stub does it; no bit is set.
pub const FLUSH: u8 = 0xfd;

/// Another core has put work into this one's inbox.
pub const WAKE: u8 = 0xfe;

/// The local APIC had nothing to deliver any more. Not acknowledged (section 11.9).
pub const SPURIOUS: u8 = 0xff;
