//! One entry of a table (Intel SDM vol. 3, §4.5, tables 4-15 to 4-20).

use phyr::PhysAddr;

use super::level::{ENTRIES, Level};
use super::rights::{Cache, Rights};
use super::table::Table;

/// The 64 bits of an entry. What some of them mean depends on the level of its table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u64);

/// P: the entry means something.
const PRESENT: u64 = 1 << 0;
/// R/W: writes are allowed.
const WRITABLE: u64 = 1 << 1;
/// U/S: not for the supervisor alone.
const USER: u64 = 1 << 2;
/// PWT and PCD: bits 0 and 1 of the number of a PAT entry.
const PAT_LOW_SHIFT: u32 = 3;
const PAT_LOW: u64 = 0b11 << PAT_LOW_SHIFT;
/// PS, above the page tables: this is a leaf.
const LARGE: u64 = 1 << 7;
/// PAT in a leaf of 4 KiB: bit 2 of the number of a PAT entry.
const PAT_SMALL: u64 = 1 << 7;
/// PAT in a larger leaf.
const PAT_LARGE: u64 = 1 << 12;
/// Bits 51..12: where the table is, or the memory.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// XD: no instruction is fetched from here.
const NO_EXECUTE: u64 = 1 << 63;

/// What an entry says.
pub(super) enum Content {
    /// Nothing is mapped.
    Empty,
    /// Look further in the table, which has that level.
    Table(Table, Level),
    /// The memory is mapped.
    Leaf,
}

impl Entry {
    /// Nothing is mapped.
    pub(super) const EMPTY: Self = Self(0);

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// An entry that refers to a table and restricts nothing.
    pub(super) const fn table(table: Table) -> Self {
        Self(table.addr().get() | PRESENT | WRITABLE)
    }

    /// A leaf of `level` that maps the memory at `phys`, which is a multiple of its size.
    pub(super) const fn leaf(phys: PhysAddr, level: Level, rights: Rights, cache: Cache) -> Self {
        let size = if matches!(level, Level::Table) {
            0
        } else {
            LARGE
        };
        // None of the PAT entries in use has bit 2.
        Self(phys.get() | PRESENT | size | cache.pat_index() << PAT_LOW_SHIFT).with_rights(rights)
    }

    /// The same as an entry of a guest's nested tables. To them every access of a guest is a user's
    /// (AMD APM vol. 2, §15.25.5), and which of its memory is code, is the guest's own affair.
    pub(super) const fn for_guest(self) -> Self {
        Self((self.0 | USER | WRITABLE) & !NO_EXECUTE)
    }

    /// The same for programs in ring 3. With SMAP and SMEP the kernel cannot use such a leaf any more.
    pub(super) const fn for_user(self) -> Self {
        Self(self.0 | USER)
    }

    /// Whether programs in ring 3 may go this way, as far as this entry goes.
    pub(super) const fn is_for_user(self) -> bool {
        self.0 & USER != 0
    }

    /// What this says as an entry of a table of `level`.
    pub(super) const fn content(self, level: Level) -> Content {
        if !self.is_present() {
            return Content::Empty;
        }
        match level.below() {
            // A PML4 entry has no PS bit; it must be 0.
            Some(below) if self.0 & LARGE == 0 || matches!(level, Level::Pml4) => {
                Content::Table(Table::of_entry(PhysAddr::new(self.0 & ADDRESS)), below)
            }
            _ => Content::Leaf,
        }
    }

    pub(super) const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    /// Of a leaf of `level`: where the memory starts.
    pub(super) const fn memory(self, level: Level) -> PhysAddr {
        PhysAddr::new(self.0 & ADDRESS & !(level.span() - 1))
    }

    /// Whether writes are allowed, as far as this entry goes.
    pub(super) const fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    /// Whether code may run, as far as this entry goes.
    pub(super) const fn is_executable(self) -> bool {
        self.0 & NO_EXECUTE == 0
    }

    /// The rights, as far as this entry goes; none if it allows to write and to execute.
    pub(super) const fn rights(self) -> Option<Rights> {
        match (self.is_writable(), self.is_executable()) {
            (false, false) => Some(Rights::ReadOnly),
            (true, false) => Some(Rights::ReadWrite),
            (false, true) => Some(Rights::ReadExecute),
            (true, true) => None,
        }
    }

    /// Whether everything below may have these rights.
    pub(super) fn allows(self, rights: Rights) -> bool {
        match rights {
            Rights::ReadOnly => true,
            Rights::ReadWrite => self.is_writable(),
            Rights::ReadExecute => self.is_executable(),
        }
    }

    /// The same with those rights.
    pub(super) const fn with_rights(self, rights: Rights) -> Self {
        let bits = self.0 & !(WRITABLE | NO_EXECUTE);
        Self(match rights {
            Rights::ReadOnly => bits | NO_EXECUTE,
            Rights::ReadWrite => bits | WRITABLE | NO_EXECUTE,
            Rights::ReadExecute => bits,
        })
    }

    /// The same with no more rights than `above`, an entry on the way to this one, has.
    pub(super) const fn restricted_by(self, above: Self) -> Self {
        Self(self.0 & (above.0 | !(WRITABLE | USER)) | (above.0 & NO_EXECUTE))
    }

    /// An entry that restricts nothing that is below it.
    pub(super) const UNRESTRICTED: Self = Self(WRITABLE | USER);

    /// Of a leaf of `level`: how the memory is cached, if that has a name here.
    pub(super) const fn cache(self, level: Level) -> Option<Cache> {
        let high_bit = if matches!(level, Level::Table) {
            PAT_SMALL
        } else {
            PAT_LARGE
        };
        let high = if self.0 & high_bit != 0 { 0b100 } else { 0 };
        Cache::from_pat_index((self.0 & PAT_LOW) >> PAT_LOW_SHIFT | high)
    }

    /// The leaves of the level below that mean the same as this leaf of `level`; none for a leaf
    /// of 4 KiB. All other bits stay, only the PAT bit moves.
    pub(super) fn split(self, level: Level) -> Option<impl Iterator<Item = Self>> {
        let below = level.below()?;
        let (small, pat) = (matches!(below, Level::Table), self.0 & PAT_LARGE != 0);
        let kind = match (small, pat) {
            (true, true) => PAT_SMALL,
            (true, false) => 0,
            (false, true) => LARGE | PAT_LARGE,
            (false, false) => LARGE,
        };
        let bits = self.0 & !(ADDRESS | LARGE) | kind;
        let start = self.memory(level).get();
        Some((0..ENTRIES as u64).map(move |index| Self(bits | (start + index * below.span()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_RIGHTS: [Rights; 3] = [Rights::ReadOnly, Rights::ReadWrite, Rights::ReadExecute];
    const ALL_CACHES: [Cache; 3] = [Cache::WriteBack, Cache::Uncached, Cache::WriteCombining];

    #[test]
    fn bits_are_those_of_the_manual() {
        let at = PhysAddr::new(0x000f_ffff_c000_0000);
        let leaf = |level, rights, cache| Entry::leaf(at, level, rights, cache).bits();
        assert_eq!(
            leaf(Level::Table, Rights::ReadExecute, Cache::WriteBack),
            0x000f_ffff_c000_0001
        );
        assert_eq!(
            leaf(Level::Table, Rights::ReadWrite, Cache::Uncached),
            0x800f_ffff_c000_001b
        );
        assert_eq!(
            leaf(Level::Directory, Rights::ReadOnly, Cache::WriteCombining),
            0x800f_ffff_c000_0089
        );
        assert_eq!(
            leaf(
                Level::DirectoryPointers,
                Rights::ReadWrite,
                Cache::WriteBack
            ),
            0x800f_ffff_c000_0083
        );
    }

    #[test]
    fn a_leaf_says_what_was_put_in() {
        let at = PhysAddr::new(5 << 30);
        for level in [Level::Table, Level::Directory, Level::DirectoryPointers] {
            for rights in ALL_RIGHTS {
                for cache in ALL_CACHES {
                    let leaf = Entry::leaf(at, level, rights, cache);
                    assert!(matches!(leaf.content(level), Content::Leaf));
                    assert_eq!(
                        (leaf.memory(level), leaf.rights(), leaf.cache(level)),
                        (at, Some(rights), Some(cache))
                    );
                    for other in ALL_RIGHTS {
                        assert_eq!(leaf.with_rights(other).rights(), Some(other));
                        let above = Entry::UNRESTRICTED.with_rights(other);
                        let both = leaf.restricted_by(above);
                        assert_eq!(
                            both.is_writable(),
                            leaf.is_writable() && above.is_writable()
                        );
                        assert_eq!(
                            both.is_executable(),
                            leaf.is_executable() && above.is_executable()
                        );
                        assert_eq!(
                            leaf.allows(other),
                            rights == other || other == Rights::ReadOnly
                        );
                    }
                    assert_eq!(leaf.restricted_by(Entry::UNRESTRICTED).bits(), leaf.bits());
                }
            }
        }
    }

    #[test]
    fn a_split_keeps_all_but_the_size() {
        // Global, dirty, accessed, user and a software bit are not ours, but they stay.
        let foreign = 1 << 8 | 1 << 6 | 1 << 5 | 1 << 2 | 1 << 52;
        for pat in [0, PAT_LARGE] {
            for level in [Level::Directory, Level::DirectoryPointers] {
                let below = level.below().unwrap();
                let whole = Entry::leaf(
                    PhysAddr::new(7 << 30),
                    level,
                    Rights::ReadExecute,
                    Cache::Uncached,
                );
                let whole = Entry::from_bits(whole.bits() | foreign | pat);
                let parts: Vec<Entry> = whole.split(level).unwrap().collect();
                assert_eq!(parts.len(), ENTRIES);
                for (index, part) in parts.into_iter().enumerate() {
                    assert!(matches!(part.content(below), Content::Leaf));
                    assert_eq!(
                        part.memory(below).get(),
                        (7 << 30) + index as u64 * below.span()
                    );
                    assert_eq!(part.rights(), whole.rights());
                    assert_eq!(part.cache(below), whole.cache(level));
                    assert_eq!(part.bits() & foreign, foreign);
                    assert_eq!(part.bits() & LARGE != 0, below != Level::Table || pat != 0);
                }
            }
        }
        assert!(
            Entry::leaf(
                PhysAddr::new(0),
                Level::Table,
                Rights::ReadOnly,
                Cache::WriteBack
            )
            .split(Level::Table)
            .is_none()
        );
    }
}
