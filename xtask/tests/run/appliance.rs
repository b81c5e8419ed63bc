//! Services of the machine, asked from outside, and its disks, looked at afterwards.

use std::fs;

use vm_test::pattern;

use crate::served::{Nbd, Served};
use crate::support::{Folder, text};

#[test]
fn files_go_from_the_disk_to_the_wire_and_nobody_copies_them() {
    const LEN: usize = 3_000_001;
    let folder = Folder::new();
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    let mut bytes = vec![0; LEN];
    pattern::fill(7, 0, &mut bytes);
    fs::write(content.join("large.bin"), &bytes).expect("the folder can be written");
    let machine = Served::start(&["--share", text(&content)]);
    let copied = machine.counter("phyros_delivered_bytes_total{way=\"copied\"}");
    // Finding the file reads what leads to it; after that, its data is all that is read.
    let (head, _) = machine.get("/files/large.bin", "Range: bytes=0-0\r\n");
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    let found = machine.counter("phyros_delivered_bytes_total{way=\"copied\"}");
    assert!(found > copied, "something led to the file");
    let sent = machine.counter("phyros_http_sent_bytes_total");
    let referred = machine.counter("phyros_network_bytes_total{way=\"referred\"}");
    let written = machine.counter("phyros_network_bytes_total{way=\"copied\"}");
    let (head, body) = machine.get("/files/large.bin", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body == bytes);
    let (_, part) = machine.get("/files/large.bin", "Range: bytes=1000001-2000000\r\n");
    assert!(part == bytes[1_000_001..=2_000_000]);
    let now = machine.counter("phyros_http_sent_bytes_total");
    assert_eq!(now - sent, LEN as u64 + 1_000_000);
    // The stack says the same of its own work.
    let refers = machine.counter("phyros_network_bytes_total{way=\"referred\"}") - referred;
    let writes = machine.counter("phyros_network_bytes_total{way=\"copied\"}") - written;
    assert!(refers >= LEN as u64 + 1_000_000, "only {refers} bytes");
    assert!(writes < 100_000, "the CPU has copied {writes} bytes");
    let after = machine.counter("phyros_delivered_bytes_total{way=\"copied\"}");
    assert_eq!(after, found, "the CPU has copied data of the file");
    let (head, page) = machine.get("/", "");
    assert!(head.contains("text/html") && page.ends_with(b"</html>\n"));
    let (_, state) = machine.get("/api/state", "");
    let state: serde_json::Value = serde_json::from_slice(&state).expect("it is JSON");
    let memory = state["memory"].as_array().expect("it has memory");
    assert!(
        memory.iter().any(|range| range["kind"] == "free"),
        "{memory:?}"
    );
    machine.end();
}

#[test]
fn what_is_written_over_the_network_is_on_the_disk_when_the_machine_has_ended() {
    const LEN: usize = 1 << 20;
    let folder = Folder::new();
    let mut expected = vec![0; LEN];
    pattern::fill(11, 0, &mut expected);
    let disk = folder.write("disk", &expected);
    let machine = Served::start(&["--disk", text(&disk), "--block-size", "4096", "--nbd-write"]);
    let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
    assert!(client.read(0, LEN) == expected);
    // Within a block, over the ends of some, and whole ones.
    for (offset, len) in [(5, 1), (4000, 9000), (65_536, 131_072), (LEN - 1, 1)] {
        let data: Vec<u8> = (0..len).map(|at| (at * 3 + offset) as u8).collect();
        assert_eq!(client.ask(1, offset as u64, len as u32, &data), 0);
        expected[offset..offset + len].copy_from_slice(&data);
    }
    assert_eq!(
        client.ask(1, LEN as u64, 1, &[1]),
        28,
        "it is beyond the end"
    );
    assert!(client.read(0, LEN) == expected);
    assert_eq!(
        machine.counter("phyros_nbd_bytes_total{way=\"written\"}"),
        140_074
    );
    machine.end();
    // The host looks for itself.
    let found = fs::read(&disk).expect("the disk is there");
    let wrong = (0..LEN).find(|at| found[*at] != expected[*at]);
    assert_eq!(wrong, None, "this byte is wrong");
}

#[test]
fn a_disk_that_is_not_to_be_written_is_not() {
    let folder = Folder::new();
    let before = vec![0x5a; 1 << 20];
    let disk = folder.write("disk", &before);
    let machine = Served::start(&["--disk", text(&disk)]);
    let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", 1 << 20);
    assert_eq!(client.ask(1, 0, 512, &[1; 512]), 1);
    assert!(client.read(0, 1024) == before[..1024]);
    machine.end();
    assert!(fs::read(&disk).expect("the disk is there") == before);
}
