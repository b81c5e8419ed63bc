//! virtio devices without a bus, in the description of the machine (DSDT).
//!
//! The description is a program, and this is no interpreter: it looks for devices with the identifier that QEMU gives them,
//! and for the buffer of resources behind that. Whoever generates such devices writes both down as constants,
//! because there is nothing to compute. What is not written like this is not found.

use super::Flaw;
use super::table::{Fields, HEADER, Table};
use crate::named::Named;
use alloc::vec::Vec;
use phyr::{Phyr, PhysAddr};

/// The identifier, as a constant in the program.
const DEVICE: &[u8] = b"\x0dLNRO0005\0";
/// The name of the resources, with the operator for buffers behind it.
const RESOURCES: &[u8] = b"_CRS\x11";

/// Where the FADT says that the description is.
pub(super) fn place(fadt: &Table) -> Result<PhysAddr, Flaw> {
    const NARROW: usize = 40;
    const WIDE: usize = 140;
    let fields = fadt.fields();
    // Only later tables have it.
    let wide = fields.u64(WIDE).ok().filter(|address| *address != 0);
    let narrow = u64::from(fields.u32(NARROW)?);
    Ok(PhysAddr::new(wide.unwrap_or(narrow)))
}

/// The places that are named, in the order of the program; and what is wrong with the first that makes no sense.
pub(super) fn read(table: &Table) -> (Vec<Named>, Option<Flaw>) {
    let mut named = Vec::new();
    let mut flaw = None;
    let mut rest = table.bytes().get(HEADER..).unwrap_or_default();
    while let Some(at) = find(rest, DEVICE) {
        rest = &rest[at + DEVICE.len()..];
        // Up to the next device, which has resources of its own.
        let own = &rest[..find(rest, DEVICE).unwrap_or(rest.len())];
        match resources(own) {
            Ok(place) => named.push(place),
            Err(error) => _ = flaw.get_or_insert(error),
        }
    }
    (named, flaw)
}

/// The register of a board without fixed registers that says what has happened, as QEMU's programs call it (generic event
/// device, section 5.6.9): 32 bits, which are cleared when they are read.
pub(super) fn events(table: &Table) -> Option<Phyr> {
    /// An operation region of this name, in memory, at a constant of 32 bits.
    const REGION: &[u8] = b"\x5b\x80EREG\x00\x0c";
    let at = find(table.bytes(), REGION)?;
    let start = table.fields().u32(at + REGION.len()).ok()?;
    Phyr::new(PhysAddr::new(start.into()), 4).ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// Reads the resources of one device.
fn resources(bytes: &[u8]) -> Result<Named, Flaw> {
    const END: u8 = 0x79;
    const MEMORY: u8 = 0x86;
    const INTERRUPT: u8 = 0x89;
    let at = find(bytes, RESOURCES).ok_or(Flaw::Truncated)?;
    let fields = Fields(&bytes[at + RESOURCES.len()..]);
    // The length of the package (section 20.2.4), then that of the buffer, as a constant.
    let mut at = 1 + usize::from(fields.u8(0)? >> 6);
    at += match fields.u8(at)? {
        0x0a => 2,
        0x0b => 3,
        0x0c => 5,
        _ => return Err(Flaw::Unreadable),
    };
    let (mut registers, mut interrupt) = (None, None);
    loop {
        // Section 6.4.2: small ones have their length in the tag, large ones behind it.
        let tag = fields.u8(at)?;
        let (len, head) = match tag & 0x80 {
            0 => (usize::from(tag & 7), 1),
            _ => (usize::from(fields.u16(at + 1)?), 3),
        };
        match tag {
            MEMORY => registers = Some((fields.u32(at + 4)?, fields.u32(at + 8)?)),
            INTERRUPT if fields.u8(at + 4)? > 0 => interrupt = Some(fields.u32(at + 5)?),
            END => break,
            _ => {}
        }
        at += head + len;
    }
    let (start, len) = registers.ok_or(Flaw::Truncated)?;
    Ok(Named {
        registers: Phyr::new(PhysAddr::new(start.into()), len.into())
            .map_err(|_| Flaw::Unreadable)?,
        interrupt: interrupt.ok_or(Flaw::Truncated)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 7.2 has it for `-machine microvm`, from the identifier on.
    const QEMU: &[u8] =
        b"\x5b\x82\x41\x04VR01\x08_HID\x0dLNRO0005\0\x08_UID\x01\x08_CCA\x01\x08_CRS\
        \x11\x1a\x0a\x17\x86\x09\x00\x01\x00\x02\xb0\xfe\x00\x02\x00\x00\
        \x89\x06\x00\x01\x01\x19\x00\x00\x00\x79\x00\
        \x5b\x82\x41\x04VR00\x08_HID\x0dLNRO0005\0\x08_UID\x00\x08_CCA\x01\x08_CRS\
        \x11\x1a\x0a\x17\x86\x09\x00\x01\x00\x00\xb0\xfe\x00\x02\x00\x00\
        \x89\x06\x00\x01\x01\x18\x00\x00\x00\x79\x00\x10\x5c\x00\x08_S5_";

    fn table(program: &[u8]) -> Table {
        let mut bytes = vec![0; HEADER];
        bytes.extend(program);
        Table::of(bytes)
    }

    fn named(start: u64, interrupt: u32) -> Named {
        let registers = Phyr::new(PhysAddr::new(start), 512).expect("a range");
        Named {
            registers,
            interrupt,
        }
    }

    #[test]
    fn devices_of_qemu() {
        let (found, flaw) = read(&table(QEMU));
        assert_eq!(found, [named(0xfeb0_0200, 25), named(0xfeb0_0000, 24)]);
        assert_eq!(flaw, None);
        assert_eq!(read(&table(b"")), (vec![], None));
    }

    #[test]
    fn a_program_that_ends_anywhere_is_no_panic() {
        for len in 0..QEMU.len() {
            let (found, _) = read(&table(&QEMU[..len]));
            assert!(found.len() <= 2);
        }
    }

    #[test]
    fn a_program_that_is_wrong_anywhere_is_no_panic() {
        for at in 0..QEMU.len() {
            for bits in [0x01, 0x40, 0x80, 0xff] {
                let mut program = QEMU.to_vec();
                program[at] ^= bits;
                let (found, _) = read(&table(&program));
                assert!(found.len() <= 2);
            }
        }
    }

    #[test]
    fn a_device_without_resources_does_not_take_its_neighbours() {
        let mut program = QEMU.to_vec();
        let at = find(&program, b"_CRS").expect("it is there");
        program[at] = b'X';
        let (found, flaw) = read(&table(&program));
        assert_eq!(found, [named(0xfeb0_0000, 24)]);
        assert_eq!(flaw, Some(Flaw::Truncated));
    }

    #[test]
    fn the_register_of_events_is_where_the_program_says() {
        let program = b"\x5b\x80EREG\x00\x0c\x00\x00\xa0\xfe\x0a\x04\x5b\x81\x0bEREG";
        let expected = Phyr::new(PhysAddr::new(0xfea0_0000), 4).expect("a range");
        assert_eq!(events(&table(program)), Some(expected));
        for len in 0..12 {
            assert_eq!(events(&table(&program[..len])), None);
        }
    }

    #[test]
    fn the_wide_address_wins_where_there_is_one() {
        let mut fadt = vec![0; 148];
        fadt[40..44].copy_from_slice(&0x1000_u32.to_le_bytes());
        let place = |bytes: &[u8]| super::place(&Table::of(bytes.to_vec()));
        assert_eq!(place(&fadt), Ok(PhysAddr::new(0x1000)));
        assert_eq!(place(&fadt[..116]), Ok(PhysAddr::new(0x1000)));
        fadt[140..148].copy_from_slice(&0x2_0000_0000_u64.to_le_bytes());
        assert_eq!(place(&fadt), Ok(PhysAddr::new(0x2_0000_0000)));
        assert_eq!(place(&fadt[..40]), Err(Flaw::Truncated));
    }
}
