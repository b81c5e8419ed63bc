//! Futures of requests.
//!
//! A future holds the request until the device has taken it, and then a ticket. It allocates
//! nothing. It does not move to another core, because the ticket means something on this one only.
//!
//! Dropping one before it is ready abandons the request. If the device has it, the device goes on,
//! and the memory goes back to where it came from when the device is done: not earlier, and once.

use super::Ticket;
use super::{BlockDevice, BlockError, Completion, Durability, Operation, Refusal, Request, Space};
use crate::dma::{Buffer, Memory, Owner};
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::{forget, replace};
use core::pin::Pin;
use core::task::{Context, Poll};

/// A request on its way.
#[must_use = "a request is submitted when it is awaited"]
pub struct Execution<'d> {
    device: &'d dyn BlockDevice,
    state: State,
    /// Neither `Send` nor `Sync`.
    _core: PhantomData<*const ()>,
}

enum State {
    /// The device has not taken it yet.
    Here(Request),
    /// The device has it.
    There(Ticket),
    /// It has been completed.
    Over,
}

impl<'d> Execution<'d> {
    /// A request for a device, to be submitted when it is first polled.
    #[inline]
    pub fn new(device: &'d dyn BlockDevice, request: Request) -> Self {
        Self {
            device,
            state: State::Here(request),
            _core: PhantomData,
        }
    }

    /// The device has not taken the request. Waits for room, or says why there is no use in it.
    #[cold]
    fn refused(&mut self, reason: Refusal, cx: &mut Context<'_>) -> Poll<Completion> {
        match reason {
            Refusal::Full => {
                if self.device.poll_room(cx).is_ready() {
                    // Room came up in between, or the device contradicts itself: others come first.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Refusal::Error(error) => {
                let memory = match replace(&mut self.state, State::Over) {
                    State::Here(request) => request.into_memory(),
                    State::There(_) | State::Over => None,
                };
                Poll::Ready(Completion {
                    memory,
                    result: Err(error),
                })
            }
        }
    }
}

impl Future for Execution<'_> {
    type Output = Completion;

    // ANCHOR: poll
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completion> {
        let this = &mut *self;
        match &mut this.state {
            State::Here(request) => match this.device.submit(request, cx) {
                Ok(ticket) => {
                    // The device has the memory: nothing is left here to be dropped.
                    forget(replace(&mut this.state, State::There(ticket)));
                    Poll::Pending
                }
                Err(reason) => this.refused(reason, cx),
            },
            State::There(ticket) => {
                let done = this.device.poll(ticket, cx);
                if done.is_ready() {
                    this.state = State::Over;
                }
                done
            }
            State::Over => panic!("a request is polled after its end"),
        }
    }
    // ANCHOR_END: poll
}

impl Drop for Execution<'_> {
    #[inline]
    fn drop(&mut self) {
        if matches!(self.state, State::There(_))
            && let State::There(ticket) = replace(&mut self.state, State::Over)
        {
            self.device.abandon(ticket);
        }
    }
}

/// A transfer on its way. It gives back the memory that it was given.
#[must_use = "a request is submitted when it is awaited"]
pub struct Transferring<'d, M> {
    execution: Execution<'d>,
    _memory: PhantomData<fn() -> M>,
}

impl<M: Owner> Future for Transferring<'_, M> {
    type Output = Result<M, Failed<M>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Completion { memory, result } =
            core::task::ready!(Pin::new(&mut self.execution).poll(cx));
        let memory = memory.map(M::from_memory).and_then(Result::ok);
        Poll::Ready(match (result, memory) {
            (Ok(()), Some(memory)) => Ok(memory),
            // A device that did it, but has lost the memory, is no device to trust.
            (Ok(()), None) => Err(Failed {
                error: BlockError::Device("it lost the memory of a request".into()),
                memory: None,
            }),
            (Err(error), memory) => Err(Failed { error, memory }),
        })
    }
}

/// A transfer that failed.
#[derive(Debug)]
pub struct Failed<M> {
    /// Why.
    pub error: BlockError,
    /// The memory of the request; `None` if the device could not be stopped, and may use it still.
    pub memory: Option<M>,
}

impl<M> From<Failed<M>> for BlockError {
    fn from(failed: Failed<M>) -> Self {
        failed.error
    }
}

impl<M> fmt::Display for Failed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<M: fmt::Debug> core::error::Error for Failed<M> {}

/// A request without memory on its way.
#[must_use = "a request is submitted when it is awaited"]
pub struct Performing<'d>(Execution<'d>);

impl Future for Performing<'_> {
    type Output = Result<(), BlockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|done| done.result)
    }
}

/// What can be asked of any device.
impl dyn BlockDevice + '_ {
    /// Carries a request out.
    #[inline]
    pub fn execute(&self, request: Request) -> Execution<'_> {
        Execution::new(self, request)
    }

    #[inline]
    fn transfer<M: Owner>(
        &self,
        block: u64,
        memory: M,
        operation: impl FnOnce(Memory) -> Operation,
    ) -> Transferring<'_, M> {
        let operation = operation(memory.into_memory());
        Transferring {
            execution: self.execute(Request { block, operation }),
            _memory: PhantomData,
        }
    }

    fn perform(&self, block: u64, operation: Operation) -> Performing<'_> {
        Performing(self.execute(Request { block, operation }))
    }

    /// Reads blocks from `block` on until the memory is full.
    #[inline]
    pub fn read<M: Owner>(&self, block: u64, memory: M) -> Transferring<'_, M> {
        self.transfer(block, memory, |memory| {
            Operation::Read(Buffer::from_device(memory))
        })
    }

    /// Writes the memory to the blocks from `block` on.
    #[inline]
    pub fn write<M: Owner>(&self, block: u64, memory: M) -> Transferring<'_, M> {
        self.transfer(block, memory, |memory| {
            Operation::Write(Buffer::to_device(memory), Durability::Flushed)
        })
    }

    /// Writes the memory to the blocks from `block` on. When it is done, it is durable.
    #[inline]
    pub fn write_durable<M: Owner>(&self, block: u64, memory: M) -> Transferring<'_, M> {
        self.transfer(block, memory, |memory| {
            Operation::Write(Buffer::to_device(memory), Durability::Now)
        })
    }

    /// Compares the memory with the blocks from `block` on. A difference is
    /// [`BlockError::Mismatch`].
    pub fn compare<M: Owner>(&self, block: u64, memory: M) -> Transferring<'_, M> {
        self.transfer(block, memory, |memory| {
            Operation::Compare(Buffer::to_device(memory))
        })
    }

    /// Makes everything that was written and completed so far durable.
    pub fn flush(&self) -> Performing<'_> {
        self.perform(0, Operation::Flush)
    }

    /// Says that the content of blocks does not matter any more.
    pub fn discard(&self, block: u64, blocks: u64) -> Performing<'_> {
        self.perform(block, Operation::Discard { blocks })
    }

    /// Makes blocks read as zeros.
    pub fn write_zeroes(&self, block: u64, blocks: u64, space: Space) -> Performing<'_> {
        let durability = Durability::Flushed;
        self.perform(
            block,
            Operation::WriteZeroes {
                blocks,
                space,
                durability,
            },
        )
    }

    /// Checks that blocks can be read, without reading them.
    pub fn verify(&self, block: u64, blocks: u64) -> Performing<'_> {
        self.perform(block, Operation::Verify { blocks })
    }
}
