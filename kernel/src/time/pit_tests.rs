use super::super::clock::{Clock, Source, measure};
use super::*;
use crate::arch::cpu::time_stamp;
use alloc::vec::Vec;

/// The rate of the time-stamp counter, as far as [`Fake`] is concerned.
const HERTZ: u64 = 3_000_000_000;

/// What the fake timer does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// There is no timer: nobody answers.
    Absent,
    /// Something else answers, always with this.
    Other(u8),
    /// It never counts.
    Stopped,
    /// It never loads what was written.
    Unloaded,
    /// The CPU stood still for long after the timer was started.
    Late,
}

/// The third channel of an 8254, whose time is made from the time-stamp counter.
struct Fake {
    fault: Fault,
    control: u8,
    mode: u8,
    started: Option<u64>,
    /// Bytes of a count that was begun.
    written: Option<u8>,
    /// What is read next, last first.
    held: Vec<u8>,
}

impl Fake {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            control: 0b0000_1110,
            mode: 0xff,
            started: None,
            written: None,
            held: Vec::new(),
        }
    }

    /// Ticks since the count was loaded.
    fn ticks(&self) -> u64 {
        let Some(started) = self.started else {
            return 0;
        };
        if self.fault == Fault::Stopped || self.control & 1 == 0 {
            return 0;
        }
        let late = if self.fault == Fault::Late {
            1 << 16
        } else {
            0
        };
        let passed = u128::from(time_stamp() - started);
        (passed * 1_193_182 / u128::from(HERTZ)) as u64 + late
    }

    fn command(&mut self, value: u8) {
        match value {
            0xb0 => {
                self.mode = value & 0x3f;
                self.started = None;
                self.written = None;
            }
            0x80 => {
                let [low, high] = (0_u16.wrapping_sub(self.ticks() as u16)).to_le_bytes();
                self.held.extend([high, low]);
            }
            0xe8 => {
                let unloaded = self.started.is_none() || self.fault == Fault::Unloaded;
                let ended = self.ticks() >= 1 << 16;
                let state = self.mode | u8::from(unloaded) << 6 | u8::from(ended) << 7;
                self.held.push(state);
            }
            _ => panic!("a command that is not for the third channel: {value:#x}"),
        }
    }
}

impl Ports for Fake {
    fn read(&mut self, port: u16) -> u8 {
        match (self.fault, port) {
            (Fault::Absent, _) => 0xff,
            (Fault::Other(value), _) => value,
            (_, 0x42) => self.held.pop().expect("it is read as often as asked"),
            (_, 0x61) => self.control,
            _ => panic!("port {port:#x} is read"),
        }
    }

    fn write(&mut self, port: u16, value: u8) {
        match (self.fault, port) {
            (Fault::Absent | Fault::Other(_), _) => {}
            (_, 0x42) => match self.written.take() {
                None => self.written = Some(value),
                Some(low) => {
                    assert_eq!((low, value), (0, 0), "as long a count as there is");
                    self.started = Some(time_stamp());
                }
            },
            (_, 0x43) => self.command(value),
            (_, 0x61) => self.control = value,
            _ => panic!("port {port:#x} is written"),
        }
    }
}

fn clock(fault: Fault) -> Option<Clock> {
    measure(PitCounter::open(Fake::new(fault))?, Source::Pit)
}

#[test]
fn the_rate_is_found_whatever_the_hosts_is() {
    // A host that is busy for 55 ms on end spoils an attempt, and says so.
    let clock = (0..100).find_map(|_| clock(Fault::None)).unwrap();
    assert_eq!(clock.source(), Source::Pit);
    let off = clock.hertz().abs_diff(HERTZ);
    assert!(off < HERTZ / 20, "{clock:?}");
}

#[test]
fn a_machine_without_the_timer_is_noticed_at_once() {
    for fault in [Fault::Absent, Fault::Other(0), Fault::Other(0x36)] {
        assert!(PitCounter::open(Fake::new(fault)).is_none());
    }
}

#[test]
fn a_timer_that_does_not_begin_does_not_hang_the_boot() {
    assert!(PitCounter::open(Fake::new(Fault::Unloaded)).is_none());
    assert!(PitCounter::open(Fake::new(Fault::Stopped)).is_some());
    assert!(clock(Fault::Stopped).is_none());
}

/// Its count looks like any other.
#[test]
fn a_count_that_has_come_to_its_end_is_not_believed() {
    let mut late = PitCounter::open(Fake::new(Fault::Late)).unwrap();
    assert!(late.has_ended());
    assert!(clock(Fault::Late).is_none());
}

#[test]
fn the_gate_is_opened_and_the_loudspeaker_is_silent() {
    let counter = PitCounter::open(Fake::new(Fault::None)).unwrap();
    // Bits 2 and 3 are not the timer's.
    assert_eq!(counter.ports.control, 0b0000_1101);
}
