//! The command line, and what is missing on a fresh computer.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::support::{Folder, finish, run, text, xtask};

#[test]
fn every_verb_explains_itself() {
    for verb in [
        "run", "test", "setup", "doctor", "lint", "image", "book", "clients",
    ] {
        let outcome = finish(&mut xtask(&[verb, "--help"])).ok();
        assert!(
            outcome.out.lines().count() > 5,
            "`{verb} --help` is short: {outcome}"
        );
    }
    finish(&mut xtask(&["--help"]))
        .ok()
        .shows("cargo xtask run")
        .shows("doctor");
}

#[test]
fn a_dry_run_prints_the_line_and_boots_nothing() {
    let arguments = [
        "--dry-run",
        "--memory",
        "6G",
        "--exec",
        "ls",
        "--",
        "-trace",
        "pci_*",
    ];
    let outcome = run(&arguments).ok();
    assert_eq!(outcome.out.lines().count(), 1, "{outcome}");
    outcome
        .shows("qemu-system-x86_64 ")
        .shows("-m 6G")
        .shows("opt/phyros/exec")
        .shows("-trace 'pci_*'");
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    run(&["--disk", "/no/such/image"])
        .failed()
        .says("/no/such/image");
    run(&["--share", "/no/such/folder"])
        .failed()
        .says("/no/such/folder");
    run(&["--copy", "/no/such/folder"])
        .failed()
        .says("/no/such/folder");
    run(&["--memory", "lots"])
        .failed()
        .says("`lots` is no size");
    run(&["--block-size", "1000"]).failed().says("512 or 4096");
    run(&["--accel", "magic"]).failed().says("auto, tcg, kvm");
    run(&["--frobnicate"]).failed().says("--frobnicate");
}

#[test]
fn the_doctor_finds_what_is_here() {
    let outcome = finish(&mut xtask(&["doctor"])).ok();
    for line in ["rustc", "qemu", "mke2fs", "kvm"] {
        assert!(outcome.out.contains(line), "{outcome}");
    }
}

/// A computer without QEMU, and with an apt-get that only writes down what it should do.
struct FreshComputer(Folder);

impl FreshComputer {
    fn new() -> Self {
        let folder = Folder::new();
        let log = folder.file("log");
        let script = format!("#!/bin/sh\necho \"apt-get $*\" >> {}\n", text(&log));
        folder.script("apt-get", &script);
        folder.program("xtask", Path::new(env!("CARGO_BIN_EXE_xtask")));
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), everybody).expect("it is ours");
        Self(folder)
    }

    fn xtask(&self, verb: &str) -> std::process::Command {
        let mut command = std::process::Command::new(self.0.file("xtask"));
        command
            .arg(verb)
            .current_dir("/")
            .env("PATH", self.0.path());
        command
            .env_remove("PHYROS_QEMU")
            .env_remove("PHYROS_MKE2FS");
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.file("log")).unwrap_or_default()
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[test]
fn without_root_the_exact_command_is_printed_and_nothing_is_done() {
    for verb in ["setup", "run"] {
        let computer = FreshComputer::new();
        let mut command = computer.xtask(verb);
        if is_root() {
            command.uid(65534).gid(65534);
        }
        let outcome = finish(&mut command).failed();
        let line = "sudo apt-get update && sudo apt-get install --yes --no-install-recommends \
            qemu-system-x86";
        outcome.says("qemu-system-x86_64 is missing").says(line);
        assert_eq!(computer.log(), "", "{verb}");
    }
}

#[test]
fn with_root_the_packages_are_installed_and_the_result_is_checked() {
    if !is_root() {
        return; // only root can show this
    }
    let computer = FreshComputer::new();
    let outcome = finish(&mut computer.xtask("setup")).failed();
    let log = computer.log();
    assert!(
        log.starts_with("apt-get update\napt-get install --yes --no-install-recommends "),
        "{log}"
    );
    assert!(log.contains("qemu-system-x86"), "{log}");
    outcome
        .says("$ apt-get update")
        .says("is still missing after the installation");
}

#[test]
fn a_tool_that_the_environment_names_is_taken_at_its_word() {
    let mut command = xtask(&["setup"]);
    finish(command.env("PHYROS_QEMU", "/no/such/qemu"))
        .failed()
        .says("/no/such/qemu");
}
