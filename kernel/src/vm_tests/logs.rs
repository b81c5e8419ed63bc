//! What a controller writes down about itself, compared with what QEMU is known to do.

use super::disk;
use super::namespaces::controller;
use crate::block::BlockError;
use crate::block::blocking::wait;
use crate::memory::frames::Frames;
use crate::storage;
use alloc::string::String;
use alloc::vec;
use embassy_futures::yield_now;
use nvme::wire::{CommandEffects, Effects, Health};
use vm_test::{control, pattern, seed, vm_test};

fn health() -> Health {
    wait(controller().health()).expect("it has a health log")
}

/// QEMU's own count of an operation on disk 0: `rd_operations`, `wr_bytes` and so on.
fn counted(what: &str) -> u128 {
    let answer = control::monitor("info blockstats");
    let text = String::from_utf8_lossy(answer.text()).into_owned();
    let mut words = text.split_whitespace();
    let number = words.find_map(|word| word.strip_prefix(what)?.strip_prefix('='));
    let number = number.and_then(|number| number.parse().ok());
    number.expect("QEMU counts it")
}

/// The most bytes that fit into that many data units, which are rounded up.
const UNIT: u128 = 512_000;

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn health_counts_what_was_read_and_written() {
    const LEN: usize = 1 << 20;
    let disk = disk();
    let before = health();
    assert_eq!(before.reads, counted("rd_operations"));
    for block in 0..5 {
        disk.read_now(block, &mut vec![0; 512]).expect("it reads");
    }
    let after = health();
    assert_eq!(
        (after.reads - before.reads, after.writes),
        (5, before.writes)
    );
    assert_eq!(after.reads, counted("rd_operations"));

    let mut frames = Frames::allocate(LEN as u64).expect("there is memory");
    pattern::fill(seed(), 0, frames.bytes_mut());
    let frames = wait(disk.write(0, frames)).expect("it writes");
    wait(disk.read(0, frames)).expect("it reads");
    let last = health();
    assert_eq!(last.writes, counted("wr_operations"));
    assert_eq!(last.reads, counted("rd_operations"));
    assert_eq!(last.units_written, counted("wr_bytes").div_ceil(UNIT));
    assert_eq!(last.units_read, counted("rd_bytes").div_ceil(UNIT));

    // What QEMU makes up: 50 degrees, and nothing that wears out.
    assert_eq!(last.celsius(), Some(50));
    assert_eq!((last.warning.into_bits(), last.media_errors), (0, 0));
}

/// QEMU keeps no log of errors. The page is there, and all of its entries are unused.
#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn a_failed_command_is_in_no_count_and_in_no_log() {
    let disk = disk();
    let before = health();
    control::faults(0, "read at 4096");
    let failed = disk.read_now(8, &mut vec![0; 512]);
    assert!(matches!(failed, Err(BlockError::Device(_))));
    control::faults(0, "");
    let after = health();
    assert_eq!((after.reads, after.media_errors), (before.reads, 0));
    assert_eq!(after.error_entries, 0);
    assert_eq!(wait(controller().errors()).expect("there is a page"), []);
}

#[vm_test(machine = "nvme", timeout = 60)]
fn a_warning_about_health_is_heard() {
    let _ = disk();
    let before = storage::controllers()[0].events();
    assert_eq!(health().warning.into_bits(), 0);
    control::smart_warning(0, 1);
    wait(async {
        while storage::controllers()[0].events() == before {
            yield_now().await;
        }
    });
    assert_eq!(health().warning.into_bits(), 1);
}

#[vm_test(machine = "nvme", timeout = 60)]
fn the_only_firmware_runs() {
    let _ = disk();
    let slots = wait(controller().firmware_slots()).expect("there is a page");
    assert_eq!((slots.afi.active(), slots.afi.next()), (1, 0));
    let used: vec::Vec<_> = slots.slots().collect();
    assert_eq!(used.len(), 1);
    assert_eq!((used[0].0, used[0].1.as_str()), (1, "1.0"));
}

/// The opcodes for which something is true of the log's entry.
fn opcodes(all: &[CommandEffects; 256], is_so: impl Fn(&CommandEffects) -> bool) -> vec::Vec<u8> {
    let opcodes = (0..=255_u8).zip(all);
    opcodes
        .filter(|(_, effects)| is_so(effects))
        .map(|(opcode, _)| opcode)
        .collect()
}

#[vm_test(machine = "nvme", timeout = 60)]
fn effects_are_those_of_the_commands_that_there_are() {
    let disk = disk();
    let Effects { admin, io } = *wait(controller().effects()).expect("there is a page");
    // Queues, logs, identification, abort, features, events; attaching namespaces, virtualization, doorbells;
    // format.
    let there = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x15, 0x1c, 0x7c, 0x80];
    assert_eq!(opcodes(&admin, CommandEffects::csupp), there);
    assert_eq!(opcodes(&admin, CommandEffects::nic), [0x15]);
    assert_eq!(opcodes(&admin, CommandEffects::lbcc), [0x80]);
    // Flush, write, read, compare, write zeroes, dataset management, verify, copy.
    assert_eq!(
        opcodes(&io, CommandEffects::csupp),
        [0, 1, 2, 5, 8, 9, 0xc, 0x19]
    );
    assert_eq!(opcodes(&io, CommandEffects::lbcc), [0, 1, 8, 9, 0x19]);
    // And as the controller says elsewhere.
    let limits = disk.limits();
    assert_eq!(limits.compare, io[5].csupp());
    assert_eq!(limits.write_zeroes.is_some(), io[8].csupp());
    assert_eq!(limits.discard.is_some(), io[9].csupp());
    assert_eq!(limits.verify, io[0xc].csupp());
}
