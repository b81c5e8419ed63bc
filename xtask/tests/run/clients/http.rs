//! `curl` and `wrk`.

use std::fs;

use super::{note, run, write_pattern};
use crate::served::Served;
use crate::support::{Folder, sha256, text};

const LARGE: usize = 100 << 20;

#[test]
#[ignore = "needs curl: `cargo xtask clients` runs it"]
fn curl_gets_what_is_on_the_disk() {
    let folder = Folder::new();
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    let large = write_pattern(&content.join("large.bin"), 21, LARGE);
    let bytes = fs::read(&large).expect("it was written");
    let machine = Served::start(&["--copy", text(&content)]);
    let (url, got) = (
        format!("{}/files/large.bin", machine.place("http")),
        folder.file("got"),
    );
    let curl = |more: &[&str]| {
        let first = [
            "--silent",
            "--show-error",
            "--fail",
            "--output",
            text(&got),
            url.as_str(),
        ];
        run("curl", &[&first, more].concat());
        fs::read(&got).expect("curl has written it")
    };
    assert_eq!(sha256(&curl(&[])), sha256(&bytes));
    for (range, expected) in [
        ("0-0", &bytes[..1]),
        ("1000001-5000000", &bytes[1_000_001..=5_000_000]),
        ("104857000-", &bytes[104_857_000..]),
        ("-77777", &bytes[LARGE - 77_777..]),
    ] {
        assert!(curl(&["--range", range]) == expected, "{range}");
    }
    // What broke off goes on where it was.
    fs::write(&got, &bytes[..40_000_000]).expect("the folder can be written");
    assert_eq!(sha256(&curl(&["--continue-at", "-"])), sha256(&bytes));
    machine.end();
    note(
        "curl",
        "a file of 100 MiB (SHA-256), four ranges, and the rest of what broke off",
    );
}

#[test]
#[ignore = "needs wrk: `cargo xtask clients` runs it"]
fn wrk_hammers_for_a_minute_without_an_error() {
    let folder = Folder::new();
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    let files = [("small", 1000), ("large", 1 << 20)];
    for (name, len) in files {
        write_pattern(&content.join(name), 22, len);
    }
    let machine = Served::start(&["--copy", text(&content)]);
    let good = "phyros_http_answers_total{status=\"2xx\"}";
    for (name, len) in files {
        let before = machine.counter(good);
        let url = format!("{}/files/{name}", machine.place("http"));
        // Otherwise wrk calls it an error when 50 clients of a large file wait for two seconds on a busy host.
        let said = run(
            "wrk",
            &["-c", "50", "-t", "2", "-d", "60", "--timeout", "30", &url],
        );
        assert!(
            !said.contains("Socket errors") && !said.contains("Non-2xx"),
            "{said}"
        );
        let line = said.lines().find(|line| line.contains(" requests in "));
        let count = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let count = count.unwrap_or_else(|| panic!("it does not say how many: {said}"));
        // Each connection may have had a request under way at the end, and the counter is asked for by one, too.
        let counted = machine.counter(good) - before;
        assert!(
            (count..=count + 51).contains(&counted),
            "{counted} counted, wrk says: {said}"
        );
        for trouble in ["timeouts", "turned_away"] {
            assert_eq!(
                machine.counter(&format!("phyros_http_{trouble}_total")),
                0,
                "{trouble}"
            );
        }
        assert_eq!(
            machine.counter("phyros_network_trouble_total{what=\"evicted\"}"),
            0
        );
        note(
            "wrk",
            &format!(
                "a minute of `-c 50 -t 2` on a file of {len} bytes: no error, and `/metrics` counts what it counts"
            ),
        );
    }
    machine.end();
}
