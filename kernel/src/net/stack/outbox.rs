//! What a connection has to send, and keeps until it is acknowledged.
//!
//! A few bytes are copied, and copied once more into each frame that has them, behind the headers. Everything
//! else is memory that was handed over: it stays where it is, and frames have [parts](Common::part) of it.

use crate::dma::{Common, Memory, Mixed, Owner};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

/// Most bytes in one piece that go along with the headers.
const SMALL: usize = 1024;

/// Bytes of a piece into which longer writes are copied.
const CHUNK: usize = 16 * 1024;

/// Most pieces in a frame.
const PIECES: usize = 8;

/// Pieces in order, counted from the connection's first byte.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// The first byte that is kept.
    start: u64,
    end: u64,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// No device has any of it.
    Small(Vec<u8>),
    Common(Common),
}

/// Bytes of a segment.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// To be copied behind the headers.
    pub(super) copied: Vec<u8>,
    /// What follows, from where it lies.
    pub(super) body: Option<Memory>,
}

impl Piece {
    fn len(&self) -> usize {
        match &self.content {
            Content::Small(bytes) => bytes.len(),
            Content::Common(memory) => memory.len(),
        }
    }

    fn end(&self) -> u64 {
        self.start + self.len() as u64
    }

    /// These bytes, if they are all in this piece, and are not to be copied.
    fn all(&self, bytes: &Range<u64>) -> Option<Memory> {
        let Content::Common(memory) = &self.content else {
            return None;
        };
        let from = bytes.start.checked_sub(self.start)? as usize;
        let to = (bytes.end - self.start) as usize;
        // What is longer has no such part.
        (from < to).then(|| memory.part(from..to)).flatten()
    }
}

impl Outbox {
    /// Bytes that are kept.
    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Copies bytes to the end.
    ///
    /// # Errors
    /// If there is no memory; the number of bytes that were taken before.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            let left = &bytes[taken..];
            let done = match left.len() {
                len if len <= SMALL => self.write_small(left),
                len => self.write_chunk(&left[..len.min(CHUNK)]),
            };
            taken += done.ok_or(taken)?;
        }
        Ok(())
    }

    fn write_small(&mut self, bytes: &[u8]) -> Option<usize> {
        if let Some(Piece {
            content: Content::Small(last),
            ..
        }) = self.pieces.back_mut()
            && last.len() + bytes.len() <= SMALL
        {
            last.try_reserve(bytes.len()).ok()?;
            last.extend_from_slice(bytes);
            self.end += bytes.len() as u64;
            return Some(bytes.len());
        }
        let copy = copied(bytes)?;
        self.push(Content::Small(copy)).then_some(bytes.len())
    }

    fn write_chunk(&mut self, bytes: &[u8]) -> Option<usize> {
        let copy = copied(bytes)?;
        let content = Content::Common(Common::new(copy));
        self.push(content).then_some(bytes.len())
    }

    /// Takes memory, behind everything else. `false` if there is no memory to note it.
    pub(super) fn send(&mut self, memory: Memory) -> bool {
        memory.is_empty() || self.push(Content::Common(Common::new(memory)))
    }

    fn push(&mut self, content: Content) -> bool {
        if self.pieces.try_reserve(1).is_err() {
            return false;
        }
        let start = self.end;
        let piece = Piece { start, content };
        self.end = piece.end();
        self.pieces.push_back(piece);
        true
    }

    /// Everything before this byte is not needed any more. Memory is freed when no card has it.
    pub(super) fn release(&mut self, before: u64) {
        while self
            .pieces
            .front()
            .is_some_and(|piece| piece.end() <= before)
        {
            self.pieces.pop_front();
        }
        self.start = before.clamp(self.start, self.end);
    }

    /// These bytes, for a frame.
    ///
    /// # Panics
    /// Never: bytes that are not kept are left out.
    pub(super) fn gather(&self, bytes: &Range<u64>) -> Gathered {
        let first = self
            .pieces
            .partition_point(|piece| piece.end() <= bytes.start);
        if let Some(body) = self.pieces.get(first).and_then(|piece| piece.all(bytes)) {
            return Gathered {
                copied: Vec::new(),
                body: Some(body),
            };
        }
        let mut gathered = Gathered::default();
        let mut parts = Parts::default();
        for piece in self.pieces.range(first..) {
            let from = bytes.start.max(piece.start);
            let to = bytes.end.min(piece.end());
            if from >= to || parts.count >= PIECES {
                break;
            }
            let within = (from - piece.start) as usize..(to - piece.start) as usize;
            match &piece.content {
                Content::Small(small) if parts.count == 0 => {
                    gathered.copied.extend_from_slice(&small[within]);
                }
                Content::Small(small) => parts.push(small[within].to_vec().into_memory()),
                Content::Common(memory) => {
                    let Some(part) = memory.part(within) else {
                        break;
                    };
                    parts.push(part);
                }
            }
        }
        gathered.body = parts.into_memory();
        gathered
    }
}

impl Gathered {
    pub(super) fn len(&self) -> usize {
        self.copied.len() + self.body.as_ref().map_or(0, Memory::len)
    }
}

/// The body of a frame: nothing, or one piece as it is, or several.
#[derive(Default)]
struct Parts {
    first: Option<Memory>,
    others: Vec<Memory>,
    count: usize,
}

impl Parts {
    fn push(&mut self, part: Memory) {
        match self.first {
            None => self.first = Some(part),
            Some(_) => self.others.push(part),
        }
        self.count += 1;
    }

    fn into_memory(self) -> Option<Memory> {
        if self.others.is_empty() {
            return self.first;
        }
        let mut mixed = Mixed::new();
        self.first
            .into_iter()
            .chain(self.others)
            .for_each(|part| mixed.push(part));
        Some(mixed.into_memory())
    }
}

fn copied(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).ok()?;
    copy.extend_from_slice(bytes);
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dma::Phyrs;
    use crate::memory::frames::{Frames, host};

    fn content(gathered: Gathered) -> Vec<u8> {
        let mut bytes = gathered.copied;
        let at = bytes.len();
        if let Some(body) = gathered.body {
            bytes.resize(at + body.len(), 0);
            body.copy_to(0, &mut bytes[at..]).unwrap();
        }
        bytes
    }

    #[test]
    fn any_range_is_what_was_put_in() {
        let _arena = host::arena();
        let mut outbox = Outbox::default();
        let all: Vec<u8> = (0..30_000u32).map(|at| (at % 253) as u8).collect();
        outbox.write(&all[..100]).unwrap();
        outbox.write(&all[100..900]).unwrap();
        let mut frames = Frames::allocate(16384).unwrap();
        frames.bytes_mut()[50..10_050].copy_from_slice(&all[900..10_900]);
        assert!(outbox.send(frames.into_memory().part(50..10_050).unwrap()));
        outbox.write(&all[10_900..11_000]).unwrap();
        outbox.write(&all[11_000..30_000]).unwrap();
        assert_eq!(outbox.pieces.len(), 5);
        for (from, to) in [
            (0, 30_000),
            (50, 60),
            (850, 950),
            (901, 10_901),
            (10_950, 12_000),
            (29_999, 30_000),
        ] {
            let gathered = outbox.gather(&(from..to));
            assert_eq!(gathered.len() as u64, to - from);
            assert_eq!(
                content(gathered),
                all[from as usize..to as usize],
                "{from}..{to}"
            );
        }
        outbox.release(10_899);
        assert_eq!((outbox.pieces.len(), outbox.len()), (4, 30_000 - 10_899));
        assert_eq!(
            content(outbox.gather(&(10_899..11_001))),
            all[10_899..11_001]
        );
        outbox.release(30_000);
        assert_eq!((outbox.pieces.len(), outbox.len()), (0, 0));
    }

    #[test]
    fn memory_that_was_sent_is_where_it_was() {
        let arena = host::arena();
        let free = arena.free_bytes();
        let mut outbox = Outbox::default();
        outbox.write(b"header").unwrap();
        let frames = Frames::allocate(8192).unwrap();
        let at = frames.phyr();
        outbox.send(frames.into_memory());
        let gathered = outbox.gather(&(0..3000));
        assert_eq!(gathered.copied, b"header");
        let body = gathered.body.unwrap();
        assert!(matches!(body.phyrs(), Ok(Phyrs::One(phyr)) if phyr == at.sub(0, 2994).unwrap()));
        // It is freed when it is acknowledged and the card is done, whatever comes first.
        outbox.release(6 + 8192);
        assert_ne!(arena.free_bytes(), free);
        drop(body);
        assert_eq!(arena.free_bytes(), free);
    }
}
