//! Mappings: phyrs that are visible at a virtual range until their holder drops them.
//!
//! Holding a [`Mapping`] tells you: the memory is visible at these addresses, with these rights
//! and this cache mode, in one piece even where the phyrs are not. It does not tell you whose the
//! memory is: that is said by what owns it.
//!
//! They are in the kernel's half of the addresses, behind one lock. All cores use it, so a mapping
//! that ends is forgotten by all of them ([`cores::shootdown`](crate::cores::shootdown)) before
//! its memory or its addresses are used again. Mappings that keep an owner, and can be pinned, are
//! those of an [address space](super::address_space).

use super::frames::{self, Frames};
use super::paging::{self, Cache, Features, FrameSource, LeafCount, PageTables, Rights};
use super::space::AddressArea;
use super::virt::{VirtAddr, VirtRange};
use super::window::{DirectMap, PAGE};
#[cfg(phyros)]
use crate::cores::shootdown;
use crate::cores::shootdown::AllTlbs;
use crate::lock::Mutex;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::{Phyr, PhyrList, PhysAddr};

/// Where the kernel's own mappings go.
const AREA_START: u64 = 0xffff_c000_0000_0000;
const AREA_BYTES: u64 = 1 << 45;

/// Page-table memory from the frame allocator.
pub(crate) struct TableFrames;

// SAFETY: frames are page-aligned RAM in the direct map, which is the tables' window, and belong
// to whoever allocated them.
unsafe impl FrameSource for TableFrames {
    fn allocate(&mut self) -> Option<Phyr> {
        Frames::allocate(PAGE).ok().map(frames::leak)
    }

    fn free(&mut self, table: Phyr) {
        // SAFETY: a table that is no longer in use belongs to nobody, whether this source or the
        // loader allocated it: the loader's memory was handed over to the kernel.
        drop(unsafe { frames::adopt(table) });
    }
}

pub(crate) type Tables = PageTables<DirectMap, TableFrames, AllTlbs>;

struct Kernel {
    tables: Tables,
    area: AddressArea,
}

static KERNEL: Mutex<Option<Kernel>> = Mutex::new(None);

/// Where the root is. It never moves.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// Takes over the page tables at `root`.
///
/// # Safety
/// `root` is the table in CR3, made by the loader, and nobody else changes it or those below.
pub(super) unsafe fn init(root: PhysAddr, window: DirectMap) {
    // SAFETY: the caller's promise; the loader shares no table and sets no global bit.
    let tables = unsafe {
        PageTables::adopt(
            root,
            window,
            TableFrames,
            AllTlbs::new(),
            Features::detect(),
        )
    };
    let area = VirtAddr::new(AREA_START).and_then(|start| VirtRange::new(start, AREA_BYTES));
    let area = AddressArea::new(area.expect("the area is canonical"));
    ROOT.store(root.get(), Ordering::Relaxed);
    *KERNEL.lock() = Some(Kernel { tables, area });
}

/// The root of the kernel's tables, for who must not wait for the lock.
pub(crate) fn root() -> PhysAddr {
    PhysAddr::new(ROOT.load(Ordering::Relaxed))
}

/// Whoever has a lock of page tables may be waiting for this core to forget something.
pub(super) fn assert_may_change() {
    #[cfg(phyros)]
    assert!(
        shootdown::may_wait(),
        "the page tables are wanted while interrupts are disabled"
    );
}

fn with_space<R>(action: impl FnOnce(&mut Kernel) -> R) -> R {
    assert_may_change();
    action(KERNEL.lock().as_mut().expect("memory is initialised first"))
}

/// Changes the kernel's page tables directly: for the start, when nothing is a `Mapping` yet; for
/// what keeps its own accounts; and for tests.
pub(crate) fn with_tables<R>(action: impl FnOnce(&mut Tables) -> R) -> R {
    with_space(|space| action(&mut space.tables))
}

/// Takes addresses for good, which nobody else will map.
pub(super) fn take_addresses(len: u64) -> Option<VirtRange> {
    with_space(|space| space.area.take(len, 1 << 30, 0))
}

/// Why memory could not be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// No range of virtual addresses is large enough.
    NoAddresses,
    /// The range cannot be rounded to pages: it ends at the top of the address space.
    TooHigh(Phyr),
    /// The list is empty, or a phyr inside it does not end at a page boundary.
    NotPages,
    /// Registers start at a multiple of 8, and these do not: whoever described them is wrong.
    Unaligned(Phyr),
    /// The page tables could not be changed.
    Tables(paging::MapError),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddresses => f.write_str("no virtual addresses are left"),
            Self::TooHigh(phyr) => write!(f, "{phyr} does not end on a page"),
            Self::NotPages => f.write_str("only whole pages can lie side by side"),
            Self::Unaligned(phyr) => write!(f, "{phyr} does not start where registers can"),
            Self::Tables(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for MapError {}

impl From<paging::MapError> for MapError {
    fn from(error: paging::MapError) -> Self {
        Self::Tables(error)
    }
}

/// Phyrs visible at a virtual range.
#[derive(Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Whole pages, from the area.
    pages: VirtRange,
    /// The bytes that were asked for, within the pages.
    bytes: VirtRange,
}

impl Mapping {
    /// Maps a phyr, whatever its alignment: the pages around it become visible.
    ///
    /// # Safety
    /// The holder may access the memory in this way. Where it is also mapped elsewhere, both
    /// mappings have the same cache mode.
    pub unsafe fn map(phyr: Phyr, rights: Rights, cache: Cache) -> Result<Self, MapError> {
        let pages = phyr.align_outer(PAGE).ok_or(MapError::TooHigh(phyr))?;
        let offset = phyr.addr().offset_from(pages.addr()).unwrap_or(0);
        // SAFETY: the caller's promise.
        let mapped = unsafe { place(pages.len(), core::iter::once(pages), rights, cache) }?;
        let bytes = mapped
            .without_prefix(offset)
            .and_then(|rest| rest.prefix(phyr.len()));
        Ok(Self {
            pages: mapped,
            bytes: bytes.unwrap_or(mapped),
        })
    }

    /// Maps phyrs of whole pages side by side.
    ///
    /// # Safety
    /// As for [`map`](Self::map).
    pub unsafe fn map_list(
        list: &PhyrList,
        rights: Rights,
        cache: Cache,
    ) -> Result<Self, MapError> {
        if list.is_empty() || list.iter().any(|phyr| !phyr.is_aligned(PAGE)) {
            return Err(MapError::NotPages);
        }
        // SAFETY: the caller's promise.
        let mapped = unsafe { place(list.bytes(), list.iter(), rights, cache) }?;
        Ok(Self {
            pages: mapped,
            bytes: mapped,
        })
    }

    /// The virtual addresses of the memory that was asked for.
    pub fn range(&self) -> VirtRange {
        self.bytes
    }

    /// The first byte. Valid for as long as the mapping is held.
    #[inline]
    pub fn pointer(&self) -> NonNull<u8> {
        let start = core::ptr::with_exposed_provenance_mut(self.bytes.start().get() as usize);
        NonNull::new(start).expect("the kernel's mappings lie in the upper half")
    }

    /// The length in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len() as usize
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        with_space(|space| {
            // SAFETY: the holder is gone, and with it every use of the range.
            let unmapped = unsafe { space.tables.discard(self.pages) };
            // A mapping ends where its own leaves end, so nothing is split and no memory is needed.
            unmapped.expect("a mapping was mapped, and is unmapped without memory");
            space.area.give(self.pages);
        });
    }
}

/// Maps phyrs of whole pages one after the other at free addresses.
///
/// # Safety
/// As for [`Mapping::map`].
unsafe fn place(
    len: u64,
    phyrs: impl Iterator<Item = Phyr> + Clone,
    rights: Rights,
    cache: Cache,
) -> Result<VirtRange, MapError> {
    // Large leaves fit where virtual and physical addresses agree modulo their size.
    let align = [1 << 30, 1 << 21]
        .into_iter()
        .find(|size| len >= *size)
        .unwrap_or(PAGE);
    let offset = phyrs
        .clone()
        .next()
        .map_or(0, |first| first.addr().get() % align);
    with_space(|space| {
        let range = space
            .area
            .take(len, align, offset)
            .ok_or(MapError::NoAddresses)?;
        let mut mapped = 0;
        for phyr in phyrs {
            let Some(start) = range.start().checked_add(mapped) else {
                break;
            };
            // SAFETY: the caller's promise.
            if let Err(error) = unsafe { space.tables.map(start, phyr, rights, cache) } {
                if let Some(done) = range.prefix(mapped) {
                    // SAFETY: nobody has been told of the range yet.
                    let undone = unsafe { space.tables.discard(done) };
                    undone.expect("it was mapped just now");
                }
                space.area.give(range);
                return Err(error.into());
            }
            mapped += phyr.len();
        }
        Ok(range)
    })
}

/// The phyrs behind a virtual range of the kernel, joined where they touch.
pub fn translate(range: VirtRange) -> Result<PhyrList, paging::MapError> {
    with_space(|space| space.tables.translate(range))
}

/// How many leaves of each size map a virtual range of the kernel.
pub fn leaves(range: VirtRange) -> LeafCount {
    with_space(|space| space.tables.leaves(range))
}
