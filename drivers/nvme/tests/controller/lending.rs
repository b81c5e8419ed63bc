//! The host memory buffer: lent at bring-up, returned before a shutdown, kept over a reset.

use crate::model::{Bench, Config, Machine, status};
use nvme::Options;

/// Bytes that the model would like: 16 pages; 4 are enough.
const WANTED: u64 = 16 * 4096;

fn bench(machine: Machine, most: u64) -> Bench {
    let mut options = Options::default();
    options.host_memory = most;
    Bench::start_with(machine, options).expect("it comes up")
}

fn machine() -> Machine {
    Machine::new(Config::with_everything())
}

/// Bytes that the controller has.
fn lent(bench: &Bench) -> u64 {
    let model = bench.machine.model();
    let pieces = &model.host_memory.pieces;
    let bytes = pieces.iter().map(|(_, bytes)| bytes).sum();
    drop(model);
    assert_eq!(bench.controller.host_memory(), bytes);
    bytes
}

/// The controller leaves marks in what it has, and looks for them.
fn make_use_of_it(bench: &Bench) {
    let bus = bench.pages(1);
    let memory = crate::model::list(&[(bus, 4096)]);
    for block in 0..100 {
        bench.read(1, block, &memory).expect("it reads");
    }
    bench.machine.model().memory.unmap(bus, 1);
    bench.check();
}

#[test]
fn a_controller_gets_the_memory_that_it_wants() {
    let bench = bench(machine(), 1 << 20);
    assert_eq!(lent(&bench), WANTED);
    make_use_of_it(&bench);
    let pages = bench.machine.model().memory.mapped_pages();
    for _ in 0..3 {
        bench.reset().expect("it comes back");
        assert_eq!(lent(&bench), WANTED);
        assert_eq!(bench.machine.model().memory.mapped_pages(), pages);
        make_use_of_it(&bench);
    }
    bench.shutdown().expect("it shuts down");
    assert_eq!(lent(&bench), 0);
    bench.reset().expect("it comes back");
    assert_eq!(lent(&bench), WANTED);
}

#[test]
fn a_host_with_little_memory_gives_little_or_none() {
    assert_eq!(lent(&bench(machine(), 5 * 4096 + 7)), 5 * 4096);
    assert_eq!(lent(&bench(machine(), 3 * 4096)), 0);
    assert_eq!(lent(&bench(machine(), 0)), 0);
    let refused = machine();
    let internal = status(0, 6);
    refused.model().bad_admin.insert(0x09, internal);
    // Nothing works without that command; the memory has come back all the same.
    assert!(Bench::start(refused.clone()).is_err());
    assert_eq!(refused.model().memory.mapped_pages(), 0);
}

/// No room for all in one piece: it comes in several.
#[test]
fn memory_is_lent_in_pieces() {
    let mut config = Config::with_everything();
    config.identify.hmpre = 400;
    config.pages = 700;
    let machine = Machine::new(config);
    {
        // A page in the middle is somebody's.
        let memory = &mut machine.model().memory;
        let front = memory.map(300).expect("room");
        memory.map(1).expect("room");
        memory.unmap(front, 300);
    }
    let bench = bench(machine, 1 << 30);
    let pieces = bench.machine.model().host_memory.pieces.len();
    assert!(pieces > 1);
    assert_eq!(lent(&bench), 400 * 4096);
}

#[test]
fn interrupts_are_coalesced_from_the_start() {
    let coalescing = nvme::admin::Coalescing::new()
        .with_threshold(7)
        .with_time(2);
    let mut options = Options::default();
    options.coalescing = Some(coalescing);
    let bench = Bench::with_options(Config::with_everything(), options);
    assert_eq!(bench.machine.model().feature(0x08), 0x0207);
    bench.reset().expect("it comes back");
    assert_eq!(bench.machine.model().feature(0x08), 0x0207);
}

/// Some controllers do not bear to be looked at while they start.
#[test]
fn a_slow_controller_is_left_alone() {
    let device = nvme::Device {
        vendor: 0x144d,
        device: 0xa821,
    };
    let machine = Machine::new(Config {
        device: Some(device),
        ..Config::default()
    });
    let before = machine.model().clock;
    let bench = Bench::start(machine).expect("it comes up");
    let passed = bench.machine.model().clock - before;
    assert!((2_300_000..4_600_000).contains(&passed), "{passed}");
    let before = bench.machine.model().clock;
    bench.reset().expect("it comes back");
    let passed = bench.machine.model().clock - before;
    assert!((4_600_000..6_900_000).contains(&passed), "{passed}");
}
