//! Games of devices that are no disks: a row of bytes says what is asked of a device, and what it does wrong, and when.
//!
//! No game is lost:
//!
//! - Nobody panics, and each request ends, however the device behaves.
//! - All memory comes back, unless the device could not be stopped.
//! - No memory is touched that is nobody's, unless the device has said that it is done with memory and was not: that no
//!   driver can tell. Such games are counted apart.
//! - Afterwards the same device, when it does what it should, is brought up again and works.
//!
//! Each kind of wrong is counted when it is done, not when it is asked for. So it is seen that the games are what they
//! are meant to be.

mod balloon;
mod card;
mod console;
mod graphics;
pub(crate) mod row;
mod share;
mod source;

use crate::model::world::run_alone;
use crate::model::{Data, Device, Machine};
use row::Row;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use virtio::{Access, Platform};

/// Microseconds within which whatever is asked for has to have ended.
const LIMIT: u64 = 600_000_000;

/// What came of games.
#[derive(Default)]
pub(crate) struct Tally {
    /// What devices have done wrong.
    wrongs: BTreeMap<&'static str, u64>,
    good: u64,
    bad: u64,
    /// Games in which each access to memory was looked at.
    strict: u64,
    /// Games in which a device was out of use at the end.
    dead: u64,
    /// Times that a device worked again.
    again: u64,
}

impl Tally {
    fn count<T, E>(&mut self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.good += 1,
            Err(_) => self.bad += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        for (what, times) in &other.wrongs {
            *self.wrongs.entry(what).or_default() += times;
        }
        self.good += other.good;
        self.bad += other.bad;
        self.strict += other.strict;
        self.dead += other.dead;
        self.again += other.again;
    }
}

/// What every device can do wrong.
const ANY: [&str; 14] = [
    "names another chain",
    "uses a chain twice",
    "has written more",
    "has written nothing",
    "has written less",
    "is further than it is",
    "does not answer",
    "does not hear",
    "writes nonsense into a queue",
    "needs a reset",
    "has another configuration",
    "takes its time to be reset",
    "goes",
    "cannot be stopped",
];

/// Plays many games, none of which is lost, and looks whether they were what they are meant to be: all of this was
/// done wrong, but for what a device of this kind has no way to do.
fn play_many(games: u64, play: fn(&[u8]) -> Tally, own: &[&str], without: &[&str]) {
    let mut all = Tally::default();
    for seed in 0..games {
        let bytes = random_row(seed);
        let game = std::panic::catch_unwind(|| play(&bytes));
        match game {
            Ok(tally) => all.add(&tally),
            Err(panic) => {
                eprintln!("the game of seed {seed}: {bytes:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    for what in ANY.iter().chain(own) {
        let times = all.wrongs.get(what).copied().unwrap_or(0);
        let is_expected = !without.contains(what);
        assert_eq!(times >= 10, is_expected, "{what}: {times} times");
    }
    assert!(
        all.good >= games && all.bad >= games / 4,
        "{} {}",
        all.good,
        all.bad
    );
    assert!(all.strict >= games / 10, "{}", all.strict);
    assert!(all.dead >= games / 10, "{}", all.dead);
    assert!(all.again >= games / 4, "{}", all.again);
}

/// Plays a game of the device that the first byte names.
pub(crate) fn play(bytes: &[u8]) -> Tally {
    let Some((first, row)) = bytes.split_first() else {
        return Tally::default();
    };
    let games = [
        balloon::play,
        card::play,
        console::play,
        graphics::play,
        share::play,
        source::play,
    ];
    games[usize::from(*first) % games.len()](row)
}

/// Whatever the first byte is, there is a game.
#[test]
fn a_row_of_any_length_is_a_game() {
    for first in 0..=u8::MAX {
        let row = random_row(first.into());
        let row = &row[..row.len().min(usize::from(first))];
        play(&[&[first], row].concat());
    }
    play(&[]);
}

/// A row of its own for each seed.
fn random_row(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let len = 8 + next() % 150;
    (0..len).map(|_| (next() >> 32) as u8).collect()
}

/// What is said to be done before it is: the memory may be somebody else's by then.
const TOO_EARLY: [&str; 4] = [
    "names another chain",
    "uses a chain twice",
    "is further than it is",
    "writes nonsense into a queue",
];

/// What comes of a future, if anything does in that time.
fn within<T>(machine: &Machine, microseconds: u64, future: impl Future<Output = T>) -> Option<T> {
    run_alone(machine, async {
        let mut future = pin!(future);
        let mut pause = pin!(machine.pause(microseconds));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => pause.as_mut().poll(cx).map(|()| None),
        })
        .await
    })
}

/// What comes of a request, which has to end.
fn ended<T>(machine: &Machine, future: impl Future<Output = T>) -> T {
    within(machine, LIMIT, future).expect("each request ends")
}

/// Begins a request, and loses interest.
fn forsake<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    let _ = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
}

fn pass(machine: &Machine, row: &mut Row<'_>) {
    // A device may look at its queues whenever it likes, not only when it is notified.
    for queue in &mut machine.device.borrow_mut().queues {
        queue.is_notified |= queue.is_enabled;
    }
    let microseconds = 1 + u64::from(row.byte()) * u64::from(row.byte()) * 300;
    run_alone(machine, machine.pause(microseconds));
}

/// Memory for a device to write, or to read, in a few pieces.
fn memory(machine: &Machine, row: &mut Row<'_>, access: Access) -> Data {
    let pieces: Vec<u64> = (0..=row.below(4))
        .map(|_| 1 + u64::from(row.byte()))
        .collect();
    Data::new(&machine.ram, &pieces, access)
}

/// A machine of a device that lies.
fn machine(make: impl FnOnce(&Rc<crate::model::ram::Ram>) -> Device) -> Machine {
    Machine::new(|ram| {
        let mut device = make(ram);
        device.is_liar = true;
        device.graphics.is_lenient = true;
        device
    })
}

/// Changes answers at random, a few times. What it has changed is counted.
struct Liar {
    state: u64,
    left: u8,
    told: Rc<Cell<u64>>,
}

impl Liar {
    fn new(row: &mut Row<'_>, told: &Rc<Cell<u64>>) -> Self {
        Self {
            state: u64::from(row.half()) << 1 | 1,
            left: 1 + row.below(4),
            told: told.clone(),
        }
    }

    fn next(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 20) as usize
    }

    fn change(&mut self, answer: &mut Vec<u8>) {
        if self.left == 0 || answer.is_empty() {
            return;
        }
        self.left -= 1;
        let before = answer.clone();
        match self.next() % 4 {
            0 => answer.truncate(self.next() % answer.len()),
            1 => {
                let len = self.next() % 64 + 1;
                let byte = self.next() as u8;
                answer.resize(len, byte);
            }
            _ => {
                for _ in 0..=self.next() % 3 {
                    let at = self.next() % answer.len().min(40);
                    answer[at] = self.next() as u8;
                }
            }
        }
        self.told
            .set(self.told.get() + u64::from(*answer != before));
    }
}

/// Ends a game: the driver goes, and everything that belongs to it.
fn finish(machine: &Machine, tally: &mut Tally, config: Vec<u8>, driver: impl Sized) {
    drop(driver);
    let mut device = machine.device.borrow_mut();
    assert!(
        device.is_unstoppable || machine.ram.live() == 0,
        "memory is missing"
    );
    let is_early = TOO_EARLY
        .iter()
        .any(|what| device.wrongs.contains_key(what));
    if !is_early {
        assert_eq!(machine.ram.wild(), 0, "memory that is nobody's was touched");
        tally.strict += 1;
    }
    for (what, times) in std::mem::take(&mut device.wrongs) {
        *tally.wrongs.entry(what).or_default() += u64::from(times);
    }
    // From here on it does what it should.
    device.mischief = None;
    (device.graphics.lie, device.server.lie) = (None, None);
    (device.is_present, device.is_unstoppable) = (true, false);
    device.slow_reset = 0;
    device.lingering.clear();
    device.config = config;
    device.ports.is_held = false;
    device.helper.most = None;
}
