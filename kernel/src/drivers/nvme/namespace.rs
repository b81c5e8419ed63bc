//! A namespace as a block device.

use super::hub::Hub;
use crate::block::{
    BlockDevice, BlockError, Completion, Durability, Geometry, Limits, Operation, Ranges, Refusal,
    Refused, Request, Space, Ticket,
};
use crate::dma::{self, DmaLimits, Transfer};
use crate::storage::Name;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll};
use phyr::DmaAddr;

/// NVMe addresses all 64 bits; data pieces start at multiples of 4 bytes (NVMe base specification, section 4.3).
const LIMITS: DmaLimits = DmaLimits {
    last: DmaAddr::new(u64::MAX),
    alignment: 4,
};

/// A namespace of a controller.
pub struct Namespace {
    name: Name,
    hub: Arc<Hub>,
    /// The format, with as many blocks as there can be: `blocks` is what counts.
    format: nvme::Namespace,
    blocks: AtomicU64,
    /// It was detached, or deleted, or formatted with another block size.
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
        let same = |found: &&nvme::Namespace| {
            found.block_size == self.format.block_size
                && found.unusable.is_none()
                && found.write_protected == self.format.write_protected
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

    /// The driver's operation. The block request has been checked against the geometry.
    #[inline]
    fn operation(&self, plan: &Plan, bytes: usize) -> Result<nvme::Operation, BlockError> {
        let blocks = (bytes >> self.format.block_size.trailing_zeros()) as u64;
        let (made, durability) = match plan.kind {
            Kind::Read => (self.format.read(plan.block, blocks), Durability::Flushed),
            Kind::Write(durability) => (self.format.write(plan.block, blocks), durability),
            Kind::Compare => (self.format.compare(plan.block, blocks), Durability::Flushed),
            Kind::Verify(blocks) => (self.format.verify(plan.block, blocks), Durability::Flushed),
            Kind::Zero(blocks, space, durability) => {
                let made = self.format.write_zeroes(plan.block, blocks);
                let made = match space {
                    Space::Keep => made,
                    Space::Release => made.map(nvme::Operation::with_deallocation),
                };
                (made, durability)
            }
            Kind::Discard(blocks) => (
                self.format.deallocate(plan.block, blocks),
                Durability::Flushed,
            ),
            Kind::Flush => {
                return self.format.flush().ok_or(BlockError::Unsupported);
            }
        };
        let made = made.map_err(|error| block_error(nvme::Error::Request(error)))?;
        Ok(match durability {
            Durability::Flushed => made,
            Durability::Now => made.with_fua(),
        })
    }
}

impl Namespace {
    /// The same operation, in commands none of which has data both in the controller's own memory and
    /// elsewhere: it would refuse that (status Invalid Use of Controller Memory Buffer).
    #[inline]
    fn unmixed(
        &self,
        operation: nvme::Operation,
        data: Option<&Transfer>,
    ) -> Result<nvme::Operation, BlockError> {
        let Some(own) = self.hub.own().buffer() else {
            return Ok(operation);
        };
        match data.map(nvme::Memory::ranges) {
            Some(ranges @ nvme::Ranges::List(_)) => {
                match nvme::blocks_at_a_time(ranges, own, &self.limits.command) {
                    Ok(None) => Ok(operation),
                    Ok(Some(blocks)) => Ok(operation.in_commands_of(blocks)),
                    Err(_) => Err(BlockError::NeedsBounce),
                }
            }
            _ => Ok(operation),
        }
    }
}

/// NVMe deals with single blocks, or says nothing of it.
fn ranges(max_blocks: u64) -> Ranges {
    Ranges {
        granularity: 1,
        max_blocks,
    }
}

/// A request without its memory.
#[derive(Clone, Copy)]
struct Plan {
    block: u64,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Read,
    Write(Durability),
    Compare,
    Verify(u64),
    Flush,
    Discard(u64),
    Zero(u64, Space, Durability),
}

impl Plan {
    /// Takes a request apart, and puts its memory on the bus.
    #[inline]
    fn take(request: Request) -> Result<(Self, Option<Transfer>), Refused> {
        let Request { block, operation } = request;
        let (kind, transfer) = match operation {
            Operation::Read(buffer) => match dma::map(buffer, &LIMITS) {
                Ok(mapping) => (Kind::Read, Some(mapping.into())),
                Err((error, buffer)) => {
                    let operation = Operation::Read(buffer);
                    return Err(Request { block, operation }.refused(error.into()));
                }
            },
            Operation::Write(buffer, durability) => match dma::map(buffer, &LIMITS) {
                Ok(mapping) => (Kind::Write(durability), Some(mapping.into())),
                Err((error, buffer)) => {
                    let operation = Operation::Write(buffer, durability);
                    return Err(Request { block, operation }.refused(error.into()));
                }
            },
            Operation::Flush => (Kind::Flush, None),
            Operation::Discard { blocks } => (Kind::Discard(blocks), None),
            Operation::WriteZeroes {
                blocks,
                space,
                durability,
            } => (Kind::Zero(blocks, space, durability), None),
            Operation::Compare(buffer) => match dma::map(buffer, &LIMITS) {
                Ok(mapping) => (Kind::Compare, Some(mapping.into())),
                Err((error, buffer)) => {
                    let operation = Operation::Compare(buffer);
                    return Err(Request { block, operation }.refused(error.into()));
                }
            },
            Operation::Verify { blocks } => (Kind::Verify(blocks), None),
        };
        Ok((Self { block, kind }, transfer))
    }

    /// The request again.
    #[cold]
    fn give_back(self, transfer: Option<Transfer>, reason: Refusal) -> Refused {
        let operation = match (self.kind, transfer) {
            (_, Some(Transfer::FromDevice(mapping))) => Operation::Read(mapping.unmap()),
            (Kind::Write(durability), Some(Transfer::ToDevice(mapping))) => {
                Operation::Write(mapping.unmap(), durability)
            }
            (Kind::Compare, Some(Transfer::ToDevice(mapping))) => {
                Operation::Compare(mapping.unmap())
            }
            (Kind::Verify(blocks), _) => Operation::Verify { blocks },
            (Kind::Discard(blocks), _) => Operation::Discard { blocks },
            (Kind::Zero(blocks, space, durability), _) => Operation::WriteZeroes {
                blocks,
                space,
                durability,
            },
            (Kind::Flush | Kind::Read | Kind::Write(_) | Kind::Compare, _) => Operation::Flush,
        };
        let block = self.block;
        Refused {
            request: Request { block, operation },
            reason,
        }
    }
}

#[expect(clippy::result_large_err, reason = "the request comes back by value")]
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

    fn submit(&self, request: Request) -> Result<Ticket, Refused> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(request.refused(BlockError::Removed));
        }
        if let Err(error) = request.check(&self.geometry(), &self.limits) {
            return Err(request.refused(error));
        }
        if matches!(request.operation, Operation::Flush) && !self.limits.write_cache {
            return Ok(Ticket::new(NOTHING_TO_DO));
        }
        let bytes = request.len();
        let (plan, data) = Plan::take(request)?;
        let operation = self.operation(&plan, bytes);
        let operation = match operation.and_then(|made| self.unmixed(made, data.as_ref())) {
            Ok(operation) => operation,
            Err(error) => return Err(plan.give_back(data, Refusal::Error(error))),
        };
        let request = nvme::Request {
            operation,
            data,
            metadata: None,
        };
        self.hub.with_queue(|local| {
            let Some(local) = local else {
                return Err(plan.give_back(request.data, Refusal::Error(BlockError::Removed)));
            };
            match local.with(|queue| queue.submit(request)) {
                Ok(ticket) => {
                    local.submitted();
                    Ok(Ticket::new(ticket.into_number()))
                }
                Err(refused) => {
                    let reason = match refused.error {
                        nvme::Error::Full => Refusal::Full,
                        error => Refusal::Error(block_error(error)),
                    };
                    Err(plan.give_back(refused.request.data, reason))
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
        let ticket = nvme::Ticket::from_number(ticket.number());
        let done = self.hub.with_queue(|local| {
            // A queue stays until all its requests were asked for, or abandoned.
            let local = local.expect("a request is in a queue of this core");
            local.with(|queue| queue.poll(&ticket, cx))
        });
        done.map(|done| Completion {
            memory: done.data.map(Transfer::into_memory),
            result: match done.result {
                Ok(_) => Ok(()),
                Err(error) => Err(block_error(error)),
            },
        })
    }

    fn abandon(&self, ticket: Ticket) {
        if ticket.number() == NOTHING_TO_DO {
            return;
        }
        let ticket = nvme::Ticket::from_number(ticket.number());
        self.hub.with_queue(|local| {
            if let Some(local) = local {
                local.with(|queue| queue.abandon(ticket));
            }
        });
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.hub.with_queue(|local| match local {
            Some(local) => local.with(|queue| queue.poll_room(cx)),
            None => Poll::Ready(()),
        })
    }

    fn outstanding(&self) -> usize {
        self.hub
            .with_queue(|local| local.map_or(0, |local| local.with(|queue| queue.requests())))
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
