//! What the devices of a domain see: free bus addresses, and what is at those that are not.
//!
//! Memory in many pieces is put side by side. Bus addresses are whole pages, so two pieces become
//! one range if they meet at the edges of pages, and stay apart where they do not. All that belongs to one
//! mapping lies in one *window*, from the first page to the last.

use super::iova::{Addresses, PAGE, Want};
use super::translation::Translation;
use crate::dma::{Access, DmaError};
use phyr::{DmaAddr, DmaList, DmaRange, Phyr, PhyrList};

/// The bus as the devices of one domain see it.
#[derive(Debug)]
pub(super) struct Space<T: Translation> {
    translation: T,
    addresses: Addresses,
}

impl<T: Translation> Space<T> {
    /// All of these addresses, but for those that are taken. `None` if there is no memory to note them.
    pub(super) fn new(translation: T, addresses: DmaRange, taken: &[DmaRange]) -> Option<Self> {
        let addresses = Addresses::new(addresses, taken)?;
        Some(Self {
            translation,
            addresses,
        })
    }

    pub(super) fn translation(&self) -> &T {
        &self.translation
    }

    /// How many bytes of bus addresses are free.
    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> u64 {
        self.addresses.bytes()
    }

    /// Makes memory visible. After an error there is nothing of it.
    // ANCHOR: map
    pub(super) fn map(
        &mut self,
        list: &PhyrList,
        access: Access,
        last: DmaAddr,
    ) -> Result<DmaList, DmaError> {
        let window = self.addresses.allocate(want(list, last)?);
        let window = window.ok_or(DmaError::NoAddresses)?;
        let mut build = Build {
            space: self,
            window: Some(window),
            next: window.addr(),
            ranges: DmaList::new(),
        };
        for phyr in list {
            build.link(phyr, access)?;
        }
        build.finish()
    }
    // ANCHOR_END: map

    /// Makes memory invisible. Its addresses stay taken, because an IOMMU may remember them, until
    /// [`free`](Self::free).
    pub(super) fn hide(&mut self, list: &DmaList) -> Option<DmaRange> {
        let window = window_of(list)?;
        self.translation.clear(window);
        Some(window)
    }

    /// Lets addresses be used again. The IOMMU has forgotten them.
    pub(super) fn free(&mut self, window: DmaRange) {
        self.addresses.free(window);
    }
}

/// All pages of a mapping.
pub(super) fn window_of(list: &DmaList) -> Option<DmaRange> {
    let (first, last) = (list.first()?, list.last()?);
    DmaRange::from_inclusive(first.addr(), last.last())
        .ok()?
        .align_outer(PAGE)
}

/// Where to put memory: so that the longest piece can have the largest pages.
fn want(list: &PhyrList, last: DmaAddr) -> Result<Want, DmaError> {
    const LARGE: [u64; 2] = [1 << 30, 2 << 20];
    let mut len = 0_u64;
    // The longest piece, and where in the window it is.
    let mut longest: Option<(Phyr, u64)> = None;
    for (index, phyr) in list.iter().enumerate() {
        let pages = phyr
            .align_outer(PAGE)
            .ok_or(DmaError::Unreachable { index })?;
        if longest.is_none_or(|(longest, _)| longest.len() < pages.len()) {
            longest = Some((pages, len));
        }
        len = len.checked_add(pages.len()).ok_or(DmaError::NoAddresses)?;
    }
    let (piece, offset) = longest.ok_or(DmaError::NoAddresses)?;
    let align = LARGE.into_iter().find(|size| {
        piece
            .align_inner(*size)
            .is_some_and(|inner| inner.len() >= *size)
    });
    let align = align.unwrap_or(PAGE);
    Ok(Want {
        len,
        align,
        phase: piece.addr().get().wrapping_sub(offset) & (align - 1),
        last,
    })
}

/// A mapping in the making. What is not finished is undone.
struct Build<'a, T: Translation> {
    space: &'a mut Space<T>,
    window: Option<DmaRange>,
    /// The next free page of the window.
    next: DmaAddr,
    ranges: DmaList,
}

impl<T: Translation> Build<'_, T> {
    /// Adds a piece of memory behind those that are there.
    fn link(&mut self, phyr: Phyr, access: Access) -> Result<(), DmaError> {
        let pages = phyr.align_outer(PAGE).ok_or(DmaError::NoAddresses)?;
        let bus = DmaRange::new(self.next, pages.len()).map_err(|_| DmaError::NoAddresses)?;
        self.space.translation.map(bus, pages, access)?;
        let offset = phyr.addr().get() - pages.addr().get();
        let range = bus.sub(offset, phyr.len()).ok_or(DmaError::NoAddresses)?;
        let pushed = self.ranges.push(range);
        pushed.map_err(|_| DmaError::OutOfMemory)?;
        // Behind the last page of the last window there may be no address; nobody asks for it then.
        self.next = bus.last().checked_add(1).unwrap_or(self.next);
        Ok(())
    }

    fn finish(mut self) -> Result<DmaList, DmaError> {
        self.space.translation.commit()?;
        self.window = None;
        Ok(core::mem::take(&mut self.ranges))
    }
}

impl<T: Translation> Drop for Build<'_, T> {
    fn drop(&mut self) {
        if let Some(window) = self.window {
            self.space.translation.clear(window);
            self.space.addresses.free(window);
        }
    }
}
