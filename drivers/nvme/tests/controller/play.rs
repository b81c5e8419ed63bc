//! A game between a driver and a device that a row of bytes decides.
//!
//! The bytes say what the device is, what it answers and when, what its registers read as,
//! and what the driver is asked for in between. They may say anything; there is no row that
//! is not a game. So a fuzzer can look for a row that breaks the driver, and a row that once
//! did is kept and played again for ever.
//!
//! Whatever the row, at the end:
//!
//! - nothing has panicked, and no call has taken longer than [`LONGEST`] by the machine's
//!   clock;
//! - the device was never sent to memory that is not the driver's or the caller's, and no
//!   memory was given back that the device still had;
//! - memory of the caller that no request named is as it was, and what a read that succeeded
//!   has brought is what the disk holds, as long as the device did not lie about its answers;
//! - all memory of the driver has come back.

use crate::model::{
    AbortPolicy, Bench, CANARY, Config, Event, Fate, Machine, Mischief, PAGE, Then, disk, list,
    status,
};
use nvme::Status;
use nvme::wire::{IdentifyController, IdentifyNamespace};

/// Microseconds that a call may take: a controller may ask for as much as two minutes, for
/// each of stopping and starting, and may be started more than once.
const LONGEST: u64 = 900_000_000;

/// Most moves of a game.
const MOVES: usize = 48;

/// Pages of memory of the caller.
const PAGES: u64 = 16;

/// The row of bytes; zeros when it is over.
struct Row<'a>(&'a [u8]);

impl Row<'_> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn word(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        u64::from(self.word()) % end
    }

    fn bit(&mut self) -> bool {
        self.byte() & 1 != 0
    }
}

/// The device that the row describes.
fn device(row: &mut Row<'_>) -> Config {
    let shape = row.byte();
    let mut config = match shape & 1 {
        0 => Config::default(),
        _ => Config::with_everything(),
    };
    config = config.mqes(row.below(40) as u16).mdts(row.byte() % 6);
    config.cap.set_dstrd(row.byte() % 5);
    config.cap.set_to(row.byte() % 32);
    config.namespaces = vec![(1, disk(4096, 9)), (2, disk(512, 12))];
    config.out_of_order = shape & 2 != 0;
    config.lazy = shape & 4 != 0;
    config.enabled = shape & 8 != 0;
    config.per_tick = 1 + usize::from(row.byte() % 8);
    config.latency = u32::from(row.byte() % 16);
    config.seed = u64::from(row.word()) + 1;
    config.tick = 5_000;
    config.pages = 512;
    config.granted = (1 + row.below(8) as u16, 1 + row.below(8) as u16);
    // What it says of itself may be anything, and it acts as it says.
    let patches = row.byte() % 8;
    let mut controller = [0; 4096];
    config.identify.encode(&mut controller);
    let mut namespace = [0; 4096];
    config.namespaces[0].1.encode(&mut namespace);
    for _ in 0..patches {
        let (place, value) = (row.word(), row.byte());
        let offset = usize::from(place & 0x3fff) % 544;
        match place >> 14 {
            0 => controller[offset] = value,
            1 => namespace[offset % 384] = value,
            2 => config.cap = (u64::from(config.cap) ^ u64::from(value) << (offset % 57)).into(),
            _ => config.crwmt = u16::from(value),
        }
    }
    config.identify = IdentifyController::decode(&controller);
    config.namespaces[0].1 = IdentifyNamespace::decode(&namespace);
    // A format that nobody could have is told, and not acted on; see the model.
    if row.bit() {
        config.false_list = Some((0..row.byte() % 5).map(|_| u32::from(row.byte())).collect());
    }
    config
}

fn mischief(row: &mut Row<'_>) -> Mischief {
    match row.byte() % 20 {
        0 => Mischief::WrongCid(row.word()),
        1 => Mischief::Duplicate,
        2 => Mischief::Replay,
        3 => Mischief::SubmissionHead(row.word()),
        4 => Mischief::StuckHead,
        5 => Mischief::WrongQueue(row.word()),
        6 => Mischief::OldPhase,
        7 => Mischief::EarlyPhase,
        8 => Mischief::Silence,
        9 => Mischief::Runaway,
        10 => Mischief::Fatal,
        11 => Mischief::Gone,
        12 => Mischief::Vanished,
        13 => Mischief::NotReady,
        14 => Mischief::Noise,
        15 => Mischief::HeadGoesBack,
        16 => Mischief::Storm(row.word() % 200),
        17 => Mischief::Stranger(row.word()),
        _ => Mischief::Status(row.word()),
    }
}

fn fate(row: &mut Row<'_>) -> Fate {
    let queue = match row.byte() % 3 {
        0 => Some(0),
        1 => Some(row.byte().into()),
        _ => None,
    };
    Fate {
        queue,
        opcode: row.bit().then_some(row.byte()),
        after: usize::from(row.byte() % 8),
        times: usize::from(row.byte() % 8),
        then: match row.byte() % 4 {
            0 => Then::Lose,
            1 => Then::Hold,
            2 => Then::Delay(u64::from(row.word()) * 1000),
            _ => Then::End(Status::from(row.word()).with_phase(false)),
        },
    }
}

/// Whether the device has told the truth so far: then data are worth a look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Kept,
    Broken,
}

/// A read or a write, and what it may have touched.
fn transfer(row: &mut Row<'_>, bench: &mut Bench, bus: u64, is_write: bool, word: Word) {
    let nsid = 1 + u32::from(row.byte() % 3);
    let block = row.below(600);
    let first = row.below(PAGES);
    let pages = 1 + row.below(PAGES - first);
    let offset = u64::from(row.byte() % 8) * 512 % PAGE;
    let len = (pages * PAGE - offset).max(512);
    let memory = list(&[(bus + first * PAGE + offset, len)]);
    let whole = list(&[(bus, PAGES * PAGE)]);
    bench.set_contents(&whole, &[CANARY; (PAGES * PAGE) as usize]);
    let result = match is_write {
        true => bench.write(nsid, block, &memory),
        false => bench.read(nsid, block, &memory),
    };
    if word == Word::Kept && result.is_ok() && !is_write {
        let model = bench.machine.model();
        if let Ok(shape) = model.shape(nsid) {
            let disk = model.contents(nsid, block, len >> shape.shift, shape.shift);
            assert!(model.memory.contents(&memory) == disk, "wrong data");
        }
    }
    // Whatever the device did, it was not sent to other memory than this.
    if !is_write {
        bench.set_contents(&memory, &vec![CANARY; len as usize]);
    }
    let contents = bench.contents(&whole);
    assert!(
        contents.iter().all(|byte| *byte == CANARY),
        "other memory was written"
    );
}

/// Plays a game. Panics if the driver loses.
pub(crate) fn play(bytes: &[u8]) {
    let mut row = Row(bytes);
    let machine = Machine::new(device(&mut row));
    let early = row.byte();
    if early & 1 != 0 {
        machine.model().gone_after = Some(usize::from(row.byte()));
    }
    if early & 2 != 0 {
        let fate = fate(&mut row);
        machine.model().fates.push(fate);
    }
    machine.model().fickle = early & 4 != 0;
    machine.model().never_ready = early & 0x18 == 0x18;
    machine.model().never_stops = early & 0x60 == 0x60;
    let before = machine.model().clock;
    let bench = Bench::start(machine.clone());
    in_time(&machine, before);
    if let Ok(bench) = bench {
        moves(&mut row, bench);
    }
    let model = machine.model();
    assert_eq!(model.memory.faults, [], "the device was sent astray");
    assert_eq!(
        model.memory.taken_away,
        [],
        "memory was taken from the device"
    );
    assert_eq!(model.memory.mapped_pages(), 0, "memory has not come back");
}

fn in_time(machine: &Machine, before: u64) {
    let took = machine.model().clock - before;
    assert!(took < LONGEST, "it took {took} microseconds");
}

fn moves(row: &mut Row<'_>, mut bench: Bench) {
    let machine = bench.machine.clone();
    let bus = bench.pages(PAGES as usize);
    let mut word = Word::Kept;
    for _ in 0..MOVES {
        if row.is_over() {
            break;
        }
        let before = machine.model().clock;
        let action = row.byte() % 20;
        match action {
            0..=4 => transfer(row, &mut bench, bus, false, word),
            5..=7 => transfer(row, &mut bench, bus, true, word),
            8 => bench
                .flush(1 + u32::from(row.byte() % 3))
                .unwrap_or_default(),
            9 => bench.reset().unwrap_or_default(),
            10 => {
                word = Word::Broken;
                let when = usize::from(row.byte() % 12);
                let what = mischief(row);
                machine.model().mischief = Some((when, what));
            }
            11 => {
                // A status of success for a command that did nothing is a lie.
                word = Word::Broken;
                let fate = fate(row);
                machine.model().fates.push(fate);
            }
            12 => machine.model().gone_after = Some(usize::from(row.byte())),
            13 => {
                machine.model().repair();
                bench.reset().unwrap_or_default();
            }
            14 => {
                let result = u64::from(row.word()) | u64::from(row.word()) << 16;
                machine.model().storm_of_events(result);
                machine.model().event(match row.byte() % 3 {
                    0 => Event::TEMPERATURE,
                    1 => Event::NAMESPACES,
                    _ => Event::FIRMWARE,
                });
            }
            15 => {
                let (blocks, namespace) = (row.below(5000), row.byte());
                let mut model = machine.model();
                match namespace % 4 {
                    0 => model.resize(1, blocks),
                    1 => model.unplug(2),
                    2 => model.plug(3, disk(blocks, 9 + namespace / 4 % 5)),
                    _ => model.activate_firmware(blocks * 1000),
                }
            }
            16 => {
                let mut model = machine.model();
                model.abort_policy = match row.byte() % 5 {
                    0 => AbortPolicy::Works,
                    1 => AbortPolicy::Refuses,
                    2 => AbortPolicy::Lies,
                    3 => AbortPolicy::TooLate,
                    _ => AbortPolicy::Silent,
                };
                model.let_go();
            }
            17 => {
                let what = row.byte();
                let mut model = machine.model();
                model.logs.are_rubbish = what & 1 != 0;
                model.fickle = what & 2 != 0;
                model.all_ones = what & 12 == 12;
                model.all_zeros = what & 48 == 48;
            }
            18 => {
                let (block, code) = (row.below(600), row.byte());
                let bad = status(code & 7, code >> 1).with_dnr(code & 8 != 0);
                if !bad.is_success() {
                    machine.model().bad_blocks.insert(block, bad);
                }
            }
            _ => {
                let words = u64::from(row.byte());
                (0..words).for_each(|_| machine.tick());
            }
        }
        in_time(&machine, before);
    }
    let before = machine.model().clock;
    if row.bit() {
        bench.shutdown().unwrap_or_default();
    }
    // What the model has to say of a driver that it has lied to is not worth hearing.
    machine.model().offences.clear();
    bench.end();
    in_time(&machine, before);
    machine.model().memory.unmap(bus, PAGES as usize);
}
