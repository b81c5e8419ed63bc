//! Pinned memory: the phyrs behind a virtual range, for as long as they are held.

use super::Space;
use crate::memory::frames::window;
use crate::memory::pins::Access;
use crate::memory::virt::VirtRange;
use crate::memory::window::{PAGE, Window};
use alloc::sync::Arc;
use phyr::{ListError, Phyr, PhyrList};

/// The phyrs behind a range of an address space.
///
/// Holding one tells you:
///
/// - these phyrs are what the range shows, from its first byte to its last, and go on to be: nobody
///   can unmap it, map something else there, or take the right to this [`Access`] away. (If it is
///   pinned to be read and shared, there is one who can write: the program, which then
///   gets a copy, and the phyrs keep what they contain.)
/// - the memory is not freed and given to others, even if the address space ends meanwhile;
/// - it does *not* belong to you alone: the program whose memory it is may read and write it at
///   the same time, and so may other pins. So there is no `&[u8]` of it.
///
/// It is unpinned when it is dropped. It can be divided and joined by value, so that a part can be
/// unpinned before the rest. It cannot be copied:
///
/// ```compile_fail,E0599
/// # use kernel::memory::address_space::Pinned;
/// fn twice(pinned: Pinned) -> (Pinned, Pinned) {
///     (pinned.clone(), pinned)
/// }
/// ```
#[derive(Debug)]
pub struct Pinned {
    space: Arc<Space>,
    range: VirtRange,
    access: Access,
    phyrs: PhyrList,
}

impl Pinned {
    /// A pin that the address space has counted.
    pub(super) fn new(
        space: Arc<Space>,
        range: VirtRange,
        access: Access,
        phyrs: PhyrList,
    ) -> Self {
        Self {
            space,
            range,
            access,
            phyrs,
        }
    }

    /// The virtual range, in its own address space.
    pub fn range(&self) -> VirtRange {
        self.range
    }

    /// What the memory was pinned for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Where the memory is, joined where it touches.
    pub fn phyrs(&self) -> &PhyrList {
        &self.phyrs
    }

    /// The length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(&self) -> u64 {
        self.range.len()
    }

    /// Copies bytes from `offset` on until `into` is full. Whoever else writes them meanwhile, writes
    /// them: the copy is of no single moment.
    ///
    /// # Errors
    /// [`NoCopy`]. A part may have been copied then.
    pub fn copy_to(&self, offset: u64, into: &mut [u8]) -> Result<(), NoCopy> {
        let mut done = 0;
        self.visit(offset, into.len(), |byte| {
            // SAFETY: the byte is RAM in the direct map, which stays as long as it is pinned. Others may
            // write it, so it is read once, and never borrowed.
            into[done] = unsafe { byte.read_volatile() };
            done += 1;
        })
    }

    /// Copies `from` to the bytes from `offset` on.
    ///
    /// # Errors
    /// [`NoCopy`]. A part may have been copied then.
    pub fn copy_from(&mut self, offset: u64, from: &[u8]) -> Result<(), NoCopy> {
        if self.access != Access::Write {
            return Err(NoCopy);
        }
        let mut done = 0;
        self.visit(offset, from.len(), |byte| {
            // SAFETY: as in `copy_to`, and it was pinned to be written.
            unsafe { byte.write_volatile(from[done]) };
            done += 1;
        })
    }

    /// Shows each byte of a part where the kernel sees it.
    fn visit(&self, offset: u64, len: usize, mut each: impl FnMut(*mut u8)) -> Result<(), NoCopy> {
        let mut cursor = self.phyrs.cursor();
        if !cursor.advance(offset) || cursor.remaining() < len as u64 {
            return Err(NoCopy);
        }
        let mut left = len as u64;
        // Pages that touch in memory may lie apart in the window.
        while let Some(piece) = cursor.next_within(left, PAGE) {
            if !is_ram(piece) {
                return Err(NoCopy);
            }
            let start = window().pointer(piece.addr()).as_ptr();
            for index in 0..piece.len() as usize {
                each(start.wrapping_add(index));
            }
            left -= piece.len();
        }
        Ok(())
    }

    /// Divides it at `offset`; or gives it back, if that is not inside, or if there is no memory.
    #[expect(clippy::result_large_err, reason = "nothing is lost")]
    pub fn split_at(self, offset: u64) -> Result<(Self, Self), Self> {
        let (Some(front), Some(back)) =
            (self.range.prefix(offset), self.range.without_prefix(offset))
        else {
            return Err(self);
        };
        let Ok((front_phyrs, back_phyrs)) = divided(&self.phyrs, offset) else {
            return Err(self);
        };
        if self.space.divide_pin().is_err() {
            return Err(self);
        }
        let (space, access) = (Arc::clone(&self.space), self.access);
        let parts = (
            Self::new(Arc::clone(&space), front, access, front_phyrs),
            Self::new(space, back, access, back_phyrs),
        );
        // The pin goes on, as two.
        self.forget();
        Ok(parts)
    }

    /// Joins it with the pin right behind it, of the same address space and for the same access; or
    /// gives both back.
    #[expect(clippy::result_large_err, reason = "nothing is lost")]
    pub fn try_merge(self, next: Self) -> Result<Self, (Self, Self)> {
        let touch = self.range.start().checked_add(self.range.len()) == Some(next.range.start());
        let same = Arc::ptr_eq(&self.space, &next.space) && self.access == next.access;
        let both = VirtRange::new(self.range.start(), self.range.len() + next.range.len());
        let (true, true, Ok(range)) = (touch, same, both) else {
            return Err((self, next));
        };
        let joins = self.space.is_one_provider_at(next.range.start());
        let Ok(phyrs) = appended(&self.phyrs, &next.phyrs, joins) else {
            return Err((self, next));
        };
        let (space, access) = (Arc::clone(&self.space), self.access);
        space.unite_pins();
        self.forget();
        next.forget();
        Ok(Self::new(space, range, access, phyrs))
    }

    /// Goes without unpinning.
    fn forget(self) {
        let mut this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used after that, and not dropped.
        unsafe { core::ptr::drop_in_place(&raw mut this.space) };
        // SAFETY: as above.
        unsafe { core::ptr::drop_in_place(&raw mut this.phyrs) };
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.space.unpin(self.range, self.access);
    }
}

/// The kernel cannot copy these bytes: they are not inside, not RAM, or not pinned to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCopy;

/// Whether memory is in the direct map.
fn is_ram(phyr: Phyr) -> bool {
    #[cfg(phyros)]
    return window().covers(phyr) && crate::memory::is_ram(phyr);
    #[cfg(not(phyros))]
    return window().covers(phyr);
}

/// The first `offset` bytes of a list, and the rest. What is apart stays so.
fn divided(list: &PhyrList, offset: u64) -> Result<(PhyrList, PhyrList), ListError> {
    let (mut front, mut back) = (PhyrList::new(), PhyrList::new());
    let mut cursor = list.cursor();
    while let Some(piece) = cursor.next(offset - front.bytes()) {
        front.push_apart(piece)?;
    }
    while let Some(piece) = cursor.next(u64::MAX) {
        back.push_apart(piece)?;
    }
    Ok((front, back))
}

/// Both lists as one. Whether the entries that meet there may become one is not said by their addresses.
fn appended(front: &PhyrList, back: &PhyrList, joins: bool) -> Result<PhyrList, ListError> {
    let mut both = front.try_clone()?;
    let mut entries = back.iter();
    if let Some(first) = entries.next() {
        match joins {
            true => both.push(first)?,
            false => both.push_apart(first)?,
        }
    }
    entries.try_for_each(|phyr| both.push_apart(phyr))?;
    Ok(both)
}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::PhysAddr;

    #[test]
    fn c5_a_list_is_divided_at_any_byte_and_is_whole_again() {
        let mut list = PhyrList::new();
        for (addr, len) in [(0x1000, 5), (0x900, 3), (0x3000, 8)] {
            list.push(Phyr::new(PhysAddr::new(addr), len).unwrap())
                .unwrap();
        }
        list.push_apart(Phyr::new(PhysAddr::new(0x3008), 4).unwrap())
            .unwrap();
        for offset in 0..=20 {
            let (front, back) = divided(&list, offset).unwrap();
            assert_eq!((front.bytes(), back.bytes()), (offset, 20 - offset));
            // The last entry is another's.
            let joins = offset != 16;
            assert_eq!(appended(&front, &back, joins).unwrap(), list);
        }
    }
}
