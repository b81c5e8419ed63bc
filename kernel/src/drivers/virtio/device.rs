//! A disk as a block device: requests of the kernel become those of the driver.

use super::drive::Drive;
use crate::block::{
    BlockDevice, BlockError, Completion, Durability, Geometry, Limits, Operation, Ranges, Refusal,
    Request, Space, Ticket,
};
use crate::dma::{self, Buffer, Direction, DmaLimits, DmaMapping, Domain, Transfer};
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};
use virtio::blk::Properties;

/// virtio addresses all 64 bits, and does not ask for any alignment.
const LIMITS: DmaLimits = DmaLimits::NONE;

/// What a disk can do.
pub(super) fn limits(properties: &Properties) -> Limits {
    let ranges = |extent: virtio::blk::Extent| {
        let sectors = properties.block_size / 512;
        Ranges {
            granularity: u64::from(extent.granularity.div_ceil(sectors)),
            max_blocks: u64::from(extent.max_sectors / sectors),
        }
    };
    Limits {
        command: phyr::Limits::of_blocks(properties.block_size.into()),
        write_cache: properties.has_cache,
        // By a flush behind it.
        durable_writes: true,
        discard: properties.discard.map(ranges),
        write_zeroes: properties.write_zeroes.map(ranges),
        ..Limits::NONE
    }
}

impl Drive {
    /// The driver's operation. The block request has been checked against the geometry and the limits.
    #[inline]
    fn operation(&self, request: &Request) -> Result<virtio::blk::Operation, BlockError> {
        let properties = &self.properties;
        let block = request.block;
        let blocks = (request.len() >> properties.block_size.trailing_zeros()) as u64;
        let (made, durability) = match &request.operation {
            Operation::Read(_) => (properties.read_blocks(block, blocks), Durability::Flushed),
            Operation::Write(_, durability) => {
                (properties.write_blocks(block, blocks), *durability)
            }
            Operation::Discard { blocks } => (
                properties.discard_blocks(block, *blocks),
                Durability::Flushed,
            ),
            Operation::WriteZeroes {
                blocks,
                space,
                durability,
            } => {
                let made = properties.zero_blocks(block, *blocks);
                let made = match space {
                    Space::Keep => made,
                    Space::Release => made.map(virtio::blk::Operation::with_unmap),
                };
                (made, *durability)
            }
            Operation::Flush => (
                properties.flush().ok_or(virtio::RequestError::Unsupported),
                Durability::Flushed,
            ),
            // virtio knows neither, the limits say so, and the check was before.
            Operation::Compare(_) | Operation::Verify { .. } => {
                return Err(BlockError::Unsupported);
            }
        };
        let made = made.map_err(|error| block_error(virtio::Error::Request(error)))?;
        Ok(match durability {
            Durability::Flushed => made,
            Durability::Now => made.with_durability(),
        })
    }
}

/// Puts the memory of a request on the bus. If that fails, the request still has it.
#[inline]
fn put_on_bus(operation: &mut Operation, domain: &Domain) -> Result<Option<Transfer>, BlockError> {
    Ok(Some(match operation {
        Operation::Read(buffer) => map(buffer, domain)?.into(),
        Operation::Write(buffer, _) => map(buffer, domain)?.into(),
        _ => return Ok(None),
    }))
}

#[inline]
fn map<D: Direction>(buffer: &mut Buffer<D>, domain: &Domain) -> Result<DmaMapping<D>, BlockError> {
    dma::map_without_io(buffer.take(), domain, &LIMITS).map_err(|(error, back)| {
        *buffer = back;
        error.into()
    })
}

/// Takes the memory off the bus again, back into the request that was refused.
#[cold]
fn take_back(operation: &mut Operation, transfer: Option<Transfer>) {
    match (operation, transfer) {
        (Operation::Read(buffer), Some(Transfer::FromDevice(mapping))) => *buffer = mapping.unmap(),
        (Operation::Write(buffer, _), Some(Transfer::ToDevice(mapping))) => {
            *buffer = mapping.unmap();
        }
        _ => {}
    }
}

impl BlockDevice for Drive {
    fn name(&self) -> &str {
        &self.name
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            block_size: self.properties.block_size,
            blocks: self.blocks.load(Ordering::Relaxed),
            writable: !self.properties.read_only,
        }
    }

    fn limits(&self) -> Limits {
        let mut limits = self.limits;
        limits.command.max_pieces = self.pieces.load(Ordering::Relaxed);
        limits.depth = self.depth.load(Ordering::Relaxed) as u16;
        limits
    }

    #[expect(
        clippy::result_large_err,
        reason = "a request that is refused comes back by value"
    )]
    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(BlockError::Removed.into());
        }
        request.check(&self.geometry(), &self.limits())?;
        if matches!(request.operation, Operation::Flush) && !self.properties.has_cache {
            cx.waker().wake_by_ref();
            return Ok(Ticket::new(NOTHING_TO_DO));
        }
        let operation = self.operation(request)?;
        self.with_queue(|local| {
            let Some(local) = local else {
                let failure = self.disk.failure().unwrap_or(virtio::Failure::Gone);
                return Err(block_error(virtio::Error::Dead(failure)).into());
            };
            let data = put_on_bus(&mut request.operation, &self.domain)?;
            let bounced = data.as_ref().map_or(0, |data| data.ranges().bounced());
            if bounced > 0 {
                self.bounced.fetch_add(bounced, Ordering::Relaxed);
            }
            let made = virtio::blk::Request { operation, data };
            match local.with(|queue| queue.submit(made, cx.waker())) {
                Ok(ticket) => Ok(Ticket::new(ticket.into_number())),
                Err(refused) => {
                    take_back(&mut request.operation, refused.request.data);
                    Err(match refused.error {
                        virtio::Error::Full => Refusal::Full,
                        error => Refusal::Error(block_error(error)),
                    })
                }
            }
        })
    }

    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion> {
        if ticket.number() == NOTHING_TO_DO {
            return Poll::Ready(Completion {
                memory: None,
                result: Ok(()),
            });
        }
        let ticket = virtio::blk::Ticket::from_number(ticket.number());
        let done = self.with_queue(|local| {
            // A queue stays until all its requests were asked for, or abandoned.
            let local = local.expect("a request is in a queue of this core");
            local.with(|queue| queue.poll(&ticket, cx))
        });
        done.map(|done| Completion {
            memory: done.data.map(Transfer::into_memory),
            result: done.result.map_err(block_error),
        })
    }

    fn abandon(&self, ticket: Ticket) {
        if ticket.number() == NOTHING_TO_DO {
            return;
        }
        let ticket = virtio::blk::Ticket::from_number(ticket.number());
        self.with_queue(|local| {
            if let Some(local) = local {
                local.with(|queue| queue.abandon(ticket));
            }
        });
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_queue(|local| match local {
            Some(local) => local.with(|queue| queue.poll_room(cx)),
            None => Poll::Ready(()),
        })
    }

    fn outstanding(&self) -> usize {
        self.with_queue(|local| local.map_or(0, |local| local.with(|queue| queue.requests())))
    }
}

/// The ticket of a request that was done when it came.
const NOTHING_TO_DO: u64 = u64::MAX;

#[cold]
fn block_error(error: virtio::Error) -> BlockError {
    use virtio::{DeviceError, Error, Failure, RequestError};
    match error {
        Error::Request(RequestError::Pieces { .. }) => BlockError::NeedsBounce,
        Error::Request(RequestError::OutOfRange) => BlockError::OutOfRange,
        Error::Request(RequestError::Length) => BlockError::Length,
        Error::Request(RequestError::ReadOnly) => BlockError::ReadOnly,
        Error::Request(RequestError::Unsupported) => BlockError::Unsupported,
        Error::Device(DeviceError::Unsupported) => BlockError::Unsupported,
        Error::Failed(Failure::Timeout(_)) => BlockError::TimedOut,
        // One is shut down because it is to go.
        Error::Failed(Failure::Gone | Failure::ShutDown)
        | Error::Dead(Failure::Gone | Failure::ShutDown)
        | Error::Lost(Failure::Gone | Failure::ShutDown) => BlockError::Removed,
        Error::OutOfMemory => BlockError::OutOfMemory,
        other => BlockError::device(&other),
    }
}
