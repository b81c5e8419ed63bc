//! A console with ports (section 5.3), and who is at the other end of them.

use super::bits;
use super::device::{Device, Part};
use super::mischief::Mischief;
use super::ram::Ram;
use super::rings::Piece;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// A port, from the host's side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outer {
    pub(crate) name: Vec<u8>,
    /// Somebody is there.
    pub(crate) is_open: bool,
    /// The guest has said that somebody is at its end.
    pub(crate) is_guest_open: bool,
    /// What the guest has answered to the port's coming.
    pub(crate) ready: Option<u16>,
    /// What was said to the guest and has not come there.
    pub(crate) to_guest: VecDeque<u8>,
    /// What the guest has said.
    pub(crate) from_guest: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Ports {
    pub(crate) all: BTreeMap<u32, Outer>,
    is_ready: bool,
    /// Messages for which there was no memory.
    pub(crate) dropped: u32,
    /// Messages of the guest: port, event, value.
    pub(crate) heard: Vec<(u32, u16, u16)>,
    /// It does not read what the guest says.
    pub(crate) is_held: bool,
}

/// A message as bytes.
pub(crate) fn message(port: u32, event: u16, value: u16, rest: &[u8]) -> Vec<u8> {
    let mut bytes = port.to_le_bytes().to_vec();
    bytes.extend(event.to_le_bytes());
    bytes.extend(value.to_le_bytes());
    bytes.extend(rest);
    bytes
}

impl Ports {
    /// After a reset the guest has said nothing yet.
    pub(crate) fn forget(&mut self) {
        self.is_ready = false;
        for outer in self.all.values_mut() {
            (outer.is_guest_open, outer.ready) = (false, None);
        }
    }
}

impl Device {
    /// A console on which there may be so many ports.
    pub(crate) fn console(ram: &Rc<Ram>, ports: u32) -> Self {
        let mut device = Self::new(ram, 0);
        device.part = Part::Console;
        device.offered = bits::VERSION_1
            | bits::EVENT_IDX
            | bits::INDIRECT
            | bits::RING_PACKED
            | bits::MULTIPORT;
        device.config = vec![0; 12];
        device.set32(4, ports);
        let size = |queue| if matches!(queue, 2 | 3) { 32 } else { 128 };
        device.queues = (0..2 * ports + 2)
            .map(|at| super::queue(size(at)))
            .collect();
        device
    }

    /// A port of this name is there, or comes now.
    pub(crate) fn plug_port(&mut self, port: u32, name: &str) {
        let mut outer = Outer::default();
        outer.name.extend(name.bytes());
        self.ports.all.insert(port, outer);
        if self.ports.is_ready {
            self.tell(&message(port, 1, 1, b""));
        }
    }

    /// A port goes.
    pub(crate) fn unplug_port(&mut self, port: u32) {
        self.ports.all.remove(&port).expect("it is there");
        self.tell(&message(port, 2, 1, b""));
    }

    /// Somebody comes to the other end of a port, or goes.
    pub(crate) fn open_port(&mut self, port: u32, is_open: bool) {
        self.port(port).is_open = is_open;
        self.tell(&message(port, 6, is_open.into(), b""));
    }

    pub(crate) fn port(&mut self, port: u32) -> &mut Outer {
        self.ports.all.get_mut(&port).expect("it is there")
    }

    /// Who is at the other end says something.
    pub(crate) fn say_to_guest(&mut self, port: u32, bytes: &[u8]) {
        self.port(port).to_guest.extend(bytes);
        let queue = receive_queue(port);
        if self.is_running(queue) {
            self.hand_over(port, queue);
        }
    }

    /// Sends a message to the guest, or drops it, if there is no memory for it.
    pub(crate) fn tell(&mut self, bytes: &[u8]) {
        const QUEUE: usize = 2;
        if !self.is_running(QUEUE) {
            return;
        }
        self.take_all(QUEUE);
        let queue = &mut self.queues[QUEUE];
        if queue.taken.is_empty() {
            self.ports.dropped += 1;
            return;
        }
        let (head, pieces) = queue.taken.remove(0);
        let written = self.scatter(&pieces, bytes);
        self.say_used(QUEUE, head, written);
    }

    /// Works on a queue of a console.
    pub(crate) fn serve_port(&mut self, number: usize) -> bool {
        if number == 2 || number != 3 && number.is_multiple_of(2) {
            self.take_all(number);
            let port = if number == 0 {
                0
            } else {
                number as u32 / 2 - 1
            };
            if number != 2 {
                self.hand_over(port, number);
            }
            return self.queues[number].sleep(&self.ram.clone());
        }
        self.take_all(number);
        let is_held = number != 3 && self.ports.is_held;
        if !is_held && self.misbehaves(|what| what == Mischief::Silent).is_none() {
            let taken = core::mem::take(&mut self.queues[number].taken);
            for (head, pieces) in taken {
                assert!(pieces.iter().all(|piece| !piece.is_writable));
                let bytes = self.gather(&pieces);
                match number {
                    3 => self.hear(&bytes),
                    1 => self.is_told(0, &bytes),
                    _ => self.is_told(number as u32 / 2 - 1, &bytes),
                }
                self.say_used(number, head, 0);
            }
        }
        self.queues[number].sleep(&self.ram.clone())
    }

    /// The guest says something to a port.
    fn is_told(&mut self, port: u32, bytes: &[u8]) {
        let is_there = self.ports.all.contains_key(&port);
        if self.must(is_there, "there is no such port") {
            self.port(port).from_guest.extend(bytes);
        }
    }

    /// Whether a queue is there to be worked on.
    fn is_running(&self, queue: usize) -> bool {
        self.status & 4 != 0 && self.can_dma && self.queues[queue].is_enabled
    }

    fn take_all(&mut self, number: usize) {
        let queue = &mut self.queues[number];
        while let Some(taken) = queue.take(&self.ram) {
            queue.taken.push(taken);
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_first_chunk::<8>().expect("a message");
        assert!(rest.is_empty());
        let port = u32::from_le_bytes(head[..4].try_into().unwrap());
        let event = u16::from_le_bytes(head[4..6].try_into().unwrap());
        let value = u16::from_le_bytes(head[6..].try_into().unwrap());
        self.ports.heard.push((port, event, value));
        match event {
            0 => {
                assert_eq!(value, 1);
                self.ports.is_ready = true;
                let all: Vec<u32> = self.ports.all.keys().copied().collect();
                for port in all {
                    self.tell(&message(port, 1, 1, b""));
                }
            }
            3 => {
                let Some(outer) = self.ports.all.get_mut(&port) else {
                    return;
                };
                outer.ready = Some(value);
                let Outer { name, is_open, .. } = outer.clone();
                if value == 1 && !name.is_empty() {
                    // With a zero, as QEMU does.
                    self.tell(&message(port, 7, 1, &[name.as_slice(), b"\0"].concat()));
                }
                if value == 1 && is_open {
                    self.tell(&message(port, 6, 1, b""));
                }
            }
            6 => {
                let ready = self.ports.all.get(&port).map(|outer| outer.ready);
                if !self.must(ready == Some(Some(1)), "it was not said to be ready") {
                    return;
                }
                self.port(port).is_guest_open = value == 1;
                self.hand_over(port, receive_queue(port));
            }
            other => panic!("the guest says {other}"),
        }
    }

    /// Hands on what was said, as far as there is memory and somebody there.
    fn hand_over(&mut self, port: u32, number: usize) {
        self.take_all(number);
        let is_single = self.accepted & bits::MULTIPORT == 0;
        loop {
            let Some(outer) = self.ports.all.get_mut(&port) else {
                return;
            };
            let queue = &mut self.queues[number];
            let hears = outer.is_guest_open || is_single;
            if !hears || outer.to_guest.is_empty() || queue.taken.is_empty() {
                return;
            }
            let (head, pieces) = queue.taken.remove(0);
            let room: usize = pieces.iter().map(|piece| piece.len as usize).sum();
            let count = room.min(outer.to_guest.len());
            let bytes: Vec<u8> = outer.to_guest.drain(..count).collect();
            let written = self.scatter(&pieces, &bytes);
            self.say_used(number, head, written);
        }
    }

    /// Writes to memory of the guest's. Returns how many bytes.
    fn scatter(&mut self, pieces: &[Piece], bytes: &[u8]) -> u32 {
        let mut rest = bytes;
        for piece in pieces {
            assert!(piece.is_writable);
            let (now, later) = rest.split_at(rest.len().min(piece.len as usize));
            self.ram.device_writes(piece.start, now);
            rest = later;
        }
        (bytes.len() - rest.len()) as u32
    }
}

fn receive_queue(port: u32) -> usize {
    match port {
        0 => 0,
        port => 2 + 2 * port as usize,
    }
}
