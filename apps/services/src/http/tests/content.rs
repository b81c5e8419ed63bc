//! What is asked for, and what comes.

use super::*;
use proptest::prelude::*;

#[test]
fn a_file_arrives_whole_and_nobody_copies_it() {
    let bench = Bench::new();
    let ask = b"GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (bytes, end, trace) = bench.with(async |near| {
        near.write(ask).await.unwrap();
        near.read_to_end().await.0
    });
    assert_eq!(end, End::Over);
    let answer = answers(&bytes, false).remove(0);
    assert_eq!(answer.status, 200);
    assert!(answer.body == large());
    assert_eq!(answer.field("content-type"), "application/octet-stream");
    assert_eq!(answer.field("accept-ranges"), "bytes");
    assert_eq!(answer.field("connection"), "close");
    assert_eq!(trace.sent().iter().sum::<usize>(), LARGE);
    assert!(trace.sent().len() >= 3, "pieces: {:?}", trace.sent());
    assert!(trace.copied() < 400, "{} bytes were copied", trace.copied());
    assert_eq!(bench.counters.sent.get(), LARGE as u64);
    assert_eq!(bench.counters.copied.get(), trace.copied() as u64);
    assert_eq!(bench.counters.answers[0].get(), 1);
}

#[test]
fn holes_are_zeros_and_empty_files_are_empty() {
    let bench = Bench::new();
    assert!(bench.get("/sparse", "").body == sparse());
    let empty = bench.get("/empty.txt", "");
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    assert_eq!(empty.field("content-type"), "text/plain; charset=utf-8");
    assert_eq!(bench.get("/empty.txt", "Range: bytes=0-\r\n").status, 416);
    assert_eq!(bench.get("/index.html", "").text(), "<p>hello</p>\n");
}

#[test]
fn a_head_says_what_a_get_would() {
    let bench = Bench::new();
    let ask = "HEAD /large.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n";
    let answers = bench.talk(format!("{ask}{ask}"));
    assert_eq!(answers.len(), 2);
    for answer in &answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("content-length"), LARGE.to_string());
        assert_eq!(
            answer.field("etag"),
            bench.get("/large.bin", "").field("etag")
        );
    }
    let missing = bench.talk("HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((missing.len(), missing[0].status), (1, 404));
}

#[test]
fn parts_are_what_was_asked_for() {
    let bench = Bench::new();
    let large = large();
    let one = bench.get("/large.bin", "Range: bytes=262140-262150\r\n");
    assert_eq!(
        (one.status, &one.body[..]),
        (206, &large[262_140..=262_150])
    );
    assert_eq!(
        one.field("content-range"),
        format!("bytes 262140-262150/{LARGE}")
    );
    let last = bench.get("/large.bin", "Range: bytes=-3\r\n");
    assert_eq!((last.status, &last.body[..]), (206, &large[LARGE - 3..]));
    let beyond = bench.get("/large.bin", &format!("Range: bytes={LARGE}-\r\n"));
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.field("content-range"), format!("bytes */{LARGE}"));
    for whole in ["bytes=2-1", "lines=1-2", "bytes=0-0,0-700000"] {
        let answer = bench.get("/large.bin", &format!("Range: {whole}\r\n"));
        assert!(answer.status == 200 && answer.body == large, "{whole}");
    }
}

#[test]
fn several_parts_come_in_their_order_with_a_boundary_between_them() {
    let bench = Bench::new();
    let large = large();
    let answer = bench.get("/large.bin", "Range: bytes=500000-500002, 1-4,-2\r\n");
    assert_eq!(answer.status, 206);
    let kind = answer.field("content-type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut wanted = vec![];
    for (start, end) in [(500_000, 500_003), (1, 5), (LARGE - 2, LARGE)] {
        wanted.extend_from_slice(
            format!(
                "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Range: bytes {start}-{}/{LARGE}\r\n\r\n",
                end - 1
            )
            .as_bytes(),
        );
        wanted.extend_from_slice(&large[start..end]);
    }
    wanted.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(answer.body, wanted);
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let bench = Bench::new();
    let first = bench.get("/dir/leaf", "");
    assert_eq!(
        first.field("last-modified"),
        "Sun, 06 Nov 1994 08:49:37 GMT"
    );
    let tag = first.field("etag").to_string();
    let same = bench.get("/dir/leaf", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((same.status, same.field("etag")), (304, &*tag));
    let since = format!("If-Modified-Since: {}\r\n", first.field("last-modified"));
    assert_eq!(bench.get("/dir/leaf", &since).status, 304);
    assert_eq!(
        bench.get("/dir/leaf", "If-None-Match: \"x\"\r\n").status,
        200
    );
    assert_eq!(bench.get("/dir/leaf", "If-Match: \"x\"\r\n").status, 412);
    let range = "Range: bytes=1-2\r\n";
    let part = bench.get("/dir/leaf", &format!("{range}If-Range: {tag}\r\n"));
    assert_eq!((part.status, part.text()), (206, "ea"));
    let whole = bench.get("/dir/leaf", &format!("{range}If-Range: \"x\"\r\n"));
    assert_eq!((whole.status, whole.text()), (200, "leaf\n"));
    // The tags of two files differ.
    assert_ne!(bench.get("/index.html", "").field("etag"), tag);
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let mut bench = Bench::new();
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let with_body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n".to_string()
        + &ask("/never-asked-for-since-it-is-in-a-body")[..60];
    let all = format!(
        "{}\r\n{}{with_body}{}{}",
        ask("/dir/leaf"),
        ask("/nothing"),
        ask("/large.bin"),
        ask("/index.html"),
    );
    for most in [1, 7, usize::MAX] {
        bench.most = most;
        let answers = bench.talk(&all);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 404, 405, 200, 200], "{most} at a time");
        assert_eq!(answers[0].text(), "leaf\n");
        assert_eq!(answers[2].field("allow"), "GET, HEAD");
        assert!(answers[3].body == large());
        assert_eq!(answers[4].text(), "<p>hello</p>\n");
        assert!(
            answers
                .iter()
                .all(|answer| answer.field("connection").is_empty())
        );
    }
}

#[test]
fn old_clients_are_told_when_the_connection_goes_on() {
    let bench = Bench::new();
    let old = "GET /dir/leaf HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let answers = bench.talk(format!("{old}{old}GET /dir/leaf HTTP/1.0\r\n\r\n{old}"));
    let goes_on: Vec<&str> = answers.iter().map(|a| a.field("connection")).collect();
    // The third ends it, so the fourth has no answer.
    assert_eq!(goes_on, ["keep-alive", "keep-alive", "close"]);
}

#[test]
fn folders_are_listed_and_have_a_slash() {
    let bench = Bench::new();
    let page = bench.get("/", "");
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains("<a href=\"./dir/\">dir/</a>"), "{text}");
    assert!(text.contains("<a href=\"./to-dir/\">to-dir/</a>"));
    assert!(text.contains("gr%C3%B6%C3%9Fe%20%26%20%3Cco%3E.txt\">größe &amp; &lt;co&gt;.txt</a>"));
    assert!(text.contains("700001") && text.contains("to-nothing"));
    let odd = bench.get("/gr%C3%B6%C3%9Fe%20%26%20%3Cco%3E.txt", "");
    assert_eq!((odd.status, odd.text()), (200, "odd\n"));
    let moved = bench.get("/dir?x", "");
    assert_eq!((moved.status, moved.field("location")), (301, "/dir/"));
    assert!(bench.get("/dir/", "").text().contains("1994-11-06 08:49"));
    assert_eq!(bench.get("/dir/leaf/", "").status, 404);
}

#[test]
fn links_lead_nowhere_but_within_the_file_system() {
    let bench = Bench::new();
    assert_eq!(bench.get("/to-dir/leaf", "").text(), "leaf\n");
    assert_eq!(bench.get("/dir/up", "").text(), "leaf\n");
    for (path, status) in [
        ("/to-nothing", 404),
        ("/loop", 404),
        ("/index.html/x", 404),
        ("/socket", 403),
        ("/../index.html", 400),
        ("/%2e%2e/index.html", 400),
        ("/dir/..%2findex.html", 404),
        ("/%ff", 404),
    ] {
        assert_eq!(bench.get(path, "").status, status, "{path}");
    }
    let long = "/a".repeat(300);
    assert_eq!(bench.get(&long, "").status, 404);
    let name = format!("/{}", "n".repeat(300));
    assert_eq!(bench.get(&name, "").status, 404);
}

#[test]
fn a_file_is_read_anew_when_its_disk_has_changed() {
    let bench = Bench::new();
    assert_eq!(bench.get("/index.html", "").status, 200);
    let before = bench.disk.disk.counts().reads;
    assert_eq!(bench.get("/index.html", "").status, 200);
    // It is known where it is: there is a read for its data and no other.
    assert_eq!(bench.disk.disk.counts().reads, before + 1);
    bench.volume.forget();
    assert_eq!(bench.get("/index.html", "").status, 200);
    assert!(bench.disk.disk.counts().reads > before + 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_part_of_any_file_is_its_part(
        is_sparse: bool, start in 0..LARGE, len in 1..LARGE, piece in 1..40usize,
    ) {
        let mut bench = Bench::new();
        bench.limits.piece = piece * 4096;
        let (path, content) = if is_sparse { ("/sparse", sparse()) } else { ("/large.bin", large()) };
        let end = (start + len).min(content.len());
        let answer = bench.get(path, &format!("Range: bytes={start}-{}\r\n", end - 1));
        prop_assert_eq!(answer.status, 206);
        prop_assert!(answer.body == content[start..end]);
    }

    #[test]
    fn whatever_is_sent_the_connection_ends(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bench = Bench::new();
        bench.talk(bytes);
    }

    #[test]
    fn whatever_looks_like_requests_is_answered_and_ends(
        requests in prop::collection::vec(
            "(GET|HEAD|PUT) /[a-z%./]{0,12} HTTP/1.[01]\r\nHost: x\r\n(Range: bytes=[0-9,-]{1,9}\r\n)?(Content-Length: [0-9]{1,3}\r\n)?\r\n",
            0..5,
        ),
    ) {
        let bench = Bench::new();
        bench.with(async |near| {
            near.write(requests.concat().as_bytes()).await.unwrap();
            near.close().await.unwrap();
            near.read_to_end().await
        });
    }
}
