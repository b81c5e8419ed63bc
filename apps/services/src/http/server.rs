//! One connection, from its first request to its end (RFC 9112).
//!
//! Requests are answered one after the other, however many of them have come: their order is that of the
//! answers. What a client may make the server wait for, keep, or do is bounded by [`Limits`].
//!
//! How a connection ends:
//!
//! - After an answer, if either side wants it to. What the client still sends is read for a while and
//!   thrown away: if it were not, the answer might be, too (RFC 9112, section 9.6).
//! - In the middle of an answer, if the rest of it cannot be had. Then it is dropped without being closed,
//!   and the client learns that it has not got all.

use super::head;
use super::limits::{Counters, Limits};
use super::site::Site;
use super::status::Status;
use crate::clock::{Clock, within};
use alloc::vec;
use alloc::vec::Vec;
use kernel::block::BlockError;
use kernel::net::{Stream, StreamError};

/// How a connection has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// After an answer, or without a request.
    Over,
    /// The client took too long.
    TimedOut,
    /// The connection failed.
    Stream(StreamError),
    /// The rest of an answer could not be read.
    Source(BlockError),
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// Answers the requests of a connection.
pub async fn serve<S: Stream, T: Site, C: Clock>(
    stream: S,
    site: &T,
    limits: &Limits,
    counters: &Counters,
    clock: &C,
) -> End {
    let mut connection = Connection {
        stream,
        site,
        limits,
        counters,
        clock,
        buffer: Vec::new(),
        filled: 0,
    };
    counters.connections.add(1);
    let end = match counters.open.enter() {
        Some(_entered) => connection.run().await,
        None => {
            counters.turned_away.add(1);
            connection.turn_away().await
        }
    };
    let end = match end {
        Ok(()) => End::Over,
        Err(end) => end,
    };
    match end {
        End::Over => {}
        End::TimedOut => counters.timeouts.add(1),
        End::Stream(_) | End::Source(_) => counters.broken.add(1),
    }
    end
}

pub(super) struct Connection<'c, S, T, C> {
    pub(super) stream: S,
    pub(super) site: &'c T,
    pub(super) limits: &'c Limits,
    pub(super) counters: &'c Counters,
    pub(super) clock: &'c C,
    /// What has come and was not understood yet: the first `filled` bytes.
    buffer: Vec<u8>,
    filled: usize,
}

/// What comes next.
enum Next {
    /// A head, or something that will never be one.
    Head,
    /// Nothing more.
    Nothing,
    /// Something that is refused.
    Refused(Status),
}

/// Whether these bytes, which look like one head, are all of it or none at all: no more would make a difference.
fn is_over(bytes: &[u8]) -> bool {
    let is_begun = bytes.first().is_some_and(|byte| !b"\r\n".contains(byte));
    is_begun && bytes.ends_with(b"\r\n\r\n")
}

impl<S: Stream, T: Site, C: Clock> Connection<'_, S, T, C> {
    async fn run(&mut self) -> Result<(), End> {
        self.buffer = vec![0; self.limits.head];
        for number in 1..=self.limits.requests {
            match self.next().await? {
                Next::Nothing => return self.finish().await,
                Next::Refused(status) => {
                    self.refuse(status, false).await?;
                    return self.finish().await;
                }
                Next::Head => {}
            }
            let buffer = core::mem::take(&mut self.buffer);
            let (head, len) = match head::parse(&buffer[..self.filled]) {
                Ok(Some(whole)) => whole,
                other => {
                    let status = other.err().unwrap_or(Status::BAD_REQUEST);
                    self.refuse(status, false).await?;
                    return self.finish().await;
                }
            };
            let goes_on = head.is_persistent && number < self.limits.requests;
            let goes_on = goes_on && !head.waits && head.body <= self.limits.body;
            self.answer(&head, goes_on).await?;
            let body = head.body;
            self.buffer = buffer;
            self.consume(len);
            if !goes_on {
                return self.finish().await;
            }
            self.skip(body).await?;
        }
        Ok(())
    }

    async fn turn_away(&mut self) -> Result<(), End> {
        self.refuse(Status::UNAVAILABLE, false).await?;
        self.finish().await
    }

    /// Waits for a head.
    async fn next(&mut self) -> Result<Next, End> {
        // What came with the request before counts as just arrived.
        let mut since = self.clock.now();
        let mut is_new = self.filled > 0;
        loop {
            if is_new {
                if is_over(&self.buffer[..self.filled]) {
                    return Ok(Next::Head);
                }
                match head::parse(&self.buffer[..self.filled]) {
                    Ok(Some(_)) => return Ok(Next::Head),
                    Err(status) => return Ok(Next::Refused(status)),
                    Ok(None) if self.filled == self.buffer.len() => {
                        return Ok(Next::Refused(head::too_long(&self.buffer)));
                    }
                    Ok(None) => {}
                }
            }
            let time = match self.filled {
                0 => self.limits.idle_time,
                _ => self.limits.head_time,
            };
            let left = (since + time).saturating_sub(self.clock.now());
            let room = &mut self.buffer[self.filled..];
            match within(self.clock, left, self.stream.read(room)).await {
                None if self.filled == 0 => {
                    self.counters.timeouts.add(1);
                    return Ok(Next::Nothing);
                }
                None => {
                    self.counters.timeouts.add(1);
                    return Ok(Next::Refused(Status::TIMEOUT));
                }
                // The end in the middle of a head is as good as an end before it.
                Some(Ok(0)) => return Ok(Next::Nothing),
                Some(Ok(read)) => {
                    if self.filled == 0 {
                        since = self.clock.now();
                    }
                    // Only the end of a line can be the end of a head.
                    let new = &self.buffer[self.filled..self.filled + read];
                    is_new = self.filled == 0 || new.contains(&b'\n');
                    self.filled += read;
                    is_new |= self.filled == self.buffer.len();
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Forgets the first bytes of what has come.
    fn consume(&mut self, len: usize) {
        self.buffer.copy_within(len..self.filled, 0);
        self.filled -= len;
    }

    /// Reads a body and throws it away.
    async fn skip(&mut self, mut body: u64) -> Result<(), End> {
        let here = body.min(self.filled as u64);
        self.consume(here as usize);
        body -= here;
        let begin = self.clock.now();
        while body > 0 {
            let room = body.min(self.buffer.len() as u64) as usize;
            let left = (begin + self.limits.head_time).saturating_sub(self.clock.now());
            let room = &mut self.buffer[..room];
            match within(self.clock, left, self.stream.read(room)).await {
                None => return Err(End::TimedOut),
                Some(Ok(0)) => return Err(End::Stream(StreamError::Closed)),
                Some(Ok(read)) => body -= read as u64,
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Says that nothing more will come, and waits for the client to have understood.
    async fn finish(&mut self) -> Result<(), End> {
        self.stream.close().await?;
        let begin = self.clock.now();
        self.buffer.resize(1024, 0);
        loop {
            let left = (begin + self.limits.linger_time).saturating_sub(self.clock.now());
            let read = self.stream.read(&mut self.buffer);
            match within(self.clock, left, read).await {
                Some(Ok(1..)) => {}
                _ => return Ok(()),
            }
        }
    }
}
