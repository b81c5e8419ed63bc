//! What may be done with mapped memory, and how it is cached.

/// What the kernel may do with mapped memory. Reading is always part of it.
///
/// There is no value for "writable and executable": W^X is not a rule to be kept, but something
/// that cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
// ANCHOR: rights
pub enum Rights {
    /// Only read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
    /// Read it, and run it as code.
    ReadExecute,
}
// ANCHOR_END: rights

/// How accesses to mapped memory are cached, and in which order they take place.
///
/// A leaf selects an entry of the page attribute table by the bits PAT, PCD and PWT (SDM vol. 3,
/// §12.12). [`PAT`] is the table for which these names are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cache {
    /// As RAM wants it (WB): PAT entry 0.
    WriteBack,
    /// Not at all, each access as the program makes it (UC): for registers. PAT entry 3.
    Uncached,
    /// Writes are collected and may overtake each other (WC): for frame buffers and the like.
    /// PAT entry 1.
    WriteCombining,
}

/// The number of the model-specific register `IA32_PAT`.
pub const PAT_MSR: u32 = 0x277;

/// What each CPU must have in [`PAT_MSR`] before anything is mapped as
/// [`WriteCombining`](Cache::WriteCombining): as after a reset, but with WC as entry 1.
///
/// After a reset entry 1 is WT, which nothing here uses. So the register can be
/// written at any time, without the ceremony for memory that changes its type under a mapping.
pub const PAT: u64 = u64::from_le_bytes([WB, WC, UC_MINUS, UC, WB, WT, UC_MINUS, UC]);

const UC: u8 = 0x00;
const WC: u8 = 0x01;
const WT: u8 = 0x04;
const WB: u8 = 0x06;
const UC_MINUS: u8 = 0x07;

impl Cache {
    /// The number of the PAT entry: bit 0 is PWT, bit 1 is PCD, bit 2 is PAT.
    pub(super) const fn pat_index(self) -> u64 {
        match self {
            Self::WriteBack => 0,
            Self::WriteCombining => 1,
            Self::Uncached => 3,
        }
    }

    /// What the PAT entry of this number means, if it is one of the three.
    pub(super) const fn from_pat_index(index: u64) -> Option<Self> {
        match PAT.to_le_bytes()[(index & 7) as usize] {
            WB => Some(Self::WriteBack),
            WC => Some(Self::WriteCombining),
            UC => Some(Self::Uncached),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cache_mode_selects_what_its_name_says() {
        assert_eq!(PAT, 0x0007_0406_0007_0106);
        for cache in [Cache::WriteBack, Cache::Uncached, Cache::WriteCombining] {
            assert_eq!(Cache::from_pat_index(cache.pat_index()), Some(cache));
        }
        assert_eq!(Cache::from_pat_index(2), None);
        assert_eq!(Cache::from_pat_index(5), None);
    }
}
