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

use super::flow::{Flow, Unanswered};
use super::outbox::Outbox;
use super::segment::{Ends, Fields, Segment, Template};
use crate::dma::{Memory, Owner};
use crate::net::{Offload, Outgoing, Properties, Segmentation, Segments, StreamError};
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

use super::sums;

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

    pub(super) fn socket(&self) -> &Socket<'static> {
        self.set.get(self.handle)
    }

    pub(super) fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    pub(super) fn state(&self) -> State {
        self.socket().state()
    }

    /// Whether both ends have agreed.
    pub(super) fn is_open(&self) -> bool {
        !matches!(
            self.state(),
            State::Closed | State::Listen | State::SynSent | State::SynReceived
        )
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
        if !self.is_open() && state != State::SynReceived {
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

    /// The engine's frame is changed to what the other end is to see. `false`: it need not be sent.
    pub(super) fn departs(&mut self, segment: &Segment, frame: &mut [u8], is_answer: bool) -> bool {
        if segment.syn {
            self.iss = Some(segment.seq);
            // A SYN|ACK has the option only if the other end had it.
            self.shifts[1] = segment.options(frame).shift.unwrap_or(0);
        } else if let Some(iss) = self.iss {
            let end = self.fin_at.unwrap_or(self.flow.high()) as u32;
            let by = match segment.seq.wrapping_sub(iss.wrapping_add(1)) {
                0 if segment.fin => end,
                0 => self.fin_at.map_or(self.flow.high() as u32, |_| end),
                1 => end,
                _ => 0,
            };
            segment.set_seq(frame, segment.seq.wrapping_add(by));
        }
        let Some(ack) = segment.ack else {
            return true;
        };
        if segment.rst {
            return true;
        }
        let is_known = self.told.0 == ack && self.told.1 >= segment.window;
        if segment.is_pure_ack()
            && is_known
            && !is_answer
            && self.template.is_some()
            && self.fin_at.is_none()
        {
            // Data that was sent meanwhile has said so.
            return false;
        }
        // The window of a SYN is not shifted.
        let shift = if segment.syn { self.shifts[1] } else { 0 };
        self.told = (ack, segment.window >> shift);
        let ident = self.template.take();
        self.template = Template::of(frame, segment);
        if let (Some(new), Some(old)) = (&mut self.template, ident) {
            new.follow(&old);
        }
        true
    }

    /// The next segment of data, if there is one and it may be sent.
    pub(super) fn next(&mut self, properties: &Properties, now: u64) -> Option<Sending> {
        if !self.is_open() || self.state() == State::TimeWait {
            return None;
        }
        let template = self.template.as_ref()?;
        let (headers, is_ipv4) = (template.len(), template.is_ipv4());
        let segments = match is_ipv4 {
            true => Segments::Tcp4,
            false => Segments::Tcp6,
        };
        let mss = self.flow.mss();
        let most = match properties.offloads.segments(segments) {
            true => {
                // The length is in 16 bits of the header.
                let longest = properties.longest.min(usize::from(u16::MAX));
                (longest.saturating_sub(headers) as u64 / mss).max(1) * mss
            }
            false => mss,
        };
        let bytes = self.flow.next(most, now)?;
        let gathered = self.outbox.gather(&bytes);
        let len = gathered.len();
        let short = bytes.end - bytes.start - len as u64;
        if short > 0 {
            // More pieces than go in a frame: the rest is the next one's.
            self.flow.sent_less(&bytes, short);
        }
        let fields = Fields {
            seq: self.iss?.wrapping_add(1).wrapping_add(bytes.start as u32),
            ack: self.arrived(),
            window: (self.room() >> self.shifts[1]).min(usize::from(u16::MAX)) as u16,
            push: bytes.start + len as u64 == self.flow.end(),
            len,
        };
        let mut head = vec![0; headers + gathered.copied.len()];
        self.template.as_mut()?.write(&mut head, &fields);
        head[headers..].copy_from_slice(&gathered.copied);
        self.told = (fields.ack, fields.window);
        let offload = Offload {
            checksum: None,
            segmentation: (len as u64 > mss).then_some(Segmentation {
                segments,
                size: mss as u16,
                headers: headers as u16,
            }),
        };
        Some(Sending {
            head,
            body: gathered.body,
            offload,
            copied: gathered.copied.len(),
        })
    }

    /// The last word of a connection that is over, for those who have not heard it.
    pub(super) fn last_word(&mut self) -> Option<Vec<u8>> {
        let end = self.fin_at? as u32;
        let fields = Fields {
            seq: self.iss?.wrapping_add(2).wrapping_add(end),
            ack: self.arrived(),
            window: 0,
            push: false,
            len: 0,
        };
        let template = self.template.as_mut()?;
        let mut frame = vec![0; template.len()];
        template.write(&mut frame, &fields);
        Some(frame)
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

/// A segment of data on its way to the card.
pub(super) struct Sending {
    head: Vec<u8>,
    body: Option<Memory>,
    offload: Offload,
    /// Bytes that were copied behind the headers.
    pub(super) copied: usize,
}

impl Sending {
    /// Bytes that leave from where they lie.
    pub(super) fn referred(&self) -> usize {
        self.body.as_ref().map_or(0, Memory::len)
    }

    /// Whether it is several on the wire.
    pub(super) fn is_super(&self) -> bool {
        self.offload.segmentation.is_some()
    }

    /// The frame; `None` if nobody can sum it up.
    pub(super) fn into_frame(mut self, properties: &Properties) -> Option<Outgoing> {
        let sum = sums::prepare(&mut self.head, self.body.as_ref(), &properties.offloads);
        self.offload.checksum = sum.ok()?;
        let frame = Outgoing::new(self.head.into_memory()).with_offload(self.offload);
        Some(match self.body {
            Some(body) => frame.with_body(body),
            None => frame,
        })
    }
}
