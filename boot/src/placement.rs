//! Virtual addresses for what the kernel leaves to the loader.
//!
//! `bootloader_api` lets a kernel fix an address or leave it open (`Mapping::Dynamic`).
//! Open ones each get whole level-4 entries (512 GiB) of their own, from the top of the lower
//! canonical half's end upwards: a wild access beyond one mapping meets no other.

use core::fmt;

/// The bytes that one level-4 entry covers.
const SLOT: u64 = 1 << 39;
const SLOTS: usize = 512;
/// The first entry of the higher half; the lower half stays free for the trampoline and for applications.
const FIRST_HIGH: usize = 256;

/// Why an address cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacementError {
    /// A fixed address is not page-aligned or not canonical.
    BadAddress(u64),
    /// No run of free level-4 entries is left within the configured dynamic range.
    NoRoom,
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress(address) => {
                write!(
                    f,
                    "the address {address:#x} is not page-aligned or not canonical"
                )
            }
            Self::NoRoom => write!(f, "no room is left in the dynamic address range"),
        }
    }
}

impl core::error::Error for PlacementError {}

/// Which level-4 entries are in use.
pub struct Placement {
    used: [bool; SLOTS],
    range: core::ops::RangeInclusive<usize>,
}

impl Placement {
    /// A placement within the configured dynamic range, or within the higher half by default.
    pub fn new(start: Option<u64>, end: Option<u64>) -> Self {
        let first = start.map_or(FIRST_HIGH, slot_of);
        let last = end.map_or(SLOTS - 1, slot_of);
        Self {
            used: [false; SLOTS],
            range: first..=last,
        }
    }

    /// Notes that `len` bytes at `virt` are in use.
    pub fn occupy(&mut self, virt: u64, len: u64) -> Result<(), PlacementError> {
        let last = virt
            .checked_add(len.max(1) - 1)
            .ok_or(PlacementError::BadAddress(virt))?;
        if !virt.is_multiple_of(crate::PAGE) || !canonical(virt) || !canonical(last) {
            return Err(PlacementError::BadAddress(virt));
        }
        self.used[slot_of(virt)..=slot_of(last)].fill(true);
        Ok(())
    }

    /// An address for `len` bytes: the fixed one, or the start of free level-4 entries.
    pub fn place(&mut self, fixed: Option<u64>, len: u64) -> Result<u64, PlacementError> {
        let virt = match fixed {
            Some(virt) => virt,
            None => {
                let slots = usize::try_from(len.max(1).div_ceil(SLOT))
                    .map_err(|_| PlacementError::NoRoom)?;
                let free = |first: &usize| {
                    let last = first + slots - 1;
                    last <= *self.range.end() && self.used[*first..=last].iter().all(|used| !used)
                };
                address_of(
                    self.range
                        .clone()
                        .find(free)
                        .ok_or(PlacementError::NoRoom)?,
                )
            }
        };
        self.occupy(virt, len)?;
        Ok(virt)
    }

    /// A free level-4 entry, for the recursive mapping.
    pub fn place_entry(&mut self) -> Result<u16, PlacementError> {
        self.place(None, SLOT).map(|virt| slot_of(virt) as u16)
    }
}

/// The level-4 entry that covers an address.
pub fn slot_of(virt: u64) -> usize {
    (virt >> 39) as usize & (SLOTS - 1)
}

fn address_of(slot: usize) -> u64 {
    let low = slot as u64 * SLOT;
    if slot < FIRST_HIGH {
        low
    } else {
        low | 0xffff << 48
    }
}

fn canonical(virt: u64) -> bool {
    let upper = virt >> 47;
    upper == 0 || upper == 0x1_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_mappings_get_entries_of_their_own() {
        let mut placement = Placement::new(None, None);
        placement.occupy(0xffff_8000_0000_0000, 1).unwrap();
        assert_eq!(placement.place(None, 0x1000), Ok(0xffff_8080_0000_0000));
        assert_eq!(placement.place(None, SLOT + 1), Ok(0xffff_8100_0000_0000));
        assert_eq!(placement.place(None, 1), Ok(0xffff_8200_0000_0000));
    }

    #[test]
    fn a_fixed_address_is_kept_and_then_in_use() {
        let mut placement = Placement::new(None, None);
        assert_eq!(
            placement.place(Some(0xffff_8000_0000_0000), 0x1000),
            Ok(0xffff_8000_0000_0000)
        );
        assert_eq!(placement.place(None, 0x1000), Ok(0xffff_8080_0000_0000));
    }

    #[test]
    fn the_configured_range_is_kept_to() {
        let mut placement =
            Placement::new(Some(0xffff_9000_0000_0000), Some(0xffff_907f_ffff_ffff));
        assert_eq!(placement.place(None, 1), Ok(0xffff_9000_0000_0000));
        assert_eq!(placement.place(None, 1), Err(PlacementError::NoRoom));
    }

    #[test]
    fn bad_fixed_addresses_are_refused() {
        let mut placement = Placement::new(None, None);
        for bad in [
            0xffff_8000_0000_0001,
            0x0000_8000_0000_0000,
            0xffff_7fff_ffff_f000,
        ] {
            assert_eq!(
                placement.place(Some(bad), 0x1000),
                Err(PlacementError::BadAddress(bad))
            );
        }
        assert!(
            placement
                .place(Some(0xffff_ffff_ffff_f000), 0x2000)
                .is_err()
        );
    }

    #[test]
    fn the_last_page_of_the_address_space_can_be_used() {
        let mut placement = Placement::new(None, None);
        assert!(placement.place(Some(0xffff_ffff_ffff_f000), 0x1000).is_ok());
    }

    #[test]
    fn the_recursive_entry_is_free() {
        let mut placement = Placement::new(None, None);
        placement.occupy(0xffff_8000_0000_0000, 1).unwrap();
        assert_eq!(placement.place_entry(), Ok(257));
    }
}
