//! iperf3's protocol, spoken by a client of our own, and by iperf3 itself if somebody asks for it.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::served::Served;

/// Nobody is silent for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a block, and of a datagram.
const LEN: usize = 1000;

/// Bytes of a datagram's head.
const HEAD: usize = 12;

/// What all connections of a test have in common.
const COOKIE: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789\0";

fn start() -> Served {
    Served::start(&["--iperf", "0"])
}

fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).expect("it answers");
    bytes
}

/// The connection to talk.
struct Talk(TcpStream);

impl Talk {
    /// Up to when the others are to be opened.
    fn begin(machine: &Served, wanted: &Value) -> Self {
        let mut talk = Self(machine.connect("iperf"));
        talk.0.write_all(COOKIE).expect("it listens");
        assert_eq!(read(&mut talk.0), [9], "it wants to know");
        talk.say(wanted);
        assert_eq!(read(&mut talk.0), [10], "it waits for the others");
        talk
    }

    fn say(&mut self, value: &Value) {
        let text = value.to_string();
        let all = [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
        self.0.write_all(&all).expect("it listens");
    }

    fn runs(&mut self) {
        assert_eq!(read(&mut self.0), [1, 2], "it starts and runs");
    }

    /// The end of the test, and what was counted of each connection: bytes, datagrams, and those that were lost.
    fn end(mut self) -> Vec<[u64; 3]> {
        self.0.write_all(&[4]).expect("it listens");
        assert_eq!(read(&mut self.0), [13], "it says what it has counted");
        self.say(&json!({}));
        let len = u32::from_be_bytes(read(&mut self.0));
        let mut text = vec![0; len as usize];
        self.0.read_exact(&mut text).expect("it says all of it");
        assert_eq!(read(&mut self.0), [14], "it may be shown");
        self.0.write_all(&[16]).expect("it listens");
        let value: Value = serde_json::from_slice(&text).expect("it is JSON");
        let streams = value["streams"].as_array().expect("there are some").iter();
        let of = |one: &Value, name: &str| one[name].as_u64().expect("it is a number");
        let names = ["bytes", "packets", "errors"];
        streams.map(|one| names.map(|name| of(one, name))).collect()
    }
}

/// Somebody who sends and gets datagrams, whom the machine knows by now.
fn lane(machine: &Served) -> UdpSocket {
    let lane = UdpSocket::bind("127.0.0.1:0").expect("there are ports");
    lane.set_read_timeout(Some(PATIENCE)).expect("it is a time");
    lane.connect(machine.address("iperf"))
        .expect("it is an address");
    lane.send(b"9876").expect("it can be sent");
    let mut reply = [0; 2 * LEN];
    let len = lane.recv(&mut reply).expect("it answers");
    assert_eq!(&reply[..len], b"6789");
    lane
}

fn datagram(number: u32) -> [u8; LEN] {
    let mut bytes = [0xa5; LEN];
    bytes[8..HEAD].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Waits until the machine has received so many bytes.
fn received(machine: &Served, bytes: u64) {
    while machine.counter("phyros_iperf_bytes_total{way=\"received\"}") < bytes {}
}

#[test]
fn iperf3_sends_datagrams_and_hears_which_were_lost() {
    let machine = start();
    let wanted = json!({ "udp": true, "parallel": 2, "len": LEN });
    let mut talk = Talk::begin(&machine, &wanted);
    let lanes = [lane(&machine), lane(&machine)];
    talk.runs();
    // Not more at once than a card without memory to spare takes.
    let mut bytes = 0;
    for number in (1..=20).filter(|number| number % 5 != 3) {
        for lane in &lanes {
            lane.send(&datagram(number)).expect("it can be sent");
            bytes += LEN as u64;
        }
        received(&machine, bytes);
    }
    assert_eq!(talk.end(), [[16 * LEN as u64, 20, 4]; 2]);
    assert_eq!(machine.counter("phyros_iperf_tests_total"), 1);
    machine.end();
}

#[test]
fn iperf3_gets_datagrams_while_it_sends_some() {
    let machine = start();
    let wanted = json!({ "udp": true, "bidirectional": true, "len": LEN, "bandwidth": 400_000 });
    let mut talk = Talk::begin(&machine, &wanted);
    let (up, down) = (lane(&machine), lane(&machine));
    talk.runs();
    let mut bytes = [0; 2 * LEN];
    let mut highest = 0;
    for round in 1..=10 {
        up.send(&datagram(round)).expect("it can be sent");
        received(&machine, u64::from(round) * LEN as u64);
        assert_eq!(down.recv(&mut bytes).expect("they come"), LEN);
        let number = u32::from_be_bytes(bytes[8..HEAD].try_into().expect("four bytes"));
        assert!(number > highest, "{number} after {highest}");
        highest = number;
        assert!(bytes[HEAD..LEN].iter().all(|byte| *byte == 0));
    }
    let [ours, theirs] = talk.end()[..] else {
        panic!("there are two");
    };
    assert_eq!(ours, [10 * LEN as u64, 10, 0]);
    assert!(theirs[1] >= u64::from(highest) && theirs[0] == theirs[1] * LEN as u64);
    machine.end();
}

#[test]
fn iperf3_sends_and_gets_bytes_at_once() {
    const BYTES: usize = 300_000;
    let machine = start();
    let wanted = json!({ "tcp": true, "bidirectional": true, "parallel": 1, "len": LEN });
    let mut talk = Talk::begin(&machine, &wanted);
    let open = || {
        let mut stream = machine.connect("iperf");
        stream.write_all(COOKIE).expect("it listens");
        stream
    };
    let mut first = open();
    // Which of the two sends is told by which comes first; the second one must not overtake it.
    first.flush().expect("it listens");
    machine.counter("phyros_iperf_tests_total");
    let second = open();
    talk.runs();
    let (mut up, mut down) = (first, second);
    let speaks = std::thread::spawn(move || {
        up.write_all(&[7; BYTES]).expect("it listens");
        up
    });
    let mut bytes = vec![9; BYTES];
    down.read_exact(&mut bytes).expect("they come");
    assert!(bytes.iter().all(|byte| *byte == 0));
    let up = speaks.join().expect("it speaks");
    // More come until the test is over.
    let heard = std::thread::spawn(move || std::io::copy(&mut down, &mut std::io::sink()));
    received(&machine, BYTES as u64);
    let [ours, theirs] = talk.end()[..] else {
        panic!("there are two");
    };
    assert_eq!(ours[0], BYTES as u64);
    assert!(theirs[0] >= BYTES as u64);
    drop(up);
    let _ = heard.join();
    machine.end();
}

/// iperf3 itself, with these arguments; what it prints.
fn iperf3(machine: &Served, arguments: &[&str]) -> Value {
    let (host, port) = machine.address("iperf").split_once(':').expect("a port");
    let mut command = Command::new("iperf3");
    command.args(["-J", "-c", host, "-p", port]).args(arguments);
    let output = command.output();
    let output = output.expect("`iperf3` is missing: apt-get install iperf3");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "iperf3 {arguments:?} fails: {text}"
    );
    serde_json::from_str(&text).expect("it prints JSON")
}

#[test]
#[ignore = "needs iperf3: apt-get install iperf3"]
fn iperf3_itself_is_content() {
    let machine = start();
    let of = |value: &Value, path: &str| {
        let number = value.pointer(path).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("there is no {path}: {value}"))
    };
    for arguments in [
        &["-n", "24M"][..],
        &["-n", "4M", "-R"],
        &["-n", "48M", "-P", "2"],
        &["-n", "24M", "--bidir"],
    ] {
        let said = iperf3(&machine, arguments);
        // What is on its way at the end counts for nobody, and the host has room for some megabytes.
        let bytes = of(&said, "/end/sum_received/bytes");
        assert!(bytes > 10_000, "{arguments:?}: {bytes}");
    }
    for arguments in [
        &["-u", "-n", "100K", "-l", "1400"][..],
        &["-u", "-n", "100K", "-l", "1400", "-R"],
        &[
            "-u",
            "-n",
            "100K",
            "-l",
            "1400",
            "-P",
            "2",
            "--udp-counters-64bit",
        ],
        &["-u", "-n", "100K", "-l", "1400", "--bidir"],
    ] {
        let said = iperf3(&machine, arguments);
        let (packets, lost) = (
            of(&said, "/end/sum/packets"),
            of(&said, "/end/sum/lost_packets"),
        );
        assert!(
            packets >= 73 && lost < packets / 4,
            "{arguments:?}: {lost} of {packets}"
        );
    }
    assert_eq!(machine.counter("phyros_iperf_tests_total"), 8);
    machine.end();
}
