//! A connection: the engine's socket, and the data that it sends beside it.
//!
//! ```text
//!                 what the other end sees                        what the engine sees
//!   SYN at s,  data at s+1 … s+1+n,  FIN at s+1+n        SYN at s,  FIN at s+1
//! ```
//!
//! The engine's socket opens the connection, receives, acknowledges and closes, and has nothing to send. The data
//! is a [`Flow`] and an [`Outbox`], and lies between the socket's SYN and its FIN. So the numbers of segments are
//! changed on their way, both ways: an acknowledgement of data is none for the engine, and whatever the engine
//! sends after its SYN comes after the data. That is all that there is between the two.
//!
//! A socket is alone in its set. The engine looks at all sockets of a set for each frame, and here the frame's
//! owner is known already.

mod departing;

use super::flow::{Flow, Unanswered};
use super::outbox::Outbox;
use super::segment::{Ends, Segment, Template};
use crate::dma::Memory;
use crate::net::StreamError;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

/// Bytes of data in a segment, if the other end says nothing of it (RFC 9293, 3.7.1).
const DEFAULT_MSS: u16 = 536;

/// The least that is believed.
const LEAST_MSS: u16 = 48;

/// A connection.
pub(super) struct Tcp {
    pub(super) ends: Ends,
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(super) flow: Flow,
    pub(super) outbox: Outbox,
    /// The number of this end's SYN.
    iss: Option<u32>,
    /// The number of the other end's SYN.
    irs: Option<u32>,
    /// By how many bits the other end's windows are shifted, and this end's.
    shifts: [u8; 2],
    /// The segment that the other end's window is from.
    window_from: u32,
    template: Option<Template>,
    /// What was acknowledged last, and the window then.
    told: (u32, u16),
    /// The number behind the last that the engine lets in: the window that it has told last.
    edge: u32,
    capacity: usize,
    /// Bytes that were read.
    read: u32,
    /// No more will be written.
    pub(super) closing: bool,
    /// The engine was told so, after this byte.
    fin_at: Option<u64>,
    /// Whose it is until somebody accepts it: a port that is listened to.
    pub(super) listener: Option<u16>,
    /// Nobody has it any more.
    pub(super) detached: bool,
    /// When it ends in any case.
    pub(super) give_up: Option<u64>,
    pub(super) failure: Option<StreamError>,
    /// Who waits for room, or for acknowledgements, or for the connection to be there.
    pub(super) writer: Option<Waker>,
    /// Who waits for something to read.
    pub(super) reader: Option<Waker>,
    /// The other end has said that no more will come.
    pub(super) peer_closed: bool,
    /// It is in the list of those to be looked at.
    pub(super) is_listed: bool,
    /// When it is looked at, at the latest.
    pub(super) alarm: u64,
}

/// Whether both ends have agreed, in this state.
const fn is_open(state: State) -> bool {
    !matches!(
        state,
        State::Closed | State::Listen | State::SynSent | State::SynReceived
    )
}

/// What becomes of a segment that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The engine need not see it.
    Done,
    /// The engine sees it, with this acknowledgement if it has one.
    Engine(u32),
}

impl Tcp {
    /// A connection between these, of which nothing is known yet, with room for so many bytes that arrive.
    pub(super) fn new(ends: Ends, capacity: usize) -> Self {
        let ring = |len| SocketBuffer::new(vec![0; len]);
        let mut socket = Socket::new(ring(capacity), ring(0));
        socket.set_nagle_enabled(false);
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Self {
            ends,
            set,
            handle,
            flow: Flow::new(u64::from(DEFAULT_MSS), 0),
            outbox: Outbox::default(),
            iss: None,
            irs: None,
            shifts: [0; 2],
            window_from: 0,
            template: None,
            told: (0, 0),
            edge: 0,
            capacity,
            read: 0,
            closing: false,
            fin_at: None,
            listener: None,
            detached: false,
            give_up: None,
            failure: None,
            writer: None,
            reader: None,
            peer_closed: false,
            is_listed: false,
            alarm: u64::MAX,
        }
    }

    #[inline]
    pub(super) fn socket(&self) -> &Socket<'static> {
        self.set.get(self.handle)
    }

    pub(super) fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    #[inline]
    pub(super) fn state(&self) -> State {
        self.socket().state()
    }

    /// Whether both ends have agreed.
    pub(super) fn is_open(&self) -> bool {
        is_open(self.state())
    }

    /// Takes what has arrived. Returns how much; whether the other end should be told of the room is up to the
    /// engine.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let taken = self.socket_mut().recv_slice(into).unwrap_or(0);
        self.read = self.read.wrapping_add(taken as u32);
        taken
    }

    /// What of the other end's is here.
    pub(super) fn arrived(&self) -> u32 {
        let socket = self.socket();
        let fin = matches!(
            socket.state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        );
        let first = self.irs.unwrap_or(0).wrapping_add(1);
        let data = self.read.wrapping_add(socket.recv_queue() as u32);
        first.wrapping_add(data).wrapping_add(u32::from(fin))
    }

    fn room(&self) -> usize {
        self.capacity - self.socket().recv_queue().min(self.capacity)
    }

    /// How much more may come after `arrived`. There may be more room, but the engine throws away what is beyond
    /// the window that it has told itself, and tells of a larger one when it is much larger.
    fn window(&self, arrived: u32) -> usize {
        let let_in = self.edge.wrapping_sub(arrived).cast_signed().max(0);
        self.room().min(let_in.unsigned_abs() as usize)
    }

    /// A segment has arrived.
    pub(super) fn arrives(&mut self, segment: &Segment, frame: &[u8], mtu: u16, now: u64) -> Next {
        let state = self.state();
        if segment.syn && matches!(state, State::Listen | State::SynSent) {
            let expected = self.iss.map(|iss| iss.wrapping_add(1));
            if segment.ack.is_none() || segment.ack == expected {
                self.begin(segment, frame, mtu);
            }
            return Next::Engine(segment.ack.unwrap_or(0));
        }
        let (Some(ack), Some(iss)) = (segment.ack, self.iss) else {
            return Next::Engine(segment.ack.unwrap_or(0));
        };
        let first = iss.wrapping_add(1);
        if !is_open(state) && state != State::SynReceived {
            return Next::Engine(ack);
        }
        // Where it is, seen from the first byte that is not acknowledged: the numbers wrap.
        let una = self.flow.una();
        let ahead = ack
            .wrapping_sub(first.wrapping_add(una as u32))
            .cast_signed();
        let Some(at) = una.checked_add_signed(i64::from(ahead)) else {
            // Older than everything.
            return Next::Engine(ack);
        };
        let behind = segment.seq.wrapping_sub(self.arrived()).cast_signed();
        let is_near = (-1..=self.room() as i64).contains(&i64::from(behind));
        let fin_acked = self.fin_at.is_some_and(|end| at == end + 1);
        if is_near && !segment.rst && (at <= self.flow.high() || fin_acked) {
            self.heard(at, segment, now);
        }
        if at > self.flow.high() && !fin_acked {
            // Of what was never sent. The engine says so.
            return Next::Engine(first.wrapping_add(3));
        }
        // An engine that has sent its FIN would take these for duplicates.
        let is_waiting = matches!(state, State::FinWait1 | State::Closing | State::LastAck);
        let is_idle = matches!(state, State::Established | State::CloseWait);
        let is_no_news = is_idle || is_waiting && !fin_acked;
        match segment.is_pure_ack() && behind == 0 && is_no_news {
            true => Next::Done,
            false => Next::Engine(first.wrapping_add(u32::from(fin_acked))),
        }
    }

    /// The other end's SYN.
    fn begin(&mut self, segment: &Segment, frame: &[u8], mtu: u16) {
        let options = segment.options(frame);
        let headers = segment.tcp - super::segment::ETHERNET + super::segment::TCP;
        let own = usize::from(mtu).saturating_sub(headers);
        let mss = usize::from(options.mss.unwrap_or(DEFAULT_MSS)).min(own);
        let mss = mss.max(usize::from(LEAST_MSS)) as u64;
        let waits = self.flow.end();
        self.flow = Flow::new(mss, u64::from(segment.window));
        self.flow.extend(waits);
        self.irs = Some(segment.seq);
        self.window_from = segment.seq;
        match options.shift {
            Some(shift) => self.shifts[0] = shift,
            None => self.shifts = [0; 2],
        }
    }

    /// The other end has heard of everything before `at`.
    fn heard(&mut self, at: u64, segment: &Segment, now: u64) {
        let at = at.min(self.flow.high());
        let age = segment.seq.wrapping_sub(self.window_from).cast_signed();
        if age < 0 && at == self.flow.una() {
            // It was overtaken, and its window is an old one.
            return;
        }
        self.window_from = segment.seq;
        let window = u64::from(segment.window) << self.shifts[0];
        let acked = self
            .flow
            .acknowledged(at, window, segment.is_pure_ack(), now);
        if acked > 0 {
            self.outbox.release(self.flow.una());
            self.wake_writer();
        }
    }

    /// Tells the engine that no more will come, once everything was sent.
    pub(super) fn close_if_sent(&mut self) {
        if !self.closing || self.fin_at.is_some() || !self.flow.is_all_sent() {
            return;
        }
        if matches!(self.state(), State::Established | State::CloseWait) {
            self.fin_at = Some(self.flow.end());
            self.socket_mut().close();
        }
    }

    /// What is overdue.
    pub(super) fn tick(&mut self, now: u64) -> Result<(), Unanswered> {
        self.flow.tick(now)
    }

    /// It does not go on, and this is why. The other end is told, if there is a way.
    pub(super) fn fail(&mut self, why: StreamError) {
        self.failure.get_or_insert(why);
        self.socket_mut().abort();
        self.forget();
    }

    /// What was to be sent is not needed any more.
    pub(super) fn forget(&mut self) {
        self.outbox = Outbox::default();
        self.wake_writer();
    }

    /// Notes whether the other end has closed.
    pub(super) fn look_for_end(&mut self) {
        self.peer_closed |= matches!(
            self.state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        );
    }

    /// The engine wakes who reads when there is something. This wakes in other cases.
    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Whether everything that was written is acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.flow.una() == self.flow.end()
    }

    /// Takes memory to be sent.
    pub(super) fn send(&mut self, memory: Memory) -> bool {
        let len = memory.len() as u64;
        let taken = self.outbox.send(memory);
        if taken {
            self.flow.extend(len);
        }
        taken
    }

    /// Copies bytes to be sent.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        let written = self.outbox.write(bytes);
        let taken = written.err().unwrap_or(bytes.len());
        self.flow.extend(taken as u64);
        written.is_ok()
    }
}
