//! One connection: the one to talk, or one for the bytes.

use super::test::{Changes, Lane, Phase, Test};
use super::wire::{self, COOKIE, Cookie, Refused, state};
use crate::clock::{Clock, within};
use crate::counter::Counter;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use kernel::dma::{Memory, Owner};
use kernel::memory::frames::Frames;
use kernel::net::{Stream, StreamError};

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For each thing that it says while no bytes go.
    pub talk_time: Duration,
    /// For a whole test.
    pub test_time: Duration,
    /// Bytes of what it says as JSON.
    pub json: u32,
}

impl Limits {
    /// For tests of up to an hour.
    pub const DEFAULT: Self = Self {
        talk_time: Duration::from_secs(10),
        test_time: Duration::from_secs(3700),
        json: 64 << 10,
    };
}

/// What was done.
#[derive(Debug, Default)]
pub struct Counters {
    /// Tests that came to their end.
    pub tests: Counter,
    /// Connections that were turned away: there was another test.
    pub turned_away: Counter,
    /// Bytes that came.
    pub received: Counter,
    /// Bytes that went.
    pub sent: Counter,
    /// Datagrams that belong to no test.
    pub strays: Counter,
}

/// How a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Over,
    /// There is another test.
    TurnedAway,
    /// The client has said something that makes no sense, or that it has given up.
    Nonsense,
    /// The client wants something that this server does not do.
    Unimplemented,
    /// The client took too long.
    TimedOut,
    /// The connection failed.
    Stream(StreamError),
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// Who tests. Its connections are tasks of one core.
#[derive(Default)]
pub struct Server {
    pub(super) current: RefCell<Option<Rc<Test>>>,
    /// Most bytes of an IP packet, where [datagrams](Self::datagrams) are taken.
    pub(super) mtu: Cell<Option<usize>>,
    pub(super) changes: Rc<Changes>,
    /// What was done.
    pub counters: Arc<Counters>,
}

/// Sees to it that the next test can begin.
struct Running<'s> {
    server: &'s Server,
    test: Rc<Test>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.server.current.borrow_mut() = None;
        self.test.change(|test| test.phase.set(Phase::Over));
    }
}

/// Bytes of the headers of a datagram.
const fn headers(peer: SocketAddr) -> usize {
    if peer.is_ipv6() { 48 } else { 28 }
}

impl Server {
    /// Does what a connection is for.
    pub async fn serve(&self, mut stream: impl Stream, limits: &Limits, clock: &impl Clock) -> End {
        let mut cookie = [0; COOKIE];
        let said = exact(&mut stream, &mut cookie, limits, clock).await;
        let result = match said {
            Err(end) => Err(end),
            Ok(()) => self.of(&mut stream, cookie, limits, clock).await,
        };
        match result {
            Ok(()) => {
                let _ = stream.close().await;
                End::Over
            }
            Err(end) => end,
        }
    }

    async fn of<S: Stream>(
        &self,
        stream: &mut S,
        cookie: Cookie,
        limits: &Limits,
        clock: &impl Clock,
    ) -> Result<(), End> {
        let current = self.current.borrow().clone();
        match current {
            Some(test) if test.cookie == cookie => self.bytes(stream, &test, limits, clock).await,
            Some(_) => {
                self.counters.turned_away.add(1);
                stream.write(&[state::ACCESS_DENIED]).await?;
                stream.close().await?;
                Err(End::TurnedAway)
            }
            None => {
                let changes = self.changes.clone();
                let test = Rc::new(Test::new(cookie, stream.peer().ip(), changes));
                *self.current.borrow_mut() = Some(test.clone());
                let running = Running { server: self, test };
                self.talk(stream, &running.test, limits, clock).await
            }
        }
    }

    /// The connection to talk.
    async fn talk<S: Stream>(
        &self,
        stream: &mut S,
        test: &Test,
        limits: &Limits,
        clock: &impl Clock,
    ) -> Result<(), End> {
        stream.write(&[state::PARAM_EXCHANGE]).await?;
        let said = json(stream, limits, clock).await?;
        let datagram = self.mtu.get();
        let datagram = datagram.map(|mtu| mtu.saturating_sub(headers(stream.peer())));
        let wanted = match wire::wanted(&said, datagram) {
            Ok(wanted) => wanted,
            Err(Refused::Nonsense) => return Err(End::Nonsense),
            Err(Refused::Unimplemented(why)) => {
                stream.write(&[state::SERVER_ERROR]).await?;
                stream.write(&why).await?;
                stream.close().await?;
                return Err(End::Unimplemented);
            }
        };
        test.wanted.set(Some(wanted));
        stream.write(&[state::CREATE_STREAMS]).await?;
        let all = |test: &Test| test.lanes.borrow().len() >= wanted.lanes();
        let gathered = within(clock, limits.talk_time, test.until(all)).await;
        gathered.ok_or(End::TimedOut)?;
        stream.write(&[state::TEST_START]).await?;
        stream.write(&[state::TEST_RUNNING]).await?;
        let begin = clock.now();
        test.change(|test| test.phase.set(Phase::Running));
        let mut byte = [0];
        let read = within(clock, limits.test_time, stream.read(&mut byte)).await;
        let read = read.ok_or(End::TimedOut)??;
        let time = clock.now().saturating_sub(begin);
        test.change(|test| test.phase.set(Phase::Ending));
        if read == 0 || byte[0] != state::TEST_END {
            return Err(End::Nonsense);
        }
        stream.write(&[state::EXCHANGE_RESULTS]).await?;
        // What it has counted is for its user.
        json(stream, limits, clock).await?;
        test.change(|test| test.phase.set(Phase::Over));
        let results = wire::results(&test.counts(), time, &wanted);
        stream.write(&results).await?;
        stream.write(&[state::DISPLAY_RESULTS]).await?;
        exact(stream, &mut byte, limits, clock).await?;
        match byte[0] {
            state::IPERF_DONE => {
                self.counters.tests.add(1);
                Ok(())
            }
            _ => Err(End::Nonsense),
        }
    }

    /// A connection for the bytes.
    async fn bytes<S: Stream>(
        &self,
        stream: &mut S,
        test: &Test,
        limits: &Limits,
        clock: &impl Clock,
    ) -> Result<(), End> {
        let Some(wanted) = test.wanted.get() else {
            return Err(End::Nonsense);
        };
        let number = test.lanes.borrow().len();
        let is_full = number >= wanted.lanes() || test.phase.get() != Phase::Gathering;
        if wanted.datagrams.is_some() || is_full {
            return Err(End::Nonsense);
        }
        test.change(|test| test.lanes.borrow_mut().push(Lane::default()));
        let go = async {
            test.until(|test| test.phase.get() >= Phase::Running).await;
            match wanted.sends(number) {
                true => self.send(stream, test, number, wanted.block).await,
                false => self.receive(stream, test, number).await,
            }
        };
        let over = test.until(|test| test.phase.get() >= Phase::Ending);
        let ended = within(clock, limits.test_time, select(over, go)).await;
        match ended.ok_or(End::TimedOut)? {
            Either::First(()) => Ok(()),
            Either::Second(result) => result.map_err(End::from),
        }
    }

    async fn receive<S: Stream>(
        &self,
        stream: &mut S,
        test: &Test,
        number: usize,
    ) -> Result<(), StreamError> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            self.counters.received.add(read as u64);
            test.lanes.borrow_mut()[number].count.bytes += read as u64;
        }
    }

    async fn send<S: Stream>(
        &self,
        stream: &mut S,
        test: &Test,
        number: usize,
        block: usize,
    ) -> Result<(), StreamError> {
        loop {
            stream.send(zeros(block)?).await?;
            self.counters.sent.add(block as u64);
            test.lanes.borrow_mut()[number].count.bytes += block as u64;
        }
    }
}

/// A block to be sent: nobody is told what was in the memory before.
fn zeros(len: usize) -> Result<Memory, StreamError> {
    let frames = Frames::zeroed((len as u64).next_multiple_of(4096));
    let memory = frames.map_err(|_| StreamError::OutOfMemory)?.into_memory();
    memory.part(0..len).map_err(|_| StreamError::OutOfMemory)
}

/// Fills `into`.
async fn exact<S: Stream>(
    stream: &mut S,
    into: &mut [u8],
    limits: &Limits,
    clock: &impl Clock,
) -> Result<(), End> {
    let fill = async {
        let mut filled = 0;
        while filled < into.len() {
            match stream.read(&mut into[filled..]).await? {
                0 => return Err(End::Nonsense),
                read => filled += read,
            }
        }
        Ok(())
    };
    within(clock, limits.talk_time, fill)
        .await
        .ok_or(End::TimedOut)?
}

/// Values, with their length in front.
async fn json<S: Stream>(
    stream: &mut S,
    limits: &Limits,
    clock: &impl Clock,
) -> Result<Vec<u8>, End> {
    let mut len = [0; 4];
    exact(stream, &mut len, limits, clock).await?;
    let len = u32::from_be_bytes(len);
    if len > limits.json {
        return Err(End::Nonsense);
    }
    let mut text = vec![0; len as usize];
    exact(stream, &mut text, limits, clock).await?;
    Ok(text)
}

#[cfg(test)]
impl Server {
    /// Whether the next test can begin.
    pub(super) fn current_is_none(&self) -> bool {
        self.current.borrow().is_none()
    }

    /// How many take part in the test.
    pub(super) fn lanes(&self) -> usize {
        let current = self.current.borrow();
        current.as_ref().map_or(0, |test| test.lanes.borrow().len())
    }
}
