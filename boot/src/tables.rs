//! The kernel's page tables, made with the `x86_64` crate's mapper.
//!
//! The loader runs with the first 4 GiB mapped at their own addresses, so a table's physical
//! address is its pointer. Everything is mapped with the rights it needs and no more: nothing is
//! writable and executable at once, and only code is executable.
#![allow(
    clippy::disallowed_types,
    reason = "this module is the seam between phyrs and the mapper's frames"
)]

use crate::error::LoadError;
use crate::image::Access;
use crate::memory_map::MemoryMap;
use core::ptr::NonNull;
use phyr::Phyr;
use x86_64::VirtAddr;
use x86_64::structures::paging::mapper::MapToError;
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags, PhysFrame,
    Size1GiB, Size2MiB, Size4KiB, Translate,
};

/// Page tables under construction.
pub struct Tables {
    root: Phyr,
    mapper: OffsetPageTable<'static>,
    /// Whether the CPU has 1 GiB pages (CPUID 8000_0001h, EDX bit 26).
    has_1_gib_pages: bool,
}

impl Tables {
    /// Empty tables.
    pub fn new(map: &mut MemoryMap) -> Result<Self, LoadError> {
        let root = map.allocate(crate::PAGE)?;
        let table: *mut PageTable = zeroed(root).cast().as_ptr();
        // SAFETY: the frame was just taken for this table alone, is zeroed, page-aligned, and
        // mapped at its own address for as long as the loader runs.
        let table = unsafe { &mut *table };
        // SAFETY: every table frame comes from `MemoryMap::allocate`, which stays below 4 GiB,
        // where physical and virtual addresses agree (offset 0).
        let mapper = unsafe { OffsetPageTable::new(table, VirtAddr::new(0)) };
        let has_1_gib_pages = core::arch::x86_64::__cpuid(0x8000_0001).edx & 1 << 26 != 0;
        Ok(Self {
            root,
            mapper,
            has_1_gib_pages,
        })
    }

    /// The physical address of the level-4 table.
    pub fn root(&self) -> u64 {
        self.root.addr().get()
    }

    /// Maps a page-aligned phyr at `virt` with the largest pages that fit.
    pub fn map(
        &mut self,
        virt: u64,
        phyr: Phyr,
        access: Access,
        memory: &mut MemoryMap,
    ) -> Result<(), LoadError> {
        let mut rest = Some(phyr);
        let mut virt = virt;
        while let Some(range) = rest {
            let fits =
                |size: u64| (virt | range.addr().get()).is_multiple_of(size) && range.len() >= size;
            let size = if self.has_1_gib_pages && fits(Size1GiB::SIZE) {
                self.map_one::<Size1GiB>(virt, range, access, memory)?
            } else if fits(Size2MiB::SIZE) {
                self.map_one::<Size2MiB>(virt, range, access, memory)?
            } else {
                self.map_one::<Size4KiB>(virt, range, access, memory)?
            };
            rest = range
                .len()
                .checked_sub(size)
                .and_then(|len| range.sub(size, len));
            virt = virt.wrapping_add(size);
        }
        Ok(())
    }

    /// Whether anything is mapped at an address.
    pub fn maps(&self, virt: u64) -> bool {
        self.mapper
            .translate_addr(VirtAddr::new_truncate(virt))
            .is_some()
    }

    /// Makes level-4 entry `index` point at the level-4 table itself.
    pub fn map_recursively(&mut self, index: u16) {
        let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE;
        let root = x86_64::PhysAddr::new(self.root());
        self.mapper.level_4_table_mut()[usize::from(index)].set_addr(root, flags);
    }

    fn map_one<S: PageSize + core::fmt::Debug>(
        &mut self,
        virt: u64,
        range: Phyr,
        access: Access,
        memory: &mut MemoryMap,
    ) -> Result<u64, LoadError>
    where
        OffsetPageTable<'static>: Mapper<S>,
    {
        let page = Page::<S>::containing_address(VirtAddr::new_truncate(virt));
        let frame =
            PhysFrame::<S>::containing_address(x86_64::PhysAddr::new_truncate(range.addr().get()));
        let mut frames = Frames {
            memory,
            failure: None,
        };
        // SAFETY: these tables are not in use yet, so no mapping can be disturbed.
        let result = unsafe { self.mapper.map_to(page, frame, flags(access), &mut frames) };
        match result {
            Ok(flush) => {
                flush.ignore();
                Ok(S::SIZE)
            }
            Err(MapToError::FrameAllocationFailed) => {
                Err(frames.failure.unwrap_or(LoadError::Overlap { virt }))
            }
            Err(_) => Err(LoadError::Overlap { virt }),
        }
    }
}

/// Table frames from the memory map; remembers why it could give none.
struct Frames<'a> {
    memory: &'a mut MemoryMap,
    failure: Option<LoadError>,
}

// SAFETY: `MemoryMap::allocate` gives each page out once.
unsafe impl FrameAllocator<Size4KiB> for Frames<'_> {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        match self.memory.allocate(crate::PAGE) {
            Ok(page) => {
                zeroed(page);
                Some(PhysFrame::containing_address(x86_64::PhysAddr::new(
                    page.addr().get(),
                )))
            }
            Err(error) => {
                self.failure = Some(error.into());
                None
            }
        }
    }
}

fn flags(access: Access) -> PageTableFlags {
    let present = PageTableFlags::PRESENT;
    match access {
        Access::Read => present | PageTableFlags::NO_EXECUTE,
        Access::ReadWrite => present | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE,
        Access::ReadExecute => present,
    }
}

/// Memory that the loader took, at its own address, filled with zeros.
pub fn zeroed(phyr: Phyr) -> NonNull<u8> {
    let start = pointer(phyr);
    // SAFETY: the phyr was taken from the memory map for the caller alone, lies below 4 GiB, and
    // is therefore mapped, writable, at its own address.
    unsafe { start.write_bytes(0, phyr.len() as usize) };
    start
}

fn pointer(phyr: Phyr) -> NonNull<u8> {
    NonNull::new(core::ptr::with_exposed_provenance_mut(
        phyr.addr().get() as usize
    ))
    .expect("the loader takes no memory in the first MiB")
}
