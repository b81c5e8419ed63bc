//! The data of admin commands: a page or two that a command owns while it is out.
//!
//! # The problem
//!
//! Memory is taken for each command. A reset needs some, too: the controller is identified anew.
//! But requests keep their memory until the reset is over. If they have all that there is, the
//! reset waits for memory that waits for the reset.
//!
//! # The idea
//!
//! The admin queue keeps a [`Reserve`]: a page that nobody gets but whoever resets the controller,
//! and who finds no other. It comes back with the end of its command, however that ends. Whoever
//! brings a controller up sends one command with data at a time, so one page is enough.

use crate::command::Command;
use crate::controller::ADMIN_MICROSECONDS;
use crate::error::Error;
use crate::page::PAGE;
use crate::platform::{Platform, SharedMemory};
use crate::shared::Shared;
use crate::wire::SubmissionEntry;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Most bytes of the data of an admin command: two pages, which need no list.
const MOST_BYTES: usize = 2 * PAGE as usize;

/// Memory for the data of one command, for when there is no other.
#[derive(Debug)]
pub(super) struct Reserve<M>(Option<M>);

impl<M: SharedMemory> Reserve<M> {
    /// Takes memory for it.
    pub(super) fn allocate<P>(platform: &P) -> Result<Self, crate::OutOfMemory>
    where
        P: Platform<Shared = M>,
    {
        Ok(Self(Some(platform.allocate(PAGE as usize)?)))
    }

    /// `bytes` bytes, zeroed, if it has so many.
    fn take(&mut self, bytes: usize) -> Option<M> {
        let memory = self
            .0
            .take_if(|memory| memory.bus().len() >= bytes as u64)?;
        for offset in (0..bytes).step_by(8) {
            memory.store64(offset, 0);
        }
        Some(memory)
    }

    /// Memory that the device is done with. It goes if there is enough already.
    pub(super) fn put(&mut self, memory: M) {
        self.0.get_or_insert(memory);
    }

    /// Takes other memory for what the device may still use and never gives back. If there is
    /// none now, there may be some at the next reset.
    pub(super) fn refill<P: Platform<Shared = M>>(&mut self, platform: &P) {
        if self.0.is_none() {
            self.0 = platform.allocate(PAGE as usize).ok();
        }
    }
}

impl<P: Platform> Shared<P> {
    /// Sends an admin command that brings `bytes` bytes of data, at most 8192.
    pub(crate) async fn admin_read(
        self: &Arc<Self>,
        command: Command,
        mut entry: SubmissionEntry,
        bytes: usize,
    ) -> Result<(u64, Vec<u8>), Error> {
        let memory = self.admin_memory(&mut entry, bytes)?;
        let (result, memory) = self
            .admin(command, entry, Some(memory), ADMIN_MICROSECONDS)
            .await?;
        let mut data = Vec::with_capacity(bytes);
        if let Some(memory) = memory {
            for offset in (0..bytes).step_by(8) {
                data.extend_from_slice(&memory.load64(offset).to_le_bytes());
            }
            self.put_back(memory);
        }
        data.resize(bytes, 0);
        Ok((result, data))
    }

    /// Sends an admin command with data, at most 8192 bytes.
    pub(crate) async fn admin_write(
        self: &Arc<Self>,
        command: Command,
        mut entry: SubmissionEntry,
        data: &[u8],
    ) -> Result<u64, Error> {
        let memory = self.admin_memory(&mut entry, data.len())?;
        for (index, bytes) in data.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            memory.store64(index * 8, u64::from_le_bytes(word));
        }
        let sent = self.admin(command, entry, Some(memory), ADMIN_MICROSECONDS);
        let (result, memory) = sent.await?;
        if let Some(memory) = memory {
            self.put_back(memory);
        }
        Ok(result)
    }

    /// Zeroed memory for the data of a command, to which the command points afterwards.
    fn admin_memory(&self, entry: &mut SubmissionEntry, bytes: usize) -> Result<P::Shared, Error> {
        let bytes = bytes.clamp(1, MOST_BYTES).next_multiple_of(PAGE as usize);
        let memory = match self.port.platform().allocate(bytes) {
            Ok(memory) => memory,
            Err(error) => self.reserved(bytes).ok_or(error)?,
        };
        entry.prp1 = memory.bus().addr().get();
        entry.prp2 = match bytes == MOST_BYTES {
            true => entry.prp1 + PAGE,
            false => 0,
        };
        Ok(memory)
    }

    /// The reserve, while the controller is reset.
    fn reserved(&self, bytes: usize) -> Option<P::Shared> {
        let is_recovering = self.state.lock().is_recovering;
        match &mut *self.admin.lock() {
            Some(admin) if is_recovering => admin.reserve.take(bytes),
            _ => None,
        }
    }

    /// The device and whoever has sent the command are done with its data.
    fn put_back(&self, memory: P::Shared) {
        if let Some(admin) = &mut *self.admin.lock() {
            admin.reserve.put(memory);
        }
    }
}
