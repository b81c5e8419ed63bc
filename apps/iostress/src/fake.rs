//! A disk made of memory, which can be told to lie.

use crate::disk::{Disk, Memory};
use core::cell::{Cell, RefCell};
use core::ops::Range;
use fastrand::Rng;
use std::collections::VecDeque;

pub(crate) const SIZE: usize = 512;

/// One way to be a bad disk. It happens once, at the given operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// A write says that it is done, and is not.
    LoseWrite,
    /// One of the blocks of a write lands one further.
    Misplace,
    /// The first half of a block is written, and the second is not.
    Tear,
    /// A read brings another block.
    WrongBlock,
    /// A read writes one byte behind its memory.
    Overrun,
    /// A write comes again much later.
    Replay,
}

pub(crate) struct Fake {
    bytes: RefCell<Vec<u8>>,
    rng: RefCell<Rng>,
    lie: Lie,
    /// Operations of the kind that lies, until it does.
    countdown: Cell<u32>,
    /// One in so many fails; 0: none.
    pub(crate) fail_one_in: u32,
    /// Cancelled writes that may still happen, and the one that comes again.
    late: RefCell<VecDeque<(u64, Vec<u8>)>>,
    pub(crate) outstanding: Cell<u32>,
    /// It has been removed.
    pub(crate) gone: Cell<bool>,
}

pub(crate) struct Bytes {
    bytes: Vec<u8>,
    margin: u8,
}

impl Memory for Bytes {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
    fn get(&self, at: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.bytes[at..at + into.len()]);
    }
    fn margins_are_intact(&self) -> bool {
        self.margin == 0xc5
    }
}

impl Fake {
    pub(crate) fn new(blocks: usize, seed: u64, lie: Lie) -> Self {
        Self {
            bytes: RefCell::new(vec![0; blocks * SIZE]),
            rng: RefCell::new(Rng::with_seed(seed)),
            lie,
            countdown: Cell::new(300),
            fail_one_in: 0,
            late: RefCell::default(),
            outstanding: Cell::new(0),
            gone: Cell::new(false),
        }
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// Whether this is the operation that lies.
    fn lies(&self, lie: Lie) -> bool {
        if self.lie != lie {
            return false;
        }
        self.countdown.set(self.countdown.get().wrapping_sub(1));
        self.countdown.get() == 0
    }

    fn fails(&self) -> bool {
        self.gone.get()
            || self.fail_one_in > 0 && self.rng.borrow_mut().u32(0..self.fail_one_in) == 0
    }

    async fn delay(&self) {
        let turns = self.rng.borrow_mut().u8(0..8);
        for _ in 0..turns {
            embassy_futures::yield_now().await;
        }
    }

    fn store(&self, block: u64, bytes: &[u8]) {
        let at = block as usize * SIZE;
        self.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// A write on its way. Dropped before its end, it may still happen.
struct InFlight<'a> {
    disk: &'a Fake,
    block: u64,
    bytes: Option<Vec<u8>>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.disk.outstanding.set(self.disk.outstanding.get() - 1);
        if let Some(bytes) = self.bytes.take()
            && self.disk.rng.borrow_mut().bool()
        {
            self.disk.late.borrow_mut().push_back((self.block, bytes));
        }
    }
}

impl Disk for Fake {
    type Memory = Bytes;
    type Error = &'static str;

    fn block_size(&self) -> u32 {
        SIZE as u32
    }

    fn blocks(&self) -> u64 {
        (self.bytes.borrow().len() / SIZE) as u64
    }

    fn memory(&self, bytes: usize, _: u16, _: u8) -> Result<Bytes, &'static str> {
        Ok(Bytes {
            bytes: vec![0; bytes],
            margin: 0xc5,
        })
    }

    async fn read(&self, block: u64, mut into: Bytes) -> (Bytes, Result<(), &'static str>) {
        self.delay().await;
        if self.fails() {
            return (into, Err("failed"));
        }
        let mut at = block as usize * SIZE;
        if self.lies(Lie::WrongBlock) {
            at = if at == 0 { SIZE } else { at - SIZE };
        }
        let len = into.bytes.len();
        into.bytes
            .copy_from_slice(&self.bytes.borrow()[at..at + len]);
        if self.lies(Lie::Overrun) {
            into.margin = 0;
        }
        (into, Ok(()))
    }

    async fn write(&self, block: u64, from: Bytes, _: bool) -> (Bytes, Result<(), &'static str>) {
        self.outstanding.set(self.outstanding.get() + 1);
        let mut flight = InFlight {
            disk: self,
            block,
            bytes: Some(from.bytes.clone()),
        };
        self.delay().await;
        let mut bytes = flight.bytes.take().unwrap_or_default();
        if self.fails() {
            let blocks = self.rng.borrow_mut().usize(0..=bytes.len() / SIZE);
            self.store(block, &bytes[..blocks * SIZE]);
            return (from, Err("failed"));
        }
        // Zeros that are lost are mostly missed by nobody.
        if bytes[0] == 0 {
            self.store(block, &bytes);
            return (from, Ok(()));
        }
        if self.lies(Lie::LoseWrite) {
            return (from, Ok(()));
        }
        if self.lies(Lie::Replay) {
            self.late.borrow_mut().push_back((block, bytes.clone()));
        }
        if self.lies(Lie::Misplace) {
            let blocks = self.blocks();
            bytes.truncate(SIZE);
            self.store((block + 1) % blocks, &bytes);
            return (from, Ok(()));
        }
        if self.lies(Lie::Tear) {
            bytes.truncate(bytes.len() - SIZE / 2);
        }
        self.store(block, &bytes);
        (from, Ok(()))
    }

    async fn zero(&self, blocks: Range<u64>) -> Result<(), &'static str> {
        let bytes = (blocks.end - blocks.start) as usize * SIZE;
        let memory = self.memory(bytes, 0, 1)?;
        self.write(blocks.start, memory, false).await.1
    }

    async fn trim(&self, blocks: Range<u64>) -> Result<(), &'static str> {
        if self.rng.borrow_mut().bool() {
            self.zero(blocks).await
        } else {
            Ok(())
        }
    }

    async fn flush(&self) -> Result<(), &'static str> {
        if self.fails() { Err("failed") } else { Ok(()) }
    }

    async fn settle(&self) {
        // What comes again does so after everything else.
        while let Some((block, bytes)) = self.late.borrow_mut().pop_front() {
            self.store(block, &bytes);
        }
    }

    fn is_gone(&self) -> bool {
        self.gone.get()
    }

    async fn turn(&self) {
        embassy_futures::yield_now().await;
    }
}
