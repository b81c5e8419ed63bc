//! The same commands on different machines.

use std::time::Duration;

use harness::image::{self, Image};
use harness::machine::{Machine, exit};
use harness::vm::{self, Conditions, Console};
use harness::workspace;

use crate::support::{run, sha256};

/// Reads a file on this machine and compares it with the host's.
fn reads_the_license(arguments: &[&str], qemu: &[&str]) {
    let license = std::fs::read(workspace::root().join("LICENSE-APACHE")).expect("it is here");
    let command = ["--exec", "sha256sum /LICENSE-APACHE"];
    run(&[arguments, &command, &["--"], qemu].concat())
        .ok()
        .shows(&sha256(&license));
}

#[test]
fn blocks_of_512_bytes() {
    reads_the_license(&["--block-size", "512"], &[]);
}

#[test]
fn blocks_of_4096_bytes() {
    reads_the_license(&["--block-size", "4096"], &[]);
}

#[test]
fn a_controller_without_a_transfer_limit() {
    reads_the_license(&[], &["-global", "nvme.mdts=0"]);
}

#[test]
fn a_controller_that_transfers_two_pages_at_most() {
    reads_the_license(&[], &["-global", "nvme.mdts=1"]);
}

#[test]
fn large_blocks_and_small_transfers_together() {
    reads_the_license(&["--block-size", "4096"], &["-global", "nvme.mdts=1"]);
}

#[test]
fn seabios() {
    reads_the_license(&["--firmware", "seabios"], &[]);
}

#[test]
fn qboot() {
    reads_the_license(&["--firmware", "qboot"], &[]);
}

#[test]
fn little_memory() {
    reads_the_license(&["--memory", "64M"], &[]);
}

#[test]
fn memory_on_both_sides_of_4_gib() {
    reads_the_license(&["--memory", "6G"], &[]);
}

#[test]
fn a_great_deal_of_memory() {
    reads_the_license(&["--memory", "900G"], &[]);
}

/// Boots a machine with so much memory, has it do nothing, and returns the guest's time.
fn boot_time(image: &Image, ram: u64) -> Duration {
    let exec = tempfile::NamedTempFile::new().expect("temporary files can be made");
    std::fs::write(exec.path(), "help").expect("it is ours");
    let mut machine = Machine {
        ram,
        ..Machine::new(&image.elf)
    };
    machine
        .inputs
        .push(("opt/phyros/exec".to_owned(), exec.path().to_owned()));
    let limit = Some(Duration::from_secs(60));
    let conditions = Conditions {
        console: Console::Captured,
        limit,
    };
    let ending = vm::boot(&machine, conditions).expect("QEMU starts");
    assert_eq!(ending.code(), Some(exit::SUCCESS), "{}", ending.serial);
    ending.guest_time
}

/// Nothing in the kernel grows with the amount of memory, and so neither does the time.
#[test]
fn booting_takes_as_long_with_900_gib_as_with_64_mib() {
    let image = image::build("starter").expect("the image builds");
    let sizes = [64 << 20, 6 << 30, 900 << 30];
    // Other tests run beside this one. The fastest of many boots has met the fewest of them.
    let mut fastest = [Duration::MAX; 3];
    for _ in 0..12 {
        for (time, ram) in fastest.iter_mut().zip(sizes) {
            *time = boot_time(&image, ram).min(*time);
        }
        let (least, most) = (fastest.iter().min(), fastest.iter().max());
        if most
            .zip(least)
            .is_some_and(|(most, least)| *most < least.mul_f64(1.2))
        {
            return;
        }
    }
    panic!("booting with 64M, 6G and 900G takes {fastest:?}");
}
