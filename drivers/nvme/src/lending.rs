//! Lending host memory to a controller that wants some, and taking it back.
//!
//! What it wants and how ranges are described, [`host_memory`](crate::host_memory) knows. Here is
//! who owns the memory: the driver, from the first bring-up to the end. The controller has it
//! while it is enabled, and gets the same again after a reset, with what it wrote there.
//!
//! - A controller that cannot have any works without, if more slowly: no failure here is one of
//!   the bring-up, unless the controller does not answer.
//! - It is taken back before a shutdown, so that the controller saves what is in it. A reset takes
//!   it back by itself.
//! - The memory goes only when the device is known to have stopped, like that of the admin queue.

use crate::admin::{Feature, Save, host_memory_buffer, set_feature};
use crate::bring_up::optional;
use crate::command::Command;
use crate::error::Error;
use crate::host_memory::{DESCRIPTOR_BYTES, Described, Wanted, describe};
use crate::page::PAGE;
use crate::platform::{Platform, SharedMemory};
use crate::shared::Shared;
use alloc::sync::Arc;
use alloc::vec::Vec;
use phyr::DmaList;

/// Most pieces: their descriptors fill a page.
const MAX_PIECES: usize = PAGE as usize / DESCRIPTOR_BYTES;

/// Memory for the controller.
pub(crate) struct Lent<M> {
    pieces: Vec<M>,
    /// A page of descriptors.
    list: M,
    described: Described,
    /// The controller has had it, and has written to it.
    is_known: bool,
    /// It has it now, or may have.
    is_out: bool,
}

impl<M: SharedMemory> Lent<M> {
    /// Takes memory, at most `most` bytes. `None` if that is not enough.
    fn allocate<P: Platform<Shared = M>>(platform: &P, wanted: &Wanted, most: u64) -> Option<Self> {
        let size = wanted.size(most)?;
        let list = platform.allocate(PAGE as usize).ok()?;
        let mut pieces: Vec<M> = Vec::new();
        let mut ranges = DmaList::new();
        let (mut missing, mut piece) = (size, size);
        while missing > 0 && piece >= wanted.least_range && pieces.len() < MAX_PIECES {
            // In as few pieces as there is room for.
            let bytes = usize::try_from(piece.min(missing)).ok()?;
            match platform.allocate(bytes) {
                Ok(memory) => {
                    ranges.push(memory.bus()).ok()?;
                    pieces.push(memory);
                    missing -= bytes as u64;
                }
                Err(_) => piece = piece / 2 / PAGE * PAGE,
            }
        }
        let mut offset = 0;
        let put = |descriptor: [u8; DESCRIPTOR_BYTES]| {
            let (words, _) = descriptor.as_chunks::<8>();
            for word in words {
                list.store64(offset, u64::from_le_bytes(*word));
                offset += 8;
            }
        };
        let described = describe(wanted, &ranges, MAX_PIECES as u32, put)?;
        Some(Self {
            pieces,
            list,
            described,
            is_known: false,
            is_out: false,
        })
    }

    /// Bytes that the controller has, or could have.
    pub(crate) fn bytes(&self) -> u64 {
        match self.is_out && !self.pieces.is_empty() {
            true => u64::from(self.described.pages) * PAGE,
            false => 0,
        }
    }
}

impl<P: Platform> Shared<P> {
    /// Lends the controller what it wants, as far as there is memory.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<(), Error> {
        let wanted = self.state.lock().identity.host_memory;
        let entry = {
            let mut lent = self.lent.lock();
            if let Some(lent) = &mut *lent {
                // The controller was reset.
                lent.is_out = false;
            }
            let Some(wanted) = wanted else {
                return Ok(());
            };
            if lent.is_none() {
                let platform = self.port.platform();
                *lent = Lent::allocate(platform, &wanted, self.options.host_memory);
            }
            let Some(lent) = &mut *lent else {
                return Ok(());
            };
            // From the moment on when it carries out the command.
            lent.is_out = true;
            let Described { descriptors, pages } = lent.described;
            host_memory_buffer(Some(lent.list.bus()), descriptors, pages, lent.is_known)
        };
        let is_taken = optional(self.simple(Command::SetFeatures, entry).await)?;
        let mut lent = self.lent.lock();
        match &mut *lent {
            Some(lent) if is_taken => lent.is_known = true,
            // It has refused: it does not use the memory.
            lent => *lent = None,
        }
        Ok(())
    }

    /// Takes back what the controller has. One that refuses keeps it until it has stopped.
    pub(crate) async fn take_back(self: &Arc<Self>) -> Result<(), Error> {
        let is_out = self.lent.lock().as_ref().is_some_and(|lent| lent.is_out);
        if !is_out {
            return Ok(());
        }
        let entry = set_feature(Feature::HostMemoryBuffer, 0, 0, Save::No);
        let is_back = optional(self.simple(Command::SetFeatures, entry).await)?;
        if let Some(lent) = &mut *self.lent.lock() {
            lent.is_out = !is_back;
        }
        Ok(())
    }
}
