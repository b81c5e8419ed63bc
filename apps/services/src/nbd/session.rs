//! One connection: requests come in, and replies go out as the disk is done.
//!
//! There is one task for both directions. It waits for whatever comes first, more bytes or the end of a
//! request, and a read of the connection that was given up has taken nothing. So a reply never waits for
//! the next request, and a request seldom for a reply: only while too much is under way.
//!
//! Writes that were begun are carried out, also when the connection ends. A write of which not all
//! data has come is none.

use super::contexts;
use super::export::{Export, Exports, Failure};
use super::handshake::{Agreed, agree};
use super::intake::{Answer, Intake, Job, State};
use super::limits::{Counters, Limits};
use super::reply;
use super::request::{Action, LEN, Request};
use super::wire::{Errno, command};
use crate::clock::{Clock, within};
use alloc::vec::Vec;
use core::pin::Pin;
use embassy_futures::select::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use kernel::block::Space;
use kernel::dma::Memory;
use kernel::net::{Stream, StreamError};

/// How a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client has ended it, or there was nothing for it.
    Over,
    /// The client has said something that nobody understands, or asked for far too much.
    Nonsense,
    /// The client took too long.
    TimedOut,
    /// There were too many others.
    TurnedAway,
    /// The connection failed.
    Stream(StreamError),
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// Serves the disk that the client wants.
pub async fn serve<S: Stream, E: Exports, C: Clock>(
    mut stream: S,
    exports: &E,
    limits: &Limits,
    counters: &Counters,
    clock: &C,
) -> End {
    counters.connections.add(1);
    let Some(_entered) = counters.open.enter() else {
        counters.turned_away.add(1);
        return End::TurnedAway;
    };
    let end = match run(&mut stream, exports, limits, counters, clock).await {
        Ok(()) => End::Over,
        Err(end) => end,
    };
    match end {
        End::Over => {
            let _ = within(clock, limits.send_time, stream.close()).await;
        }
        End::Nonsense => counters.nonsense.add(1),
        End::TimedOut => counters.timeouts.add(1),
        End::TurnedAway | End::Stream(_) => counters.broken.add(1),
    }
    end
}

async fn run<S: Stream, C: Clock>(
    stream: &mut S,
    exports: &impl Exports,
    limits: &Limits,
    counters: &Counters,
    clock: &C,
) -> Result<(), End> {
    let agreed = within(clock, limits.handshake_time, agree(stream, exports, limits));
    let Some(agreed) = agreed.await.ok_or(End::TimedOut)?? else {
        return Ok(());
    };
    let Agreed {
        export,
        structured,
        status,
    } = agreed;
    let mut work = FuturesUnordered::new();
    let mut session = Session {
        stream,
        export: &export,
        structured,
        status,
        limits,
        counters,
        clock,
        intake: Intake::new(),
        under_way: 0,
    };
    let end = session.run(&mut work, |job| perform(&export, job)).await;
    // What was begun is carried out.
    while work.next().await.is_some() {}
    end
}

/// Something that was done.
struct Done {
    cookie: u64,
    offset: u64,
    len: u32,
    answer: Answer,
    weight: u64,
    result: Result<Vec<Memory>, Failure>,
}

async fn perform(export: &Export, job: Job) -> Done {
    let Job {
        cookie,
        offset,
        len,
        answer,
        what,
        weight,
        data,
    } = job;
    let nothing = |()| Vec::new();
    let result = match what {
        Err(failure) => Err(failure),
        Ok(Action::Read) => export.read(offset, len).await,
        Ok(Action::Status) => Ok(Vec::new()),
        Ok(Action::Flush) => export.flush().await.map(nothing),
        Ok(Action::Trim(lasting)) => export.trim(offset, len, lasting).await.map(nothing),
        Ok(Action::Zero {
            lasting,
            keep,
            may_be_slow,
        }) => {
            let space = if keep { Space::Keep } else { Space::Release };
            let zeroed = export.zero(offset, len, lasting, space, may_be_slow);
            zeroed.await.map(nothing)
        }
        Ok(Action::Write(lasting)) => match data {
            Some((memory, cover)) => export.write(memory, cover, lasting).await.map(nothing),
            None => Err(Errno::Memory.into()),
        },
    };
    Done {
        cookie,
        offset,
        len,
        answer,
        weight,
        result,
    }
}

struct Session<'s, S, C> {
    stream: &'s mut S,
    export: &'s Export,
    structured: bool,
    /// The context was chosen.
    status: bool,
    limits: &'s Limits,
    counters: &'s Counters,
    clock: &'s C,
    intake: Intake,
    /// Bytes of all reads and writes that are under way.
    under_way: u64,
}

/// What happens next.
enum Event {
    /// Bytes have come.
    Came(Option<Result<usize, StreamError>>),
    /// Something is done.
    Done(Option<Done>),
}

/// What has come is, so far.
enum Step {
    /// Something to be done.
    Job(Job),
    /// Not enough.
    Need,
    /// The end.
    Disconnect,
}

impl<S: Stream, C: Clock> Session<'_, S, C> {
    async fn run<F: Future<Output = Done>>(
        &mut self,
        work: &mut FuturesUnordered<F>,
        perform: impl Fn(Job) -> F,
    ) -> Result<(), End> {
        loop {
            while work.len() < self.limits.depth {
                match self.step(work.is_empty())? {
                    Step::Job(job) => work.push(perform(job)),
                    Step::Need => break,
                    Step::Disconnect => return self.end(work).await,
                }
            }
            let is_full = work.len() >= self.limits.depth;
            let may_read = !is_full && !matches!(self.intake.state, State::Waits(_));
            match self.event(Pin::new(work), may_read).await {
                Event::Done(Some(done)) => self.reply(done).await?,
                Event::Done(None) => {}
                Event::Came(None) => return Err(End::TimedOut),
                Event::Came(Some(Ok(0))) if self.intake.is_within() => {
                    return Err(End::Stream(StreamError::Closed));
                }
                Event::Came(Some(Ok(0))) => return self.end(work).await,
                Event::Came(Some(Ok(count))) => {
                    self.intake.came(count);
                    let now = self.clock.now();
                    self.intake.since.get_or_insert(now);
                }
                Event::Came(Some(Err(error))) => return Err(error.into()),
            }
        }
    }

    async fn event<F: Future<Output = Done>>(
        &mut self,
        mut work: Pin<&mut FuturesUnordered<F>>,
        may_read: bool,
    ) -> Event {
        if !may_read {
            return Event::Done(work.next().await);
        }
        let deadline = match self.intake.is_within() {
            true => self
                .intake
                .since
                .map(|since| since + self.limits.request_time),
            false => None,
        };
        let left = deadline.map(|deadline| deadline.saturating_sub(self.clock.now()));
        let read = self.stream.read(self.intake.room());
        let clock = self.clock;
        let came = async move {
            match left {
                Some(left) => within(clock, left, read).await,
                None => Some(read.await),
            }
        };
        if work.is_empty() {
            return Event::Came(came.await);
        }
        match select(came, work.next()).await {
            Either::First(came) => Event::Came(came),
            Either::Second(done) => Event::Done(done),
        }
    }

    /// The client wants nothing more: it gets its replies, and that is all.
    async fn end<F: Future<Output = Done>>(
        &mut self,
        work: &mut FuturesUnordered<F>,
    ) -> Result<(), End> {
        while let Some(done) = work.next().await {
            self.reply(done).await?;
        }
        Ok(())
    }

    /// Looks at what has come.
    fn step(&mut self, is_idle: bool) -> Result<Step, End> {
        loop {
            match core::mem::replace(&mut self.intake.state, State::Between) {
                State::Between => {
                    let Some(bytes) = self.intake.here().first_chunk::<LEN>() else {
                        if self.intake.start == self.intake.end {
                            self.intake.since = None;
                        }
                        return Ok(Step::Need);
                    };
                    let request = Request::parse(bytes).ok_or(End::Nonsense)?;
                    self.intake.start += LEN;
                    if request.command == command::DISCONNECT {
                        return Ok(Step::Disconnect);
                    }
                    self.intake.state = State::Waits(request);
                }
                State::Waits(request) => {
                    // Nobody reads so much to throw it away.
                    if request.data() > self.limits.request {
                        return Err(End::Nonsense);
                    }
                    let job = self.plan(&request);
                    let wanted = self.under_way.saturating_add(job.weight);
                    if !is_idle && wanted > self.limits.memory {
                        self.intake.state = State::Waits(request);
                        return Ok(Step::Need);
                    }
                    self.under_way = wanted;
                    // The time until now was not the client's.
                    self.intake.since = Some(self.clock.now());
                    if request.data() == 0 {
                        return Ok(Step::Job(job));
                    }
                    let job = self.with_memory(job);
                    self.intake.state = State::Data { job, filled: 0 };
                }
                State::Data {
                    mut job,
                    mut filled,
                } => {
                    let here = self.intake.here();
                    let count = here.len().min(job.len as usize - filled);
                    if let Some((memory, cover)) = &mut job.data {
                        let place = cover.skip as usize + filled;
                        memory.bytes_mut()[place..place + count].copy_from_slice(&here[..count]);
                    }
                    self.intake.start += count;
                    filled += count;
                    if filled == job.len as usize {
                        self.intake.since = Some(self.clock.now());
                        return Ok(Step::Job(job));
                    }
                    self.intake.state = State::Data { job, filled };
                    return Ok(Step::Need);
                }
            }
        }
    }

    fn plan(&self, request: &Request) -> Job {
        let mut can = self.export.abilities(self.limits.request, self.structured);
        can.status = self.status;
        let what = request.check(&can).map_err(Failure::from);
        let weight = match what {
            Ok(Action::Read | Action::Write(_)) => u64::from(request.len),
            _ => 0,
        };
        Job {
            cookie: request.cookie,
            offset: request.offset,
            len: request.len,
            answer: match request.command {
                command::READ => Answer::Data,
                command::BLOCK_STATUS => Answer::Status,
                _ => Answer::Word,
            },
            what,
            weight,
            data: None,
        }
    }

    /// Memory for the data of a write, if it is to be done.
    fn with_memory(&self, mut job: Job) -> Job {
        if job.what.is_ok() {
            match self.export.memory_for(job.offset, job.len) {
                Ok(data) => job.data = Some(data),
                Err(failure) => job.what = Err(failure),
            }
        }
        job
    }

    async fn reply(&mut self, done: Done) -> Result<(), End> {
        let Done {
            cookie,
            offset,
            len,
            answer,
            weight,
            result,
        } = done;
        self.under_way -= weight;
        let send_time = self.limits.send_time;
        let clock = self.clock;
        if result.is_err() {
            self.counters.errors.add(1);
        }
        let words = match (&result, answer) {
            (Err(failure), Answer::Data | Answer::Status) if self.structured => {
                reply::error(cookie, failure.errno, &failure.words)
            }
            (Ok(_), Answer::Data) if self.structured => reply::data(cookie, offset, len).to_vec(),
            (Ok(_), Answer::Status) => reply::status(cookie, contexts::ID, len).to_vec(),
            (Ok(_), _) => reply::simple(cookie, Ok(())).to_vec(),
            (Err(failure), _) => reply::simple(cookie, Err(failure.errno)).to_vec(),
        };
        let written = within(clock, send_time, self.stream.write(&words)).await;
        written.ok_or(End::TimedOut)??;
        for memory in result.into_iter().flatten() {
            let sent = within(clock, send_time, self.stream.send(memory)).await;
            sent.ok_or(End::TimedOut)??;
        }
        Ok(())
    }
}
