//! Memory for messages, and messages as bytes.
//!
//! The memory is cut into rooms. In each is a message, and behind it what comes back but for the data of files. A room is
//! its request's until the device is done with it, whatever becomes of who has asked, and its number is the tag.
//!
//! A message is its length in 4 bytes, its kind in one, its tag in two, and its fields, all little-endian.

use crate::platform::SharedMemory;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use phyr::{DmaAddr, DmaRange};

/// Bytes for a message.
pub(super) const REQUEST: usize = 4 << 10;

/// Bytes for a reply.
pub(super) const REPLY: usize = 12 << 10;

/// Bytes before the fields of a message.
pub(super) const HEAD: usize = 7;

/// Most rooms.
pub(super) const MOST: u16 = 32;

/// A room that somebody has.
#[derive(Debug)]
pub(super) struct Room {
    number: u16,
    /// A bit for each room that is free.
    free: Arc<AtomicU32>,
}

impl Room {
    /// Its number.
    pub(super) const fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.free.fetch_or(1 << self.number, Ordering::Release);
    }
}

/// All rooms.
pub(super) struct Rooms<M> {
    memory: M,
    free: Arc<AtomicU32>,
}

impl<M: SharedMemory> Rooms<M> {
    /// Bytes that so many rooms need.
    pub(super) const fn bytes(rooms: u16) -> usize {
        rooms as usize * (REQUEST + REPLY)
    }

    /// So many rooms, at most [`MOST`], in memory of at least [so many bytes](Self::bytes).
    pub(super) fn new(memory: M, rooms: u16) -> Self {
        let all = u32::MAX >> (MOST - rooms.clamp(1, MOST));
        Self {
            memory,
            free: Arc::new(AtomicU32::new(all)),
        }
    }

    /// A room, if one is free.
    pub(super) fn take(&self) -> Option<Room> {
        let taken = self
            .free
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |free| {
                (free != 0).then_some(free & free.wrapping_sub(1))
            });
        let number = taken.ok()?.trailing_zeros() as u16;
        Some(Room {
            number,
            free: self.free.clone(),
        })
    }

    /// Where the message is for the device.
    pub(super) fn request(&self, room: &Room, bytes: u32) -> Option<DmaRange> {
        self.range(start(room), bytes, REQUEST)
    }

    /// Where the reply is for the device.
    pub(super) fn reply(&self, room: &Room, bytes: u32) -> Option<DmaRange> {
        self.range(start(room) + REQUEST, bytes, REPLY)
    }

    fn range(&self, start: usize, bytes: u32, most: usize) -> Option<DmaRange> {
        if bytes as usize > most {
            return None;
        }
        let start = self.memory.bus().addr().get() + start as u64;
        DmaRange::new(DmaAddr::new(start), bytes.into()).ok()
    }

    /// Begins a message.
    pub(super) fn message(&self, room: &Room, kind: u8) -> Message<'_, M> {
        let mut message = Message {
            memory: &self.memory,
            start: start(room),
            len: 0,
            word: 0,
            first: 0,
        };
        // The length is known at the end.
        message.u32(0).u8(kind).u16(room.number);
        message
    }

    /// The first bytes of a reply, as they are at this moment: the device may change them.
    pub(super) fn read<const N: usize>(&self, room: &Room) -> [u8; N] {
        let mut bytes = [0; N];
        self.copy(room, &mut bytes);
        bytes
    }

    /// So many bytes of a reply, at most [`REPLY`]. `None`: there is no memory for them.
    pub(super) fn read_all(&self, room: &Room, bytes: usize) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        all.try_reserve_exact(bytes).ok()?;
        all.resize(bytes, 0);
        self.copy(room, &mut all);
        Some(all)
    }

    fn copy(&self, room: &Room, into: &mut [u8]) {
        let at = start(room) + REQUEST;
        for (index, chunk) in into.chunks_mut(8).enumerate() {
            let word = self.memory.load64(at + 8 * index).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

fn start(room: &Room) -> usize {
    usize::from(room.number) * (REQUEST + REPLY)
}

/// A message that is being written into its room.
pub(super) struct Message<'m, M> {
    memory: &'m M,
    start: usize,
    len: usize,
    /// The bytes since the last multiple of 8.
    word: u64,
    /// The first 8 bytes.
    first: u64,
}

impl<M: SharedMemory> Message<'_, M> {
    fn push(&mut self, byte: u8) {
        self.word |= u64::from(byte) << (8 * (self.len % 8));
        self.len += 1;
        if self.len.is_multiple_of(8) {
            self.store();
        }
    }

    /// Stores the word that is full, or the last.
    fn store(&mut self) {
        let at = (self.len - 1) / 8 * 8;
        if at == 0 {
            self.first = self.word;
        }
        // What is too long is not sent.
        if at < REQUEST {
            self.memory.store64(self.start + at, self.word);
        }
        self.word = 0;
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.push(*byte);
        }
        self
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A name: its length, and its bytes.
    pub(super) fn name(&mut self, name: &[u8]) -> &mut Self {
        // A longer one makes the message too long, and that is seen.
        self.u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
        self.bytes(name)
    }

    /// Ends the message. Returns its bytes; `None` if it is too long.
    pub(super) fn end(mut self) -> Option<u32> {
        if !self.len.is_multiple_of(8) {
            self.store();
        }
        let len = u32::try_from(self.len).ok()?;
        let with_len = self.first & !u64::from(u32::MAX) | u64::from(len);
        self.memory.store64(self.start, with_len);
        (self.len <= REQUEST).then_some(len)
    }
}
