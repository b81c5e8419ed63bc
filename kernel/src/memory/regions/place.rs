//! Whether memory that a device names is there to be given out.
//!
//! A base address register is where enumeration has put it. Some devices name an address instead, and a
//! device can name any: that of RAM, or of another device's registers. Whoever would write there would do it
//! for the wrong one. So it is compared with everything that is known to be somewhere.

use crate::memory::window::PAGE;
use core::fmt;
use phyr::{Phyr, PhysAddr};

/// What is somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// What the memory map tells of: RAM, or the firmware's.
    Mapped,
    /// A device's registers, or configuration space.
    Registers,
    /// Memory that somebody gives out.
    GivenOut,
}

/// Why memory is not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceError {
    /// It does not start and end with a page.
    Misaligned,
    /// The CPU cannot address all of it.
    OutOfReach,
    /// Something else is there.
    Taken(Neighbour, Phyr),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => f.write_str("its memory does not start and end with a page"),
            Self::OutOfReach => f.write_str("the CPU cannot address its memory"),
            Self::Taken(neighbour, phyr) => {
                let what = match neighbour {
                    Neighbour::Mapped => "RAM or the firmware's memory",
                    Neighbour::Registers => "a device's registers",
                    Neighbour::GivenOut => "another device's memory",
                };
                write!(f, "at its memory there is {what}: {phyr}")
            }
        }
    }
}

impl core::error::Error for PlaceError {}

/// Interrupt controllers, timers and the firmware of every PC.
const CHIPSET: core::ops::Range<u64> = 0xfec0_0000..1 << 32;

/// Whether memory can be given out by a CPU with so many bits of physical addresses, beside these.
pub fn check(
    memory: Phyr,
    physical_bits: u32,
    neighbours: impl IntoIterator<Item = (Neighbour, Phyr)>,
) -> Result<(), PlaceError> {
    if !memory.is_aligned(PAGE) {
        return Err(PlaceError::Misaligned);
    }
    let end = 1_u64.checked_shl(physical_bits);
    if end.is_some_and(|end| memory.last().get() >= end) {
        return Err(PlaceError::OutOfReach);
    }
    let chipset = Phyr::new(PhysAddr::new(CHIPSET.start), CHIPSET.end - CHIPSET.start);
    let chipset = chipset.ok().map(|phyr| (Neighbour::Registers, phyr));
    let mut all = chipset.into_iter().chain(neighbours);
    match all.find(|(_, phyr)| phyr.overlaps(memory)) {
        Some((neighbour, phyr)) => Err(PlaceError::Taken(neighbour, phyr)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phyr(start: u64, len: u64) -> Phyr {
        Phyr::new(PhysAddr::new(start), len).unwrap()
    }

    #[test]
    fn what_is_beside_others_may_be_given_out_and_what_is_not_may_not() {
        let ram = phyr(0, 1 << 30);
        let bar = phyr(1 << 33, 1 << 20);
        let module = phyr(1 << 32, 1 << 26);
        let neighbours = [
            (Neighbour::Mapped, ram),
            (Neighbour::Registers, bar),
            (Neighbour::GivenOut, module),
        ];
        let check = |start, len| check(phyr(start, len), 40, neighbours);
        assert_eq!(check(1 << 30, PAGE), Ok(()));
        assert_eq!(check((1 << 32) + (1 << 26), (1 << 32) - (1 << 26)), Ok(()));
        assert_eq!(check((1 << 40) - PAGE, PAGE), Ok(()));
        for (start, len, error) in [
            (1 << 34, PAGE + 1, PlaceError::Misaligned),
            ((1 << 34) + 8, PAGE, PlaceError::Misaligned),
            (1 << 40, PAGE, PlaceError::OutOfReach),
            (1 << 34, 1 << 40, PlaceError::OutOfReach),
            (PAGE, PAGE, PlaceError::Taken(Neighbour::Mapped, ram)),
            (
                (1 << 30) - PAGE,
                2 * PAGE,
                PlaceError::Taken(Neighbour::Mapped, ram),
            ),
            (
                (1 << 33) - PAGE,
                2 * PAGE,
                PlaceError::Taken(Neighbour::Registers, bar),
            ),
            (
                0xfee0_0000,
                PAGE,
                PlaceError::Taken(Neighbour::Registers, phyr(0xfec0_0000, 0x140_0000)),
            ),
            (
                (1 << 32) + PAGE,
                PAGE,
                PlaceError::Taken(Neighbour::GivenOut, module),
            ),
        ] {
            assert_eq!(check(start, len), Err(error), "{start:#x} {len:#x}");
        }
    }
}
