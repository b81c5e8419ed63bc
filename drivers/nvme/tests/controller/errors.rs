//! Error statuses: every one is seen, named, and leaves the controller in use.

use crate::model::{Bench, Config, list, status};
use nvme::{Command, CommandError, Error};

/// Reads 64 blocks from block 0 with a bad block in between, in commands of two.
fn read_with_bad_block(config: Config, bad: &[(u64, u8, u8)]) -> (Bench, Error) {
    let bench = Bench::new(config);
    for (block, sct, sc) in bad {
        let bad = status(*sct, *sc).with_dnr(*sc % 2 == 1);
        bench.machine.model().bad_blocks.insert(*block, bad);
    }
    let bus = bench.pages(64);
    let target = list(&[(bus, 64 * 4096)]);
    let error = bench.read(1, 0, &target);
    let error = error.expect_err("a block is bad");
    bench.check();
    (bench, error)
}

fn config() -> Config {
    Config::with_disk(4096, 12).mdts(1)
}

#[test]
fn an_error_names_block_status_and_retry() {
    let (_bench, error) = read_with_bad_block(config(), &[(21, 2, 0x81)]);
    assert_eq!(
        error,
        Error::Command(CommandError {
            command: Command::Read,
            nsid: 1,
            block: Some(20),
            status: status(2, 0x81).with_dnr(true),
        })
    );
    assert_eq!(
        error.to_string(),
        "Read of namespace 1 at block 20: Unrecovered Read Error (SCT 2h, SC 81h, do not retry)"
    );
}

/// Each command of a long request has a slot. All of them come back, whichever command fails.
#[test]
fn nothing_is_lost_where_commands_fail() {
    let bench = Bench::new(config());
    let bus = bench.pages(64);
    let target = list(&[(bus, 64 * 4096)]);
    for block in 0..64 {
        let bad = status(2, 0x81).with_dnr(true);
        bench.machine.model().bad_blocks.insert(block, bad);
        assert!(bench.read(1, 0, &target).is_err());
        assert!(bench.queue.borrow().is_idle(), "{block}");
        bench.machine.model().bad_blocks.remove(&block);
        if block > 0 {
            let two = [block - 1, block].map(|block| (block, bad));
            bench.machine.model().bad_blocks.extend(two);
            assert!(bench.read(1, 0, &target).is_err());
            assert!(bench.queue.borrow().is_idle(), "{block}");
            bench.machine.model().bad_blocks.clear();
        }
    }
    bench.read(1, 0, &target).expect("it still works");
}

/// Code 0 of another type than 0 is an error.
#[test]
fn the_status_code_type_counts() {
    for sct in 1..8 {
        let (_bench, error) = read_with_bad_block(config(), &[(3, sct, 0)]);
        match error {
            Error::Command(error) => assert_eq!(error.status.sct(), sct),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn every_status_is_an_error_with_a_name() {
    let bench = Bench::new(config());
    let bus = bench.pages(1);
    let target = list(&[(bus, 4096)]);
    for sct in 0..8 {
        for sc in 0..=255 {
            if (sct, sc) == (0, 0) {
                continue;
            }
            let bad = status(sct, sc);
            bench.machine.model().bad_blocks.insert(9, bad);
            match bench.read(1, 9, &target) {
                Err(Error::Command(error)) => {
                    assert_eq!(error.status, bad);
                    assert!(!error.status.name().is_empty());
                }
                other => panic!("{other:?}"),
            }
        }
    }
    bench.machine.model().bad_blocks.clear();
    bench.read(1, 9, &target).expect("it still works");
    assert_eq!(bench.counters().errors, 8 * 256 - 1);
}

/// Of several errors the lowest block is told, whichever came first: what is before it is
/// good.
#[test]
fn of_several_errors_the_lowest_block_is_told() {
    for seed in 1..30 {
        let mut config = config();
        config.out_of_order = true;
        config.per_tick = 1;
        config.seed = seed;
        let (bench, error) =
            read_with_bad_block(config, &[(50, 2, 0x81), (31, 0, 0x84), (40, 1, 0x82)]);
        match error {
            Error::Command(error) => assert_eq!(error.block, Some(30)),
            error => panic!("{error}"),
        }
        let model = bench.machine.model();
        // The data went to the first pages that were mapped after the driver's.
        let bus = model.log[0].prp1;
        let good = model.memory.contents(&list(&[(bus, 30 * 4096)]));
        assert_eq!(good, model.contents(1, 0, 30, 12));
    }
}

/// After an error nothing new is sent, and everything that was sent is waited for.
#[test]
fn an_error_stops_the_rest_of_the_transfer() {
    let mut config = config().mqes(3);
    config.per_tick = 1;
    let (bench, _) = read_with_bad_block(config, &[(0, 0, 6)]);
    let sent = bench.commands().len();
    assert_eq!(sent, 3, "what fitted into the queue at once");
}

#[test]
fn a_write_error_is_a_write_error() {
    let bench = Bench::new(config());
    let read_only = status(1, 0x82).with_dnr(true);
    bench.machine.model().bad_blocks.insert(8, read_only);
    let bus = bench.pages(1);
    let error = bench.write(1, 8, &list(&[(bus, 4096)]));
    assert_eq!(
        error,
        Err(Error::Command(CommandError {
            command: Command::Write,
            nsid: 1,
            block: Some(8),
            status: read_only,
        }))
    );
}

#[test]
fn a_flush_error_is_told() {
    let bench = Bench::new(config());
    let fault = status(2, 0x80);
    bench.machine.model().bad_blocks.insert(u64::MAX, fault);
    let error = bench.flush(1).expect_err("it fails");
    assert_eq!(
        error.to_string(),
        "Flush of namespace 1: Write Fault (SCT 2h, SC 80h)"
    );
    bench.machine.model().bad_blocks.clear();
    bench.flush(1).expect("it works again");
}

#[test]
fn a_controller_that_refuses_to_delete_queues_is_shut_down_all_the_same() {
    let bench = Bench::new(config());
    let internal = status(0, 6);
    bench.machine.model().bad_admin.insert(0x00, internal);
    bench.shutdown().expect("it shuts down");
    // The model takes offence at queues that are left, which here is its own fault.
    bench.machine.model().offences.clear();
}
