//! A game between a driver and a device that a row of bytes decides.
//!
//! The bytes say what the device is, what it answers and when, what its registers read as,
//! what the driver is asked for in between, and what is taken back. They may say anything;
//! there is no row that is not a game. So a fuzzer can look for a row that breaks the driver,
//! and a row that once did is kept and played again for ever.
//!
//! Whatever the row:
//!
//! - nothing panics, and whatever was asked for ends in [`LONGEST`] by the machine's clock;
//! - the device is never sent to memory that is not the driver's or a request's, and no memory
//!   is given back that the device still has;
//! - the memory of a request comes back, once, and nothing is in it that the request did not
//!   bring; or it is counted as lost, and only when the device could not be stopped;
//! - what a read that succeeded has brought is what was written last, or one of the things that
//!   were written at the same time or given up, and in the end so is what all blocks hold; what
//!   was forced or flushed is durable;
//! - a device that only fails, and does not lie, never sees the driver break a rule;
//! - in the end the controller lives, with all its queues, or it is dead. A sound one that is
//!   repaired and reset lives.
//!
//! What no driver can find out is not played: a completion of a command that the device has, or
//! is about to get, and did not execute; success for what failed; other data than those of the
//! disk.

mod contents;
mod ending;
mod flight;
mod ledger;
mod row;

use crate::model::{Bench, Event, Machine, disk, status};
use flight::{Call, Flight, Kind, request, wish};
use ledger::Ledger;
use nvme::admin::LogPage;
use nvme::execute;
use row::{Row, Setting, abort_policy, fate, mischief, setting};
use std::cell::RefCell;
use std::rc::Rc;

/// Microseconds that a reset may take, and anything else: a controller may ask for as much as two
/// minutes, for each of stopping and starting, and may be started more than once.
const LONGEST: u64 = 900_000_000;

/// Most moves of a game.
const MOVES: usize = 64;

/// Most requests on their way at a time.
const FLIGHTS: usize = 20;

type Queue = Rc<RefCell<nvme::Queue<Machine, crate::model::Data>>>;

/// Plays a game. Panics if the driver loses.
pub(crate) fn play(bytes: &[u8]) {
    let mut row = Row(bytes);
    let Setting {
        config,
        options,
        mut is_sound,
    } = setting(&mut row);
    let machine = Machine::new(config);
    let early = row.byte();
    if early & 1 != 0 {
        machine.model().gone_after = Some(usize::from(row.byte()));
    }
    if early & 2 != 0 {
        let fate = fate(&mut row);
        machine.model().fates.push(fate);
    }
    is_sound &= early & 3 == 0;
    machine.model().fickle = early & 4 != 0;
    machine.model().never_ready = early & 0x18 == 0x18;
    machine.model().never_stops = early & 0x60 == 0x60;
    let before = machine.model().clock;
    let bench = Bench::start_with(machine.clone(), options);
    in_time(&machine, before);
    let mut may_lose = false;
    if let Ok(bench) = bench {
        machine.model().forgives = true;
        machine.model().is_fair = true;
        let mut game = Game::new(bench, is_sound, early & 4 == 0);
        for _ in 0..MOVES {
            if row.is_over() {
                break;
            }
            game.play_a_move(&mut row);
            game.land();
        }
        may_lose = game.end(&mut row);
    }
    let model = machine.model();
    assert_eq!(model.memory.faults, [], "the device was sent astray");
    assert_eq!(
        model.memory.taken_away,
        [],
        "memory was taken from the device"
    );
    if !may_lose {
        assert_eq!(model.lent, 0, "memory of a request has not come back");
        assert_eq!(model.memory.mapped_pages(), 0, "memory has not come back");
    }
    drop(model);
    for _ in 0..50 {
        machine.tick();
    }
    let faults = machine.model().memory.faults.len();
    assert_eq!(faults, 0, "the device goes on without the driver");
    machine.scrap();
}

fn in_time(machine: &Machine, before: u64) {
    in_time_of(1, machine, before);
}

/// Not longer than so many resets, one after the other.
fn in_time_of(resets: u64, machine: &Machine, before: u64) {
    let took = machine.model().clock - before;
    assert!(took < resets * LONGEST, "it took {took} microseconds");
}

struct Game {
    bench: Bench,
    machine: Machine,
    queues: Rc<RefCell<Vec<Queue>>>,
    /// Queues that somebody looks after.
    attended: usize,
    flights: Vec<Flight>,
    /// Requests that were given up while the device had them.
    ghosts: Vec<Flight>,
    calls: Vec<Call>,
    ledger: Ledger,
    serial: u64,
    next_namespace: u32,
    /// Repaired and reset, it has to work.
    is_sound: bool,
    /// It has told no lie so far, and kept all rules.
    is_honest: bool,
    /// There was a time when nobody could stop it.
    may_lose: bool,
}

impl Game {
    fn new(bench: Bench, is_sound: bool, is_constant: bool) -> Self {
        let first = bench.queue.clone();
        Self {
            machine: bench.machine.clone(),
            bench,
            queues: Rc::new(RefCell::new(vec![first])),
            attended: 1,
            flights: Vec::new(),
            ghosts: Vec::new(),
            calls: Vec::new(),
            ledger: Ledger::default(),
            serial: 0,
            next_namespace: 3,
            is_sound,
            is_honest: is_sound && is_constant,
            may_lose: false,
        }
    }

    fn play_a_move(&mut self, row: &mut Row<'_>) {
        match row.byte() % 32 {
            0..=10 => self.take_off(row),
            11..=14 => {
                let turns = row.of(&[1, 20_000, 100_000, 700_000, 3_000_000, 13_000_000]);
                self.bench.sleep(turns);
            }
            15 => self.let_all_land(),
            16 => {
                if !self.flights.is_empty() {
                    let flight = row.below(self.flights.len() as u64) as usize;
                    let flight = self.flights.swap_remove(flight);
                    flight.call.cancel();
                    self.ghosts.push(flight);
                }
            }
            17 => {
                if !self.calls.is_empty() {
                    let call = row.below(self.calls.len() as u64) as usize;
                    self.calls.swap_remove(call).cancel();
                }
            }
            18 | 19 => self.call(row),
            20 => {
                let when = usize::from(row.byte() % 12);
                let what = mischief(row);
                self.is_honest = false;
                self.machine.model().mischief = Some((when, what));
            }
            21..=23 => {
                let fate = fate(row);
                self.machine.model().fates.push(fate);
            }
            24 => {
                let policy = abort_policy(row);
                let mut model = self.machine.model();
                model.abort_policy = policy;
                model.let_go();
            }
            25 => {
                self.is_honest = false;
                self.machine.model().gone_after = Some(usize::from(row.byte()));
            }
            26 => self.lie(row),
            27 => self.happen(row),
            28 => {
                let (block, code) = (row.below(600), row.byte());
                let bad = status(code & 7, code >> 1).with_dnr(code & 8 != 0);
                if !bad.is_success() {
                    self.machine.model().bad_blocks.insert(block, bad);
                }
            }
            29 => self.repair(row.bit()),
            30 => {
                // The owner of a queue is in a hurry.
                let queues = self.queues.borrow();
                for queue in queues.iter() {
                    match row.byte() % 4 {
                        0 => queue.borrow_mut().ring(),
                        1 => _ = queue.borrow_mut().reap(),
                        2 => _ = queue.borrow_mut().scan(),
                        _ => _ = queue.borrow_mut().turn(),
                    }
                }
            }
            _ => {
                let turns = row.byte();
                (0..turns).for_each(|_| self.machine.tick());
            }
        }
        self.look_after_queues();
    }

    fn look_after_queues(&mut self) {
        let queues = self.queues.borrow();
        for queue in &queues[self.attended..] {
            self.bench.add(queue.clone());
        }
        self.attended = queues.len();
    }

    /// A request starts.
    fn take_off(&mut self, row: &mut Row<'_>) {
        let queue = {
            let queues = self.queues.borrow();
            queues[usize::from(row.byte()) % queues.len()].clone()
        };
        let namespaces = self.bench.controller.namespaces();
        if self.flights.len() >= FLIGHTS || namespaces.is_empty() {
            return;
        }
        let namespace = namespaces[usize::from(row.byte()) % namespaces.len()];
        let Some(mut wish) = wish(row, &namespace) else {
            return;
        };
        // Only what the device means, too, can be looked at.
        if !self.is_as_told(&namespace) {
            wish.block_size = None;
        }
        self.serial += 1;
        let Some((request, before)) = request(row, &self.machine, &wish, self.serial) else {
            return;
        };
        let contents = self.enter(&wish, &before);
        let changes = wish.kind.changes();
        if changes {
            self.flights
                .iter_mut()
                .for_each(|other| other.is_alone = false);
        }
        let mut others = self.flights.iter().chain(&self.ghosts);
        let is_alone = !others.any(|other| other.kind.changes());
        let done = Rc::new(RefCell::new(None));
        let (out, has_data) = (done.clone(), request.data.is_some());
        let call = Call::new(async move {
            let done = execute(queue, request).await;
            *out.borrow_mut() = Some(done);
        });
        self.bench.executor.spawn(call.run());
        let mut flight = Flight {
            call,
            kind: wish.kind,
            nsid: wish.nsid,
            blocks: wish.blocks,
            block_size: wish.block_size,
            contents,
            before,
            has_data,
            is_alone,
            is_contended: false,
            done,
        };
        for other in self.flights.iter_mut().chain(&mut self.ghosts) {
            if flight.contends(other) || other.contends(&flight) {
                flight.is_contended = true;
                other.is_contended = true;
                // What is copied depends on who is first.
                for copy in [&flight, other] {
                    if matches!(copy.kind, Kind::Copy(_)) {
                        for block in copy.blocks.clone() {
                            self.ledger.may_hold_anything(copy.nsid, block);
                        }
                    }
                }
            }
        }
        self.flights.push(flight);
    }

    /// Looks at what has come back.
    fn land(&mut self) {
        if self.queues.borrow().iter().all(|queue| {
            let queue = queue.borrow();
            queue.is_idle()
        }) {
            // The device has nothing any more that anybody has given up.
            self.ghosts.clear();
        }
        while let Some(index) = self.flights.iter().position(|it| it.call.is_over()) {
            let flight = self.flights.swap_remove(index);
            let done = flight.done.borrow_mut().take();
            let done = done.expect("a request ends with a result");
            self.check(&flight, done);
        }
        self.calls.retain(|call| !call.is_over());
        self.look_at_blocks();
        if self.is_honest {
            assert_eq!(self.machine.model().offences, [""; 0]);
        }
    }

    /// Something that the controller is asked for.
    fn call(&mut self, row: &mut Row<'_>) {
        let controller = self.bench.controller.clone();
        let queues = self.queues.clone();
        let vector = row.byte();
        let call = match row.byte() % 8 {
            0..=2 => Call::new(async move { _ = controller.reset().await }),
            3 => Call::new(async move { _ = controller.shutdown().await }),
            4 => Call::new(async move { _ = controller.rescan().await }),
            5 => Call::new(async move {
                _ = controller.log_page(LogPage::Health, u32::MAX, 512).await;
            }),
            _ => Call::new(async move {
                let vector = (vector & 1 != 0).then_some(u16::from(vector >> 3));
                if let Ok(queue) = controller.queue(vector).await {
                    queues.borrow_mut().push(Rc::new(RefCell::new(queue)));
                }
            }),
        };
        self.bench.executor.spawn(call.run());
        self.calls.push(call);
    }

    /// What registers and identify data say is not true any more, or it cannot be stopped.
    fn lie(&mut self, row: &mut Row<'_>) {
        let what = row.byte();
        self.is_honest = false;
        let mut model = self.machine.model();
        model.logs.are_rubbish = what & 1 != 0;
        model.fickle = what & 2 != 0;
        model.all_ones = what & 12 == 12;
        model.all_zeros = what & 48 == 48;
        model.ignores_stop = what & 0xc0 == 0xc0;
        model.never_stops |= what & 0xc0 == 0x80 && what & 4 != 0;
        self.may_lose |= model.ignores_stop;
    }

    /// Something that a sound controller has to say.
    fn happen(&mut self, row: &mut Row<'_>) {
        let (what, blocks) = (row.byte(), row.below(5000));
        let mut model = self.machine.model();
        match what % 8 {
            0 => model.event(Event::TEMPERATURE),
            1 => model.event(Event::NAMESPACES),
            2 => model.event(Event::FIRMWARE),
            3 => {
                self.is_honest = false;
                model.storm_of_events(blocks | u64::from(what) << 8);
            }
            // Never so small that blocks are lost that requests have named.
            4 => model.resize(1, 640 + blocks),
            5 => {
                // Requests that are on their way have metadata that there is no place for.
                self.is_honest = false;
                model.unplug(2);
            }
            6 => {
                // Never one that there was before: it could have other blocks.
                model.plug(self.next_namespace, disk(blocks, 9 + what / 8 % 5));
                self.next_namespace += 1;
            }
            _ => {
                self.is_honest = false;
                model.activate_firmware(blocks * 1000);
            }
        }
    }
}
