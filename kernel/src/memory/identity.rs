//! Page tables for a core that is not in the kernel yet.
//!
//! A core that turns paging on must find its next instruction at the same address as before, and
//! soon afterwards the kernel at the kernel's. The kernel's own tables map nothing in the lower half,
//! and may lie where a core in real mode cannot load CR3 from. So there are tables for this purpose
//! only: a root below 4 GiB, one page at its own address, and the kernel's upper half.

use super::frames::{BELOW_4_GIB, Frames, window};
use super::mapping::{self, TableFrames};
use super::paging::{Cache, Features, LocalTlb, MapError, PageTables, Rights};
use super::virt::{VirtAddr, VirtRange};
use super::window::{DirectMap, PAGE, Window};
use crate::memory::extents::Request;
use phyr::{Phyr, PhysAddr};

/// The upper half of a root table, in bytes.
const UPPER: core::ops::Range<usize> = 2048..4096;

/// Tables that show one page where it is, and the kernel where it is.
pub(crate) struct Identity {
    root: Frames,
    tables: PageTables<DirectMap, TableFrames, LocalTlb>,
    /// Where the page is visible.
    range: VirtRange,
}

impl Identity {
    /// Makes the tables for one page of code.
    pub(crate) fn new(page: Phyr) -> Result<Self, MapError> {
        let request = Request {
            len: PAGE,
            align: PAGE,
            below: Some(BELOW_4_GIB),
        };
        let mut root = Frames::request(request).map_err(|_| MapError::OutOfTableMemory)?;
        root.bytes_mut().fill(0);
        // SAFETY: an empty root table in the direct map, which belongs to this.
        let mut tables = unsafe {
            PageTables::adopt(
                root.phyr().addr(),
                window(),
                TableFrames,
                LocalTlb::new(),
                Features::detect(),
            )
        };
        let virt = VirtAddr::new(page.addr().get()).map_err(MapError::Address)?;
        // SAFETY: only a core on its way into the kernel uses these tables, to run what is in the page.
        let range = unsafe { tables.map(virt, page, Rights::ReadExecute, Cache::WriteBack) }?;
        // From here on `tables` owns nothing in the upper half, and changes nothing there.
        let kernel = mapping::with_tables(|tables| tables.root());
        let kernel = window().pointer(kernel).as_ptr();
        // SAFETY: the root of the kernel's tables is in the direct map for good. An entry that is
        // added meanwhile is missing in the copy: it is none of those that lead to the kernel's image.
        let entries = unsafe { core::slice::from_raw_parts(kernel.cast_const(), PAGE as usize) };
        root.bytes_mut()[UPPER].copy_from_slice(&entries[UPPER]);
        Ok(Self {
            root,
            tables,
            range,
        })
    }

    /// For CR3: below 4 GiB.
    pub(crate) fn root(&self) -> PhysAddr {
        self.root.phyr().addr()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.root.bytes_mut()[UPPER].fill(0);
        // SAFETY: nobody uses the tables any more.
        let unmapped = unsafe { self.tables.discard(self.range) };
        unmapped.expect("the page was mapped, and is unmapped whole");
    }
}
