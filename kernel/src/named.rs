//! Devices that no bus announces: the machine names them by their address.
//!
//! A virtual machine without PCI says to its kernel where devices may be: how many bytes of registers there are, and which input of the I/O
//! APICs is theirs. It says so in ACPI's description of the machine ([`acpi`](crate::acpi)), or, where there are no such
//! tables, on the command line, as Linux has it:
//!
//! ```text
//! virtio_mmio.device=512@0xfeb00e00:12
//! ```
//!
//! Either is only a claim. Whether a device is there, its registers say.

use alloc::vec::Vec;
use core::fmt;
use phyr::{Phyr, PhysAddr};

/// A place where a device may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Its registers.
    pub registers: Phyr,
    /// Its global system interrupt: which input of all I/O APICs it raises.
    pub interrupt: u32,
}

/// What begins a place on the command line.
const KEY: &str = "virtio_mmio.device=";

/// A word of the command line that means to name a device, and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear<'a>(pub &'a str);

impl fmt::Display for Unclear<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0;
        write!(
            f,
            "`{word}` names no device: write {KEY}SIZE@ADDRESS:INTERRUPT"
        )
    }
}

/// The places that a command line names, in its order.
pub fn on_command_line(line: &str) -> impl Iterator<Item = Result<Named, Unclear<'_>>> {
    let words = line.split_ascii_whitespace();
    words.filter_map(|word| {
        let value = word.strip_prefix(KEY)?;
        Some(parse(value).ok_or(Unclear(word)))
    })
}

/// `SIZE@ADDRESS:INTERRUPT`, and if wanted `:` and a number that nobody needs.
fn parse(value: &str) -> Option<Named> {
    let (size, rest) = value.split_once('@')?;
    let mut parts = rest.split(':');
    let (address, interrupt) = (number(parts.next()?)?, number(parts.next()?)?);
    if parts.next().is_some_and(|id| number(id).is_none()) || parts.next().is_some() {
        return None;
    }
    Some(Named {
        registers: Phyr::new(PhysAddr::new(address), number(size)?).ok()?,
        interrupt: u32::try_from(interrupt).ok()?,
    })
}

/// A number, in hexadecimal behind `0x`, and times 1024 for each step of K, M and G behind it.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        b'g' | b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    // `from_str_radix` takes a sign.
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u64::from_str_radix(digits, radix)
        .ok()
        .filter(|_| is_number)?;
    number.checked_mul(1 << shift)
}

/// What is left of these places, in the order of their addresses: none overlaps one before it.
pub fn disjoint(mut places: Vec<Named>) -> Vec<Named> {
    places.sort_by_key(|place| place.registers.addr());
    let mut last: Option<Phyr> = None;
    places.retain(|place| {
        let is_free = last.is_none_or(|last| !last.overlaps(place.registers));
        if is_free {
            last = Some(place.registers);
        }
        is_free
    });
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(start: u64, len: u64, interrupt: u32) -> Named {
        let registers = Phyr::new(PhysAddr::new(start), len).expect("a range");
        Named {
            registers,
            interrupt,
        }
    }

    #[test]
    fn places_on_the_command_line_of_qemu() {
        let line = "console=ttyS0 virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=512@0xfeb00c00:11\0";
        let line = line.trim_end_matches('\0');
        let places: Vec<_> = on_command_line(line).collect();
        let expected = [named(0xfeb0_0e00, 512, 12), named(0xfeb0_0c00, 512, 11)];
        assert_eq!(places, expected.map(Ok));
    }

    #[test]
    fn sizes_may_be_short_and_numbers_may_follow() {
        for (text, expected) in [
            ("4K@0x1000:5", named(0x1000, 4096, 5)),
            ("0x200@0xd0000000:40:3", named(0xd000_0000, 512, 40)),
            ("1M@1G:0x10", named(1 << 30, 1 << 20, 16)),
        ] {
            let line = [KEY, text].concat();
            let places: Vec<_> = on_command_line(&line).collect();
            assert_eq!(places, [Ok(expected)], "{text}");
        }
    }

    #[test]
    fn what_names_nothing_is_told() {
        for text in [
            "",
            "512",
            "512@",
            "512@0x1000",
            "512@0x1000:",
            "@0x1000:1",
            "0@0x1000:1",
            "512@0xffffffffffffff00:1",
            "18446744073709551615G@0:1",
            "512@0x1000:4294967296",
            "512@0x1000:1:",
            "512@0x1000:1:2:3",
            "+512@0x1000:1",
            "512@0x+1000:1",
            "512@0x1000:-1",
            "\u{1f525}@0x1000:1",
            "1\u{1f525}@0x1000:1",
        ] {
            let line = [KEY, text].concat();
            let places: Vec<_> = on_command_line(&line).collect();
            assert_eq!(places, [Err(Unclear(&line))], "{text}");
        }
        assert_eq!(on_command_line("quiet virtio_mmio.devices=1").count(), 0);
    }

    #[test]
    fn of_two_that_overlap_the_lower_one_stays() {
        let places = [
            named(0x3000, 512, 3),
            named(0x1000, 512, 1),
            named(0x11ff, 512, 2),
            named(0x1200, 512, 4),
            named(0x1000, 512, 1),
        ];
        let left = disjoint(places.to_vec());
        assert_eq!(left, [places[1], places[3], places[0]]);
    }
}
