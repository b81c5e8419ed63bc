//! What the CPU's paging can do.

use core::arch::x86_64::__cpuid;

use super::level::Level;

/// The abilities of a CPU that the tables depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Leaves of 1 GiB exist.
    pub gib_leaves: bool,
    /// How many bits a physical address has: MAXPHYADDR, at most 52. An entry with a higher
    /// address faults when it is used.
    pub physical_bits: u32,
}

impl Features {
    /// Asks the CPU (SDM vol. 2, CPUID: leaf 80000001H, EDX bit 26, and leaf 80000008H, EAX bits
    /// 7..0). Without the latter leaf, addresses have 36 bits (SDM vol. 3, §4.1.4).
    #[must_use]
    pub fn detect() -> Self {
        let highest = __cpuid(0x8000_0000).eax;
        let gib_leaves = highest >= 0x8000_0001 && __cpuid(0x8000_0001).edx & 1 << 26 != 0;
        let physical_bits = if highest >= 0x8000_0008 {
            __cpuid(0x8000_0008).eax & 0xff
        } else {
            36
        };
        Self {
            gib_leaves,
            physical_bits,
        }
    }

    /// The level of the largest leaves.
    pub(super) const fn largest_leaf(self) -> Level {
        if self.gib_leaves {
            Level::DirectoryPointers
        } else {
            Level::Directory
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_sensible_features() {
        let features = Features::detect();
        assert!((32..=52).contains(&features.physical_bits), "{features:?}");
    }
}
