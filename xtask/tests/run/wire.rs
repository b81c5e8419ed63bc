//! What is on the wire, and a wire on which frames get lost.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use harness::dissect::{self, Wires};
use harness::vm::network;
use vm_test::pattern;

use crate::nbd::Nbd;
use crate::served::Served;
use crate::support::{Folder, finish, run, sha256, text};

/// Bytes each way.
const LEN: usize = 1 << 20;

fn content(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    pattern::fill(seed, 0, &mut bytes);
    bytes
}

#[test]
fn files_and_disks_are_intact_where_frames_get_lost() {
    let folder = Folder::new();
    let shared = folder.file("content");
    fs::create_dir(&shared).expect("the folder can be written");
    fs::write(shared.join("large.bin"), content(7)).expect("the folder can be written");
    let disk = folder.write("disk", content(8));
    let machine = Served::start(&[
        "--net",
        "lossy",
        "--copy",
        text(&shared),
        "--disk",
        text(&disk),
        "--nbd-write",
    ]);
    // From the machine, until chance has taken something of it. Once in a thousand times it spares a megabyte.
    let again = (0..8).find(|_| {
        let (head, body) = machine.get("/files/large.bin", "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(sha256(&body), sha256(&content(7)));
        machine.counter("phyros_network_trouble_total{what=\"retransmitted\"}") > 0
    });
    assert!(again.is_some(), "nothing was sent once more");
    // To the machine.
    let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
    for (at, piece) in content(9).chunks(128 << 10).enumerate() {
        let offset = (at * (128 << 10)) as u64;
        assert_eq!(client.ask(1, offset, piece.len() as u32, piece), 0);
    }
    machine.end();
    let found = fs::read(&disk).expect("the disk is there");
    assert_eq!(sha256(&found), sha256(&content(9)));
}

/// A web server that has one thing, and gives it once.
fn serve(content: Vec<u8>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there are ports");
    let port = listener.local_addr().expect("it has one").port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody calls");
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("it asks");
            asked.push(byte[0]);
        }
        let head = format!(
            "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        stream.write_all(head.as_bytes()).expect("it listens");
        stream.write_all(&content).expect("it listens");
    });
    port
}

#[test]
fn all_that_passes_is_written_down_and_a_dissector_finds_no_fault() {
    let folder = Folder::new();
    let capture = folder.file("frames.pcap");
    let port = serve(content(5));
    let script = format!("ping 10.0.2.2; wget --sum http://10.0.2.2:{port}/thing");
    let sum = sha256(&content(5));
    run(&["--net", "user", "--pcap", text(&capture), "--exec", &script])
        .ok()
        .shows(&format!("{sum}  {LEN} bytes\n"));
    let written = fs::metadata(&capture).expect("it is there").len();
    assert!(written > LEN as u64, "only {written} bytes");
    let wires = Wires {
        has_sums: true,
        is_whole: true,
    };
    match dissect::complaints(&capture, wires).expect("it can be read") {
        Some(found) => assert_eq!(found, [""; 0]),
        None => println!("nobody judges what was written down: apt-get install tshark"),
    }
}

#[test]
fn a_thing_is_fetched_intact_where_frames_get_lost() {
    let (port, sum) = (serve(content(6)), sha256(&content(6)));
    let script = format!("wget --sum http://10.0.2.2:{port}/thing");
    run(&["--net", "lossy", "--exec", &script])
        .ok()
        .shows(&format!("{sum}  {LEN} bytes\n"));
}

#[test]
fn a_tap_that_is_not_there_is_told_with_what_to_type() {
    if network::obstacle().is_some() {
        return;
    }
    run(&["--net", "tap", "--ifname", "no-such-tap"])
        .failed()
        .says("sudo ip tuntap add dev no-such-tap mode tap user $USER\n")
        .says("sudo ip addr add 10.7.0.1/24 dev no-such-tap\n");
    run(&["--net", "tap", "--http", "0"])
        .failed()
        .says("ports of this computer lead through QEMU's user network");
    run(&["--pcap", "x", "--exec", "ip"])
        .failed()
        .says("give the machine one, for example with --net user");
}

#[test]
fn the_host_s_kernel_is_the_neighbour_on_a_tap() {
    if let Some(why) = network::obstacle() {
        println!("nothing is tried: {why}");
        return;
    }
    let folder = Folder::new();
    let capture = folder.file("frames.pcap");
    // A network of its own, in which the interface has no name that anybody else could have.
    let script = format!(
        "mount -t sysfs sysfs /sys && ip tuntap add dev tap0 mode tap && ip addr add 10.7.0.1/24 dev tap0 && \
         ip link set tap0 up && exec {} run --timeout 400 --net tap --pcap {} \
         --exec 'ip net0 10.7.0.2/24; ping 10.7.0.1; ip'",
        env!("CARGO_BIN_EXE_xtask"),
        text(&capture)
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &script]);
    command.current_dir(harness::workspace::root());
    finish(&mut command)
        .ok()
        .shows("10.7.0.1 answers, number 3")
        .shows("10.7.0.2/24");
    assert!(fs::metadata(&capture).expect("it is there").len() > 300);
}
