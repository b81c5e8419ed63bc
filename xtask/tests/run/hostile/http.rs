//! Those of HTTP: heads that are nonsense, or that never end, and who asks and does not listen.

use std::io::{Read, Write};
use std::net::TcpStream;

use vm_test::pattern;

use super::{PATIENCE, assert_flat, rest};
use crate::served::Served;
use crate::support::{Folder, text};

const OK: u16 = 200;

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
