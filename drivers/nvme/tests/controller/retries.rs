//! Commands that are sent again, and commands that are called off.

use crate::model::{AbortPolicy, Bench, Config, Data, Fate, Then, status};
use nvme::{Access, Options, Request};

fn bench(crdt: [u16; 3]) -> Bench {
    let mut config = Config::with_everything();
    config.identify.crdt = crdt;
    Bench::with_options(config, Options::default())
}

fn read(bench: &Bench) -> Request<Data> {
    let disk = bench.namespace(1).expect("a namespace");
    let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
    Request::with_data(disk.read(0, 8).expect("a read"), data)
}

/// A controller may say how long to wait (CRD), if the host has said that it listens (ACRE).
#[test]
fn a_retry_waits_as_long_as_the_controller_says() {
    const READ: u8 = 2;
    for (crd, least, most) in [(0, 0, 2_000_000), (1, 3_000_000, 6_000_000)] {
        let bench = bench([30, 0, 0]);
        let busy = status(0, 0x82).with_crd(crd);
        let fate = Fate::of_next(READ, Then::End(busy));
        bench.machine.model().fates.push(fate);
        let before = bench.machine.model().clock;
        assert_eq!(bench.execute(read(&bench)).result, Ok(0));
        let passed = bench.machine.model().clock - before;
        assert!((least..=most).contains(&passed), "{passed} microseconds");
        assert_eq!(bench.commands().len(), 2);
    }
}

/// A command that takes for ever is aborted, and sent once more; the controller is not reset.
#[test]
fn a_late_command_is_aborted() {
    const READ: u8 = 2;
    const ABORT: u8 = 8;
    let bench = bench([0; 3]);
    bench.machine.model().abort_policy = AbortPolicy::Works;
    let fate = Fate::of_next(READ, Then::Hold);
    bench.machine.model().fates.push(fate);
    assert_eq!(bench.execute(read(&bench)).result, Ok(0));
    assert!(bench.machine.model().admin_log.contains(&ABORT));
    assert_eq!(bench.controller.resets(), 0);
    assert_eq!(bench.commands().len(), 2);
}
