//! Memory with a direction.

use super::domain::Access;
use super::memory::Memory;
use crate::memory::regions::RegionError;
use core::marker::PhantomData;

/// Which way the bytes go.
pub trait Direction: sealed::Sealed {
    /// What the device does.
    const ACCESS: Access;
}

/// The device reads the memory.
#[derive(Debug, Clone, Copy)]
pub enum ToDevice {}

/// The device writes the memory.
#[derive(Debug, Clone, Copy)]
pub enum FromDevice {}

impl Direction for ToDevice {
    const ACCESS: Access = Access::Read;
}
impl Direction for FromDevice {
    const ACCESS: Access = Access::Write;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ToDevice {}
    impl Sealed for super::FromDevice {}
}

/// Memory that a device is to read or write, and is not using yet.
///
/// Holding one tells you:
///
/// - the memory belongs to you, and no device is using it;
/// - it may be written if and only if it is for a device to write. Of what a device is to read, the
///   owner may have lent out the bytes for reading.
#[derive(Debug)]
pub struct Buffer<D: Direction> {
    memory: Memory,
    _direction: PhantomData<D>,
}

impl<D: Direction> Buffer<D> {
    #[inline]
    pub(super) fn of(memory: Memory) -> Self {
        Self {
            memory,
            _direction: PhantomData,
        }
    }

    /// The length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether there is nothing to transfer.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// Takes the memory out, for a request that is accepted. Leaves none.
    #[inline]
    pub fn take(&mut self) -> Self {
        core::mem::replace(self, Self::of(Memory::none()))
    }

    /// The memory alone, without a direction.
    #[inline]
    pub fn into_memory(self) -> Memory {
        self.memory
    }

    #[inline]
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl Buffer<ToDevice> {
    /// Memory for a device to read.
    #[inline]
    pub fn to_device(memory: Memory) -> Self {
        Self::of(memory)
    }

    /// What the device would read, if it is RAM. A device that is made of code reads it here.
    ///
    /// # Panics
    /// If it is not RAM.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    /// Copies what the device would read, whatever kind of memory it is.
    pub fn copy_to(&self, into: &mut [u8]) -> Result<(), RegionError> {
        self.memory.copy_to(0, into)
    }
}

impl Buffer<FromDevice> {
    /// Memory for a device to write.
    ///
    /// # Panics
    /// If the memory is lent to a request that only reads it.
    #[inline]
    pub fn from_device(memory: Memory) -> Self {
        assert!(
            memory.is_writable(),
            "memory that was lent to be read is to be written"
        );
        Self::of(memory)
    }

    /// What the device would write, if it is RAM. A device that is made of code writes it here.
    ///
    /// # Panics
    /// If it is not RAM.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.bytes_mut()
    }

    /// Writes what the device would write, whatever kind of memory it is.
    pub fn copy_from(&mut self, from: &[u8]) -> Result<(), RegionError> {
        self.memory.copy_from(0, from)
    }
}
