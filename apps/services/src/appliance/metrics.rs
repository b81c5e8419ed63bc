//! Counters as Prometheus reads them (text exposition format 0.0.4).

use super::view::{State, Volume};
use crate::counter::Counter;
use crate::{http, nbd};
use alloc::string::String;
use core::fmt::{Display, Write};

/// What the page is.
pub const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the page.
pub fn page(
    state: &State,
    volumes: &[Volume],
    http: &http::Counters,
    nbd: &nbd::Counters,
) -> String {
    let mut page = Page(String::new());
    page.gauge("uptime_seconds", "Since the kernel has started its clock.");
    page.sample("", state.uptime.as_secs_f64());
    page.gauge("memory_free_bytes", "RAM that nobody has.");
    page.sample("", state.free);
    page.gauge("heap_used_bytes", "Bytes of the heap that somebody has.");
    page.sample("", state.heap);
    page.counter(
        "delivered_bytes_total",
        "Bytes of disks, by the way they took.",
    );
    page.sample(r#"way="direct""#, state.delivered.0);
    page.sample(r#"way="copied""#, state.delivered.1);
    cores(&mut page, state);
    cards(&mut page, state);
    connections(&mut page, state);
    disks(&mut page, volumes);
    of_http(&mut page, http);
    of_nbd(&mut page, nbd);
    of_iperf(&mut page, state);
    page.0
}

fn cores(page: &mut Page, state: &State) {
    page.counter("core_events_total", "What the cores have done.");
    for core in &state.cores {
        for (event, count) in [
            ("poll", core.polls),
            ("halt", core.halts),
            ("interrupt", core.interrupts),
        ] {
            let number = core.number;
            page.sample_with(&[("core", &number), ("event", &event)], count);
        }
    }
}

fn cards(page: &mut Page, state: &State) {
    page.counter("card_frames_total", "Frames of network cards.");
    for card in &state.cards {
        for (way, count) in [
            ("sent", card.sent.0),
            ("received", card.received.0),
            ("dropped", card.dropped),
        ] {
            page.sample_with(&[("card", &card.name), ("way", &way)], count);
        }
    }
    page.counter("card_bytes_total", "Bytes of network cards.");
    for card in &state.cards {
        for (way, count) in [("sent", card.sent.1), ("received", card.received.1)] {
            page.sample_with(&[("card", &card.name), ("way", &way)], count);
        }
    }
}

fn connections(page: &mut Page, state: &State) {
    let network = &state.network;
    page.gauge(
        "network_connections",
        "Connections of TCP at this moment, in whatever state.",
    );
    page.sample("", network.open);
    page.counter(
        "network_bytes_total",
        "Bytes that connections have sent, by the way they took.",
    );
    page.sample(r#"way="referred""#, network.referred);
    page.sample(r#"way="copied""#, network.copied);
    page.counter("network_trouble_total", "What did not go as it should.");
    for (what, count) in [
        ("retransmitted", network.retransmitted),
        ("damaged", network.damaged),
        ("refused", network.refused),
        ("evicted", network.evicted),
    ] {
        page.sample_with(&[("what", &what)], count);
    }
}

fn disks(page: &mut Page, volumes: &[Volume]) {
    page.gauge("disk_bytes", "Bytes of disks and partitions.");
    for volume in volumes {
        let bytes = volume.device.geometry().bytes();
        page.sample_with(&[("disk", &volume.device.name())], bytes);
    }
    page.gauge("disk_requests", "Requests that disks have at this moment.");
    for volume in volumes {
        let under_way = volume.device.outstanding();
        page.sample_with(&[("disk", &volume.device.name())], under_way);
    }
}

fn of_http(page: &mut Page, counters: &http::Counters) {
    page.gauge("http_connections", "Connections at this moment.");
    page.sample("", counters.open.get());
    page.plain(
        "http_connections_total",
        "Connections so far.",
        &counters.connections,
    );
    page.counter(
        "http_answers_total",
        "Answers, by the first digit of their status.",
    );
    for (class, counter) in ["2xx", "3xx", "4xx", "5xx"].iter().zip(&counters.answers) {
        page.sample_with(&[("status", class)], counter.get());
    }
    page.plain(
        "http_sent_bytes_total",
        "Bytes sent from where a disk has put them.",
        &counters.sent,
    );
    page.plain(
        "http_copied_bytes_total",
        "Bytes of answers that were copied.",
        &counters.copied,
    );
    page.plain(
        "http_turned_away_total",
        "Connections that were too many.",
        &counters.turned_away,
    );
    page.plain(
        "http_timeouts_total",
        "Clients that took too long.",
        &counters.timeouts,
    );
    page.plain(
        "http_broken_total",
        "Connections that broke off.",
        &counters.broken,
    );
}

fn of_iperf(page: &mut Page, state: &State) {
    let Some(iperf) = &state.iperf else {
        return;
    };
    page.counter("iperf_tests_total", "Tests that came to their end.");
    page.sample("", iperf.tests.get());
    page.counter("iperf_bytes_total", "Bytes that iperf3 has had counted.");
    page.sample(r#"way="received""#, iperf.received.get());
    page.sample(r#"way="sent""#, iperf.sent.get());
    page.counter("iperf_stray_datagrams_total", "Datagrams of no test.");
    page.sample("", iperf.strays.get());
}

fn of_nbd(page: &mut Page, counters: &nbd::Counters) {
    page.gauge("nbd_connections", "Connections at this moment.");
    page.sample("", counters.open.get());
    page.plain(
        "nbd_connections_total",
        "Connections so far.",
        &counters.connections,
    );
    page.counter("nbd_requests_total", "Requests that were carried out.");
    for (what, counter) in [
        ("read", &counters.reads),
        ("write", &counters.writes),
        ("flush", &counters.flushes),
        ("trim", &counters.trims),
        ("zero", &counters.zeroes),
    ] {
        page.sample_with(&[("request", &what)], counter.get());
    }
    page.counter("nbd_bytes_total", "Bytes that were read and written.");
    page.sample(r#"way="read""#, counters.read_bytes.get());
    page.sample(r#"way="written""#, counters.written_bytes.get());
    page.plain(
        "nbd_errors_total",
        "Requests that failed, or were refused.",
        &counters.errors,
    );
    page.plain(
        "nbd_turned_away_total",
        "Connections that were too many.",
        &counters.turned_away,
    );
    page.plain(
        "nbd_nonsense_total",
        "Clients that made no sense.",
        &counters.nonsense,
    );
    page.plain(
        "nbd_timeouts_total",
        "Clients that took too long.",
        &counters.timeouts,
    );
    page.plain(
        "nbd_broken_total",
        "Connections that broke off.",
        &counters.broken,
    );
}

/// A page, and the name of the family whose samples come next, at its end.
struct Page(String);

// Writing to a string cannot fail.
impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let text = &mut self.0;
        let _ = writeln!(
            text,
            "# HELP phyros_{name} {help}\n# TYPE phyros_{name} {kind}"
        );
    }

    fn counter(&mut self, name: &str, help: &str) {
        self.family(name, "counter", help);
    }

    fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, "gauge", help);
    }

    fn plain(&mut self, name: &str, help: &str, counter: &Counter) {
        self.counter(name, help);
        self.sample("", counter.get());
    }

    /// The name that the last family has.
    fn name(&self) -> String {
        let line = self
            .0
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("# TYPE "));
        line.and_then(|line| line.split(' ').next())
            .unwrap_or_default()
            .into()
    }

    fn sample(&mut self, labels: &str, value: impl Display) {
        let name = self.name();
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn sample_with(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        let mut text = String::new();
        for (at, (label, value)) in labels.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(text, "{comma}{label}=\"");
            escape(&alloc::format!("{value}"), &mut text);
            text.push('"');
        }
        self.sample(&text, value);
    }
}

/// What a label must not have as it is.
fn escape(value: &str, into: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::{Card, Core, Network};
    use super::*;
    use crate::iperf;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use kernel::block::RamDisk;

    #[test]
    fn the_page_is_what_prometheus_reads() {
        let state = State {
            cores: vec![Core {
                number: 1,
                polls: 2,
                halts: 3,
                interrupts: 4,
            }],
            cards: vec![Card {
                name: "odd\"\\\nname".into(),
                is_up: true,
                sent: (1, 60),
                received: (2, 120),
                dropped: 0,
            }],
            free: 4096,
            ..State::default()
        };
        let volume = Volume {
            device: Arc::new(RamDisk::new("nvme0n1", 512, vec![0; 1024])),
            has_ext4: false,
        };
        let (http, nbd) = (http::Counters::new(1), nbd::Counters::new(1));
        nbd.reads.add(7);
        let text = page(&state, &[volume], &http, &nbd);
        for line in [
            "phyros_memory_free_bytes 4096",
            "phyros_core_events_total{core=\"1\",event=\"halt\"} 3",
            "phyros_card_frames_total{card=\"odd\\\"\\\\\\nname\",way=\"received\"} 2",
            "phyros_disk_bytes{disk=\"nvme0n1\"} 1024",
            "phyros_nbd_requests_total{request=\"read\"} 7",
            "phyros_http_answers_total{status=\"4xx\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        // Every sample is of the family before it, which has a type and is there once.
        let mut families = vec![];
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(!families.contains(&family), "{family}");
                families.push(family);
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert_eq!(name, family);
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(text.ends_with('\n') && families.len() > 20);
    }

    /// All that is counted: each number is another one.
    fn busy(disk: &Arc<RamDisk>) -> (State, [Volume; 1], http::Counters, nbd::Counters) {
        let mut last = 0;
        let mut next = || {
            last += 1;
            last
        };
        let iperf = iperf::Counters::default();
        for counter in [&iperf.tests, &iperf.received, &iperf.sent, &iperf.strays] {
            counter.add(next());
        }
        let (http, nbd) = (http::Counters::new(9), nbd::Counters::new(9));
        let of_http = [
            &http.connections,
            &http.sent,
            &http.copied,
            &http.turned_away,
            &http.timeouts,
            &http.broken,
        ];
        let of_nbd = [
            &nbd.connections,
            &nbd.turned_away,
            &nbd.reads,
            &nbd.read_bytes,
            &nbd.writes,
            &nbd.written_bytes,
            &nbd.flushes,
            &nbd.trims,
            &nbd.zeroes,
            &nbd.errors,
            &nbd.nonsense,
            &nbd.timeouts,
            &nbd.broken,
        ];
        for counter in of_http.into_iter().chain(&http.answers).chain(of_nbd) {
            counter.add(next());
        }
        let state = State {
            uptime: core::time::Duration::from_secs(next()),
            free: next(),
            heap: next(),
            delivered: (next(), next()),
            cores: vec![Core {
                number: 0,
                polls: next(),
                halts: next(),
                interrupts: next(),
            }],
            cards: vec![Card {
                name: "net0".into(),
                is_up: true,
                sent: (next(), next()),
                received: (next(), next()),
                dropped: next(),
            }],
            network: Network {
                open: next(),
                referred: next(),
                copied: next(),
                retransmitted: next(),
                damaged: next(),
                refused: next(),
                evicted: next(),
            },
            iperf: Some(Arc::new(iperf)),
            ..State::default()
        };
        let device = disk.clone();
        let has_ext4 = false;
        (state, [Volume { device, has_ext4 }], http, nbd)
    }

    /// Each sample is what was counted under its name, and nobody else's.
    #[test]
    fn no_sample_is_a_constant_and_no_two_are_the_same() {
        let disk = Arc::new(RamDisk::new("nvme0n1", 512, vec![0; 1 << 20]));
        let (state, volumes, http, nbd) = busy(&disk);
        // Two connections, and one.
        let _open = [http.open.enter(), http.open.enter(), nbd.open.enter()];
        let text = page(&state, &volumes, &http, &nbd);
        let mut values = vec![];
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            match name {
                "phyros_http_connections" => assert_eq!(value, "2"),
                "phyros_nbd_connections" => assert_eq!(value, "1"),
                "phyros_disk_bytes{disk=\"nvme0n1\"}" => assert_eq!(value, "1048576"),
                "phyros_disk_requests{disk=\"nvme0n1\"}" => assert_eq!(value, "0"),
                _ => values.push(value.parse::<u64>().unwrap()),
            }
        }
        values.sort_unstable();
        let all: Vec<u64> = (1..=47).collect();
        assert_eq!(values, all, "{text}");
    }
}
