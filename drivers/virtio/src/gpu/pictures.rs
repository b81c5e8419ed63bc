//! The pictures that a device has, and whose memory is behind them.
//!
//! Memory is written down here before the device is told of it, and stays until the device has forgotten it. So it does
//! not matter whether somebody waits for an answer.

use super::command::Size;
use crate::error::Error;
use crate::lock::Mutex;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A picture that a device has.
#[derive(Debug)]
pub struct Picture {
    pub(super) number: u32,
    pub(super) size: Size,
    /// Bytes of the memory before the first pixel.
    pub(super) start: u64,
    /// The other one is the device's.
    _holder: Arc<()>,
}

impl Picture {
    /// How large it is.
    pub const fn size(&self) -> Size {
        self.size
    }
}

/// All pictures of a device.
pub(super) struct Pictures<D>(Mutex<Table<D>>);

struct Table<D> {
    /// Pictures so far.
    made: u32,
    known: Vec<Known<D>>,
}

/// A picture that the device knows of, or may know of.
struct Known<D> {
    number: u32,
    holder: Arc<()>,
    /// The memory that the device knows of, or may know of.
    memory: Option<D>,
    /// Nobody holds it, and the device did not want to forget it.
    is_stuck: bool,
}

impl<D> Pictures<D> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Table {
            made: 0,
            known: Vec::new(),
        }))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.lock().known.len()
    }

    /// One more, with the next number.
    pub(super) fn enter(&self, size: Size) -> Result<Picture, Error> {
        let mut table = self.0.lock();
        let room = table.known.try_reserve(1);
        room.map_err(|_| Error::OutOfMemory)?;
        let holder = Arc::new(());
        let number = table.made.wrapping_add(1).max(1);
        table.made = number;
        table.known.push(Known {
            number,
            holder: holder.clone(),
            memory: None,
            is_stuck: false,
        });
        Ok(Picture {
            number,
            size,
            start: 0,
            _holder: holder,
        })
    }

    /// One that nobody holds any more.
    pub(super) fn loose(&self) -> Option<u32> {
        let table = self.0.lock();
        let is_loose = |known: &&Known<D>| Arc::strong_count(&known.holder) == 1 && !known.is_stuck;
        table.known.iter().find(is_loose).map(|known| known.number)
    }

    /// The device did not want to forget it, so it is not asked again.
    pub(super) fn give_up(&self, number: u32) {
        self.with(number, |known| known.is_stuck = true);
    }

    /// The device has forgotten it. Returns the memory behind it.
    pub(super) fn forget(&self, number: u32) -> Option<D> {
        let mut table = self.0.lock();
        let mut known = table.known.iter();
        let at = known.position(|known| known.number == number)?;
        table.known.swap_remove(at).memory
    }

    pub(super) fn has_memory(&self, number: u32) -> bool {
        let has = self.with(number, |known| known.memory.is_some());
        has.unwrap_or(false)
    }

    /// Takes the memory away from behind it.
    pub(super) fn take(&self, number: u32) -> Option<D> {
        self.with(number, |known| known.memory.take()).flatten()
    }

    /// Puts memory behind it, if there is none.
    ///
    /// # Errors
    /// The memory.
    pub(super) fn put(&self, number: u32, memory: D) -> Result<(), D> {
        let mut memory = Some(memory);
        self.with(number, |known| {
            if known.memory.is_none() {
                known.memory = memory.take();
            }
        });
        memory.map_or(Ok(()), Err)
    }

    /// Keeps all memory for ever.
    pub(super) fn keep(&self) {
        core::mem::forget(core::mem::take(&mut self.0.lock().known));
    }

    fn with<R>(&self, number: u32, then: impl FnOnce(&mut Known<D>) -> R) -> Option<R> {
        let mut table = self.0.lock();
        let mut known = table.known.iter_mut();
        known.find(|known| known.number == number).map(then)
    }
}
