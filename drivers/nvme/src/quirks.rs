//! What particular controllers do otherwise than the specification says, or than they say of
//! themselves.
//!
//! A quirk is a fact about a device that somebody found out the hard way. Each stands here with
//! the device that it is about, by PCI vendor and device, and with where it is known from:
//! Linux' table `nvme_id_table`, or a measurement with QEMU 7.2. The driver asks for quirks and
//! never for devices.

use bitfield_struct::bitfield;

/// PCI vendor and device of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
}

/// What is known of a controller.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Quirks {
    /// Registers must be left alone for 2.3 s after CC.EN was changed.
    pub slow_to_answer: bool,
    /// It fails, and may crash, on Identify with CNS 03h.
    pub no_descriptors: bool,
    /// EUI64, NGUID and UUID identify nothing: they are zeros, or the same in several disks.
    pub false_identifiers: bool,
    /// It does not come back from its deepest power state.
    pub no_deepest_power_state: bool,
    /// Write Zeroes does not work, or takes for ever, whatever it reports.
    pub no_write_zeroes: bool,
    /// Blocks read as zeros after Dataset Management has deallocated them.
    pub deallocated_is_zero: bool,
    /// Commands that cross a boundary of 128 KiB are much slower.
    pub stripes: bool,
    /// Only the first interrupt vector works.
    pub single_vector: bool,
    /// It knows no Identify but CNS 00h and 01h.
    pub old_identify: bool,
    /// Memory for PRP lists must be aligned to 512 bytes. All lists of this driver are whole pages.
    pub aligned_lists: bool,
    /// It has 48 bits of addresses.
    pub short_addresses: bool,
    /// Verify works, though it is not reported.
    pub verifies: bool,
    /// Abort never aborts anything.
    pub never_aborts: bool,
    /// Registers that do not exist read as zeros and not as ones.
    pub absent_is_zero: bool,
    /// It loses data with more than one command in a queue.
    pub one_at_a_time: bool,
    #[bits(17)]
    __: u32,
}

/// Microseconds for which a [slow](Quirks::slow_to_answer) controller is left alone.
pub const SLOW_MICROSECONDS: u64 = 2_300_000;

const NONE: Quirks = Quirks::new();

/// Devices with their quirks, sorted.
///
/// Without another source, the source is Linux.
const KNOWN: &[(u16, u16, Quirks)] = &[
    // Apple, in a MacBook8,1.
    (
        0x106b,
        0x2001,
        NONE.with_single_vector(true).with_one_at_a_time(true),
    ),
    // O2 Micro, in a Steam Deck.
    (0x1217, 0x8760, NONE.with_aligned_lists(true)),
    // Silicon Motion, as HP and HIKVISION sell it.
    (
        0x126f,
        0x2262,
        NONE.with_no_deepest_power_state(true)
            .with_false_identifiers(true),
    ),
    (
        0x126f,
        0x2263,
        NONE.with_no_descriptors(true).with_false_identifiers(true),
    ),
    // Micron 2450.
    (0x1344, 0x5411, NONE.with_no_write_zeroes(true)),
    // Samsung PM1725 and PM1725a.
    (0x144d, 0xa821, NONE.with_slow_to_answer(true)),
    (0x144d, 0xa822, NONE.with_slow_to_answer(true)),
    // SanDisk Skyhawk.
    (0x15b7, 0x2001, NONE.with_no_write_zeroes(true)),
    // QEMU. That identifiers are false is from Linux, and true unless they are set by hand; the
    // rest was measured.
    (
        0x1b36,
        0x0010,
        NONE.with_false_identifiers(true)
            .with_verifies(true)
            .with_never_aborts(true)
            .with_absent_is_zero(true),
    ),
    // Seagate Nytro.
    (
        0x1bb1,
        0x0100,
        NONE.with_slow_to_answer(true).with_no_descriptors(true),
    ),
    // HGST, and WDC SN200.
    (0x1c58, 0x0003, NONE.with_slow_to_answer(true)),
    (0x1c58, 0x0023, NONE.with_slow_to_answer(true)),
    // Memblaze Pblaze4.
    (0x1c5f, 0x0540, NONE.with_slow_to_answer(true)),
    // ADATA SX8200PNP.
    (0x1cc1, 0x8201, NONE.with_no_deepest_power_state(true)),
    // Amazon EBS.
    (0x1d0f, 0x0061, NONE.with_short_addresses(true)),
    (0x1d0f, 0x0065, NONE.with_short_addresses(true)),
    // ZHITAI TiPro7000.
    (0x1e49, 0x0041, NONE.with_no_deepest_power_state(true)),
    // MAXIO MAP1002 and MAP1202.
    (0x1e4b, 0x1002, NONE.with_false_identifiers(true)),
    (0x1e4b, 0x1202, NONE.with_false_identifiers(true)),
    // Kingston A2000 and OM3PDP3256B.
    (0x2646, 0x2263, NONE.with_no_deepest_power_state(true)),
    (0x2646, 0x500d, NONE.with_no_write_zeroes(true)),
    // Intel P3500 to P3700, P3520, P4500 and P4600.
    (
        0x8086,
        0x0953,
        NONE.with_stripes(true).with_deallocated_is_zero(true),
    ),
    (
        0x8086,
        0x0a53,
        NONE.with_stripes(true).with_deallocated_is_zero(true),
    ),
    (
        0x8086,
        0x0a54,
        NONE.with_stripes(true).with_false_identifiers(true),
    ),
    (0x8086, 0x0a55, NONE.with_stripes(true)),
    // QEMU as it was before, with `use-intel-id`.
    (
        0x8086,
        0x5845,
        NONE.with_old_identify(true)
            .with_no_write_zeroes(true)
            .with_false_identifiers(true),
    ),
    // Intel 600p.
    (0x8086, 0xf1a5, NONE.with_no_write_zeroes(true)),
];

impl Quirks {
    /// What is known of a controller; nothing of most.
    pub fn of(device: Device) -> Self {
        let key = (device.vendor, device.device);
        match KNOWN.binary_search_by_key(&key, |(vendor, device, _)| (*vendor, *device)) {
            Ok(index) => KNOWN[index].2,
            Err(_) => NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_without_doubles_or_empty_entries() {
        let keys = KNOWN.iter().map(|(vendor, device, _)| (vendor, device));
        assert!(keys.is_sorted_by(|one, next| one < next));
        assert!(KNOWN.iter().all(|(_, _, quirks)| *quirks != NONE));
    }

    #[test]
    fn devices_are_found_by_vendor_and_device() {
        let of = |vendor, device| Quirks::of(Device { vendor, device });
        let qemu = of(0x1b36, 0x0010);
        assert!(qemu.verifies() && qemu.never_aborts() && qemu.absent_is_zero());
        assert!(!qemu.no_write_zeroes());
        assert!(of(0x8086, 0x0953).stripes());
        assert!(of(0x2646, 0x2263).no_deepest_power_state());
        assert_eq!(of(0x144d, 0xa808), NONE);
        assert_eq!(of(0x0010, 0x1b36), NONE);
    }
}
