//! Copy on write: memory that several mappings show, until one of them is written.
//!
//! A shared area may be read by everybody, and in the page tables it is for reading only, whatever its
//! rights are. Who writes breaks the sharing first, of the pages that are to be written, and of no
//! others: they are copied, and the area is cut, so that the copy is an area of its own with an owner of
//! its own. Nothing is counted for a page. The owner of the memory is counted as ever, and where only one
//! area has it, there is nobody to copy for: that area may be written again.
//!
//! **Pins.** A device goes by the phyrs that it was told, whatever the page tables say later. So it matters
//! who gets the copy and who keeps the memory.
//!
//! | | |
//! |---|---|
//! | a pin for writing, of what is shared | breaks the sharing before it looks where the memory is: the device writes to the copy |
//! | a pin for reading, of what is shared | copies nothing |
//! | a write, to what is pinned for reading while it is shared | the writer gets the copy. The pin keeps the memory, and what it contains |
//! | sharing what is pinned for writing | is refused: what the device writes would be seen by all who share it |
//!
//! The memory that a pin keeps in this way is [put aside](Aside) with its owner, until nothing at these
//! addresses is pinned any more.
//!
//! Invariants:
//! - nothing that is shared is pinned for writing;
//! - nothing that is shared may be written by the page tables' leave;
//! - memory that has been shared is written by nobody until its sharing is over.

use super::areas::Area;
use super::state::{Owner, State};
use super::{AddressSpace, PinError, SpaceError};
use crate::memory::extents::Request;
use crate::memory::frames::{Frames, window};
use crate::memory::paging::{Cache, Rights};
use crate::memory::virt::{VirtAddr, VirtRange};
use crate::memory::window::{PAGE, Window};
use alloc::sync::Arc;
use alloc::vec::Vec;
use phyr::PhyrList;

/// A part of what is shared: one area's.
struct Piece {
    /// How far it lies behind the start of the whole, in bytes.
    offset: u64,
    phyrs: PhyrList,
    rights: Rights,
    owner: Owner,
}

/// Memory that has no address any more, and is pinned.
pub(super) struct Aside {
    /// Where it was.
    range: VirtRange,
    owner: Owner,
}

/// What may be done with shared memory without a copy.
pub(super) const fn unwritten(rights: Rights) -> Rights {
    match rights {
        Rights::ReadWrite => Rights::ReadOnly,
        rights => rights,
    }
}

impl AddressSpace {
    /// Maps at `start` in `into`, which may be this address space, what `range` shows here, with the same
    /// rights. Nothing is copied before one of them is written, and then one page; or as much as is pinned for
    /// writing. Nobody ever sees what another writes.
    ///
    /// # Errors
    /// [`NotShared`](SpaceError::NotShared), [`Pinned`](SpaceError::Pinned) for writing,
    /// [`NotPages`](SpaceError::NotPages), [`NotMapped`](SpaceError::NotMapped), and what
    /// [`map_at`](Self::map_at) says of the other range.
    pub fn share(
        &self,
        range: VirtRange,
        into: &Self,
        start: VirtAddr,
    ) -> Result<VirtRange, SpaceError> {
        // The kernel has nobody who would break a sharing for it.
        if self.root().is_none() || into.root().is_none() {
            return Err(SpaceError::NotShared(range));
        }
        let target = VirtRange::new(start, range.len()).map_err(SpaceError::Address)?;
        // One lock after the other. Meanwhile the pieces are a user of the memory, for whom it is copied. They
        // are dropped after the locks.
        let mut pieces = Vec::new();
        self.space.state.lock().offer(range, &mut pieces)?;
        let mut state = into.space.state.lock();
        state.receive(into.space.bounds, target, &mut pieces)?;
        Ok(target)
    }

    /// Another address space that shows the same, and shares all of it.
    ///
    /// # Errors
    /// As for [`share`](Self::share).
    pub fn try_clone(&self) -> Result<Self, SpaceError> {
        let other = Self::new()?;
        let mut next = self.space.state.lock().area_from(self.bounds().start());
        while let Some(range) = next {
            self.share(range, &other, range.start())?;
            let behind = range.start().checked_add(range.len());
            next = behind.and_then(|addr| self.space.state.lock().area_from(addr));
        }
        Ok(other)
    }

    /// The program that runs here was refused a write at `addr`. If that was for the sharing alone, it is over
    /// now: the answer is whether the program can go on.
    ///
    /// # Errors
    /// [`PinError::OutOfMemory`]: there is no memory for the copy.
    pub fn written_at(&self, addr: VirtAddr) -> Result<bool, PinError> {
        let mut gone = Vec::new();
        self.space.state.lock().written_at(addr, &mut gone)
    }
}

impl State {
    /// The first area that begins at `addr` or behind it.
    fn area_from(&self, addr: VirtAddr) -> Option<VirtRange> {
        let mut ranges = self.areas.iter().map(|area| area.range);
        ranges.find(|range| range.start() >= addr)
    }

    /// Makes all of `range` shared, and says what it is, for [`receive`](Self::receive).
    ///
    /// If it fails, a part may be shared with nobody. Then the first write there finds that out.
    fn offer(&mut self, range: VirtRange, pieces: &mut Vec<Piece>) -> Result<(), SpaceError> {
        self.check(range)?;
        if let Some(written) = self.pins.first_written_in(range) {
            return Err(SpaceError::Pinned(written.range));
        }
        let foreign = |area: &&Area<Owner>| area.owner.provider().is_some();
        if let Some(area) = self.areas.in_range(range).find(foreign) {
            return Err(SpaceError::NotShared(area.range));
        }
        let count = self.areas.in_range(range).count();
        pieces
            .try_reserve_exact(count)
            .map_err(|_| SpaceError::OutOfMemory)?;
        let mut rest = Some(range);
        while let Some(left) = rest {
            let area = self.areas.in_range(left).next().cloned();
            let area = area.ok_or(SpaceError::NotMapped(left.start()))?;
            let part = left.intersect(area.range).unwrap_or(left);
            let (phyrs, _) = self
                .tree
                .with(|tables| tables.translate_up_to(part, usize::MAX))
                .map_err(SpaceError::Tables)?;
            self.areas.reserve().map_err(|_| SpaceError::OutOfMemory)?;
            if !area.shared {
                // SAFETY: it is not pinned to be written, and only the program writes there otherwise.
                let changed = self
                    .tree
                    .with(|tables| unsafe { tables.protect(part, unwritten(area.rights)) });
                changed.map_err(SpaceError::Tables)?;
                self.areas.set_shared(part, true);
            }
            pieces.push(Piece {
                offset: part.start().offset_from(range.start()).unwrap_or(0),
                phyrs,
                rights: area.rights,
                owner: area.owner,
            });
            rest = left.without_prefix(part.len());
        }
        Ok(())
    }

    /// Maps what another address space, or this one, has offered. Takes the pieces only if it succeeds.
    fn receive(
        &mut self,
        bounds: VirtRange,
        range: VirtRange,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), SpaceError> {
        if !bounds.contains(range) {
            return Err(SpaceError::Outside(range));
        }
        if !range.is_aligned(PAGE) {
            return Err(SpaceError::NotPages);
        }
        if let Some(area) = self.areas.in_range(range).next() {
            return Err(SpaceError::Taken(area.range));
        }
        self.areas
            .reserve_for(pieces.len())
            .map_err(|_| SpaceError::OutOfMemory)?;
        let mapped = self.tree.with(|tables| {
            let mut mapped = 0;
            let phyrs = pieces.iter().flat_map(|piece| {
                let rights = unwritten(piece.rights);
                piece.phyrs.iter().map(move |phyr| (phyr, rights))
            });
            for (phyr, rights) in phyrs {
                let virt = range.start().checked_add(mapped);
                let virt = virt.expect("the pieces are as long as the range");
                // SAFETY: by the contract of `Backing`, whose memory may be shown several times as long as
                // nobody writes it; the owner stays until it is unmapped.
                if let Err(error) = unsafe { tables.map(virt, phyr, rights, Cache::WriteBack) } {
                    if let Some(done) = range.prefix(mapped) {
                        // SAFETY: nobody has been told of the range yet.
                        let undone = unsafe { tables.discard(done) };
                        undone.expect("it was mapped just now");
                    }
                    return Err(error);
                }
                mapped += phyr.len();
            }
            Ok(())
        });
        mapped.map_err(SpaceError::Tables)?;
        for piece in pieces.drain(..) {
            let rest = range.without_prefix(piece.offset).unwrap_or(range);
            self.areas.insert(Area {
                range: rest.prefix(piece.phyrs.bytes()).unwrap_or(rest),
                rights: piece.rights,
                shared: true,
                owner: piece.owner,
            });
        }
        Ok(())
    }

    /// The program was refused a write at `addr`. If that was for the sharing, breaks it, of one page; answers
    /// whether the program can go on.
    fn written_at(&mut self, addr: VirtAddr, gone: &mut Vec<Owner>) -> Result<bool, PinError> {
        let page = VirtAddr::new(addr.get() & !(PAGE - 1)).and_then(|at| VirtRange::new(at, PAGE));
        let Ok(page) = page else {
            return Ok(false);
        };
        let area = self.areas.in_range(page).next();
        let breaks = area.is_some_and(|area| area.shared && area.rights == Rights::ReadWrite);
        if breaks {
            self.break_sharing(page, gone)?;
        }
        Ok(breaks)
    }

    // ANCHOR: break_sharing
    /// Copies what is shared in `range`, whole pages, so that it may be written. All of it has that right.
    ///
    /// If it fails, a part may have been copied, which nobody sees.
    pub(super) fn break_sharing(
        &mut self,
        range: VirtRange,
        gone: &mut Vec<Owner>,
    ) -> Result<(), PinError> {
        let mut rest = Some(range);
        while let Some(left) = rest {
            let Some(shared) = self.areas.in_range(left).find(|area| area.shared) else {
                return Ok(());
            };
            let whole = shared.range;
            let done = match self.is_over(whole) {
                true => self.end_sharing(whole)?,
                false => self.copy(left.intersect(whole).unwrap_or(left), gone)?,
            };
            rest = match left.last().offset_from(done.last()) {
                Some(behind @ 1..) => left.without_prefix(left.len() - behind),
                _ => None,
            };
        }
        Ok(())
    }
    // ANCHOR_END: break_sharing

    /// Whether nobody else has the memory of the area at `range`: no other mapping, and no pin.
    fn is_over(&mut self, range: VirtRange) -> bool {
        let pinned = self.pins.first_in(range).is_some();
        let area = self.areas.at_mut(range.start());
        !pinned && area.is_some_and(|area| Arc::get_mut(&mut area.owner).is_some())
    }

    /// Lets an area be written whose sharing is over.
    fn end_sharing(&mut self, range: VirtRange) -> Result<VirtRange, PinError> {
        self.areas.reserve().map_err(|_| PinError::OutOfMemory)?;
        // SAFETY: the memory belongs to this area alone again.
        let changed = self
            .tree
            .with(|tables| unsafe { tables.protect(range, Rights::ReadWrite) });
        changed.map_err(|_| PinError::OutOfMemory)?;
        self.areas.set_shared(range, false);
        Ok(range)
    }

    /// Copies the front of `range`, a part of one area, as much as there is memory for in one piece. Returns
    /// what is a copy now.
    fn copy(&mut self, range: VirtRange, gone: &mut Vec<Owner>) -> Result<VirtRange, PinError> {
        let no_room = |_| PinError::OutOfMemory;
        self.areas.reserve().map_err(|_| PinError::OutOfMemory)?;
        self.aside.try_reserve(1).map_err(no_room)?;
        gone.try_reserve(1).map_err(no_room)?;
        let mut frames = frames_for(range.len())?;
        let range = range.prefix(frames.phyr().len()).unwrap_or(range);
        let copied = self.tree.with(|tables| {
            let from = tables.translate(range)?;
            copy_bytes(&from, &mut frames);
            // SAFETY: the frames become this area's own. Who reads the range finds the same bytes before and
            // after, and nobody holds references: it is a program's.
            unsafe { tables.replace(range, frames.phyr(), Rights::ReadWrite, Cache::WriteBack) }
        });
        copied.map_err(|_| PinError::OutOfMemory)?;
        let pinned = self.pins.first_in(range).is_some();
        let aside = &mut self.aside;
        self.areas.remove(range, |owner| match pinned {
            true => aside.push(Aside { range, owner }),
            false => gone.push(owner),
        });
        self.areas.insert(Area {
            range,
            rights: Rights::ReadWrite,
            shared: false,
            owner: Arc::new(frames),
        });
        Ok(range)
    }

    /// The owner of memory that was put aside for a pin which has ended. Needs no memory.
    pub(super) fn take_unpinned(&mut self) -> Option<Owner> {
        let over = |aside: &Aside| self.pins.first_in(aside.range).is_none();
        let at = self.aside.iter().position(over)?;
        Some(self.aside.swap_remove(at).owner)
    }
}

/// Frames for a copy: as many as `len`, or as there are in one piece.
fn frames_for(len: u64) -> Result<Frames, PinError> {
    const LARGE: u64 = 2 << 20;
    let mut len = len;
    loop {
        let align = if len >= LARGE { LARGE } else { PAGE };
        let below = None;
        match Frames::request(Request { len, align, below }) {
            Ok(frames) => return Ok(frames),
            Err(_) if len > PAGE => len = (len / 2).next_multiple_of(PAGE),
            Err(_) => return Err(PinError::OutOfMemory),
        }
    }
}

/// Copies shared memory.
fn copy_bytes(from: &PhyrList, into: &mut Frames) {
    let mut rest = into.bytes_mut();
    for phyr in from {
        // Pages that touch in memory may lie apart in the window.
        for page in phyr.split_boundary(PAGE) {
            let (front, back) = rest.split_at_mut(page.len() as usize);
            let source = window().pointer(page.addr()).as_ptr();
            // SAFETY: shared memory is RAM in the direct map that its owner keeps, and nobody writes it. The
            // frames are others.
            unsafe { core::ptr::copy_nonoverlapping(source, front.as_mut_ptr(), front.len()) };
            rest = back;
        }
    }
}
