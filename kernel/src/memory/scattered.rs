//! Memory in one piece for the CPU and in many for a device.

use super::frames::Frames;
use super::mapping::{MapError, Mapping};
use super::paging::{Cache, Rights};
use alloc::vec::Vec;
use phyr::PhyrList;

/// Frames from anywhere, side by side at one virtual range.
#[derive(Debug)]
pub struct Scattered {
    // Unmapped before the frames are freed: fields are dropped in this order.
    mapping: Mapping,
    _frames: Vec<Frames>,
}

impl Scattered {
    /// Maps frames in the given order.
    pub fn map(frames: Vec<Frames>) -> Result<Self, MapError> {
        let mut list = PhyrList::new();
        for frame in &frames {
            list.push(frame.phyr())
                .map_err(|error| MapError::Tables(super::paging::MapError::List(error)))?;
        }
        // SAFETY: the frames belong to the caller, who gives them to the result, and are mapped
        // write-back here as in the direct map.
        let mapping = unsafe { Mapping::map_list(&list, Rights::ReadWrite, Cache::WriteBack) }?;
        Ok(Self {
            mapping,
            _frames: frames,
        })
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
