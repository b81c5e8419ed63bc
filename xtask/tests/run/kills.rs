//! What was made durable is there when QEMU is killed in the middle of it.
//!
//! Every block says what it is: its address, which write wrote it, and a checksum over all of it. Two clients
//! write, with flushes and with FUA, and keep what they were promised. Then QEMU gets a SIGKILL, at a number of
//! answers and not at a time, and the image is looked at without any part of Phyros.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, thread};

use iostress::stamp::{self, Stamp};

use crate::nbd::Nbd;
use crate::qcow2;
use crate::served::Served;
use crate::support::{Folder, text};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 1024;
const SEED: u64 = 0x6b69_6c6c;

const WRITE: u8 = 1;
const FLUSH: u8 = 3;
const FUA: u8 = 1;

/// Each client has blocks of its own: every second one.
const CLIENTS: u64 = 2;

/// What a client knows of a block.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The last write that was sent.
    sent: u32,
    /// The last one that was answered.
    answered: u32,
    /// The last one of which was said that it lasts.
    lasting: u32,
}

/// Numbers that look like any.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// How a client makes durable what it writes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// By flushes.
    Flush,
    /// Some of it by FUA.
    Fua,
    /// Not at all.
    Never,
}

/// Writes until nobody answers any more.
fn write(client: u64, nbd: &mut Nbd, way: Way, dice: &mut Dice, answers: &AtomicU64) -> Vec<Known> {
    let mut known = vec![Known::default(); BLOCKS as usize];
    let mut bytes = vec![0; BLOCK];
    for turn in 1u64.. {
        let block = dice.below(BLOCKS / CLIENTS) * CLIENTS + client;
        let entry = &mut known[block as usize];
        entry.sent += 1;
        let (seed, generation) = (SEED, entry.sent);
        stamp::write(
            &mut bytes,
            Stamp {
                seed,
                block,
                generation,
            },
        );
        let flags = match way {
            Way::Fua if turn.is_multiple_of(3) => FUA,
            _ => 0,
        };
        let offset = block * BLOCK as u64;
        let Ok(answer) = nbd.try_ask(flags, WRITE, offset, BLOCK as u32, &bytes) else {
            return known;
        };
        assert_eq!(answer, 0, "a write fails");
        let entry = &mut known[block as usize];
        entry.answered = generation;
        if flags == FUA {
            entry.lasting = generation;
        }
        if way == Way::Flush && turn.is_multiple_of(7) {
            let Ok(answer) = nbd.try_ask(0, FLUSH, 0, 0, &[]) else {
                return known;
            };
            assert_eq!(answer, 0, "a flush fails");
            known
                .iter_mut()
                .for_each(|entry| entry.lasting = entry.answered);
        }
        answers.fetch_add(1, Ordering::Release);
    }
    known
}

/// The process that this one has started last, QEMU.
fn child_of(process: u32) -> u32 {
    let path = format!("/proc/{process}/task");
    let tasks = fs::read_dir(path).expect("it runs");
    let children =
        tasks.flat_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let all = children.collect::<String>();
    let last = all.split_whitespace().last().expect("it has a child");
    last.parse().expect("a process has a number")
}

/// Writes to an image, kills QEMU after so many answers, and compares. Returns the blocks of which the last write
/// that was answered is not there.
fn kill(image: &Path, way: Way, seed: u64, after: u64) -> usize {
    let machine = Served::start(&["--disk", text(image), "--nbd-write"]);
    let qemu = child_of(machine.process());
    let answers = AtomicU64::new(0);
    let known: Vec<Vec<Known>> = thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            let stream = machine.connect("nbd");
            let mut nbd = Nbd::begin(stream, "nvme0n1", BLOCKS * BLOCK as u64);
            let answers = &answers;
            scope.spawn(move || {
                let mut dice = Dice(seed + client);
                write(client, &mut nbd, way, &mut dice, answers)
            })
        });
        let clients: Vec<_> = clients.collect();
        while answers.load(Ordering::Acquire) < after {
            thread::yield_now();
        }
        let killed = Command::new("kill")
            .args(["-KILL", &qemu.to_string()])
            .status();
        assert!(killed.expect("there is a `kill`").success());
        let known = clients
            .into_iter()
            .map(|client| client.join().expect("it has seen no error"));
        known.collect()
    });
    machine.gone();
    let found = qcow2::read(image);
    let mut lost = 0;
    for block in 0..BLOCKS {
        let entry = known[(block % CLIENTS) as usize][block as usize];
        let bytes = &found[block as usize * BLOCK..][..BLOCK];
        let generation = match stamp::read(bytes, SEED, block) {
            Ok(generation) => generation,
            Err(flaw) => panic!("block {block}, after {after} answers: {flaw:?}"),
        };
        assert!(
            (entry.lasting..=entry.sent).contains(&generation),
            "block {block} is of write {generation}, and {} was promised to last; after {after} answers",
            entry.lasting
        );
        lost += usize::from(generation < entry.answered);
    }
    lost
}

/// Kills at so many moments.
fn kills(count: u64) {
    let folder = Folder::new();
    for round in 0..count {
        let image = folder.file(&format!("disk{round}"));
        qcow2::create(&image, BLOCKS * BLOCK as u64);
        let after = 30 + Dice(round).below(300) + Dice(round + 1000).below(100);
        let way = match round % 2 {
            0 => Way::Fua,
            _ => Way::Flush,
        };
        kill(&image, way, round * 100, after);
    }
}

#[test]
fn what_was_made_durable_outlives_three_kills() {
    kills(3);
}

#[test]
#[ignore = "takes minutes: `cargo xtask clients kills` runs it"]
fn what_was_made_durable_outlives_twenty_kills() {
    kills(20);
}

#[test]
fn what_was_not_made_durable_does_not() {
    // Otherwise the tests above would show nothing.
    let folder = Folder::new();
    let image = folder.file("disk");
    qcow2::create(&image, BLOCKS * BLOCK as u64);
    assert!(
        kill(&image, Way::Never, 7, 200) > 0,
        "nothing is lost without a flush"
    );
}
