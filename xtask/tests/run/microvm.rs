//! A board without PCI, from the command line to the wire; and how little RAM is enough to serve.

use std::fs;

use vm_test::pattern;

use crate::nbd::Nbd;
use crate::served::Served;
use crate::support::{Folder, run, text};

const FILE: usize = 3_000_001;
const DISK: usize = 1 << 20;

/// A folder with a large file, and what is in that.
fn content(folder: &Folder) -> (String, Vec<u8>) {
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    let mut bytes = vec![0; FILE];
    pattern::fill(7, 0, &mut bytes);
    fs::write(content.join("large.bin"), &bytes).expect("the folder can be written");
    (text(&content).to_owned(), bytes)
}

/// A file arrives as it is, and what is written over the network is on the disk afterwards.
fn serves(machine: &str) {
    let folder = Folder::new();
    let (shared, file) = content(&folder);
    let mut expected = vec![0; DISK];
    pattern::fill(11, 0, &mut expected);
    let disk = folder.write("disk", &expected);
    let arguments = ["--machine", machine, "--memory", "32M", "--nbd-write"];
    let disks = ["--disk", text(&disk), "--copy", &shared];
    let served = Served::start(&[&arguments[..], &disks].concat());
    let (head, body) = served.get("/files/large.bin", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body == file, "the file is another");
    let mut client = Nbd::begin(served.connect("nbd"), "vda", DISK as u64);
    assert!(client.read(0, DISK) == expected);
    for (offset, len) in [(5, 1), (4000, 9000), (65_536, 131_072), (DISK - 1, 1)] {
        let data: Vec<u8> = (0..len).map(|at| (at * 3 + offset) as u8).collect();
        assert_eq!(client.ask(1, offset as u64, len as u32, &data), 0);
        expected[offset..offset + len].copy_from_slice(&data);
    }
    assert!(client.read(0, DISK) == expected);
    assert_eq!(client.ask(3, 0, 0, &[]), 0, "it flushes");
    match machine {
        "microvm-bare" => served.end_without_button(),
        _ => served.end(),
    }
    // The host looks for itself.
    let found = fs::read(&disk).expect("the disk is there");
    let wrong = (0..DISK).find(|at| found[*at] != expected[*at]);
    assert_eq!(wrong, None, "this byte is wrong");
}

#[test]
fn a_board_without_pci_serves_files_and_a_disk() {
    serves("microvm");
}

#[test]
fn a_board_without_tables_serves_files_and_a_disk() {
    serves("microvm-bare");
}

/// A whole file, from a machine that has no more than this.
fn serves_with(machine: &str, memory: &str) {
    let folder = Folder::new();
    let (shared, file) = content(&folder);
    let served = Served::start(&["--machine", machine, "--memory", memory, "--copy", &shared]);
    for _ in 0..3 {
        let (head, body) = served.get("/files/large.bin", "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(body == file, "the file is another");
    }
    served.end();
}

#[test]
fn a_board_without_pci_serves_with_8_mib_of_ram() {
    serves_with("microvm", "8M");
}

#[test]
fn a_pc_serves_with_10_mib_of_ram() {
    serves_with("q35", "10M");
}

#[test]
fn a_machine_with_too_little_ram_says_so() {
    for machine in ["q35", "microvm", "microvm-bare"] {
        run(&["--machine", machine, "--memory", "5M", "--exec", "mem"])
            .failed()
            .shows("loader: not enough memory: ")
            .shows("give the machine more memory");
    }
    // Where the loader itself does not fit, nobody in the machine can say anything.
    run(&["--memory", "4M", "--exec", "mem"]).failed().says(
        "--memory: the loader alone needs 5M, and to serve takes 8M on microvm and 10M on q35",
    );
}

#[test]
fn what_needs_pci_is_refused_before_anything_is_built() {
    for flags in [
        &["--interface", "nvme"][..],
        &["--slots", "1"],
        &["--iommu"],
    ] {
        run(&[&["--machine", "microvm"], flags].concat())
            .failed()
            .says("microvm has no PCI. Leave it out, or use --machine q35");
    }
}
