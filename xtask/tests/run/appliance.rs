//! Services of the machine, asked from outside, and its disks, looked at afterwards.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use vm_test::pattern;

use crate::nbd::Nbd;
use crate::served::Served;
use crate::support::{Folder, finish, text, xtask};

#[test]
fn files_go_from_the_disk_to_the_wire_and_nobody_copies_them() {
    const LEN: usize = 3_000_001;
    let folder = Folder::new();
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    let mut bytes = vec![0; LEN];
    pattern::fill(7, 0, &mut bytes);
    fs::write(content.join("large.bin"), &bytes).expect("the folder can be written");
    let machine = Served::start(&["--copy", text(&content)]);
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
fn a_folder_of_the_host_is_served_as_it_is_at_that_moment_and_nobody_copies_it() {
    const LEN: usize = 3_000_001;
    let folder = Folder::new();
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    let mut bytes = vec![0; LEN];
    pattern::fill(7, 0, &mut bytes);
    fs::write(content.join("large.bin"), &bytes).expect("the folder can be written");
    folder.write("secret", "not shared\n");
    std::os::unix::fs::symlink("../secret", content.join("up")).expect("it is ours");
    let machine = Served::start(&["--share", text(&content)]);
    let copied = machine.counter("phyros_delivered_bytes_total{way=\"copied\"}");
    let direct = machine.counter("phyros_delivered_bytes_total{way=\"direct\"}");
    let written = machine.counter("phyros_network_bytes_total{way=\"copied\"}");
    let (head, body) = machine.get("/files/large.bin", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body == bytes);
    let (_, part) = machine.get("/files/large.bin", "Range: bytes=1000001-2000000\r\n");
    assert!(part == bytes[1_000_001..=2_000_000]);
    let after = machine.counter("phyros_delivered_bytes_total{way=\"copied\"}");
    assert_eq!(after, copied, "the CPU has copied data of the file");
    let after = machine.counter("phyros_delivered_bytes_total{way=\"direct\"}");
    assert_eq!(after - direct, LEN as u64 + 1_000_000);
    let writes = machine.counter("phyros_network_bytes_total{way=\"copied\"}") - written;
    assert!(writes < 100_000, "the CPU has copied {writes} bytes");
    fs::write(content.join("large.bin"), "short\n").expect("the folder can be written");
    let (_, body) = machine.get("/files/large.bin", "");
    assert_eq!(body, b"short\n");
    let (head, list) = machine.get("/files/", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let list = String::from_utf8_lossy(&list).into_owned();
    assert!(
        list.contains("large.bin") && !list.contains("secret"),
        "{list}"
    );
    for path in [
        "/files/up",
        "/files/../secret",
        "/files/%2e%2e/secret",
        "/files/no",
    ] {
        let (head, body) = machine.get(path, "");
        assert!(head.starts_with("HTTP/1.1 4"), "{path}: {head}");
        assert!(!String::from_utf8_lossy(&body).contains("not shared"));
    }
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
fn what_is_said_to_the_echo_comes_back() {
    const LEN: usize = 200_000;
    let machine = Served::start(&["--echo", "0"]);
    let mut stream = machine.connect("echo");
    let mut said = vec![0; LEN];
    pattern::fill(12, 0, &mut said);
    let mut speaker = stream.try_clone().expect("it can be had twice");
    let heard = thread::scope(|scope| {
        scope.spawn(|| {
            speaker.write_all(&said).expect("it listens");
            speaker.shutdown(Shutdown::Write).expect("it is open");
        });
        let mut heard = vec![];
        stream.read_to_end(&mut heard).expect("it answers");
        heard
    });
    assert!(heard == said);
    machine.end();
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

#[test]
fn two_hundred_clients_at_once_get_what_they_ask_for() {
    const CLIENTS: usize = 200;
    const LEN: usize = 20_000;
    let folder = Folder::new();
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    let bytes = |number: usize| {
        let mut bytes = vec![0; LEN + number];
        pattern::fill(number as u64, 0, &mut bytes);
        bytes
    };
    for number in 0..CLIENTS {
        let path = content.join(number.to_string());
        fs::write(path, bytes(number)).expect("the folder can be written");
    }
    let machine = Served::start(&["--copy", text(&content)]);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (machine, expected) = (&machine, bytes(number));
            scope.spawn(move || {
                let (head, body) = machine.get(&format!("/files/{number}"), "");
                assert!(head.starts_with("HTTP/1.1 200 "), "{number}: {head}");
                assert!(body == expected, "{number}: {} bytes", body.len());
            });
        }
    });
    let good = machine.counter("phyros_http_answers_total{status=\"2xx\"}");
    assert_eq!(good, CLIENTS as u64);
    // What is sent once more is not counted: a host that is busy is late with its answers.
    for trouble in ["refused", "evicted"] {
        let name = format!("phyros_network_trouble_total{{what=\"{trouble}\"}}");
        assert_eq!(machine.counter(&name), 0, "{trouble}");
    }
    machine.end();
}

#[test]
fn the_page_is_opened_in_a_browser_if_there_is_a_way() {
    let folder = Folder::new();
    let nothing = folder.file("nothing");
    fs::create_dir(&nothing).expect("the folder can be written");
    let mut command = xtask(&["run", "--http", "0", "--open"]);
    let outcome = finish(command.env("PATH", &nothing)).failed();
    outcome.says("`apt-get install xdg-utils`");
    // Something that writes down what it is to open.
    let log = folder.file("log");
    let script = format!(
        "#!/bin/sh\necho \"$1\" > {0}.new; mv {0}.new {0}\n",
        text(&log)
    );
    folder.script("xdg-open", &script);
    let path = std::env::var("PATH").expect("there is one");
    let machine = Served::start_in(&["--open"], &format!("{}:{path}", text(folder.path())));
    while !log.exists() {
        thread::yield_now();
    }
    let opened = fs::read_to_string(&log).expect("it is there");
    assert_eq!(opened.trim(), machine.place("http"));
    machine.end();
}
