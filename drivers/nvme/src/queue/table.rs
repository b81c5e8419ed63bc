//! The tables of a queue: what is outstanding, and for whom.
//!
//! There is one table entry for each slot, and an entry plays two parts:
//!
//! - the *command* that was sent, or is to be sent again, under the slot's identifier;
//! - the *request* that has its home here. A request keeps its home slot until its caller has
//!   the result. So it always has a slot for its next command, however full the queue is.
//!
//! A request of one command needs one slot. A longer one takes further slots for as long as
//! their commands are out.

use crate::error::Error;
use crate::operation::{Done, Operation, Request};
use core::task::Waker;
use phyr::Place;

/// Where a slot's command is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    #[default]
    None,
    /// The device has it.
    Out,
    /// It waits to be sent again.
    Again,
}

/// A command that is out, or waits to be sent again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Command {
    pub(super) stage: Stage,
    /// Slot where the request lives.
    pub(super) home: u8,
    /// Times that it was sent before.
    pub(super) tries: u8,
    /// Whether the driver has asked for it to be aborted.
    pub(super) is_aborted: bool,
    /// The scan before which it was sent.
    pub(super) sent: u32,
    /// The scan from which on it may be sent again.
    pub(super) not_before: u32,
    /// Its first block, counted from the request's first one.
    pub(super) offset: u64,
    /// Its blocks.
    pub(super) blocks: u64,
}

/// A request.
#[derive(Debug)]
pub(super) struct Active<B> {
    pub(super) operation: Operation,
    pub(super) data: Option<B>,
    pub(super) metadata: Option<B>,
    /// Blocks that commands were made for.
    pub(super) given: u64,
    /// Where in the data the next command starts.
    pub(super) place: Place,
    /// Commands that are not over.
    pub(super) commands: u16,
    /// It waits for room to send more.
    pub(super) is_waiting: bool,
    /// Nobody wants the result.
    pub(super) is_abandoned: bool,
    /// All is done but taking the result.
    pub(super) is_over: bool,
    /// The error of the lowest block so far, with the block.
    pub(super) error: Option<(u64, Error)>,
    /// Dwords 0 and 1 of the last completion without an error.
    pub(super) result: u64,
    pub(super) waker: Option<Waker>,
}

impl<B> Active<B> {
    /// A request of which nothing was sent.
    #[inline]
    pub(super) fn new(request: Request<B>, place: Place) -> Self {
        Self {
            operation: request.operation,
            data: request.data,
            metadata: request.metadata,
            given: 0,
            place,
            commands: 0,
            is_waiting: false,
            is_abandoned: false,
            is_over: false,
            error: None,
            result: 0,
            waker: None,
        }
    }

    /// Blocks for which no command was made.
    #[inline]
    pub(super) fn left(&self) -> u64 {
        self.operation.blocks - self.given
    }

    /// True if there is more to send, and any use in it.
    #[inline]
    pub(super) fn wants_more(&self) -> bool {
        self.left() > 0 && self.error.is_none() && !self.is_abandoned
    }

    /// Of several errors, the one of the lowest block counts: all blocks before it are good.
    pub(super) fn note(&mut self, offset: u64, error: Error) {
        if self.error.is_none_or(|(first, _)| offset < first) {
            self.error = Some((offset, error));
        }
    }

    /// The result, and the memory.
    #[inline]
    pub(super) fn done(self) -> Done<B> {
        Done {
            data: self.data,
            metadata: self.metadata,
            result: match self.error {
                None => Ok(self.result),
                Some((_, error)) => Err(error),
            },
        }
    }
}
