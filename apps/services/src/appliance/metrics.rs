//! Counters as Prometheus reads them (text exposition format 0.0.4).

mod text;

#[cfg(test)]
mod tests;

use super::view::{State, Volume};
use crate::{http, nbd};
use alloc::string::String;
use text::Page;

/// What the page is.
pub const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the page.
pub fn page(
    state: &State,
    volumes: &[Volume],
    http: &http::Counters,
    nbd: &nbd::Counters,
) -> String {
    let mut page = Page::new();
    page.gauge("uptime_seconds", "Since the kernel has started its clock.");
    page.sample("", state.uptime.as_secs_f64());
    page.gauge("memory_free_bytes", "RAM that nobody has.");
    page.sample("", state.free);
    page.gauge("heap_used_bytes", "Bytes of the heap that somebody has.");
    page.sample("", state.heap);
    page.gauge("heap_taken_bytes", "RAM that the heap has taken for good.");
    page.sample("", state.heap_taken);
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
    page.into_text()
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
        ("overflowed", network.overflowed),
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
