//! Entropy devices and balloons (sections 5.4 and 5.5).

use super::bits;
use super::device::{Device, Part};
use super::ram::Ram;
use super::rings::Piece;
use std::collections::BTreeSet;
use std::rc::Rc;

/// What such a device knows.
#[derive(Default)]
pub(crate) struct Helper {
    /// Bytes that were given so far.
    pub(crate) given: u64,
    /// Most bytes that it gives at once.
    pub(crate) most: Option<usize>,
    /// The pages in the balloon.
    pub(crate) pages: BTreeSet<u32>,
    /// What it was told of the guest's memory, by tag, and the chain in which that was.
    pub(crate) said: std::collections::BTreeMap<u16, u64>,
    pub(crate) answer: Option<u16>,
    /// What was reported: start and length.
    pub(crate) reported: Vec<(u64, u64)>,
}

/// The random byte of this number.
pub(crate) fn random(number: u64) -> u8 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl Device {
    /// A source of random bytes. Its queue is as short as QEMU's.
    pub(crate) fn source(ram: &Rc<Ram>) -> Self {
        let mut device = Self::new(ram, 0);
        device.part = Part::Source;
        device.offered = bits::VERSION_1 | bits::EVENT_IDX | bits::INDIRECT | bits::RING_PACKED;
        device.config = Vec::new();
        device.queues = vec![super::queue(8)];
        device
    }

    /// A balloon with the queues that QEMU's has, and what is offered with them.
    pub(crate) fn balloon(ram: &Rc<Ram>) -> Self {
        let mut device = Self::new(ram, 0);
        device.part = Part::Balloon;
        device.offered = bits::VERSION_1
            | bits::EVENT_IDX
            | bits::INDIRECT
            | bits::RING_PACKED
            | bits::STATS_VQ
            | bits::PAGE_REPORTING;
        device.config = vec![0; 8];
        device.queues = [128, 128, 128, 32].map(super::queue).into();
        device.raised = vec![false; 5];
        device
    }

    /// Random bytes, as many as it likes. Returns how many.
    pub(crate) fn give_random(&mut self, pieces: &[Piece]) -> u32 {
        assert!(pieces.iter().all(|piece| piece.is_writable));
        let room: usize = pieces.iter().map(|piece| piece.len as usize).sum();
        let mut left = room.min(self.helper.most.unwrap_or(room));
        let given = left;
        for piece in pieces {
            let count = left.min(piece.len as usize);
            let from = self.helper.given;
            let bytes: Vec<u8> = (from..from + count as u64).map(random).collect();
            self.ram.device_writes(piece.start, &bytes);
            self.helper.given += count as u64;
            left -= count;
        }
        given as u32
    }

    /// What a balloon does with what it is told.
    pub(crate) fn take_notice(&mut self, queue: usize, pieces: &[Piece]) -> u32 {
        let reports = self.queues.len() - 1;
        match queue {
            0 | 1 => {
                for page in self.numbers(pieces) {
                    let start = u64::from(page) * 4096;
                    self.must(self.ram.is_owned(start, 4096), "the page is nobody's");
                    let fresh = match queue {
                        0 => self.helper.pages.insert(page),
                        _ => self.helper.pages.remove(&page),
                    };
                    self.must(fresh, "a page goes in, or out, twice");
                }
            }
            _ if queue == reports => {
                assert!(self.accepted & bits::PAGE_REPORTING != 0);
                for piece in pieces {
                    assert!(piece.is_writable, "its content goes");
                    let zeros = vec![0; piece.len as usize];
                    self.ram.device_writes(piece.start, &zeros);
                    self.helper.reported.push((piece.start, piece.len.into()));
                }
            }
            other => panic!("nothing was agreed on for queue {other}"),
        }
        0
    }

    /// It is told of the guest's memory, and keeps the chain.
    pub(crate) fn learns(&mut self, head: u16, pieces: &[Piece]) {
        assert!(self.accepted & bits::STATS_VQ != 0);
        self.must(self.helper.answer.is_none(), "there are two answers");
        let bytes = self.gather(pieces);
        assert!(pieces.iter().all(|piece| !piece.is_writable) && bytes.len().is_multiple_of(10));
        self.helper.said.clear();
        for entry in bytes.chunks(10) {
            let tag = u16::from_le_bytes([entry[0], entry[1]]);
            let value = u64::from_le_bytes(entry[2..].try_into().expect("eight"));
            assert!(tag < 10 && self.helper.said.insert(tag, value).is_none());
        }
        self.helper.answer = Some(head);
    }

    /// It asks for that anew. QEMU says that it has written what it has read.
    pub(crate) fn asks(&mut self, written: u32) {
        let head = self.helper.answer.take().expect("there is an answer");
        self.say_used(2, head, written);
    }

    /// Numbers of pages, of 32 bits each.
    fn numbers(&self, pieces: &[Piece]) -> Vec<u32> {
        let [piece] = pieces else {
            panic!("one piece");
        };
        assert!(!piece.is_writable && piece.len.is_multiple_of(4));
        let mut bytes = vec![0; piece.len as usize];
        self.ram.device_reads(piece.start, &mut bytes);
        let (numbers, _) = bytes.as_chunks::<4>();
        numbers
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect()
    }
}
