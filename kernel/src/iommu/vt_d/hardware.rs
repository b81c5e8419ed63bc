//! What an IOMMU can do (Intel VT-d specification, sections 11.4.2 and 11.4.3).

use crate::memory::frames::Frames;
use core::sync::atomic::AtomicU64;
use phyr::{DmaAddr, DmaRange};

/// The capability registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capabilities {
    basic: u64,
    extended: u64,
}

/// Why an IOMMU cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It wants page tables of another height than 3 or 4.
    Levels,
    /// Registers that it tells of lie outside its window.
    Registers,
}

impl Capabilities {
    pub(super) fn new(basic: u64, extended: u64, window: usize) -> Result<Self, Unusable> {
        let all = Self { basic, extended };
        if all.width().is_none() {
            return Err(Unusable::Levels);
        }
        let last_record = all.fault_record(all.fault_records() - 1) + 16;
        let invalidation = all.invalidate_address() + 16;
        if last_record > window || invalidation > window {
            return Err(Unusable::Registers);
        }
        Ok(all)
    }

    fn field(self, from: u32, bits: u32) -> u64 {
        self.basic >> from & ((1 << bits) - 1)
    }

    /// SAGAW: the code of the widest tables that are known here, and their height.
    fn width(self) -> Option<(u64, u32)> {
        const KNOWN: [(u64, u32); 2] = [(2, 4), (1, 3)];
        let supported = self.field(8, 5);
        KNOWN
            .into_iter()
            .find(|(code, _)| supported >> code & 1 != 0)
    }

    /// Levels of tables.
    pub(super) fn levels(self) -> u32 {
        self.width().map_or(3, |(_, levels)| levels)
    }

    /// AW of a context entry: the same, as a code.
    pub(super) fn width_code(self) -> u64 {
        self.width().map_or(1, |(code, _)| code)
    }

    /// All addresses that can be translated: those of MGAW, as far as the tables go.
    pub(super) fn addresses(self) -> DmaRange {
        let bits = (self.field(16, 6) + 1).min(u64::from(12 + 9 * self.levels()));
        let last = u64::MAX >> (64 - bits.clamp(12, 64));
        DmaRange::from_inclusive(DmaAddr::new(0), DmaAddr::new(last)).expect("less than 64 bits")
    }

    /// SLLPS: how far above the lowest tables there are leaves.
    pub(super) fn largest_leaf(self) -> u32 {
        match self.field(34, 2) {
            0b11 => 2,
            0b01 => 1,
            _ => 0,
        }
    }

    /// ND: how many domains there can be.
    pub(super) fn domains(self) -> u32 {
        1 << (4 + 2 * self.field(0, 3))
    }

    /// CM: it remembers what was not there, so that new entries have to be told as well. Then domain 0 is its own.
    pub(super) fn caching_mode(self) -> bool {
        self.field(7, 1) != 0
    }

    /// RWBF: its write buffer must be flushed.
    pub(super) fn write_buffer(self) -> bool {
        self.field(4, 1) != 0
    }

    /// PSI and MAMV: it can forget single pages, up to two to this power at a time.
    pub(super) fn page_selective(self) -> Option<u32> {
        (self.field(39, 1) != 0).then_some(self.field(48, 6) as u32)
    }

    /// DWD and DRD, where the IOTLB register has the orders for them: wait for what is on its way.
    pub(super) fn drain(self) -> u64 {
        const DRAIN_WRITES: u64 = 1 << 48;
        const DRAIN_READS: u64 = 1 << 49;
        let (writes, reads) = (self.field(54, 1), self.field(55, 1));
        (writes * DRAIN_WRITES) | (reads * DRAIN_READS)
    }

    /// FRO and NFR: where the fault records are.
    pub(super) fn fault_record(self, number: usize) -> usize {
        self.field(24, 10) as usize * 16 + number * 16
    }

    pub(super) fn fault_records(self) -> usize {
        self.field(40, 8) as usize + 1
    }

    /// IRO: where pages to be forgotten are named; the order itself is 8 bytes further.
    pub(super) fn invalidate_address(self) -> usize {
        (self.extended >> 8 & 0x3ff) as usize * 16
    }

    /// C: it sees what is in the CPU's caches when it walks tables.
    fn is_coherent(self) -> bool {
        self.extended & 1 != 0
    }

    /// Makes a whole table visible to it.
    pub(super) fn write_back(self, table: &Frames) {
        const LINE: usize = 64;
        if !self.is_coherent() {
            for line in table.bytes().chunks(LINE) {
                flush(line.as_ptr());
            }
            fence();
        }
    }

    /// Makes an entry visible to it.
    pub(super) fn write_back_entry(self, entry: &AtomicU64) {
        if !self.is_coherent() {
            flush(entry.as_ptr().cast());
            fence();
        }
    }
}

fn flush(line: *const u8) {
    // SAFETY: CLFLUSH changes no memory, every x86_64 CPU has it, and the line belongs to a borrow.
    unsafe { core::arch::x86_64::_mm_clflush(line) }
}

fn fence() {
    // SAFETY: every x86_64 CPU has MFENCE.
    unsafe { core::arch::x86_64::_mm_mfence() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU 7.2 has.
    const QEMU: u64 = 0x00d2_008c_2226_0206;

    #[test]
    fn qemus_capabilities() {
        let all = Capabilities::new(QEMU, 0xf00, 4096).unwrap();
        assert_eq!((all.levels(), all.width_code()), (3, 1));
        assert_eq!(all.addresses().last().get(), (1 << 39) - 1);
        assert_eq!((all.largest_leaf(), all.domains()), (2, 1 << 16));
        assert_eq!(all.page_selective(), Some(18));
        assert!(!all.caching_mode() && !all.write_buffer() && !all.is_coherent());
        assert_eq!((all.fault_record(0), all.fault_records()), (0x220, 1));
        assert_eq!(all.invalidate_address(), 0xf0);
        assert_eq!(all.drain(), 3 << 48);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let five_levels = QEMU & !(0x1f << 8) | 8 << 8;
        let refused = |basic, extended| Capabilities::new(basic, extended, 4096).err();
        assert_eq!(refused(five_levels, 0xf00), Some(Unusable::Levels));
        assert_eq!(refused(QEMU, 0x3ff << 8), Some(Unusable::Registers));
        assert_eq!(
            refused(QEMU | 0x3ff << 24, 0xf00),
            Some(Unusable::Registers)
        );
        let both = Capabilities::new(QEMU | 4 << 8, 0xf00, 4096).unwrap();
        assert_eq!((both.levels(), both.width_code()), (4, 2));
    }
}
