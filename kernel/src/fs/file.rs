//! An open file.

use super::layout::{MappedFile, zeros};
use super::{Ext4Error, Read, Reader, SharedFile};
use crate::block::blocking::wait;
use crate::dma::{Owner, lend_mut};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

/// An open file, which can be read from any position.
pub struct File {
    data: Data,
    /// Seconds since 1970 began, and nanoseconds.
    modified: (i64, u32),
}

/// Bytes of a file that lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where they begin on the device, in bytes. `None`: they are zeros, and nowhere.
    pub start: Option<u64>,
    /// How many they are, at least 1.
    pub len: u64,
}

/// How to get at its data.
enum Data {
    /// It is known where it lies: it goes straight from there to the reader.
    Mapped(Reader, MappedFile),
    /// `ext4-view` copies it block by block.
    Viewed(Box<ext4_view::File>),
    /// It is the host's.
    Shared(Box<SharedFile>),
}

impl File {
    /// The same file, whose data's place is known.
    pub(super) fn mapped(self, reader: Reader, file: MappedFile) -> Self {
        Self {
            data: Data::Mapped(reader, file),
            ..self
        }
    }

    pub(super) fn viewed(file: ext4_view::File) -> Self {
        let modified = file.metadata().modified();
        Self {
            modified: (modified.seconds(), modified.nanoseconds()),
            data: Data::Viewed(Box::new(file)),
        }
    }

    pub(super) fn shared(file: SharedFile) -> Self {
        Self {
            modified: file.facts().modified,
            data: Data::Shared(Box::new(file)),
        }
    }

    /// When its content was changed for the last time: whole seconds since 1970 began, and nanoseconds.
    pub fn modified(&self) -> (i64, u32) {
        self.modified
    }

    /// Its bytes; of a file of the host's, when it was opened.
    pub fn len(&self) -> u64 {
        match &self.data {
            Data::Mapped(_, file) => file.len(),
            Data::Viewed(file) => file.metadata().len(),
            Data::Shared(file) => file.facts().len,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its data goes by DMA into the reader's memory, as far as whole blocks of the device
    /// are asked for and the memory can be reached.
    pub fn is_direct(&self) -> bool {
        matches!(self.data, Data::Mapped(..) | Data::Shared(_))
    }

    /// Whether it is in a folder of the host's.
    pub fn is_shared(&self) -> bool {
        matches!(self.data, Data::Shared(_))
    }

    /// Where these bytes are on the device of the file system, in order and in bytes, so that they can be read into
    /// memory of any kind. `None` if that is not known, or one of them is nowhere: in a hole, or
    /// beyond the end.
    pub fn stretches(&self, bytes: Range<u64>) -> Option<Vec<Range<u64>>> {
        match &self.data {
            Data::Mapped(_, file) => file.stretches(bytes),
            Data::Viewed(_) | Data::Shared(_) => None,
        }
    }

    /// The bytes from `position` on, as far as they lie together. `None` if that is not known, or the
    /// file ends there.
    pub fn piece_at(&self, position: u64) -> Option<Piece> {
        match &self.data {
            Data::Mapped(_, file) => file.piece_at(position),
            Data::Viewed(_) | Data::Shared(_) => None,
        }
    }

    /// Reads the bytes from `position` on into memory of any kind, at any byte of it. `None` if the file cannot be
    /// read like that: those on a disk are where their [stretches](Self::stretches) are.
    pub fn read_into(&self, position: u64, memory: impl Owner) -> Option<Read> {
        match &self.data {
            Data::Shared(file) => Some(wait(file.read(position, memory))),
            Data::Mapped(..) | Data::Viewed(_) => None,
        }
    }

    /// Fills `into` with the bytes from `position` on. Returns how many they are: fewer than asked
    /// for only if the file ends there, 0 at and beyond its end.
    pub fn read_at(&mut self, position: u64, into: &mut [u8]) -> Result<usize, Ext4Error> {
        match &mut self.data {
            Data::Mapped(reader, file) => {
                file.read_at(reader, position, into).map_err(Ext4Error::Io)
            }
            Data::Viewed(file) => {
                if file.position() != position {
                    file.seek_to(position)?;
                }
                let mut filled = 0;
                while filled < into.len() {
                    match file.read_bytes(&mut into[filled..])? {
                        0 => break,
                        bytes => filled += bytes,
                    }
                }
                Ok(filled)
            }
            Data::Shared(file) => {
                lend_mut(into, |memory| match wait(file.read(position, memory)) {
                    Ok((memory, filled)) => (Some(memory), Ok(filled)),
                    Err((error, memory)) => (memory, Err(error)),
                })
            }
        }
    }

    /// Reads it piece by piece; `visit` gets each piece in order, and ends the reading by an error. Returns how many
    /// bytes that were.
    pub fn read_pieces<E: From<Ext4Error>>(
        mut self,
        mut visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        /// Large enough for a device to be busy with each, and what small machines have, too.
        const PIECES: [u64; 2] = [1 << 20, 64 << 10];
        // A file of the host's may have grown meanwhile, or not say how long it is.
        let len = match self.data {
            Data::Shared(_) => self.len().max(PIECES[1]),
            _ => self.len(),
        };
        // Any allocation is aligned enough for a device; whole blocks go straight into it.
        let [large, small] = PIECES.map(|piece| len.min(piece) as usize);
        let buffer = zeros(large).or_else(|_| zeros(small));
        let mut buffer = buffer.map_err(Ext4Error::from)?;
        let mut total = 0;
        loop {
            let filled = self.read_at(total, &mut buffer)?;
            if filled == 0 {
                return Ok(total);
            }
            visit(&buffer[..filled])?;
            total += filled as u64;
        }
    }
}
