//! A namespace as a block device.

use super::hub::Hub;
use crate::block::{
    BlockDevice, BlockError, Completion, Durability, Geometry, Limits, Operation, Ranges, Refusal,
    Request, Space, Ticket,
};
use crate::dma::{self, Buffer, Direction, DmaLimits, DmaMapping, Domain, Transfer};
use crate::storage::Name;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll, ready};
use nvme::RequestError;

/// NVMe addresses all 64 bits. How pieces of memory must lie depends on the controller, and on what
/// the memory is for: the driver knows, and refuses what cannot be.
pub const LIMITS: DmaLimits = DmaLimits::NONE;

/// A namespace of a controller.
pub struct Namespace {
    name: Name,
    hub: Arc<Hub>,
    /// Where the controller finds memory.
    domain: Domain,
    /// The format, with as many blocks as there can be: `blocks` is what counts.
    format: nvme::Namespace,
    blocks: AtomicU64,
    /// It was detached, or deleted, or is another one now, as after a format.
    is_gone: AtomicBool,
    limits: Limits,
}

impl Namespace {
    pub(super) fn new(name: Name, hub: Arc<Hub>, found: nvme::Namespace, depth: u16) -> Self {
        let mut format = found;
        format.blocks = u64::MAX;
        let limits = Limits {
            command: found.command_limits(),
            depth,
            write_cache: found.flush().is_some(),
            durable_writes: true,
            discard: found.deallocate_blocks().map(ranges),
            write_zeroes: found.write_zeroes_blocks().map(|most| ranges(most.into())),
            compare: found.can_compare(),
            verify: found.verify_blocks().is_some(),
        };
        Self {
            name,
            domain: hub.domain().clone(),
            hub,
            format,
            blocks: AtomicU64::new(found.blocks),
            is_gone: AtomicBool::new(false),
            limits,
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.format.id
    }

    /// Takes notice of what the controller says now. Returns whether it is the same device still.
    pub(super) fn update(&self, found: Option<&nvme::Namespace>) -> bool {
        // Its size may change. Requests are made by all the rest: metadata that they know nothing of
        // would be moved to or from address 0.
        let same = |found: &&nvme::Namespace| {
            let mut now = **found;
            now.blocks = self.format.blocks;
            now == self.format
        };
        match found.filter(same) {
            Some(found) => {
                self.blocks.store(found.blocks, Ordering::Relaxed);
                true
            }
            None => {
                self.is_gone.store(true, Ordering::Relaxed);
                false
            }
        }
    }

    /// Reads and writes: nothing in between, and nothing that is moved more than once.
    #[inline(always)]
    fn transfer<D: Direction>(
        &self,
        made: Result<nvme::Operation, RequestError>,
        buffer: &mut Buffer<D>,
        cx: &mut Context<'_>,
    ) -> Result<Ticket, Refusal>
    where
        Transfer: From<DmaMapping<D>>,
        DmaMapping<D>: TryFrom<Transfer>,
    {
        let mut request = nvme::Request::new(made.map_err(refusal)?);
        let mapping = dma::map_taken(buffer, &self.domain, &LIMITS);
        request.data = Some(mapping.map_err(BlockError::from)?.into());
        let sent = match self.unmix(&mut request) {
            Ok(()) => self.send(&mut request, cx),
            Err(error) => Err(error.into()),
        };
        if sent.is_err() {
            take_back(buffer, request.data);
        }
        sent
    }

    /// Sees to it that no command has data both in the controller's own memory and elsewhere: it would
    /// refuse that (status Invalid Use of Controller Memory Buffer).
    #[inline(always)]
    fn unmix(&self, request: &mut nvme::Request<Transfer>) -> Result<(), BlockError> {
        match request.data.as_ref().map(nvme::Memory::ranges) {
            Some(ranges @ nvme::Ranges::List(_)) => {
                request.operation = self.unmixed(request.operation, ranges)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn unmixed(
        &self,
        operation: nvme::Operation,
        ranges: nvme::Ranges<'_>,
    ) -> Result<nvme::Operation, BlockError> {
        let Some(own) = self.hub.own().buffer() else {
            return Ok(operation);
        };
        match nvme::blocks_at_a_time(ranges, own, &self.limits.command) {
            Ok(Some(blocks)) => Ok(operation.in_commands_of(blocks)),
            Ok(None) => Ok(operation),
            Err(_) => Err(BlockError::NeedsBounce),
        }
    }

    /// Requests without memory.
    #[inline(never)]
    fn perform(
        &self,
        made: Result<nvme::Operation, RequestError>,
        durability: Durability,
        cx: &mut Context<'_>,
    ) -> Result<Ticket, Refusal> {
        let operation = lasting(made.map_err(refusal)?, durability);
        self.send(&mut nvme::Request::new(operation), cx)
    }

    /// Gives a request to this core's queue. One that is refused is as it was.
    #[inline(always)]
    fn send(
        &self,
        request: &mut nvme::Request<Transfer>,
        cx: &mut Context<'_>,
    ) -> Result<Ticket, Refusal> {
        let Some(local) = self.hub.local() else {
            return Err(BlockError::Removed.into());
        };
        let ticket = local.queue().submit(request, cx.waker());
        let ticket = ticket.map_err(refusal_of)?;
        local.submitted();
        Ok(Ticket::new(ticket.into_number()))
    }
}

/// Takes memory off the bus again, back into the request that was refused.
#[cold]
fn take_back<D: Direction>(buffer: &mut Buffer<D>, transfer: Option<Transfer>)
where
    DmaMapping<D>: TryFrom<Transfer>,
{
    if let Some(Ok(mapping)) = transfer.map(DmaMapping::try_from) {
        *buffer = mapping.unmap();
    }
}

/// An operation that is to be durable at once, or not.
#[inline(always)]
fn lasting(operation: nvme::Operation, durability: Durability) -> nvme::Operation {
    match durability {
        Durability::Flushed => operation,
        Durability::Now => operation.with_fua(),
    }
}

#[cold]
fn refusal(error: RequestError) -> Refusal {
    refusal_of(nvme::Error::Request(error))
}

#[cold]
fn refusal_of(error: nvme::Error) -> Refusal {
    match error {
        nvme::Error::Full => Refusal::Full,
        error => Refusal::Error(block_error(error)),
    }
}

/// NVMe deals with single blocks, or says nothing of it.
fn ranges(max_blocks: u64) -> Ranges {
    Ranges {
        granularity: 1,
        max_blocks,
    }
}

impl BlockDevice for Namespace {
    fn name(&self) -> &str {
        &self.name
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            block_size: self.format.block_size,
            blocks: self.blocks.load(Ordering::Relaxed),
            writable: !self.format.write_protected,
        }
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(BlockError::Removed.into());
        }
        let blocks = request.check(&self.geometry(), &self.limits)?;
        let block = request.block;
        let once = Durability::Flushed;
        match &mut request.operation {
            Operation::Read(buffer) => {
                let made = self.format.read(block, blocks);
                self.transfer(made, buffer, cx)
            }
            Operation::Write(buffer, durability) => {
                let made = self.format.write(block, blocks);
                let made = made.map(|made| lasting(made, *durability));
                self.transfer(made, buffer, cx)
            }
            Operation::Compare(buffer) => {
                let made = self.format.compare(block, blocks);
                self.transfer(made, buffer, cx)
            }
            Operation::Verify { .. } => self.perform(self.format.verify(block, blocks), once, cx),
            Operation::WriteZeroes {
                space, durability, ..
            } => {
                let made = self.format.write_zeroes(block, blocks);
                let made = match space {
                    Space::Keep => made,
                    Space::Release => made.map(nvme::Operation::with_deallocation),
                };
                self.perform(made, *durability, cx)
            }
            Operation::Discard { .. } => {
                self.perform(self.format.deallocate(block, blocks), once, cx)
            }
            Operation::Flush if !self.limits.write_cache => {
                cx.waker().wake_by_ref();
                Ok(Ticket::new(NOTHING_TO_DO))
            }
            Operation::Flush => match self.format.flush() {
                Some(made) => self.perform(Ok(made), once, cx),
                None => Err(BlockError::Unsupported.into()),
            },
        }
    }

    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion> {
        if ticket.number() == NOTHING_TO_DO {
            return Poll::Ready(Completion {
                memory: None,
                result: Ok(()),
            });
        }
        let ticket = nvme::Ticket::from_number(ticket.number());
        // A queue stays until all its requests were asked for, or abandoned.
        let Some(local) = self.hub.local() else {
            return Poll::Ready(Completion {
                memory: None,
                result: Err(BlockError::Removed),
            });
        };
        let mut queue = local.queue();
        Poll::Ready(match ready!(queue.poll_in_place(&ticket, cx)) {
            Ok(mut over) => Completion {
                memory: over.data().map(Transfer::into_memory),
                result: match over.result() {
                    Ok(_) => Ok(()),
                    Err(error) => Err(block_error(error)),
                },
            },
            Err(error) => Completion {
                memory: None,
                result: Err(block_error(error)),
            },
        })
    }

    fn abandon(&self, ticket: Ticket) {
        if ticket.number() == NOTHING_TO_DO {
            return;
        }
        let ticket = nvme::Ticket::from_number(ticket.number());
        if let Some(local) = self.hub.local() {
            local.queue().abandon(ticket);
        }
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.hub.local() {
            Some(local) => local.queue().poll_room(cx),
            None => Poll::Ready(()),
        }
    }

    fn outstanding(&self) -> usize {
        let local = self.hub.local();
        local.map_or(0, |local| local.queue().requests())
    }
}

/// The ticket of a request that was done when it came.
const NOTHING_TO_DO: u64 = u64::MAX;

#[cold]
fn block_error(error: nvme::Error) -> BlockError {
    use nvme::{Error, Failure, RequestError};
    match error {
        Error::Request(RequestError::Memory(_)) => BlockError::NeedsBounce,
        Error::Request(RequestError::OutOfRange { .. }) => BlockError::OutOfRange,
        Error::Request(RequestError::Length { .. }) => BlockError::Length,
        Error::Request(RequestError::WriteProtected { .. }) => BlockError::ReadOnly,
        Error::Failed(Failure::Timeout(_)) => BlockError::TimedOut,
        // One is shut down because it is to go.
        Error::Failed(Failure::Gone | Failure::ShutDown)
        | Error::Dead(Failure::Gone | Failure::ShutDown)
        | Error::Lost(Failure::Gone | Failure::ShutDown) => BlockError::Removed,
        Error::Request(RequestError::Unsupported) => BlockError::Unsupported,
        Error::Command(error) if error.status.meaning() == nvme::Meaning::Mismatch => {
            BlockError::Mismatch
        }
        Error::OutOfMemory => BlockError::OutOfMemory,
        other => BlockError::device(&other),
    }
}
