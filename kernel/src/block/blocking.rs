//! Calls that wait.
//!
//! A file system reads on somebody's behalf who waits for it, and lends memory for it. These calls
//! run the core's executor until the request is done: so do all other tasks of the core go on. They
//! cannot be used inside a task.

use super::{BlockDevice, BlockError, Completion, Durability, Operation, Request};
use crate::dma::{Buffer, Memory, lend, lend_mut};
use core::future::Future;

impl dyn BlockDevice + '_ {
    /// Reads blocks from `block` on until `bytes` is full.
    pub fn read_now(&self, block: u64, bytes: &mut [u8]) -> Result<(), BlockError> {
        lend_mut(bytes, |memory| {
            self.transfer_now(block, Operation::Read(Buffer::from_device(memory)))
        })
    }

    /// Writes `bytes` to the blocks from `block` on.
    pub fn write_now(&self, block: u64, bytes: &[u8]) -> Result<(), BlockError> {
        let durability = Durability::Flushed;
        lend(bytes, |memory| {
            self.transfer_now(
                block,
                Operation::Write(Buffer::to_device(memory), durability),
            )
        })
    }

    /// Makes everything that was written so far durable.
    pub fn flush_now(&self) -> Result<(), BlockError> {
        wait(self.flush())
    }

    fn transfer_now(
        &self,
        block: u64,
        operation: Operation,
    ) -> (Option<Memory>, Result<(), BlockError>) {
        let Completion { memory, result } = wait(self.execute(Request { block, operation }));
        (memory, result)
    }
}

/// Runs the core until a future is ready.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    #[cfg(phyros)]
    return crate::executor::block_on(future);
    #[cfg(not(phyros))]
    return embassy_futures::block_on(future);
}
