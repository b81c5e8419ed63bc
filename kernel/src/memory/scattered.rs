//! Memory in one piece for the CPU and in many for a device.

use super::frames::Frames;
use super::mapping::{MapError, Mapping};
use super::paging::{Cache, Rights};
use alloc::vec::Vec;
use phyr::{ListError, PhyrList};

/// Frames from anywhere, side by side at one virtual range.
#[derive(Debug)]
pub struct Scattered {
    // Unmapped before the frames are freed: fields are dropped in this order.
    mapping: Mapping,
    frames: Vec<Frames>,
}

impl Scattered {
    /// Maps frames in the given order.
    pub fn map(frames: Vec<Frames>) -> Result<Self, MapError> {
        let list = phyrs(&frames)
            .map_err(|error| MapError::Tables(super::paging::MapError::List(error)))?;
        // SAFETY: the frames belong to the caller, who gives them to the result, and are mapped
        // write-back here as in the direct map.
        let mapping = unsafe { Mapping::map_list(&list, Rights::ReadWrite, Cache::WriteBack) }?;
        Ok(Self { mapping, frames })
    }

    /// Where the frames are, in order.
    pub fn phyrs(&self) -> Result<PhyrList, ListError> {
        phyrs(&self.frames)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping covers the frames, which belong to `self` alone.
        unsafe { core::slice::from_raw_parts(self.mapping.pointer().as_ptr(), self.mapping.len()) }
    }

    /// The bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe {
            core::slice::from_raw_parts_mut(self.mapping.pointer().as_ptr(), self.mapping.len())
        }
    }
}

/// Where frames are, in the given order.
pub(super) fn phyrs(frames: &[Frames]) -> Result<PhyrList, ListError> {
    let mut list = PhyrList::new();
    frames
        .iter()
        .try_for_each(|frame| list.push(frame.phyr()))?;
    Ok(list)
}
