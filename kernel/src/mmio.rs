//! Device registers: a phyr, mapped uncached, read and written with volatile accesses.
//!
//! A [`RegisterWindow`] owns its mapping, so registers cannot be touched after they are unmapped.
//! Every access is checked against the window: an offset that comes from a device (a doorbell
//! stride, a capability) cannot lead outside it.

use crate::memory::mapping::{MapError, Mapping};
use crate::memory::paging::{Cache, Rights};
use crate::memory::virt::VirtAddr;
use phyr::Phyr;

/// Registers of a device.
#[derive(Debug)]
pub struct RegisterWindow {
    mapping: Mapping,
}

impl RegisterWindow {
    /// Maps registers, uncached.
    ///
    /// # Safety
    /// The phyr is registers, not RAM, and the caller may drive the device that they belong to.
    pub unsafe fn map(registers: Phyr) -> Result<Self, MapError> {
        // So that an offset that is aligned leads to an address that is.
        if !registers.addr().is_aligned(align_of::<u64>() as u64) {
            return Err(MapError::Unaligned(registers));
        }
        // SAFETY: the caller's promise; nobody maps registers with another cache mode.
        let mapping = unsafe { Mapping::map(registers, Rights::ReadWrite, Cache::Uncached) }?;
        Ok(Self { mapping })
    }

    /// Where the registers are visible, for assembly that the holder of the window answers for.
    pub(crate) fn start(&self) -> VirtAddr {
        self.mapping.range().start()
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Never true: a phyr has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Where a register of type `T` lies.
    ///
    /// # Panics
    /// If it is not aligned or not within the window: that is the driver's mistake, and going on
    /// would touch other memory.
    #[inline]
    fn register<T>(&self, offset: usize) -> *mut T {
        let inside = offset
            .checked_add(size_of::<T>())
            .is_some_and(|end| end <= self.len());
        assert!(
            inside && offset.is_multiple_of(align_of::<T>()),
            "register {offset:#x} of a window of {:#x} bytes",
            self.len()
        );
        self.mapping.pointer().as_ptr().wrapping_add(offset).cast()
    }

    /// Reads a register.
    #[inline]
    pub fn read16(&self, offset: usize) -> u16 {
        // SAFETY: `register` checked the offset, `map` the base; the mapping lives as long as `self`.
        unsafe { self.register::<u16>(offset).read_volatile() }
    }

    /// Writes a register.
    #[inline]
    pub fn write16(&self, offset: usize, value: u16) {
        // SAFETY: as in `read16`. What the device then does is its driver's duty.
        unsafe { self.register::<u16>(offset).write_volatile(value) }
    }

    /// Reads a register.
    #[inline]
    pub fn read32(&self, offset: usize) -> u32 {
        // SAFETY: `register` checked the offset, `map` the base; the mapping lives as long as `self`.
        unsafe { self.register::<u32>(offset).read_volatile() }
    }

    /// Reads a register.
    #[inline]
    pub fn read64(&self, offset: usize) -> u64 {
        // SAFETY: as in `read32`.
        unsafe { self.register::<u64>(offset).read_volatile() }
    }

    /// Writes a register.
    #[inline]
    pub fn write32(&self, offset: usize, value: u32) {
        // SAFETY: as in `read32`. What the device then does is its driver's duty.
        unsafe { self.register::<u32>(offset).write_volatile(value) }
    }

    /// Writes a register.
    #[inline]
    pub fn write64(&self, offset: usize, value: u64) {
        // SAFETY: as in `write32`.
        unsafe { self.register::<u64>(offset).write_volatile(value) }
    }
}
