//! What the stress needs of a disk.
//!
//! The kernel's block devices are one; in the tests a disk made of memory is another, which can
//! be told to lie.

use core::fmt::Display;
use core::future::Future;
use core::ops::Range;

/// Memory for one transfer, owned by whoever has the value.
pub trait Memory {
    /// Copies bytes into it, from byte `at` on.
    fn put(&mut self, at: usize, bytes: &[u8]);

    /// Copies bytes out of it, from byte `at` on.
    fn get(&self, at: usize, into: &mut [u8]);

    /// Whether everything around it is still as it was.
    fn margins_are_intact(&self) -> bool;
}

/// A disk. Blocks are counted from the start of the area that may be overwritten.
#[allow(
    async_fn_in_trait,
    reason = "a worker stays on its core, so its futures need not be Send"
)]
pub trait Disk {
    /// What is transferred.
    type Memory: Memory;
    /// Why something failed.
    type Error: Display;

    /// Bytes of a block.
    fn block_size(&self) -> u32;

    /// Blocks of the area.
    fn blocks(&self) -> u64;

    /// Memory of so many bytes, which begins `offset` bytes into a page and lies in up to
    /// `pieces` separate places.
    fn memory(&self, bytes: usize, offset: u16, pieces: u8) -> Result<Self::Memory, Self::Error>;

    /// Reads blocks. The memory comes back.
    fn read(
        &self,
        block: u64,
        into: Self::Memory,
    ) -> impl Future<Output = (Self::Memory, Result<(), Self::Error>)>;

    /// Writes blocks. The memory comes back.
    fn write(
        &self,
        block: u64,
        from: Self::Memory,
        durable: bool,
    ) -> impl Future<Output = (Self::Memory, Result<(), Self::Error>)>;

    /// Writes zeros.
    fn zero(&self, blocks: Range<u64>) -> impl Future<Output = Result<(), Self::Error>>;

    /// Deallocates.
    fn trim(&self, blocks: Range<u64>) -> impl Future<Output = Result<(), Self::Error>>;

    /// Makes everything durable.
    fn flush(&self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Waits until nothing is outstanding that was started on this core, cancelled or not.
    fn settle(&self) -> impl Future<Output = ()>;

    /// Whether it has been removed: everything else that is asked of it will fail.
    fn is_gone(&self) -> bool;

    /// Lets others run.
    fn turn(&self) -> impl Future<Output = ()>;
}
