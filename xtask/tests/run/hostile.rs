//! Clients that mean harm, and a machine that goes on serving.
//!
//! The machine waits for nobody longer than [`PATIENCE`], so what is slow is over soon, and a counter tells that it
//! is. Everything is done several times: the first time fills what has a bound, and after that the machine has as
//! much memory as before.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use vm_test::pattern;

use crate::nbd::Nbd;
use crate::served::Served;
use crate::support::{Folder, text};

/// Milliseconds.
const PATIENCE: &str = "3000";

/// Bytes of the heap that may differ: connections that are over are remembered for some seconds, a thousand of them at
/// most, and each look at the counters is one.
const NOISE: u64 = 256 << 10;

const OK: u16 = 200;

/// What a connection has brought when it has ended, however it has.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = vec![];
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it does not end: {error}"),
    }
    all
}

/// The status of the first answer, if there is one.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ")?.first_chunk::<3>()?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

impl Served {
    /// Says this, and nothing else. The status of the answer, behind which the connection has ended.
    fn says(&self, request: &[u8]) -> Option<u16> {
        let mut stream = self.connect("http");
        // It may have ended before all of it is said.
        let _ = stream.write_all(request);
        let answer = rest(&mut stream);
        let answers = answer.windows(9).filter(|nine| nine == b"HTTP/1.1 ");
        assert!(answers.count() <= 1, "it took some of that for a request");
        status(&answer)
    }

    /// Waits until a counter has come so far.
    fn until(&self, name: &str, count: u64) {
        while self.counter(name) < count {}
        assert_eq!(self.counter(name), count, "{name}");
    }

    /// Waits until nobody is connected but who asks.
    fn until_alone(&self) {
        while self.counter("phyros_network_connections") > 1 {}
    }

    /// Free bytes, and those of the heap that somebody has.
    fn memory(&self) -> [u64; 2] {
        self.until_alone();
        ["phyros_memory_free_bytes", "phyros_heap_used_bytes"].map(|name| self.counter(name))
    }
}

fn assert_flat(memory: &[[u64; 2]]) {
    let [.., before, after] = memory else {
        panic!("there was one round only");
    };
    assert_eq!(before[0], after[0], "free bytes: {memory:?}");
    let is_flat = after[1] <= before[1] + NOISE;
    assert!(is_flat, "bytes of the heap: {memory:?}");
}

/// Heads that are refused, and how.
fn refused() -> Vec<(Vec<u8>, u16)> {
    let head = |text: &str| format!("{text}\r\n\r\n").into_bytes();
    let fields = |text: &str| head(&format!("GET / HTTP/1.1\r\nHost: x\r\n{text}"));
    vec![
        (head("GET /"), 400),
        (head("GET / HTTP/1.1"), 400),
        (head("GET / HTTP/1.1\r\nHost: x\r\nHost: y"), 400),
        (fields("no colon"), 400),
        (fields("A b: c"), 400),
        (fields("A: b\r\n folded"), 400),
        (fields("A: \0"), 400),
        (fields("Content-Length: -1"), 400),
        (fields("Content-Length: 1\r\nContent-Length: 2"), 400),
        (fields("Content-Length: 99999999999999999999999"), 400),
        (
            fields("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            400,
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            400,
        ),
        (b"\0".repeat(100), 400),
        (b"\xff".repeat(9000), 400),
        (
            head("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close"),
            400,
        ),
        (
            head("GET /%00 HTTP/1.1\r\nHost: x\r\nConnection: close"),
            404,
        ),
        (
            head("GET /none HTTP/1.1\r\nHost: x\r\nConnection: close"),
            404,
        ),
        (
            head("DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close"),
            405,
        ),
        (fields("Transfer-Encoding: chunked"), 411),
        (
            head("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999"),
            405,
        ),
        (fields("Content-Length: 999999999"), 413),
        (
            head(&format!("GET /{} HTTP/1.1\r\nHost: x", "a".repeat(9000))),
            414,
        ),
        (format!("GET /{}", "a".repeat(100_000)).into_bytes(), 414),
        (
            fields("Range: bytes=999999999999-\r\nConnection: close")
                .replace_target("/disk/nvme0n1"),
            416,
        ),
        (fields("Expect: a miracle"), 417),
        (fields(&format!("A: {}", "a".repeat(9000))), 431),
        (fields(&"A: b\r\n".repeat(100)), 431),
        (
            format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(20_000)).into_bytes(),
            431,
        ),
        (head("BREW / HTTP/1.1\r\nHost: x\r\nConnection: close"), 501),
        (head("GET / HTTP/3.0\r\nHost: x"), 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 505),
    ]
}

trait Targeted {
    fn replace_target(self, target: &str) -> Self;
}

impl Targeted for Vec<u8> {
    fn replace_target(self, target: &str) -> Self {
        let text = String::from_utf8(self).expect("it is text");
        text.replacen("GET /", &format!("GET {target}"), 1)
            .into_bytes()
    }
}

#[test]
fn clients_of_http_that_mean_harm_are_refused_and_cost_nothing() {
    const LEN: usize = 48 << 20;
    const SLOW: usize = 20;
    const DEAF: usize = 4;
    let folder = Folder::new();
    let mut bytes = vec![0; LEN];
    pattern::fill(5, 0, &mut bytes[..1 << 20]);
    let disk = folder.write("disk", &bytes);
    let machine = Served::start(&["--disk", text(&disk), "--patience", PATIENCE]);
    let asks = b"GET /disk/nvme0n1 HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut memory = vec![machine.memory()];
    for round in 1..=2 {
        let timeouts = machine.counter("phyros_http_timeouts_total");
        // Who never finishes a head, who finishes it far too late, who says nothing at all, and who never reads.
        let begin = |number: usize| {
            let mut stream = machine.connect("http");
            stream.write_all(&asks[..number]).expect("it listens");
            stream
        };
        let slow: Vec<TcpStream> = (0..SLOW).map(begin).collect();
        let mut deaf: Vec<TcpStream> = (0..DEAF).map(|_| machine.connect("http")).collect();
        for stream in &mut deaf {
            stream.write_all(asks).expect("it listens");
        }
        // Meanwhile, others are refused,
        for (request, expected) in refused() {
            let found = machine.says(&request);
            let shown = String::from_utf8_lossy(&request[..request.len().min(60)]);
            assert_eq!(found, Some(expected), "{shown:?}");
        }
        // go away in the middle of everything,
        for len in 0..asks.len() {
            let mut stream = machine.connect("http");
            stream.write_all(&asks[..len]).expect("it listens");
        }
        for _ in 0..10 {
            let mut stream = machine.connect("http");
            stream.write_all(asks).expect("it listens");
            stream.read_exact(&mut [0; 5000]).expect("it begins");
        }
        // and are served, however they say it.
        let mut stream = machine.connect("http");
        stream.set_nodelay(true).expect("it is a connection");
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" {
            stream.write_all(&[*byte]).expect("it listens");
        }
        assert_eq!(status(&rest(&mut stream)), Some(OK));
        let (_, part) = machine.get("/disk/nvme0n1", "Range: bytes=1000-99999\r\n");
        assert!(part == bytes[1000..100_000]);
        // Those who are slow have their answer, and those who do not read lose theirs.
        for (number, mut stream) in slow.into_iter().enumerate() {
            let expected = (number > 0).then_some(408);
            assert_eq!(status(&rest(&mut stream)), expected, "after {number} bytes");
        }
        machine.until(
            "phyros_http_timeouts_total",
            timeouts + (SLOW + DEAF) as u64,
        );
        for mut stream in deaf {
            let got = rest(&mut stream);
            assert!(got.len() < LEN, "all of it came");
        }
        machine.until_alone();
        assert_eq!(machine.counter("phyros_http_connections"), 1);
        memory.push(machine.memory());
        eprintln!("round {round}: {:?}", memory.last());
    }
    assert_flat(&memory);
    machine.end();
}

/// An option of a handshake.
fn option(kind: u32, len: u32, data: &[u8]) -> Vec<u8> {
    [
        b"IHAVEOPT",
        &kind.to_be_bytes()[..],
        &len.to_be_bytes(),
        data,
    ]
    .concat()
}

/// The data of `GO`.
fn go(name: &str) -> Vec<u8> {
    [
        &(name.len() as u32).to_be_bytes()[..],
        name.as_bytes(),
        &[0, 0],
    ]
    .concat()
}

/// A request, without data.
fn request(magic: u32, flags: u16, command: u16, offset: u64, len: u32) -> Vec<u8> {
    [
        &magic.to_be_bytes()[..],
        &flags.to_be_bytes(),
        &command.to_be_bytes(),
        &[7; 8],
        &offset.to_be_bytes(),
        &len.to_be_bytes(),
    ]
    .concat()
}

const MAGIC: u32 = 0x2560_9513;

/// Replies to options.
const UNSUPPORTED: u32 = 0x8000_0001;
const INVALID: u32 = 0x8000_0003;
const UNKNOWN: u32 = 0x8000_0006;
const TOO_BIG: u32 = 0x8000_0009;

/// Errors of requests.
const EPERM: u32 = 1;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;

/// Greets, and says this. What the server says to it, up to the end of the connection.
fn says(machine: &Served, flags: u32, all: &[u8]) -> Vec<u8> {
    let mut stream = machine.connect("nbd");
    stream.read_exact(&mut [0; 18]).expect("it greets");
    let _ = stream.write_all(&[&flags.to_be_bytes()[..], all].concat());
    let _ = stream.shutdown(Shutdown::Write);
    rest(&mut stream)
}

/// Options that are refused, and how.
fn refuses_options(machine: &Served) {
    let named = go("nvme0n1");
    let len = named.len() as u32;
    for (what, asked, answer) in [
        ("an unknown one", option(77, 0, b""), UNSUPPORTED),
        ("TLS", option(5, 0, b""), UNSUPPORTED),
        ("no data", option(7, 0, b""), INVALID),
        (
            "half of it",
            option(7, len - 3, &named[..named.len() - 3]),
            INVALID,
        ),
        (
            "a name of 4 GiB",
            option(6, 6, &[255, 255, 255, 255, 0, 0]),
            INVALID,
        ),
        (
            "more kinds than there are",
            option(6, 6, &[0, 0, 0, 0, 255, 255]),
            INVALID,
        ),
        (
            "nobody's name",
            option(7, go("sdz").len() as u32, &go("sdz")),
            UNKNOWN,
        ),
        ("a long one", option(7, 60_000, &[7; 60_000]), TOO_BIG),
    ] {
        let reply = says(machine, 3, &asked);
        let expected = [
            &0x0003_e889_0455_65a9_u64.to_be_bytes()[..],
            &asked[8..12],
            &answer.to_be_bytes(),
        ];
        assert!(reply.starts_with(&expected.concat()), "{what}: {reply:?}");
    }
    // Behind these nobody knows what comes, so there is no answer.
    let nonsense = machine.counter("phyros_nbd_nonsense_total");
    let many = option(77, 0, b"").repeat(100);
    let mut wrong = option(7, len, &named);
    wrong[0] = b'i';
    for (what, flags, asked) in [
        ("unknown flags", 0x8000_0003, vec![]),
        ("a wrong magic", 3, wrong),
        ("HTTP", 3, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("4 GiB", 3, option(7, u32::MAX, &[7; 1000])),
        (
            "a name that is too long",
            3,
            option(1, 60_000, &[7; 60_000]),
        ),
    ] {
        let said = says(machine, flags, &asked);
        assert!(said.is_empty(), "{what}: {said:?}");
    }
    // After so many options it is over. What was said to the first may be lost with the connection.
    let said = says(machine, 3, &many).len();
    assert!(said <= 64 * 64, "{said} bytes");
    machine.until("phyros_nbd_nonsense_total", nonsense + 6);
}

/// Requests that are refused, and how.
fn refuses_requests(machine: &Served, len: u64) {
    let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", len);
    for (what, flags, command, offset, count, error) in [
        ("a read beyond the end", 0, 0, len - 1, 2, EINVAL),
        ("a read behind the end", 0, 0, len, 1, EINVAL),
        (
            "a read at the end of all numbers",
            0,
            0,
            u64::MAX,
            1,
            EINVAL,
        ),
        ("a read of nothing", 0, 0, 0, 0, EINVAL),
        ("a read of 4 GiB", 0, 0, 0, u32::MAX, EINVAL),
        ("a read with an unknown flag", 0x8000, 0, 0, 1, EINVAL),
        ("a trim beyond the end", 0, 4, len - 1, 2, ENOSPC),
        (
            "zeroes at the end of all numbers",
            0,
            6,
            u64::MAX,
            9,
            ENOSPC,
        ),
        ("zeroes of nothing", 0, 6, 0, 0, EINVAL),
        ("a flush of something", 0, 3, 0, 9, EINVAL),
        ("a command that is none", 0, 99, 0, 0, EINVAL),
        ("a resize", 0, 8, 0, 0, EINVAL),
    ] {
        let asked = request(MAGIC, flags, command, offset, count);
        client.0.write_all(&asked).expect("it listens");
        let mut reply = [0; 16];
        client.0.read_exact(&mut reply).expect("it replies");
        assert_eq!(reply[4..8], error.to_be_bytes(), "{what}");
    }
    for (offset, error) in [(len - 1, ENOSPC), (len, ENOSPC), (u64::MAX - 1, ENOSPC)] {
        assert_eq!(
            client.ask(1, offset, 2, &[1; 2]),
            error,
            "a write at {offset:#x}"
        );
    }
    let nonsense = machine.counter("phyros_nbd_nonsense_total");
    for (what, asked) in [
        ("a wrong magic", request(MAGIC + 1, 0, 0, 0, 1)),
        ("nothing", vec![0; 28]),
        ("a write of 4 GiB", request(MAGIC, 0, 1, 0, u32::MAX)),
        (
            "a write of more than is taken",
            request(MAGIC, 0, 1, 0, (32 << 20) + 1),
        ),
    ] {
        let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", len);
        client.0.write_all(&asked).expect("it listens");
        let said = rest(&mut client.0);
        assert!(said.is_empty(), "{what}: {said:?}");
    }
    machine.until("phyros_nbd_nonsense_total", nonsense + 4);
}

#[test]
fn clients_of_nbd_that_mean_harm_are_refused_and_cost_nothing() {
    const LEN: usize = 48 << 20;
    const SLOW: usize = 12;
    const DEAF: usize = 3;
    let folder = Folder::new();
    let mut bytes = vec![0; LEN];
    pattern::fill(6, 0, &mut bytes[..1 << 20]);
    let disk = folder.write("disk", &bytes);
    let machine = Served::start(&["--disk", text(&disk), "--nbd-write", "--patience", PATIENCE]);
    let mut memory = vec![machine.memory()];
    for round in 1..=2 {
        let timeouts = machine.counter("phyros_nbd_timeouts_total");
        let mut begin = vec![0, 0, 0, 3];
        begin.extend(option(7, go("nvme0n1").len() as u32, &go("nvme0n1")));
        // Who stops in the middle of a handshake, and who stops in the middle of a request.
        let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| machine.connect("nbd")).collect();
        for (number, stream) in slow.iter_mut().enumerate() {
            let begins = &begin[..number * 3 % begin.len()];
            stream.write_all(begins).expect("it listens");
        }
        let write = [request(MAGIC, 0, 1, 4096, 100_000), vec![0xdd; 50_000]].concat();
        for len in [1, 27, 28, 29, write.len()] {
            let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
            client.0.write_all(&write[..len]).expect("it listens");
            slow.push(client.0);
        }
        // Who asks, and never reads.
        for _ in 0..DEAF {
            let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
            let asks = request(MAGIC, 0, 0, 0, 16 << 20).repeat(3);
            client.0.write_all(&asks).expect("it listens");
            slow.push(client.0);
        }
        let count = slow.len() as u64;
        refuses_options(&machine);
        refuses_requests(&machine, LEN as u64);
        // Who goes in the middle of a write.
        for len in (1..write.len()).step_by(4001) {
            let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
            client.0.write_all(&write[..len]).expect("it listens");
        }
        let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
        assert!(
            client.read(0, 1 << 20) == bytes[..1 << 20],
            "half a write was done"
        );
        drop(client);
        machine.until("phyros_nbd_timeouts_total", timeouts + count);
        for mut stream in slow {
            assert!(rest(&mut stream).len() < LEN, "all of it came");
        }
        machine.until_alone();
        assert_eq!(machine.counter("phyros_nbd_connections"), 0);
        memory.push(machine.memory());
        eprintln!("round {round}: {:?}", memory.last());
    }
    assert_flat(&memory);
    machine.end();
    let found = fs::read(&disk).expect("the disk is there");
    assert!(found == bytes, "something was written");
}

#[test]
fn a_disk_that_is_only_read_refuses_all_changes() {
    let folder = Folder::new();
    let disk = folder.write("disk", [0x5a; 1 << 20]);
    let machine = Served::start(&["--disk", text(&disk)]);
    let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", 1 << 20);
    assert_eq!(client.ask(1, 0, 512, &[1; 512]), EPERM);
    assert_eq!(client.ask(4, 0, 512, &[]), EPERM);
    assert_eq!(client.ask(6, 0, 512, &[]), EPERM);
    assert!(client.read(0, 1024) == [0x5a; 1024]);
    machine.end();
    assert!(fs::read(&disk).expect("the disk is there") == [0x5a; 1 << 20]);
}
