//! A machine that serves, and its clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::xtask;

/// A machine that serves.
pub(crate) struct Served {
    child: Child,
    line: String,
}

impl Served {
    /// Starts it, and waits until it says that it answers.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let all = [
            &["run", "--timeout", "400", "--http", "0", "--nbd", "0"],
            arguments,
        ]
        .concat();
        let mut child = xtask(&all)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program under test starts");
        let mut out = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut line = String::new();
        while !line.starts_with("ready ") {
            line.clear();
            if out.read_line(&mut line).expect("it is text") == 0 {
                let output = child.wait_with_output().expect("it has ended");
                panic!(
                    "it is never ready:\n{}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
        // What it says from here on must not keep it waiting.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { child, line }
    }

    pub(crate) fn connect(&self, service: &str) -> TcpStream {
        let (_, rest) = self
            .line
            .split_once(&format!("{service}://"))
            .expect("it is served");
        let address = rest
            .split(['/', ' ', '\n'])
            .next()
            .expect("there is something");
        let stream = TcpStream::connect(address).expect("QEMU listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("it is a time");
        stream
    }

    /// The head and the body of what there is at a path.
    pub(crate) fn get(&self, path: &str, fields: &str) -> (String, Vec<u8>) {
        let mut stream = self.connect("http");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).expect("it listens");
        let mut all = vec![];
        stream.read_to_end(&mut all).expect("it answers");
        let end = all.windows(4).position(|four| four == b"\r\n\r\n");
        let body = all.split_off(end.expect("there is a head") + 4);
        (String::from_utf8(all).expect("heads are text"), body)
    }

    /// One of the counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let (_, page) = self.get("/metrics", "");
        let page = String::from_utf8(page).expect("it is text");
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("there is no {name}:\n{page}"));
        line.trim().parse().expect("it is a number")
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) fn end(mut self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("there is a `kill`").success());
        let status = self.child.wait().expect("it ends");
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().expect("it was asked for");
        stderr.read_to_string(&mut said).expect("it is text");
        assert!(status.success(), "{said}");
    }
}

/// A client of NBD, in the old way.
pub(crate) struct Nbd(pub(crate) TcpStream);

impl Nbd {
    pub(crate) fn begin(mut stream: TcpStream, export: &str, bytes: u64) -> Self {
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).expect("it greets");
        let mut ask = vec![0, 0, 0, 3];
        ask.extend_from_slice(b"IHAVEOPT\0\0\0\x01");
        ask.extend_from_slice(&(export.len() as u32).to_be_bytes());
        ask.extend_from_slice(export.as_bytes());
        stream.write_all(&ask).expect("it listens");
        let mut begin = [0; 10];
        stream.read_exact(&mut begin).expect("there is the disk");
        assert_eq!(begin[..8], bytes.to_be_bytes());
        Self(stream)
    }

    pub(crate) fn ask(&mut self, command: u8, offset: u64, len: u32, data: &[u8]) -> u32 {
        let mut request = vec![0x25, 0x60, 0x95, 0x13, 0, 0, 0, command];
        request.extend_from_slice(&[7; 8]);
        request.extend_from_slice(&offset.to_be_bytes());
        request.extend_from_slice(&len.to_be_bytes());
        request.extend_from_slice(data);
        self.0.write_all(&request).expect("it listens");
        let mut reply = [0; 16];
        self.0.read_exact(&mut reply).expect("it replies");
        assert_eq!(
            (&reply[..4], &reply[8..]),
            (&[0x67, 0x44, 0x66, 0x98][..], &[7; 8][..])
        );
        u32::from_be_bytes(reply[4..8].try_into().expect("four bytes"))
    }

    pub(crate) fn read(&mut self, offset: u64, len: usize) -> Vec<u8> {
        assert_eq!(self.ask(0, offset, len as u32, &[]), 0);
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("it sends them");
        bytes
    }
}
