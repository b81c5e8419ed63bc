//! Work that goes on while one types.

use super::*;

fn machine() -> Fake {
    let mut machine = Fake::default();
    machine
        .volumes
        .push(shown_disk("nvme0n1", 512, 1 << 17, "QEMU"));
    machine
}

#[test]
fn a_command_waits_for_its_job_and_says_how_it_ended() {
    let (outcome, text) = run(&machine(), "iostress nvme0n1 --seed 4 --depth 3");
    assert_eq!(outcome, Outcome::Success);
    assert_eq!(text, "iostress nvme0n1: seed 4, depth 3\n");
    let (outcome, text) = run(&machine(), "iostress nvme0n1 --seed 5; echo never");
    assert_eq!(outcome, Outcome::Failure);
    assert_eq!(text, "iostress: iostress nvme0n1: block 7 is torn\n");
}

#[test]
fn a_job_goes_on_in_the_background() {
    let script = "jobs; iostress nvme0n1 --seed 2 &; jobs; wait; jobs";
    let (outcome, text) = run(&machine(), script);
    assert_eq!(outcome, Outcome::Success, "{text}");
    assert_eq!(
        text,
        "no jobs\n\
         job 1 has begun\n\
         \x20 1 runs    iostress nvme0n1: half of it\n\
         iostress nvme0n1: seed 2, depth 8\n\
         \x20 1 done    iostress nvme0n1: seed 2, depth 8\n"
    );
}

#[test]
fn a_failed_job_fails_whoever_waits() {
    let script = "iostress nvme0n1 --seed 1 &; iostress nvme0n1 --seed 2 &; wait";
    let (outcome, text) = run(&machine(), script);
    assert_eq!(outcome, Outcome::Failure);
    assert!(
        text.ends_with("wait: iostress nvme0n1: block 7 is torn\n"),
        "{text}"
    );
}

#[test]
fn a_disk_with_something_on_it_is_not_overwritten_by_mistake() {
    let mut machine = machine();
    machine.volumes[0].has_ext4 = true;
    let (outcome, text) = run(&machine, "iostress nvme0n1");
    assert_eq!(outcome, Outcome::Failure);
    assert_eq!(
        text,
        "iostress: nvme0n1 holds partitions or a file system; add --overwrite to lose them\n"
    );
    machine.volumes[0].has_ext4 = false;
    machine
        .volumes
        .push(shown_disk("nvme0n1p1", 512, 1 << 11, ""));
    assert_eq!(run(&machine, "iostress nvme0n1").0, Outcome::Failure);
    let (outcome, _) = run(&machine, "iostress nvme0n1 --seed 2 --overwrite");
    assert_eq!(outcome, Outcome::Success);
}

#[test]
fn mistakes_are_explained() {
    for (script, part) in [
        ("iostress", "usage: iostress DISK"),
        (
            "iostress nvme7n1",
            "there is no disk or partition `nvme7n1`",
        ),
        ("iostress nvme0n1 --seconds", "usage: iostress DISK"),
        ("iostress nvme0n1 --seconds soon", "`soon` is no number"),
        ("iostress nvme0n1 --hours 3", "usage: iostress DISK"),
        ("wait 1", "takes no arguments"),
    ] {
        let (outcome, text) = run(&machine(), script);
        assert_eq!(outcome, Outcome::Failure, "{script}");
        assert!(text.contains(part), "{script}: {text}");
    }
}
