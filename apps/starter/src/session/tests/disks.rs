//! Controllers, and how fast disks are.

use super::*;

fn machine() -> Fake {
    let mut machine = Fake::default();
    for name in ["nvme0n1", "nvme1n1"] {
        machine.volumes.push(shown_disk(name, 512, 1 << 17, "QEMU"));
    }
    machine
}

#[test]
fn controllers_are_listed_with_what_they_did_and_what_ails_them() {
    assert_eq!(output("nvme"), "no NVMe controllers\n");
    let (_, text) = run(&machine(), "nvme");
    assert_eq!(
        text,
        "NAME     QUEUES  RESETS  COMMANDS    DOORBELLS   INTERRUPTS  STATE  MODEL\n\
         nvme0         4       2  1000        300         200         good   QEMU NVMe Ctrl\n\
         nvme1         4       2  1000        300         200         dead   QEMU NVMe Ctrl\n\
         \x20        the device is gone\n"
    );
}

#[test]
fn a_controller_is_asked_for_its_logs_and_reset() {
    for (script, expected) in [
        ("nvme health nvme0", "temperature 50 C\n"),
        ("nvme errors nvme0", "no errors\n"),
        ("nvme reset nvme0", ""),
    ] {
        assert_eq!(run(&machine(), script), (Outcome::Success, expected.into()));
    }
    for (script, expected) in [
        ("nvme reset nvme1", "nvme: nvme1: the device is gone\n"),
        (
            "nvme health nvme7",
            "nvme: there is no controller `nvme7`; `nvme` lists them\n",
        ),
        (
            "nvme health",
            "nvme: usage: nvme [health|errors|reset NAME]\n",
        ),
    ] {
        assert_eq!(run(&machine(), script), (Outcome::Failure, expected.into()));
    }
}

#[test]
fn a_bench_has_a_line_for_each_depth() {
    let (outcome, text) = run(&machine(), "bench nvme0n1");
    assert_eq!(outcome, Outcome::Success, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[2], "    1    10000        40     5000        20");
    assert_eq!(lines.len(), 2 + 7);
    let (outcome, text) = run(&machine(), "bench nvme1n1");
    assert_eq!(outcome, Outcome::Failure);
    assert!(
        text.ends_with("bench: nvme1n1: the device is gone\n"),
        "{text}"
    );
}
