//! The rate of the time-stamp counter as the CPU states it, or the hypervisor.
//!
//! Few do, so nothing relies on it where there is a timer to measure against.

use core::arch::x86_64::CpuidResult;

/// The features: whether there is a hypervisor.
const FEATURES: u32 = 1;
/// The ratio of the counter to a crystal, and the crystal's rate (Intel SDM volume 2, `CPUID`).
const COUNTER: u32 = 0x15;
/// The rate of the processor, in MHz.
const PROCESSOR: u32 = 0x16;
/// Who the hypervisor is, and its last leaf.
const HYPERVISOR: u32 = 0x4000_0000;
/// The rate of the counter in kHz, first of VMware's, then of KVM's (QEMU: `vmware-cpuid-freq`).
const HYPERVISOR_RATE: u32 = 0x4000_0010;

/// The rate in Hz, from what CPUID answers for a leaf. `None` if nobody says.
pub(super) fn hertz(leaf: impl Fn(u32) -> CpuidResult) -> Option<u64> {
    by_hypervisor(&leaf).or_else(|| by_cpu(&leaf))
}

fn by_hypervisor(leaf: &impl Fn(u32) -> CpuidResult) -> Option<u64> {
    const KNOWN: [&[u8; 12]; 2] = [b"KVMKVMKVM\0\0\0", b"VMwareVMware"];
    if leaf(FEATURES).ecx & 1 << 31 == 0 {
        return None;
    }
    let it = leaf(HYPERVISOR);
    let name = [it.ebx, it.ecx, it.edx].map(u32::to_le_bytes);
    let is_known = KNOWN.iter().any(|known| name.as_flattened() == *known);
    if !is_known || it.eax < HYPERVISOR_RATE {
        return None;
    }
    positive(u64::from(leaf(HYPERVISOR_RATE).eax) * 1000)
}

fn by_cpu(leaf: &impl Fn(u32) -> CpuidResult) -> Option<u64> {
    let last = leaf(0).eax;
    if last < COUNTER {
        return None;
    }
    let ratio = leaf(COUNTER);
    if ratio.eax == 0 || ratio.ebx == 0 {
        return None;
    }
    if ratio.ecx != 0 {
        // A product of two numbers of 32 bits has 64.
        return positive(u64::from(ratio.ecx) * u64::from(ratio.ebx) / u64::from(ratio.eax));
    }
    // CPUs that do not know their crystal count at the processor's nominal rate.
    let megahertz = (last >= PROCESSOR).then(|| leaf(PROCESSOR).eax & 0xffff)?;
    positive(u64::from(megahertz) * 1_000_000)
}

fn positive(hertz: u64) -> Option<u64> {
    Some(hertz).filter(|hertz| *hertz > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CPU with these leaves: number, EAX, EBX, ECX, EDX. All others are zero.
    fn stated(leaves: &[(u32, [u32; 4])]) -> Option<u64> {
        hertz(|number| {
            let found = leaves.iter().find(|(leaf, _)| *leaf == number);
            let [eax, ebx, ecx, edx] = found.map_or([0; 4], |(_, registers)| *registers);
            CpuidResult { eax, ebx, ecx, edx }
        })
    }

    const LAST: (u32, [u32; 4]) = (0, [0x16, 0, 0, 0]);
    const IS_GUEST: (u32, [u32; 4]) = (1, [0, 0, 1 << 31, 0]);
    const KVM: (u32, [u32; 4]) = (0x4000_0000, [0x4000_0010, 0x4b4d_564b, 0x564b_4d56, 0x4d]);
    const BY_KVM: (u32, [u32; 4]) = (0x4000_0010, [2_900_000, 1_000_000, 0, 0]);

    #[test]
    fn a_crystal_and_a_ratio_make_a_rate() {
        let ratio = (0x15, [2, 216, 24_000_000, 0]);
        assert_eq!(stated(&[LAST, ratio]), Some(2_592_000_000));
        let most = (0x15, [1, u32::MAX, u32::MAX, 0]);
        assert_eq!(
            stated(&[LAST, most]),
            Some(u64::from(u32::MAX) * u64::from(u32::MAX))
        );
    }

    #[test]
    fn without_a_crystal_it_is_the_processors_rate() {
        let ratio = (0x15, [2, 216, 0, 0]);
        let processor = (0x16, [0xabcd_0000 | 2600, 3900, 100, 0]);
        assert_eq!(stated(&[LAST, ratio, processor]), Some(2_600_000_000));
        assert_eq!(stated(&[LAST, ratio]), None);
        assert_eq!(stated(&[LAST, processor]), None);
        let last = (0, [0x15, 0, 0, 0]);
        assert_eq!(stated(&[last, ratio, processor]), None);
    }

    /// A leaf that does not exist answers with another one's data.
    #[test]
    fn a_leaf_that_there_is_not_is_not_asked() {
        let ratio = (0x15, [2, 216, 24_000_000, 0]);
        assert_eq!(stated(&[(0, [0x14, 0, 0, 0]), ratio]), None);
        let (number, [_, ebx, ecx, edx]) = KVM;
        let small = (number, [0x4000_0001, ebx, ecx, edx]);
        assert_eq!(stated(&[IS_GUEST, small, BY_KVM]), None);
    }

    #[test]
    fn a_hypervisor_that_is_known_is_believed() {
        assert_eq!(stated(&[IS_GUEST, KVM, BY_KVM]), Some(2_900_000_000));
        assert_eq!(stated(&[KVM, BY_KVM]), None);
        let (number, [eax, ..]) = KVM;
        let other = (number, [eax, 0x7263_694d, 0x666f_736f, 0x7648_2074]);
        assert_eq!(stated(&[IS_GUEST, other, BY_KVM]), None);
    }

    #[test]
    fn a_rate_of_zero_is_none() {
        assert_eq!(stated(&[IS_GUEST, KVM]), None);
        assert_eq!(stated(&[LAST, (0x15, [2, 1, 1, 0])]), None);
        assert_eq!(stated(&[]), None);
    }
}
