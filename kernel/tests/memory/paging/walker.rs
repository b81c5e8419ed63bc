//! Page tables read as a CPU reads them, written from the manual alone (SDM vol. 3, §4.5) and with
//! no code in common with the kernel's.

use std::collections::BTreeSet;

use kernel::memory::window::Window;

use crate::arena::read;

/// What a CPU finds for a virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// The physical address.
    pub(crate) phys: u64,
    /// The size of the page.
    pub(crate) size: u64,
    /// Writes are allowed.
    pub(crate) write: bool,
    /// Code may run.
    pub(crate) execute: bool,
    /// Programs in ring 3 may use it.
    pub(crate) user: bool,
    /// The number of the PAT entry.
    pub(crate) pat: u64,
}

const ADDRESS: u64 = (1 << 52) - (1 << 12);

fn bit(entry: u64, number: u32) -> bool {
    entry >> number & 1 == 1
}

/// Walks down to `virt`, and shows the tables on the way to `see`.
pub(crate) fn walk(
    window: &impl Window,
    root: u64,
    virt: u64,
    mut see: impl FnMut(u64),
) -> Option<Translation> {
    let (mut table, mut write, mut execute, mut user) = (root, true, true, true);
    for shift in [39, 30, 21, 12] {
        see(table);
        let entry = read(window, table + (virt >> shift) % 512 * 8);
        if !bit(entry, 0) {
            return None;
        }
        write &= bit(entry, 1);
        user &= bit(entry, 2);
        execute &= !bit(entry, 63);
        assert_eq!(
            entry >> 52 & 0x7ff,
            0,
            "ignored bits are left alone: {entry:#x}"
        );
        let large = bit(entry, 7) && shift > 12;
        if !large && shift > 12 {
            table = entry & ADDRESS;
            continue;
        }
        assert!(shift < 39, "bit 7 is reserved in a PML4 entry: {entry:#x}");
        let size = 1 << shift;
        let pat_high = bit(entry, if large { 12 } else { 7 });
        let memory = entry & ADDRESS & !(u64::from(large) << 12);
        assert_eq!(memory % size, 0, "bits are reserved: {entry:#x}");
        let pat =
            u64::from(pat_high) << 2 | u64::from(bit(entry, 4)) << 1 | u64::from(bit(entry, 3));
        return Some(Translation {
            phys: memory | (virt % size),
            size,
            write,
            execute,
            user,
            pat,
        });
    }
    unreachable!("the last level has only leaves");
}

/// All tables below `root`, and it. Panics if one of them, but the root, is empty, or is reached
/// in two ways.
pub(crate) fn tables(window: &impl Window, root: u64) -> BTreeSet<u64> {
    fn below(window: &impl Window, table: u64, level: u32, found: &mut BTreeSet<u64>) {
        assert!(found.insert(table), "two ways to the table at {table:#x}");
        let entries = (0..512)
            .map(|index| read(window, table + index * 8))
            .filter(|entry| bit(*entry, 0));
        let mut count = 0;
        for entry in entries {
            count += 1;
            if level > 1 && !bit(entry, 7) {
                below(window, entry & ADDRESS, level - 1, found);
            }
        }
        assert!(count > 0 || level == 4, "the table at {table:#x} is empty");
    }
    let mut found = BTreeSet::new();
    below(window, root, 4, &mut found);
    found
}
