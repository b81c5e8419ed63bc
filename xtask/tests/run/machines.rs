//! The same commands on different machines.

use std::time::Duration;

use harness::image::{self, Image};
use harness::machine::{Machine, exit};
use harness::records::Event;
use harness::vm::{self, Conditions, Console, Ending};
use harness::workspace;

use crate::support::{Folder, run, sha256, text};

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
fn empty_slots_are_ports_with_nothing_behind() {
    let folder = tempfile::tempdir().expect("there is room");
    let socket = folder.path().join("monitor");
    let socket = socket.to_str().expect("it is text");
    run(&["--slots", "2", "--qmp", socket, "--exec", "lspci"])
        .ok()
        .shows("PCI bridge to bus 01")
        .shows("PCI bridge to bus 02");
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

/// Boots a machine with so much memory, and returns what is left when it has ended.
fn boot(image: &Image, ram: u64, input: (&str, &str), qemu: &[&str]) -> Ending {
    let file = tempfile::NamedTempFile::new().expect("temporary files can be made");
    std::fs::write(file.path(), input.1).expect("it is ours");
    let mut machine = Machine {
        ram,
        ..Machine::new(&image.elf)
    };
    machine
        .inputs
        .push((input.0.to_owned(), file.path().to_owned()));
    machine.extra = qemu.iter().map(Into::into).collect();
    let limit = Some(Duration::from_secs(400));
    let conditions = Conditions {
        console: Console::Captured,
        limit,
    };
    let ending = vm::boot(&machine, conditions).expect("QEMU starts");
    assert_eq!(ending.code(), Some(exit::SUCCESS), "{}", ending.serial);
    ending
}

const SIZES: [u64; 3] = [64 << 20, 6 << 30, 900 << 30];

/// Whether none of the numbers is more than a fifth above another.
fn are_alike(numbers: [f64; 3]) -> bool {
    numbers
        .iter()
        .all(|&a| numbers.iter().all(|&b| a <= b * 1.2))
}

/// Nothing in the kernel grows with the amount of memory. QEMU counts the guest's instructions here,
/// so that the answer is the same on a busy host as on an idle one.
#[test]
fn booting_takes_as_many_instructions_with_900_gib_as_with_64_mib() {
    let image = image::build("vm-tests").expect("the image builds");
    let input = (
        "opt/phyros/test",
        "vm_tests::smoke::tells_how_long_booting_took",
    );
    let counts = SIZES.map(|ram| {
        let ending = boot(&image, ram, input, &["-icount", "shift=0,sleep=off"]);
        let ticks = ending.channel.events().find_map(|event| match event {
            Event::Note(note) => note.strip_prefix("ticks ")?.parse::<f64>().ok(),
            _ => None,
        });
        ticks.expect("the guest tells its ticks")
    });
    assert!(
        are_alike(counts),
        "with 64M, 6G and 900G these are {counts:?} instructions"
    );
}

/// A name of 20 bytes ends with the last one; a longer one is cut, and what a terminal would obey is not printed.
#[test]
fn disks_are_listed_with_what_they_are_called() {
    let folder = Folder::new();
    let image = folder.write("disk.img", vec![0; 1 << 20]);
    let names = [
        ("one", "virtio disk one"),
        ("twenty-characters-20", "virtio disk twenty-characters-20"),
        (
            "twenty-characters-20-and-more",
            "virtio disk twenty-characters-20",
        ),
        ("red\x1b[31m\u{e4}", "virtio disk red?[31m??"),
        ("", "virtio disk"),
    ];
    let mut devices = Vec::new();
    for (number, (name, _)) in names.iter().enumerate() {
        let drive = format!(
            "id=d{number},if=none,format=raw,read-only=on,file={}",
            text(&image)
        );
        let device = format!("virtio-blk-pci,drive=d{number},serial={name}");
        devices.extend(["-drive".to_owned(), drive, "-device".to_owned(), device]);
    }
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    let listing = run(&[&["--exec", "lsblk", "--"], &devices[..]].concat()).ok();
    let listed = listing.out.lines().filter(|line| line.starts_with("vd"));
    let models: Vec<&str> = listed
        .filter_map(|line| Some(&line[line.find("virtio disk")?..]))
        .collect();
    assert_eq!(models, names.map(|(_, shown)| shown), "{listing}");
}
