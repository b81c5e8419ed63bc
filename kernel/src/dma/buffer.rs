//! Borrowed memory on its way to a device.

use crate::memory::paging;
use crate::memory::virt::VirtRange;
use core::fmt;
use core::marker::PhantomData;
use phyr::PhyrList;

/// Which way the bytes go.
pub trait Direction: sealed::Sealed {}

/// The device reads the memory.
#[derive(Debug, Clone, Copy)]
pub enum ToDevice {}

/// The device writes the memory.
#[derive(Debug, Clone, Copy)]
pub enum FromDevice {}

impl Direction for ToDevice {}
impl Direction for FromDevice {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ToDevice {}
    impl Sealed for super::FromDevice {}
}

/// Why memory cannot be described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferError {
    /// A transfer of nothing.
    Empty,
    /// The bytes are not mapped, or there is no memory for their list.
    Translate(paging::MapError),
}

impl fmt::Display for BufferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is nothing to transfer"),
            Self::Translate(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for BufferError {}

/// Memory that a device will read or write.
///
/// Holding one tells you:
///
/// - the memory is borrowed, mutably where the device writes it, so nobody else uses it;
/// - it stays where it is: nothing in this kernel moves or unmaps memory that is borrowed;
/// - the list has its bytes, in order, and no others.
#[derive(Debug)]
pub struct Buffer<'a, D: Direction> {
    list: PhyrList,
    _memory: PhantomData<(&'a mut [u8], D)>,
}

impl<'a> Buffer<'a, ToDevice> {
    /// Bytes for a device to read.
    pub fn to_device(bytes: &'a [u8]) -> Result<Self, BufferError> {
        Ok(Self {
            list: phyrs_of(bytes)?,
            _memory: PhantomData,
        })
    }
}

impl<'a> Buffer<'a, FromDevice> {
    /// Bytes for a device to write.
    pub fn from_device(bytes: &'a mut [u8]) -> Result<Self, BufferError> {
        Ok(Self {
            list: phyrs_of(bytes)?,
            _memory: PhantomData,
        })
    }
}

impl<D: Direction> Buffer<'_, D> {
    /// The memory's phyrs.
    pub fn phyrs(&self) -> &PhyrList {
        &self.list
    }

    /// The length in bytes.
    pub fn bytes(&self) -> u64 {
        self.list.bytes()
    }

    pub(super) fn into_list(self) -> PhyrList {
        self.list
    }
}

/// The phyrs behind a slice, as the page tables have them.
fn phyrs_of(bytes: &[u8]) -> Result<PhyrList, BufferError> {
    let range = VirtRange::of(bytes).ok_or(BufferError::Empty)?;
    crate::memory::translate(range).map_err(BufferError::Translate)
}
