//! The loader's page tables, read through its mapping of physical memory.

use x86_64::registers::control::Cr3;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What a leaf allows, all levels considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

/// The tables, and where physical memory is mapped.
pub(crate) struct Tables {
    pub(crate) offset: u64,
}

impl Tables {
    pub(crate) fn root() -> u64 {
        Cr3::read_raw().0.start_address().as_u64()
    }

    pub(crate) fn entry(&self, table: u64, index: u64) -> u64 {
        let address = self.offset + table + 8 * index;
        let entry: *const u64 = core::ptr::with_exposed_provenance(address as usize);
        // SAFETY: the loader maps all RAM at `offset`, and tables are RAM; nobody writes them now.
        unsafe { entry.read_volatile() }
    }

    /// The rights of the page at an address; `None` if there is none.
    pub(crate) fn rights(&self, virt: u64) -> Option<Rights> {
        let mut table = Self::root();
        let mut rights = Rights {
            write: true,
            execute: true,
        };
        for level in (0..4).rev() {
            let entry = self.entry(table, virt >> (12 + 9 * level) & 511);
            if entry & PRESENT == 0 {
                return None;
            }
            rights.write &= entry & WRITABLE != 0;
            rights.execute &= entry & NO_EXECUTE == 0;
            if level > 0 && entry & LARGE != 0 {
                break;
            }
            table = entry & ADDRESS;
        }
        Some(rights)
    }

    /// Calls `visit` with the rights of every leaf, the recursive entry left out.
    pub(crate) fn visit(&self, recursive: u64, visit: &mut dyn FnMut(Rights)) {
        self.visit_table(
            Self::root(),
            3,
            Some(recursive),
            Rights {
                write: true,
                execute: true,
            },
            visit,
        );
    }

    fn visit_table(
        &self,
        table: u64,
        level: u32,
        skip: Option<u64>,
        above: Rights,
        visit: &mut dyn FnMut(Rights),
    ) {
        for index in (0..512).filter(|index| Some(*index) != skip) {
            let entry = self.entry(table, index);
            if entry & PRESENT == 0 {
                continue;
            }
            let rights = Rights {
                write: above.write && entry & WRITABLE != 0,
                execute: above.execute && entry & NO_EXECUTE == 0,
            };
            if level == 0 || level < 3 && entry & LARGE != 0 {
                visit(rights);
            } else {
                self.visit_table(entry & ADDRESS, level - 1, None, rights, visit);
            }
        }
    }
}
