//! Clients that want too much, and disks that give too little.

use super::*;
use crate::clock::Clock;
use kernel::block::{BlockError, Operation};
use kernel::memory::frames::Frames;
use kernel::net::StreamError;
use std::time::Duration;

const ASK: &[u8] = b"GET /dir/leaf HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn heads_of_any_wrong_kind_have_their_status_and_the_connection_ends() {
    let bench = Bench::new();
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9000));
    let long_field = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "a".repeat(9000)
    );
    let many_fields = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "A: b\r\n".repeat(100)
    );
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", 400),
        (
            "BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            411,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
            405,
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999\r\n\r\n",
            413,
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n", 417),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (&long_line, 414),
        (&long_field, 431),
        (&many_fields, 431),
    ] {
        // What comes behind is not answered.
        let answers = bench.talk([request.as_bytes(), ASK].concat());
        assert_eq!(answers.len(), 1, "{request:?}");
        assert_eq!(answers[0].status, status, "{request:?}");
        assert_eq!(answers[0].field("connection"), "close", "{request:?}");
    }
    assert!(bench.talk("").is_empty());
    assert!(bench.talk("GET / HT").is_empty());
}

#[test]
fn a_head_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    let mut bench = Bench::new();
    bench.limits.head = ASK.len();
    assert_eq!(bench.talk(ASK)[0].status, 200);
    bench.limits.head = ASK.len() - 1;
    assert_eq!(bench.talk(ASK)[0].status, 431);
}

#[test]
fn who_says_nothing_is_left_alone_after_a_while() {
    let bench = Bench::new();
    let ((bytes, is_closed), end, _) = bench.with(async |near| near.read_to_end().await);
    assert!(is_closed && bytes.is_empty());
    assert_eq!(end, End::Over);
    let waited = bench.clock.now();
    assert!(waited >= bench.limits.idle_time && waited < bench.limits.idle_time * 2);
    assert_eq!(bench.counters.timeouts.get(), 1);
    assert_eq!(bench.counters.open.get(), 0);
}

#[test]
fn who_says_one_letter_at_a_time_has_the_time_of_one_head() {
    let bench = Bench::new();
    let clock = bench.clock.clone();
    let (bytes, _, _) = bench.with(async |near| {
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaa" {
            clock.sleep(Duration::from_secs(1)).await;
            if near.write(&[*byte]).await.is_err() {
                break;
            }
        }
        near.close().await.unwrap();
        near.read_to_end().await.0
    });
    assert_eq!(answers(&bytes, false)[0].status, 408);
    assert_eq!(bench.counters.timeouts.get(), 1);
}

#[test]
fn who_does_not_take_an_answer_loses_it() {
    let mut bench = Bench::new();
    bench.room = 10_000;
    let clock = bench.clock.clone();
    let (got, end, _) = bench.with(async |near| {
        near.write(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        clock.sleep(Duration::from_secs(300)).await;
        near.read_to_end().await
    });
    assert_eq!(end, End::TimedOut);
    assert!(!got.1 && got.0.len() <= 10_000);
    assert_eq!(bench.counters.timeouts.get(), 1);
    // Nobody keeps the memory.
    drop(bench);
}

#[test]
fn who_stays_after_the_end_is_not_waited_for() {
    let bench = Bench::new();
    let clock = bench.clock.clone();
    let (_, end, _) = bench.with(async |near| {
        near.write(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        clock.sleep(Duration::from_secs(600)).await;
    });
    assert_eq!(end, End::Over);
}

#[test]
fn a_connection_has_so_many_requests() {
    let mut bench = Bench::new();
    bench.limits.requests = 3;
    let answers = bench.talk(ASK.repeat(5));
    let goes_on: Vec<&str> = answers.iter().map(|a| a.field("connection")).collect();
    assert_eq!(goes_on, ["", "", "close"]);
}

#[test]
fn more_connections_than_there_may_be_are_turned_away() {
    let mut bench = Bench::new();
    bench.counters = Counters::new(1);
    let entered = bench.counters.open.enter();
    assert_eq!(bench.talk(ASK)[0].status, 503);
    assert_eq!(bench.counters.turned_away.get(), 1);
    drop(entered);
    assert_eq!(bench.talk(ASK)[0].status, 200);
}

#[test]
fn a_body_is_thrown_away_if_it_is_short() {
    let bench = Bench::new();
    let len = bench.limits.body as usize;
    let ask = |len: usize| {
        let mut bytes =
            format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n").into_bytes();
        bytes.extend(vec![b'G'; len]);
        bytes.extend_from_slice(ASK);
        bytes
    };
    let statuses = |bytes| -> Vec<u16> { bench.talk(bytes).iter().map(|a| a.status).collect() };
    assert_eq!(statuses(ask(len)), [405, 200]);
    assert_eq!(statuses(ask(len + 1)), [405]);
}

#[test]
fn a_disk_that_fails_in_the_middle_breaks_the_answer_off() {
    let mut bench = Bench::new();
    bench.limits.piece = 64 << 10;
    assert_eq!(bench.get("/large.bin", "Range: bytes=0-0\r\n").status, 206);
    let mut reads = 0;
    bench.disk.fail(move |request| {
        reads += usize::from(matches!(request.operation, Operation::Read(_)));
        (reads > 3).then(|| BlockError::device(&"worn out"))
    });
    let (got, end, _) = bench.with(async |near| {
        near.write(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        near.read_to_end().await
    });
    assert_eq!(end, End::Source(BlockError::device(&"worn out")));
    assert!(!got.1, "it looks as if it were whole");
    assert!(got.0.ends_with(&large()[100_000..3 * (64 << 10)]));
    assert_eq!(bench.counters.broken.get(), 1);
}

/// The head is written when the first bytes are there, and also when they are not: what it says of the file is right.
#[test]
fn a_disk_that_fails_at_once_breaks_the_answer_off_behind_its_head() {
    let bench = Bench::new();
    // The file is open, and nothing of it is in memory.
    assert_eq!(bench.get("/large.bin", "Range: bytes=0-0\r\n").status, 206);
    bench.disk.fail(|_| Some(BlockError::device(&"worn out")));
    let (got, end, _) = bench.with(async |near| {
        near.write(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        near.read_to_end().await
    });
    assert_eq!(end, End::Source(BlockError::device(&"worn out")));
    let head = String::from_utf8(got.0).unwrap();
    assert!(!got.1, "it looks as if it were whole");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"));
    assert!(head.contains(&format!("Content-Length: {}\r\n", large().len())));
    assert_eq!(bench.counters.broken.get(), 1);
}

#[test]
fn a_disk_that_fails_before_says_why() {
    let bench = Bench::new();
    bench.disk.fail(|_| Some(BlockError::device(&"worn <out>")));
    let answer = bench.get("/large.bin", "");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("worn <out>"));
    assert!(answer.field("content-type").starts_with("text/plain"));
    bench.disk.fail(|_| Some(BlockError::OutOfMemory));
    let answer = bench.get("/large.bin", "");
    assert_eq!((answer.status, answer.field("retry-after")), (503, "1"));
    bench.disk.fail(|_| None);
    assert_eq!(bench.get("/large.bin", "").status, 200);
}

#[test]
fn a_question_that_needs_too_much_at_once_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (content, image) = (folder.path().join("content"), folder.path().join("image"));
    fs::create_dir(&content).unwrap();
    fs::write(content.join("long"), vec![7; 6 << 20]).unwrap();
    ext4::create(&image, &content, 12 << 20).unwrap();
    memory();
    let disk = Arc::new(RamDisk::new("disk", 512, fs::read(&image).unwrap()));
    let clock = TestClock::default();
    let answer = run(&clock, async {
        let files = kernel::fs::Deferred::mount(disk).await.unwrap();
        // What it needs in between is forgotten again and again.
        let all = files.ask(|files| files.ext4().read("/long")).await;
        let some = files
            .ask(|files| files.open("/long").map(|file| file.len()))
            .await;
        (all.map(|all| all.len()), some)
    });
    assert!(
        answer
            .0
            .unwrap_err()
            .to_string()
            .contains("more of the disk at once")
    );
    assert_eq!(answer.1.unwrap(), 6 << 20);
}

#[test]
fn with_little_memory_pieces_are_small() {
    let bench = Bench::new();
    assert_eq!(bench.get("/large.bin", "Range: bytes=0-0\r\n").status, 206);
    // All that is free are two pieces of 32 KiB, apart from each other.
    let some = |len| Frames::allocate(len).unwrap();
    let (first, _between, second, _behind) =
        (some(32 << 10), some(4096), some(32 << 10), some(4096));
    let mut hoard = vec![];
    for len in [1 << 20, 64 << 10, 4096] {
        while let Ok(frames) = Frames::allocate(len) {
            hoard.push(frames);
        }
    }
    drop((first, second));
    let (bytes, end, trace) = bench.with(async |near| {
        near.write(b"GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        near.read_to_end().await.0
    });
    assert_eq!(end, End::Over);
    assert!(answers(&bytes, false)[0].body == large());
    assert!(trace.sent().iter().all(|len| *len <= 32 << 10));
    drop(hoard);
}

#[test]
fn a_client_that_goes_away_takes_nothing_with_it() {
    let bench = Bench::new();
    let (_, end, _) = bench.with(async |near| {
        near.write(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut some = [0; 5000];
        near.read_exact(&mut some).await;
    });
    assert_eq!(end, End::Stream(StreamError::Reset));
    assert_eq!(bench.disk.disk.in_use(), 0);
    assert_eq!(bench.counters.broken.get(), 1);
    assert_eq!(bench.counters.open.get(), 0);
}
