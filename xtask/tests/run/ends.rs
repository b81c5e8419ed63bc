//! How a machine ends is what `run` says, and what its exit status says.

use harness::micro::Micro;

use crate::support::{Folder, Outcome, run, text};

/// Runs a guest of a few instructions in the kernel's place.
fn run_micro(guest: Micro, arguments: &[&str]) -> Outcome {
    let folder = Folder::new();
    let path = folder.file("guest.elf");
    guest.write(&path).expect("the folder can be written");
    run(&[arguments, &["--", "-kernel", text(&path)]].concat())
}

#[test]
fn a_panic_is_a_failure_with_a_backtrace_of_names_and_lines() {
    run(&["--exec", "panic"])
        .failed()
        .says("the kernel panicked")
        .says("backtrace")
        .says("commands::panic::run")
        .says("apps/starter/src/commands/panic.rs:")
        .says("starter::main");
}

#[test]
fn a_triple_fault_is_a_failure_although_qemu_s_status_is_zero() {
    run_micro(Micro::new().triple_fault(), &[])
        .failed()
        .says("triple fault");
    run_micro(Micro::new().triple_fault(), &["--exec", "help"])
        .failed()
        .says("triple fault");
}

#[test]
fn a_hang_ends_with_the_time_limit() {
    let outcome = run_micro(Micro::new(), &["--timeout", "2"]);
    outcome.failed().says("it still ran after 2 s");
}

#[test]
fn success_and_failure_of_the_guest_are_ours() {
    run_micro(Micro::new().exit(0x10), &["--exec", "help"]).ok();
    run_micro(Micro::new().exit(0x20), &["--exec", "help"]).failed();
}

#[test]
fn qemu_s_own_failure_is_not_the_guest_s() {
    run(&["--exec", "help", "--", "-device", "no-such-device"])
        .failed()
        .says("no-such-device")
        .says("QEMU could not run the machine");
}
