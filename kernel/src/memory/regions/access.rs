//! How the CPU gets at a region: by copies.
//!
//! The memory is mapped for the length of a copy, a piece at a time. So a device of 8 GiB needs no
//! page tables until somebody looks, and then only for what is looked at. All accesses are volatile
//! and, where both sides are aligned, of 8 bytes: more is not promised by every device.

use super::{Region, RegionError};
use crate::memory::mapping::Mapping;
use crate::memory::paging::Rights;
use core::sync::atomic::{Ordering, fence};

/// Most bytes that are mapped at once.
const PIECE: u64 = 2 << 20;

impl Region {
    /// Copies the bytes from `offset` on until `into` is full.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), RegionError> {
        let mut done = 0;
        self.in_pieces(offset, into.len(), Rights::ReadOnly, |start, len| {
            for step in Steps::over(start, len) {
                let place = start.wrapping_add(step.at);
                let here = &mut into[done + step.at..];
                match step.width {
                    // SAFETY: the step is inside of the mapped piece, which belongs to the region, and aligned.
                    WORD => here[..WORD].copy_from_slice(
                        &unsafe { place.cast::<u64>().read_volatile() }.to_ne_bytes(),
                    ),
                    // SAFETY: as above.
                    _ => here[0] = unsafe { place.read_volatile() },
                }
            }
            done += len;
        })
    }

    /// Copies `from` to the bytes from `offset` on. When it returns, a device finds them there.
    pub fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), RegionError> {
        let mut done = 0;
        self.in_pieces(offset, from.len(), Rights::ReadWrite, |start, len| {
            for step in Steps::over(start, len) {
                let place = start.wrapping_add(step.at);
                match from[done + step.at..].first_chunk::<WORD>() {
                    Some(word) if step.width == WORD => {
                        let word = u64::from_ne_bytes(*word);
                        // SAFETY: the step is inside of the mapped piece, which belongs to the region, and
                        // aligned.
                        unsafe { place.cast::<u64>().write_volatile(word) };
                    }
                    // SAFETY: as above.
                    _ => unsafe { place.write_volatile(from[done + step.at]) },
                }
            }
            done += len;
        })?;
        // Writes that the CPU has gathered leave it before anything that comes later.
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Fills `len` bytes from `offset` on.
    pub fn fill(&mut self, offset: u64, len: u64, byte: u8) -> Result<(), RegionError> {
        let block = [byte; 4096];
        let mut done = 0;
        while done < len {
            let now = (len - done).min(block.len() as u64);
            self.write(offset + done, &block[..now as usize])?;
            done += now;
        }
        Ok(())
    }

    /// Maps the bytes a piece at a time, and counts as a use meanwhile.
    fn in_pieces(
        &self,
        offset: u64,
        len: usize,
        rights: Rights,
        mut copy: impl FnMut(*mut u8, usize),
    ) -> Result<(), RegionError> {
        if len == 0 {
            return Ok(());
        }
        let part = self.phyr().sub(offset, len as u64);
        let part = part.ok_or(RegionError::OutOfRange)?;
        let provider = self.provider();
        provider.enter()?;
        let mut result = Ok(());
        for piece in part.chunks(PIECE) {
            // SAFETY: the memory belongs to the region, and its provider says how it is cached.
            match unsafe { Mapping::map(piece, rights, provider.cache()) } {
                Ok(mapping) => copy(mapping.pointer().as_ptr(), mapping.len()),
                Err(error) => {
                    result = Err(RegionError::Map(error));
                    break;
                }
            }
        }
        provider.leave();
        result
    }
}

/// The bytes of an access that is as wide as there is.
const WORD: usize = 8;

/// One access: where, from the start of a piece, and of how many bytes: 8 or 1.
struct Step {
    at: usize,
    width: usize,
}

/// The accesses to a piece, in order.
struct Steps {
    start: usize,
    at: usize,
    len: usize,
}

impl Steps {
    fn over(start: *const u8, len: usize) -> Self {
        let start = start.addr();
        Self { start, at: 0, len }
    }
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let left = self.len.checked_sub(self.at).filter(|left| *left > 0)?;
        let is_aligned = (self.start + self.at).is_multiple_of(WORD);
        let width = if is_aligned && left >= WORD { WORD } else { 1 };
        let at = self.at;
        self.at += width;
        Some(Step { at, width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_byte_is_accessed_once_and_words_are_aligned() {
        for start in 0x1000..0x1010_usize {
            for len in 0..40 {
                let steps: Vec<Step> = Steps::over(start as *const u8, len).collect();
                let mut next = 0;
                for step in &steps {
                    assert_eq!(step.at, next);
                    assert!(step.width == 1 || (start + step.at).is_multiple_of(WORD));
                    next += step.width;
                }
                assert_eq!(next, len);
                let bytes = steps.iter().filter(|step| step.width == 1).count();
                assert!(
                    bytes < 2 * WORD,
                    "{bytes} single bytes of {len} at {start:#x}"
                );
            }
        }
    }
}
