//! The page is what Prometheus reads, and each sample is what was counted.

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
        heap_taken: next(),
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
            overflowed: next(),
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
    let all: Vec<u64> = (1..=49).collect();
    assert_eq!(values, all, "{text}");
}
