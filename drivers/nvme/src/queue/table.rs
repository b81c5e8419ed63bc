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
use crate::operation::{Operation, Request};
use core::mem::{forget, replace};
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

/// A request, or room for one.
///
/// The room stays where it is, and a request is moved in and out field by field: it is large, and
/// to move it as a whole would cost more than all that is done with it.
#[derive(Debug)]
pub(super) struct Active<B> {
    /// There is a request. If not, there is no memory and no waker either.
    is_used: bool,
    /// It waits for room to send more.
    pub(super) is_waiting: bool,
    /// Nobody wants the result.
    pub(super) is_abandoned: bool,
    /// All is done but taking the result.
    pub(super) is_over: bool,
    /// Commands that are not over.
    pub(super) commands: u16,
    /// Which of the requests that were here.
    pub(super) serial: u32,
    /// Blocks that commands were made for.
    pub(super) given: u64,
    /// Dwords 0 and 1 of the last completion without an error.
    pub(super) result: u64,
    pub(super) waker: Option<Waker>,
    pub(super) operation: Operation,
    pub(super) data: Option<B>,
    pub(super) metadata: Option<B>,
    /// Where in the data the next command starts.
    pub(super) place: Place,
    /// The error of the lowest block so far, with the block.
    pub(super) error: Option<(u64, Error)>,
}

impl<B> Active<B> {
    /// Room for a request.
    pub(super) fn room() -> Self {
        Self {
            is_used: false,
            is_waiting: false,
            is_abandoned: false,
            is_over: false,
            commands: 0,
            serial: 0,
            given: 0,
            result: 0,
            waker: None,
            operation: Operation::whole(crate::command::Command::Flush, 0),
            data: None,
            metadata: None,
            place: Place::default(),
            error: None,
        }
    }

    /// Takes what a request is to do, and its data. Nothing of it was sent.
    #[inline(always)]
    pub(super) fn begin(&mut self, request: &mut Request<B>, waker: &Waker) {
        self.is_used = true;
        self.is_waiting = false;
        self.is_abandoned = false;
        self.is_over = false;
        self.commands = 0;
        self.serial = self.serial.wrapping_add(1);
        self.given = 0;
        self.result = 0;
        self.operation = request.operation;
        // There is nothing here to be dropped, and the compiler need not look.
        forget(self.waker.replace(waker.clone()));
        forget(replace(&mut self.data, request.data.take()));
        self.error = None;
    }

    /// The request, if there is one.
    #[inline]
    pub(super) fn used(&self) -> Option<&Self> {
        self.is_used.then_some(self)
    }

    /// The request, if there is one.
    #[inline]
    pub(super) fn used_mut(&mut self) -> Option<&mut Self> {
        self.is_used.then_some(self)
    }

    /// Whether there is a request, and it is the one with this number.
    #[inline(always)]
    pub(super) fn is_of(&self, serial: u32) -> bool {
        self.is_used && self.serial == serial
    }

    /// Ends the request. Nearly always its data was taken, and there is nothing else.
    #[inline(always)]
    pub(super) fn end(&mut self) {
        self.is_used = false;
        if self.data.is_some() || self.metadata.is_some() || self.waker.is_some() {
            self.drop_all();
        }
    }

    #[cold]
    fn drop_all(&mut self) {
        self.data = None;
        self.metadata = None;
        self.waker = None;
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
}
