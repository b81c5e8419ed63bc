//! Storage for a sequence that is nearly always short and sometimes enormous.
//!
//! The first [`INLINE`] entries live in the list itself: an ordinary request costs no
//! allocation. What goes beyond them lives in chunks of 4 KiB. A list of 100 000
//! entries is 400 small allocations, never a large one: in a kernel that has run for
//! a week, contiguous memory is the scarce kind.
//!
//! - No allocation is larger than [`CHUNK_BYTES`].
//! - An entry never moves once it is stored, so growing copies nothing.
//! - Adding an entry takes constant time, apart from one allocation in a chunk's worth.
//! - A failed allocation is an error, and leaves the sequence as it was.
//!
//! The chunk that is being filled hangs on the sequence itself, within reach. A full
//! one goes to the [directory](crate::directory::Directory).

use crate::ListError;
#[cfg(feature = "alloc")]
use crate::directory::Directory;
#[cfg(feature = "alloc")]
use alloc::vec::Vec;

/// How many entries a list holds without an allocation.
pub(crate) const INLINE: usize = 8;

/// The most memory that is asked for at once.
#[cfg(feature = "alloc")]
pub(crate) const CHUNK_BYTES: usize = 4096;

/// An ordered sequence of small values.
#[derive(Debug)]
pub(crate) struct Chain<T> {
    len: usize,
    inline: [T; INLINE],
    #[cfg(feature = "alloc")]
    overflow: Overflow<T>,
}

impl<T: Copy> Chain<T> {
    /// An empty sequence. `filler` stands where no entry is yet, and is never read.
    pub(crate) const fn new(filler: T) -> Self {
        Self {
            len: 0,
            inline: [filler; INLINE],
            #[cfg(feature = "alloc")]
            overflow: Overflow::new(),
        }
    }

    /// A sequence of one.
    pub(crate) const fn single(entry: T) -> Self {
        let mut chain = Self::new(entry);
        chain.len = 1;
        chain
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        match index.checked_sub(INLINE) {
            None => self.inline.get(index),
            #[cfg(feature = "alloc")]
            Some(index) => self.overflow.get(index),
            #[cfg(not(feature = "alloc"))]
            Some(_) => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        match index.checked_sub(INLINE) {
            None => self.inline.get_mut(index),
            #[cfg(feature = "alloc")]
            Some(index) => self.overflow.get_mut(index),
            #[cfg(not(feature = "alloc"))]
            Some(_) => None,
        }
    }

    #[inline]
    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.get_mut(self.len.checked_sub(1)?)
    }

    pub(crate) fn push(&mut self, entry: T) -> Result<(), ListError> {
        match self.inline.get_mut(self.len) {
            Some(room) => *room = entry,
            #[cfg(feature = "alloc")]
            None => self.overflow.push(entry)?,
            #[cfg(not(feature = "alloc"))]
            None => return Err(ListError::Full),
        }
        self.len += 1;
        Ok(())
    }

    /// Forgets all entries. One chunk is kept, if there was one, for those to come.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        #[cfg(feature = "alloc")]
        self.overflow.clear();
    }
}

/// The entries behind the inline part.
#[cfg(feature = "alloc")]
#[derive(Debug)]
struct Overflow<T> {
    full: Directory<T>,
    filling: Vec<T>,
}

#[cfg(feature = "alloc")]
impl<T> Overflow<T> {
    const PER_CHUNK: usize = per_chunk::<T>();

    const fn new() -> Self {
        Self {
            full: Directory::new(),
            filling: Vec::new(),
        }
    }

    fn get(&self, index: usize) -> Option<&T> {
        let (chunk, index) = (index / Self::PER_CHUNK, index % Self::PER_CHUNK);
        if chunk == self.full.len() {
            self.filling.get(index)
        } else {
            self.full.get(chunk)?.get(index)
        }
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let (chunk, index) = (index / Self::PER_CHUNK, index % Self::PER_CHUNK);
        if chunk == self.full.len() {
            self.filling.get_mut(index)
        } else {
            self.full.get_mut(chunk)?.get_mut(index)
        }
    }

    fn push(&mut self, entry: T) -> Result<(), ListError> {
        if self.filling.capacity() == 0 {
            self.filling = chunk()?;
        } else if self.filling.len() == Self::PER_CHUNK {
            let full = core::mem::replace(&mut self.filling, chunk()?);
            if let Err((error, full)) = self.full.push(full) {
                self.filling = full;
                return Err(error);
            }
        }
        self.filling.push(entry);
        Ok(())
    }

    fn clear(&mut self) {
        self.filling.clear();
        self.full.clear();
    }
}

/// How many values of this type a chunk holds.
#[cfg(feature = "alloc")]
pub(crate) const fn per_chunk<T>() -> usize {
    CHUNK_BYTES / size_of::<T>()
}

/// An empty chunk with room for [`per_chunk`] values.
#[cfg(feature = "alloc")]
pub(crate) fn chunk<T>() -> Result<Vec<T>, ListError> {
    let mut chunk = Vec::new();
    chunk
        .try_reserve_exact(per_chunk::<T>())
        .map_err(|_| ListError::OutOfMemory)?;
    Ok(chunk)
}
