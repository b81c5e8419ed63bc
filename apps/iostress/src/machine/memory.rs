//! Memory that notices when something is written beside it.

use crate::disk::Memory;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use kernel::dma::{self, Owner};
use kernel::memory::frames::Frames;
use kernel::memory::scattered::Scattered;

const PAGE: usize = 4096;
/// What is written into the margins. Neither zero nor part of any stamp.
const CANARY: u8 = 0xc5;

/// Frames, or scattered frames, of which the middle is transferred.
pub struct Framed {
    /// All of it; `None` when a device keeps it for good.
    memory: Option<dma::Memory>,
    start: usize,
    len: usize,
}

impl Framed {
    /// Memory for `len` bytes that begin `offset` bytes into a page, in up to `pieces` places.
    pub(super) fn new(len: usize, offset: usize, pieces: usize) -> Result<Self, String> {
        let start = PAGE + offset;
        let all = (start + len).next_multiple_of(PAGE) + PAGE;
        let mut memory = if pieces > 1 {
            scattered(all, pieces)?.into_memory()
        } else {
            allocate(all)?.into_memory()
        };
        let bytes = memory.bytes_mut();
        bytes[..start].fill(CANARY);
        bytes[start + len..].fill(CANARY);
        Ok(Self {
            memory: Some(memory),
            start,
            len,
        })
    }

    /// The part that is transferred. `None` if a device has kept the memory.
    pub(super) fn lend(&mut self) -> Option<dma::Memory> {
        let memory = self.memory.take()?;
        memory.part(self.start..self.start + self.len).ok()
    }

    /// What [`lend`](Self::lend) gave out is back, or will never be.
    pub(super) fn take_back(&mut self, memory: Option<dma::Memory>) {
        self.memory = memory.map(dma::Memory::whole);
    }
}

impl Memory for Framed {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(memory) = &mut self.memory {
            memory.bytes_mut()[self.start + at..][..bytes.len()].copy_from_slice(bytes);
        }
    }

    fn get(&self, at: usize, into: &mut [u8]) {
        match &self.memory {
            Some(memory) => {
                into.copy_from_slice(&memory.bytes()[self.start + at..][..into.len()]);
            }
            None => into.fill(CANARY),
        }
    }

    fn margins_are_intact(&self) -> bool {
        self.memory.as_ref().is_none_or(|memory| {
            let (before, rest) = memory.bytes().split_at(self.start);
            let after = &rest[self.len..];
            before.iter().chain(after).all(|byte| *byte == CANARY)
        })
    }
}

fn allocate(len: usize) -> Result<Frames, String> {
    Frames::allocate(len as u64).map_err(|error| error.to_string())
}

/// `len` bytes, a multiple of the page size, in up to `pieces` places that do not touch.
fn scattered(len: usize, pieces: usize) -> Result<Box<Scattered>, String> {
    let pages = len / PAGE;
    let each = pages.div_ceil(pieces);
    let mut frames = Vec::new();
    let mut gaps = Vec::new();
    let mut left = pages;
    while left > 0 {
        let now = each.min(left);
        frames.push(allocate(now * PAGE)?);
        // What lies between the pieces stays somebody else's until all of them are there.
        gaps.push(allocate(PAGE)?);
        left -= now;
    }
    let scattered = Scattered::map(frames).map_err(|error| error.to_string())?;
    Ok(Box::new(scattered))
}
