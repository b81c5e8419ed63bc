//! Log pages.

use crate::model::{Bench, Config, list, status};
use nvme::Command;

fn bench() -> Bench {
    Bench::new(Config::with_everything())
}

#[test]
fn logs_are_read_and_understood() {
    let bench = bench();
    let memory = list(&[(bench.pages(1), 4096)]);
    for block in 0..5 {
        bench.read(1, block, &memory).expect("it reads");
    }
    let health = bench.run(bench.controller.health()).expect("a log");
    assert_eq!((health.reads, health.writes), (5, 0));
    assert!(health.celsius().is_some());
    let slots = bench.run(bench.controller.firmware_slots()).expect("a log");
    assert_eq!(slots.slots().count(), 1);
    assert_eq!(slots.afi.active(), 1);
}

#[test]
fn an_error_is_in_the_log() {
    let bench = bench();
    assert_eq!(bench.run(bench.controller.errors()), Ok(vec![]));
    let bad = status(2, 0x81).with_dnr(true);
    bench.machine.model().bad_blocks.insert(7, bad);
    let memory = list(&[(bench.pages(1), 4096)]);
    bench.read(1, 0, &memory).expect_err("a bad block");
    let errors = bench.run(bench.controller.errors()).expect("a log");
    assert_eq!(errors.len(), 1);
    let status = errors[0].status;
    assert_eq!((status.sct(), status.sc()), (2, 0x81));
    assert_eq!((errors[0].nsid, errors[0].sqid), (1, 1));
}

#[test]
fn effects_are_read() {
    let bench = bench();
    let effects = bench.run(bench.controller.effects()).expect("a log");
    let of = |command: Command| match command.is_admin() {
        true => effects.admin[usize::from(command.opcode())],
        false => effects.io[usize::from(command.opcode())],
    };
    assert!(of(Command::Write).csupp() && of(Command::Write).lbcc());
    assert!(of(Command::FormatNvm).asks_for_rescan());
    assert!(of(Command::NamespaceAttachment).asks_for_rescan());
    assert!(!of(Command::Read).lbcc());
}
