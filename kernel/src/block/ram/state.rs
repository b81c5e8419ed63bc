//! The requests of a [`RamDisk`](super::RamDisk), and how they are carried out.

use super::Counts;
use crate::block::{
    BlockError, Completion, Durability, Geometry, Limits, Operation, Request, Ticket,
};
use crate::dma::BufferError;
use crate::memory::regions::RegionError;
use alloc::vec::Vec;
use core::task::Waker;

/// All of a disk but its name.
pub(super) struct State {
    pub(super) bytes: Vec<u8>,
    pub(super) geometry: Geometry,
    pub(super) limits: Limits,
    pub(super) slots: Vec<Slot>,
    /// The numbers of the slots whose requests wait, oldest first.
    pub(super) waiting: Vec<usize>,
    pub(super) held: bool,
    pub(super) removed: bool,
    pub(super) counts: Counts,
    /// Who waits for a slot.
    pub(super) room: Vec<Waker>,
    /// What the next ticket's upper half is.
    pub(super) generation: u32,
}

/// One request that was accepted.
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) content: Content,
    pub(super) waker: Option<Waker>,
}

pub(super) enum Content {
    Free,
    /// Waits to be completed. Nobody may be waiting for it.
    Waiting(Request),
    /// As above, and nobody will ask.
    Abandoned(Request),
    Done(Completion),
}

impl State {
    /// Ends the request in a slot. Returns who is to know.
    pub(super) fn end(&mut self, number: usize, error: Option<BlockError>) -> Vec<Waker> {
        let content = core::mem::replace(&mut self.slots[number].content, Content::Free);
        let (request, wanted) = match content {
            Content::Waiting(request) => (request, true),
            Content::Abandoned(request) => (request, false),
            Content::Free | Content::Done(_) => unreachable!("only waiting requests are ended"),
        };
        let done = match error {
            Some(error) => Completion {
                memory: request.into_memory(),
                result: Err(error),
            },
            None => self.carry_out(request),
        };
        if wanted {
            self.slots[number].content = Content::Done(done);
            self.slots[number].waker.take().into_iter().collect()
        } else {
            core::mem::take(&mut self.room)
        }
    }

    fn carry_out(&mut self, mut request: Request) -> Completion {
        // The size may have changed since the request was accepted.
        let result = match request.check(&self.geometry, &self.limits) {
            Ok(_) => self.apply(&mut request),
            Err(error) => Err(error),
        };
        Completion {
            memory: request.into_memory(),
            result,
        }
    }

    /// Does what a request says, which has been checked.
    fn apply(&mut self, request: &mut Request) -> Result<(), BlockError> {
        let blocks = request.blocks(&self.geometry)?;
        let size = self.geometry.block_size as usize;
        let place = match request.operation {
            Operation::Flush => &mut [],
            _ => &mut self.bytes[request.block as usize * size..][..blocks as usize * size],
        };
        let counts = &mut self.counts;
        match &mut request.operation {
            Operation::Read(buffer) => {
                buffer.copy_from(place).map_err(unreachable)?;
                counts.reads += 1;
            }
            Operation::Write(buffer, durability) => {
                buffer.copy_to(place).map_err(unreachable)?;
                counts.writes += 1;
                counts.durable += u64::from(*durability == Durability::Now);
            }
            Operation::Compare(buffer) => {
                let mut bytes = alloc::vec![0; buffer.len()];
                buffer.copy_to(&mut bytes).map_err(unreachable)?;
                if bytes != place {
                    return Err(BlockError::Mismatch);
                }
            }
            Operation::Flush => counts.flushes += 1,
            Operation::Discard { .. } => {
                // Any content is allowed; this one is noticed.
                place.fill(0xdd);
                counts.discarded += blocks;
            }
            Operation::WriteZeroes { durability, .. } => {
                place.fill(0);
                counts.zeroed += blocks;
                counts.durable += u64::from(*durability == Durability::Now);
            }
            Operation::Verify { .. } => counts.verified += blocks,
        }
        Ok(())
    }

    /// The slot of a ticket.
    pub(super) fn slot(&mut self, ticket: &Ticket) -> &mut Slot {
        let (generation, number) = ((ticket.number() >> 32) as u32, ticket.number() as u32);
        let slot = &mut self.slots[number as usize];
        assert_eq!(
            slot.generation, generation,
            "a ticket is used after its end"
        );
        slot
    }
}

/// Memory of a request that cannot be got at.
fn unreachable(error: RegionError) -> BlockError {
    BlockError::Buffer(BufferError::Region(error))
}
