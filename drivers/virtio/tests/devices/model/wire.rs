//! What a network card does with chains (section 5.1.6).

use super::bits;
use super::device::Device;
use super::mischief::Mischief;
use super::rings::Piece;
use std::collections::VecDeque;

/// Bytes of the header of a frame.
pub(crate) const HEADER: usize = 12;

/// What every card of the tests offers unless they say otherwise; some of it no driver here implements.
pub(crate) const USUAL: u64 = bits::VERSION_1
    | bits::EVENT_IDX
    | bits::INDIRECT
    | bits::CSUM
    | bits::GUEST_CSUM
    | bits::MTU
    | bits::MAC
    | bits::GUEST_TSO4
    | bits::GUEST_TSO6
    | bits::GUEST_UFO
    | bits::HOST_TSO4
    | bits::HOST_TSO6
    | bits::MRG_RXBUF
    | bits::STATUS
    | bits::CTRL_VQ
    | bits::CTRL_RX
    | bits::CTRL_VLAN
    | bits::GUEST_ANNOUNCE
    | bits::NET_MQ
    | bits::CTRL_MAC_ADDR
    | bits::IN_ORDER
    | bits::HASH_REPORT;

/// Where in a card's configuration its state is, and the bits of that.
const STATUS: usize = 6;
const ANNOUNCE: u8 = 2;

/// The command that says that an announcement was made.
pub(crate) const ANNOUNCED: (u8, u8) = (3, 0);

/// When a card is moved once more that hears that it was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Before it has heard it, so that it takes both wishes for done.
    BeforeItHears,
    /// When it has heard it, and before its driver knows.
    WhenItHas,
    /// The same, and it takes its time to answer: until it is told to [go on](Device::answers).
    WhenItHasAndIsSlow,
}

/// What is on the wire, and what the card was told.
#[derive(Default)]
pub(crate) struct Wire {
    /// Headers, and the frames that are to arrive, by pair of queues.
    pub(crate) incoming: VecDeque<(usize, [u8; HEADER], Vec<u8>)>,
    /// Headers, and the frames that have left, by pair of queues.
    pub(crate) sent: Vec<(usize, [u8; HEADER], Vec<u8>)>,
    /// Commands: class, number, data.
    pub(crate) commands: Vec<(u8, u8, Vec<u8>)>,
    /// It refuses commands.
    pub(crate) refuses: bool,
    /// It is moved once more while it is told that it was announced.
    pub(crate) moved: Option<Moved>,
    /// What it has heard and not answered: the queue, the chain, where the answer goes.
    slow: Option<(usize, u16, u64)>,
    /// Frames for which there was no memory.
    pub(crate) dropped: u64,
    /// It does not take frames off the queue.
    pub(crate) is_held: bool,
}

impl Device {
    /// A frame comes over the wire.
    pub(crate) fn comes(&mut self, pair: usize, header: [u8; HEADER], frame: Vec<u8>) {
        self.wire.incoming.push_back((pair, header, frame));
        self.queues[2 * pair].is_notified = true;
    }

    pub(crate) fn serve_wire(&mut self, number: usize) -> bool {
        let ram = self.ram.clone();
        let mut any = false;
        loop {
            let queue = &mut self.queues[number];
            while let Some(taken) = queue.take(&ram) {
                queue.taken.push(taken);
            }
            let old = queue.used;
            if self.misbehaves(|what| what == Mischief::Silent).is_some() {
                break;
            }
            let has_worked = match number {
                _ if number + 1 == self.queues.len() => self.obey(number),
                _ if number.is_multiple_of(2) => self.deliver(number),
                _ => self.carry_away(number),
            };
            if !has_worked {
                break;
            }
            any = true;
            let queue = &mut self.queues[number];
            let vector = queue.vector;
            let is_wanted = queue.is_interrupt_wanted(&ram, old);
            if is_wanted && self.misbehaves(|what| what == Mischief::Mute).is_none() {
                self.raise(vector);
            }
        }
        any | self.queues[number].sleep(&ram)
    }

    pub(crate) fn gather(&self, pieces: &[Piece]) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in pieces {
            let mut bytes = vec![0; piece.len as usize];
            self.ram.device_reads(piece.start, &mut bytes);
            all.extend(bytes);
        }
        all
    }

    /// Frames leave.
    fn carry_away(&mut self, number: usize) -> bool {
        if self.wire.is_held {
            return false;
        }
        let taken = core::mem::take(&mut self.queues[number].taken);
        let any = !taken.is_empty();
        for (head, pieces) in taken {
            assert!(
                pieces.iter().all(|piece| !piece.is_writable),
                "frames are read"
            );
            let bytes = self.gather(&pieces);
            let (header, frame) = bytes.split_first_chunk().expect("a header");
            self.check_sent(header, frame);
            self.wire.sent.push((number / 2, *header, frame.to_vec()));
            self.say_used(number, head, 0);
        }
        any
    }

    /// Objects to what was not agreed on (section 5.1.6.2).
    fn check_sent(&self, header: &[u8; HEADER], frame: &[u8]) {
        let has = |bit| self.accepted & bit != 0;
        let half = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        assert!(header[0] <= 1 && half(10) == 0, "{header:?}");
        let needs_sum = header[0] == 1;
        assert!(!needs_sum || has(bits::CSUM) && half(6) + half(8) + 2 <= frame.len());
        match header[1] {
            0 => assert!(frame.len() <= 1518 && half(4) == 0),
            1 => assert!(has(bits::HOST_TSO4) && needs_sum && half(4) > 0),
            4 => assert!(has(bits::HOST_TSO6) && needs_sum && half(4) > 0),
            other => panic!("segments of kind {other}"),
        }
        assert!(frame.len() >= 14 && frame.len() <= 65_553);
    }

    /// Frames arrive, where there is memory for them.
    fn deliver(&mut self, number: usize) -> bool {
        let is_for_us = |(pair, ..): &(usize, [u8; HEADER], Vec<u8>)| 2 * pair == number;
        let Some(at) = self.wire.incoming.iter().position(is_for_us) else {
            return false;
        };
        let (_, mut header, frame) = self.wire.incoming.remove(at).expect("it is there");
        let room = |pieces: &[Piece]| pieces.iter().map(|piece| piece.len as usize).sum::<usize>();
        let wanted = HEADER + frame.len();
        let most = match self.accepted & bits::MRG_RXBUF {
            0 => 1,
            _ => usize::MAX,
        };
        let (mut there, mut count) = (0, 0);
        for (_, pieces) in self.queues[number].taken.iter().take(most) {
            if there >= wanted {
                break;
            }
            assert!(
                pieces.iter().all(|piece| piece.is_writable),
                "memory to write"
            );
            there += room(pieces);
            count += 1;
        }
        if there < wanted {
            self.wire.dropped += 1;
            return true;
        }
        header[10..].copy_from_slice(&(count as u16).to_le_bytes());
        let about = |what| matches!(what, Mischief::Buffers(_) | Mischief::Header(..));
        match self.misbehaves(about) {
            Some(Mischief::Buffers(buffers)) => {
                header[10..].copy_from_slice(&buffers.to_le_bytes())
            }
            Some(Mischief::Header(at, byte)) => header[at] = byte,
            _ => {}
        }
        let bytes: Vec<u8> = header.iter().chain(&frame).copied().collect();
        let mut left = &bytes[..];
        for (head, pieces) in self.queues[number].taken.drain(..count).collect::<Vec<_>>() {
            let mut written = 0;
            for piece in &pieces {
                let (now, later) = left.split_at(left.len().min(piece.len as usize));
                self.ram.device_writes(piece.start, now);
                (left, written) = (later, written + now.len() as u32);
            }
            self.say_used(number, head, written);
        }
        assert!(left.is_empty());
        true
    }

    /// Commands are carried out.
    fn obey(&mut self, number: usize) -> bool {
        let taken = core::mem::take(&mut self.queues[number].taken);
        let any = !taken.is_empty();
        for (head, pieces) in taken {
            let (answer, command) = pieces.split_last().expect("an answer");
            assert_eq!((answer.len, answer.is_writable), (1, true), "an answer");
            assert!(command.iter().all(|piece| !piece.is_writable));
            assert_eq!(command[0].len, 2, "class and command");
            let bytes = self.gather(command);
            self.wire
                .commands
                .push((bytes[0], bytes[1], bytes[2..].to_vec()));
            if self.wire.moved == Some(Moved::WhenItHasAndIsSlow) {
                self.hears();
                self.wire.slow = Some((number, head, answer.start));
                continue;
            }
            let refuses = match bytes[..2] == [ANNOUNCED.0, ANNOUNCED.1] {
                true => self.wire.refuses || !self.hears(),
                false => self.wire.refuses,
            };
            self.ram.device_writes(answer.start, &[u8::from(refuses)]);
            self.say_used(number, head, 1);
        }
        any
    }

    /// It is on another wire, and wishes that those there hear of it.
    pub(crate) fn moves(&mut self) {
        self.config[STATUS] |= ANNOUNCE;
        self.change();
    }

    /// It answers what it has heard a while ago.
    pub(crate) fn answers(&mut self) {
        let (number, head, answer) = self.wire.slow.take().expect("it has heard");
        self.ram.device_writes(answer, &[0]);
        self.say_used(number, head, 1);
    }

    /// It hears that it was announced. Returns whether it had wished for that.
    fn hears(&mut self) -> bool {
        let moved = self.wire.moved.take();
        if moved == Some(Moved::BeforeItHears) {
            self.moves();
        }
        let wished = self.config[STATUS] & ANNOUNCE != 0;
        self.config[STATUS] &= !ANNOUNCE;
        if matches!(moved, Some(Moved::WhenItHas | Moved::WhenItHasAndIsSlow)) {
            self.moves();
        }
        wished
    }
}
