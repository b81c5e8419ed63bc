//! A machine that serves, seen from outside.

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
        let path = std::env::var("PATH").expect("there is a search path");
        Self::start_in(arguments, &path)
    }

    /// The same, with another search path.
    pub(crate) fn start_in(arguments: &[&str], path: &str) -> Self {
        let first = ["run", "--timeout", "400", "--http", "0", "--nbd", "0"];
        let all = [&first, arguments].concat();
        let mut child = xtask(&all)
            .env("PATH", path)
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

    /// Where a service is: what stands behind its name in the line.
    pub(crate) fn place(&self, service: &str) -> &str {
        let mut words = self.line.split_whitespace();
        let place = words.find_map(|word| word.strip_prefix(service)?.strip_prefix('='));
        place.unwrap_or_else(|| panic!("there is no {service} in: {}", self.line))
    }

    /// The address of a service.
    pub(crate) fn address(&self, service: &str) -> &str {
        let place = self.place(service);
        let place = place.split_once("://").map_or(place, |(_, rest)| rest);
        place.split('/').next().expect("there is something")
    }

    pub(crate) fn connect(&self, service: &str) -> TcpStream {
        let stream = TcpStream::connect(self.address(service)).expect("QEMU listens");
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

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, which somebody has made, and which is no good one.
    pub(crate) fn gone(mut self) {
        let status = self.child.wait().expect("it ends");
        assert!(!status.success(), "it has not noticed");
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) fn end(mut self) {
        self.signal();
        self.wait();
    }

    /// The same for a machine without a power button: the second signal ends QEMU.
    pub(crate) fn end_without_button(mut self) {
        self.insist();
        self.wait();
    }

    /// Sends signals until it has ended.
    fn insist(&mut self) {
        while self.child.try_wait().expect("it is our child").is_none() {
            self.signal();
            std::thread::yield_now();
        }
    }

    fn signal(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("there is a `kill`").success());
    }

    fn wait(&mut self) {
        let status = self.child.wait().expect("it ends");
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().expect("it was asked for");
        stderr.read_to_string(&mut said).expect("it is text");
        assert!(status.success(), "{said}");
    }
}

/// A test that fails leaves no machine behind.
impl Drop for Served {
    fn drop(&mut self) {
        self.insist();
    }
}
