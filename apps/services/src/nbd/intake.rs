//! What has come, up to where it is something to be done.
//!
//! Requests come in any pieces. Their first bytes are collected in a buffer; the data of a write goes
//! straight to its place in the memory that the disk will read.

use super::cover::Cover;
use super::export::Failure;
use super::request::{Action, Request};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use kernel::dma::Memory;

/// Something to be done.
pub(super) struct Job {
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) answer: Answer,
    pub(super) what: Result<Action, Failure>,
    /// Bytes that it keeps while it is under way.
    pub(super) weight: u64,
    /// The blocks of a write.
    pub(super) data: Option<(Memory, Cover)>,
}

/// How something that was done is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// That it was done, or why not.
    Word,
    /// With bytes of the disk.
    Data,
    /// With what they are.
    Status,
}

/// What has come, and is not a job yet.
pub(super) struct Intake {
    buffer: Vec<u8>,
    /// The bytes of the buffer that were not looked at yet.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) state: State,
    /// When the first byte of what is not whole yet came.
    pub(super) since: Option<Duration>,
}

/// Where in a request.
pub(super) enum State {
    /// Before it, or in its first bytes.
    Between,
    /// It is known, and there is too much under way for it.
    Waits(Request),
    /// In its data, of which so much has come. If it is not to be done, the data goes nowhere.
    Data { job: Job, filled: usize },
}

impl Intake {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; 4096],
            start: 0,
            end: 0,
            state: State::Between,
            since: None,
        }
    }

    /// What has come already.
    pub(super) fn here(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where the next bytes are to go.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if let State::Data { job, filled } = &mut self.state
            && let Some((memory, cover)) = &mut job.data
        {
            // Straight to their place.
            let skip = cover.skip as usize;
            return &mut memory.bytes_mut()[skip + *filled..skip + job.len as usize];
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        &mut self.buffer[self.end..]
    }

    /// So many bytes have come into the room.
    pub(super) fn came(&mut self, count: usize) {
        match &mut self.state {
            State::Data { job, filled } if job.data.is_some() => *filled += count,
            _ => self.end += count,
        }
    }

    /// Whether something has begun and is not whole.
    pub(super) fn is_within(&self) -> bool {
        self.start < self.end || matches!(self.state, State::Data { .. })
    }
}
