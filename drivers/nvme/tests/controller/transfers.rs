//! Reading, writing, flushing: the right bytes, in the right place, and no other byte.

use crate::allocation;
use crate::model::{Bench, CANARY, Config, Data, disk, list};
use nvme::{Access, Error, Request, RequestError, Unmappable};
use std::task::{Context, Waker};

#[test]
fn a_read_brings_the_blocks_and_touches_nothing_else() {
    let bench = Bench::new(Config::default());
    let bus = bench.pages(3);
    // Into the middle of a page, over the boundary, and on into the next one.
    let target = list(&[(bus + 0xe04, 0x400)]);
    bench.read(1, 10, &target).expect("it reads");
    assert_eq!(bench.contents(&target), bench.disk(1, 10, 2));
    let before = list(&[(bus, 0xe04)]);
    let after = list(&[(bus + 0x1204, 0x3000 - 0x1204)]);
    for rest in [before, after] {
        assert!(bench.contents(&rest).iter().all(|byte| *byte == CANARY));
    }
    assert_eq!(bench.commands(), [(2, 1, 10, 2)]);
}

#[test]
fn a_write_changes_its_blocks_and_no_other() {
    let bench = Bench::new(Config::default());
    let around = [bench.disk(1, 0, 99), bench.disk(1, 101, 10)];
    let bus = bench.pages(1);
    let source = list(&[(bus + 0x200, 0x400)]);
    let data: Vec<u8> = (0..0x400_u32).map(|byte| ((byte * 7) >> 3) as u8).collect();
    bench.set_contents(&source, &data);
    bench.write(1, 99, &source).expect("it writes");
    assert_eq!(bench.disk(1, 99, 2), data);
    assert_eq!([bench.disk(1, 0, 99), bench.disk(1, 101, 10)], around);
    assert_eq!(bench.contents(&source), data, "the source stays as it was");
    assert_eq!(bench.commands(), [(1, 1, 99, 2)]);
}

#[test]
fn blocks_of_any_size_are_counted_as_blocks() {
    for shift in [9, 10, 12, 13, 16] {
        let bench = Bench::new(Config::with_disk(64, shift));
        let bus = bench.pages(64);
        let target = list(&[(bus, 3 << shift)]);
        bench.read(1, 61, &target).expect("it reads");
        assert_eq!(bench.contents(&target), bench.disk(1, 61, 3), "2^{shift}");
        assert_eq!(bench.commands(), [(2, 1, 61, 3)]);
    }
}

#[test]
fn scattered_pages_are_one_command() {
    let bench = Bench::new(Config::default());
    let (first, second) = (bench.pages(4), bench.pages(4));
    let target = list(&[
        (second + 0xe00, 0x200),
        (first + 0x3000, 0x1000),
        (first, 0x2000),
        (second + 0x2000, 0x200),
    ]);
    bench.read(1, 0, &target).expect("it reads");
    assert_eq!(bench.contents(&target), bench.disk(1, 0, 26));
    assert_eq!(bench.commands(), [(2, 1, 0, 26)]);
}

#[test]
fn the_last_block_can_be_reached_and_the_next_one_cannot() {
    let bench = Bench::new(Config::with_disk(100, 12));
    let bus = bench.pages(2);
    let one = list(&[(bus, 0x1000)]);
    let two = list(&[(bus, 0x2000)]);
    bench.read(1, 99, &one).expect("it reads");
    assert_eq!(bench.contents(&one), bench.disk(1, 99, 1));
    bench.commands();
    for (block, blocks, list) in [(100, 1, &one), (99, 2, &two), (u64::MAX, 1, &one)] {
        let out_of_range = RequestError::OutOfRange {
            block,
            blocks,
            capacity: 100,
        };
        let refused = Err(Error::Request(out_of_range));
        assert_eq!(bench.read(1, block, list), refused);
        assert_eq!(bench.write(1, block, list), refused);
    }
    assert_eq!(bench.commands(), []);
}

#[test]
fn blocks_beyond_32_bits_are_addressed() {
    let bench = Bench::new(Config::with_disk(1 << 40, 9));
    let bus = bench.pages(1);
    let target = list(&[(bus, 0x1000)]);
    let block = (1 << 40) - 8;
    bench.read(1, block, &target).expect("it reads");
    assert_eq!(bench.contents(&target), bench.disk(1, block, 8));
}

#[test]
fn lengths_that_are_no_blocks_are_refused() {
    let bench = Bench::new(Config::with_disk(100, 12));
    let bus = bench.pages(2);
    for bytes in [0, 4, 512, 4095, 4097, 6144] {
        let list = if bytes == 0 {
            list(&[])
        } else {
            list(&[(bus, bytes)])
        };
        let length = RequestError::Length {
            bytes,
            block_size: 4096,
        };
        assert_eq!(bench.read(1, 0, &list), Err(Error::Request(length)));
    }
    assert_eq!(bench.commands(), []);
}

#[test]
fn memory_that_no_command_can_describe_is_refused_before_anything_is_sent() {
    let bench = Bench::new(Config::with_disk(1000, 12));
    let bus = bench.pages(64);
    let cases = [
        (
            vec![(bus, 0x8000), (bus + 0x9002, 0x1000)],
            Unmappable::Misaligned { offset: 0x8000 },
        ),
        (
            vec![(bus + 1, 0x1000)],
            Unmappable::Misaligned { offset: 0 },
        ),
        (
            vec![(bus, 0x8800), (bus + 0xa000, 0x800)],
            Unmappable::InsideBlock { offset: 0x8800 },
        ),
    ];
    for (pieces, reason) in cases {
        let list = list(&pieces);
        let refused = Err(Error::Request(RequestError::Memory(reason)));
        assert_eq!(bench.read(1, 0, &list), refused);
        assert_eq!(bench.write(1, 0, &list), refused);
    }
    assert_eq!(bench.commands(), []);
    assert_eq!(bench.dead(), None);
}

#[test]
fn flush_is_sent_only_if_there_is_a_cache() {
    let bench = Bench::new(Config::default());
    bench.flush(1).expect("it flushes");
    assert_eq!(bench.commands(), [(0, 1, 0, 1)]);
    assert_eq!(bench.counters().others, 1);

    let mut config = Config::default();
    config.identify.vwc = 6;
    let bench = Bench::new(config);
    assert!(!bench.controller.identity().write_cache);
    bench.flush(1).expect("nothing to flush");
    assert_eq!(bench.commands(), []);
}

/// Far more commands than the queues have entries: indices wrap, phases turn.
#[test]
fn short_queues_wrap_again_and_again() {
    for mqes in [1, 2, 3, 7] {
        let bench = Bench::new(Config::with_disk(4096, 12).mqes(mqes).mdts(1));
        let bus = bench.pages(97);
        let target = list(&[(bus, 97 * 4096)]);
        for block in [0, 1000, 3999] {
            bench.read(1, block, &target).expect("it reads");
            assert_eq!(bench.contents(&target), bench.disk(1, block, 97));
        }
        // And one by one.
        let target = list(&[(bus, 4096)]);
        for block in 0..50 {
            bench.read(1, block, &target).expect("it reads");
            assert_eq!(bench.contents(&target), bench.disk(1, block, 1));
        }
    }
}

#[test]
fn completions_in_any_order_are_understood() {
    for seed in 1..20 {
        let mut config = Config::with_disk(4096, 12).mdts(1).mqes(8);
        config.out_of_order = true;
        config.per_tick = 1;
        config.seed = seed;
        let bench = Bench::new(config);
        let bus = bench.pages(64);
        let target = list(&[(bus, 64 * 4096)]);
        bench.read(1, seed, &target).expect("it reads");
        assert_eq!(bench.contents(&target), bench.disk(1, seed, 64));
    }
}

/// One doorbell write for as many commands as there is room for.
#[test]
fn doorbells_are_rung_once_for_a_batch() {
    let bench = Bench::new(Config::with_disk(4096, 12).mdts(1));
    let bus = bench.pages(200);
    let before = bench.counters();
    bench.machine.model().doorbells = 0;
    // 63 commands of two pages fill the queue.
    let target = list(&[(bus, 126 * 4096)]);
    bench.read(1, 0, &target).expect("it reads");
    assert!(bench.machine.model().doorbells <= 2);
    // The answers may be given back with the next commands. There are none.
    assert_eq!(bench.queue.borrow_mut().turn().completed, 0);
    assert_eq!(bench.machine.model().doorbells, 2);
    let after = bench.counters();
    assert_eq!(after.reads - before.reads, 63);
    assert_eq!(after.submission_doorbells - before.submission_doorbells, 1);
    assert_eq!(after.completion_doorbells - before.completion_doorbells, 1);
    assert_eq!(after.bytes - before.bytes, 126 * 4096);
}

#[test]
fn doorbells_are_rung_once_for_many_requests() {
    let bench = Bench::new(Config::with_disk(4096, 12));
    let disk = bench.namespace(1).expect("a namespace");
    let mut queue = bench.queue.borrow_mut();
    let doorbells = || bench.machine.model().doorbells;
    let before = doorbells();
    let tickets: Vec<_> = (0..63)
        .map(|block| {
            let read = disk.read(block, 1).expect("a read");
            let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
            let mut request = Request::with_data(read, data);
            queue.submit(&mut request, Waker::noop()).expect("room")
        })
        .collect();
    assert_eq!(doorbells() - before, 0, "the batch may become longer");
    queue.ring();
    queue.ring();
    assert_eq!(doorbells() - before, 1);
    bench.machine.model().pass(1000);
    assert_eq!(queue.turn().completed, tickets.len());
    assert_eq!(doorbells() - before, 1, "there may be more to tell");
    assert_eq!(queue.turn().completed, 0);
    assert_eq!(
        doorbells() - before,
        2,
        "all answers are given back at once"
    );
    for ticket in tickets {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(queue.poll(&ticket, &mut cx).is_ready());
    }
}

#[test]
fn answers_at_once_cost_no_register_read() {
    let bench = Bench::new(Config::default());
    let bus = bench.pages(1);
    let target = list(&[(bus, 4096)]);
    bench.sleep(1000);
    bench.machine.model().reads = 0;
    for block in 0..100 {
        bench.read(1, block, &target).expect("it reads");
    }
    assert_eq!(bench.machine.model().reads, 0);
}

/// A device that takes its time is asked how it is now and then: once in a scan.
#[test]
fn long_waits_read_the_status_once_in_a_scan() {
    let bench = Bench::new(Config {
        tick: 100,
        ..Config::default()
    });
    let bus = bench.pages(1);
    let target = list(&[(bus, 4096)]);
    bench.machine.model().config.latency = 60_000;
    bench.machine.model().reads = 0;
    bench.read(1, 0, &target).expect("it reads");
    // Six seconds are nine scans.
    let reads = bench.machine.model().reads;
    assert!((9..=12).contains(&reads), "{reads}");
}

#[test]
fn reading_and_writing_allocate_nothing() {
    let bench = Bench::new(Config::with_disk(4096, 12).mdts(0));
    let bus = bench.pages(1100);
    // Over many commands and chained lists, and with rough edges.
    let target = list(&[(bus + 512, 1024 * 4096), (bus + 1030 * 4096 + 8, 8192)]);
    bench.sleep(1000);
    let (allocations, heap) = {
        let before = bench.machine.model().allocations;
        let heap = allocation::count(|| {
            bench.read(1, 3, &target).expect("it reads");
            bench.write(1, 3, &target).expect("it writes");
            bench.flush(1).expect("it flushes");
        });
        (bench.machine.model().allocations - before, heap)
    };
    assert_eq!((allocations, heap), (0, 0));
    assert_eq!(bench.contents(&target), bench.disk(1, 3, 1026));
    assert!(
        allocation::count(|| drop(vec![1])) > 0,
        "the counter counts"
    );
}

/// With a slow device, the call comes back only when all is done.
#[test]
fn a_call_does_not_return_before_the_device_is_done() {
    let mut config = Config::with_disk(4096, 12).mdts(1);
    config.latency = 40;
    config.per_tick = 1;
    let bench = Bench::new(config);
    let bus = bench.pages(100);
    let target = list(&[(bus, 100 * 4096)]);
    bench.read(1, 0, &target).expect("it reads");
    // `check` in the end looks whether the device still works on anything.
    assert_eq!(bench.contents(&target), bench.disk(1, 0, 100));
}

#[test]
fn what_was_written_is_read_back_from_each_namespace() {
    let bench = Bench::new(Config {
        namespaces: vec![(1, disk(512, 9)), (2, disk(512, 12))],
        ..Config::default()
    });
    let bus = bench.pages(8);
    for nsid in [1, 2] {
        let source = list(&[(bus + 0x804, 0x2000)]);
        let data: Vec<u8> = (0..0x2000)
            .map(|byte| (byte / 13) as u8 ^ nsid as u8)
            .collect();
        bench.set_contents(&source, &data);
        bench.write(nsid, 100, &source).expect("it writes");
        let target = list(&[(bus + 0x4000, 0x2000)]);
        bench.read(nsid, 100, &target).expect("it reads");
        assert_eq!(bench.contents(&target), data);
    }
}
