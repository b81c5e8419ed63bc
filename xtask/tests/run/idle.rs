//! A system that waits at its prompt sleeps.
//!
//! There are two witnesses: what the host has counted of QEMU's CPU time, and what QEMU says of its virtual
//! CPUs. A host that is busy gives QEMU less time than it asks for, but a CPU that runs is not halted.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Folder, Seat, text};

/// How long the CPU time is counted.
const WHILE: Duration = Duration::from_secs(4);

/// Fields of `/proc/PID/stat` behind the name, which may contain anything (`man 5 proc`).
fn fields(pid: u32) -> Option<(String, Vec<u64>)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    // The state is a letter. The others that matter are numbers.
    let numbers = rest.split_whitespace().skip(1);
    let numbers = numbers.map(|number| number.parse().unwrap_or(0)).collect();
    Some((name.to_owned(), numbers))
}

/// The QEMU that a program has started.
fn qemu_of(parent: u32) -> u32 {
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_qemu = |pid: &u32| {
        fields(*pid).is_some_and(|(name, numbers)| {
            name.starts_with("qemu") && numbers.first() == Some(&u64::from(parent))
        })
    };
    pids.find(is_qemu).expect("the program runs QEMU")
}

/// The CPU time that a process has used, of all its threads.
fn cpu_time(pid: u32) -> Duration {
    // The unit in which Linux tells it to programs is 10 ms on every architecture that QEMU runs on.
    const TICK: u64 = 10;
    let (_, numbers) = fields(pid).expect("the process runs");
    // utime and stime, fields 14 and 15.
    Duration::from_millis((numbers[10] + numbers[11]) * TICK)
}

/// The share of one CPU of the host that a process uses.
fn load(pid: u32) -> f64 {
    let (before, begin) = (cpu_time(pid), Instant::now());
    thread::sleep(WHILE);
    (cpu_time(pid) - before).as_secs_f64() / begin.elapsed().as_secs_f64()
}

/// How often QEMU is asked. A core that waits is awake for a moment now and then, and on a host that is busy the moment
/// is as long as QEMU waits for its turn. A core that runs is never halted.
const LOOKS: usize = 50;

/// Whether there is a moment at which QEMU says of so many virtual CPUs, which are all, that they are halted.
fn all_halt(monitor: &Path, cores: usize) -> bool {
    let stream = UnixStream::connect(monitor).expect("QEMU listens");
    let mut answers = BufReader::new(stream.try_clone().expect("sockets can be shared")).lines();
    let mut ask = |command: Value| -> Value {
        writeln!(&stream, "{command}").expect("QEMU reads");
        let answer = answers
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|message| message.get("return").is_some() || message.get("error").is_some());
        answer.expect("QEMU answers")["return"].clone()
    };
    ask(json!({ "execute": "qmp_capabilities" }));
    (0..LOOKS).any(|_| {
        let registers = ask(json!({
            "execute": "human-monitor-command",
            "arguments": { "command-line": "info registers -a" },
        }));
        let text = registers.as_str().expect("it is text");
        let words = text.split_whitespace();
        let flags: Vec<&str> = words.filter_map(|word| word.strip_prefix("HLT=")).collect();
        assert_eq!(flags.len(), cores, "{text}");
        flags.iter().all(|flag| *flag == "1")
    })
}

fn sleeps_at_the_prompt(cores: usize) {
    let folder = Folder::new();
    let monitor = folder.file("monitor");
    let count = cores.to_string();
    let mut seat = Seat::take(&["--smp", &count, "--qmp", text(&monitor)]);
    let qemu = qemu_of(seat.process());
    let load = load(qemu);
    assert!(all_halt(&monitor, cores), "a core never halts");
    assert!(load < 0.05, "QEMU uses {:.1} % of a CPU", load * 100.0);
    seat.ask("cores");
    seat.leave().ok();
}

#[test]
fn one_core_sleeps() {
    sleeps_at_the_prompt(1);
}

#[test]
fn four_cores_sleep() {
    sleeps_at_the_prompt(4);
}
