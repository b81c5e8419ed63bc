//! The state of the machine, for programs.

use super::view::{State, Volume};
use crate::{http, nbd};
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::{Value, json};

/// Writes it. Addresses and lengths are numbers: a physical address has 52 bits at most, and a number of
/// JavaScript has 53.
pub fn state(
    state: &State,
    volumes: &[Volume],
    http: &http::Counters,
    nbd: &nbd::Counters,
) -> String {
    let memory: Vec<Value> = state
        .memory
        .iter()
        .map(|extent| {
            json!({
                "start": extent.phyr.addr().get(),
                "len": extent.phyr.len(),
                "kind": extent.kind.name(),
                "owner": extent.owner,
            })
        })
        .collect();
    let disks: Vec<Value> = volumes
        .iter()
        .map(|volume| {
            let geometry = volume.device.geometry();
            json!({
                "name": volume.device.name(),
                "bytes": geometry.bytes(),
                "block": geometry.block_size,
                "writable": geometry.writable,
                "under_way": volume.device.outstanding(),
                "depth": volume.device.limits().depth,
                "ext4": volume.has_ext4,
            })
        })
        .collect();
    let cards: Vec<Value> = state
        .cards
        .iter()
        .map(|card| {
            json!({
                "name": card.name,
                "up": card.is_up,
                "sent_frames": card.sent.0,
                "sent_bytes": card.sent.1,
                "received_frames": card.received.0,
                "received_bytes": card.received.1,
                "dropped": card.dropped,
            })
        })
        .collect();
    let cores: Vec<Value> = state
        .cores
        .iter()
        .map(|core| {
            json!({
                "number": core.number,
                "polls": core.polls,
                "halts": core.halts,
                "interrupts": core.interrupts,
            })
        })
        .collect();
    let all = json!({
        "uptime_us": u64::try_from(state.uptime.as_micros()).unwrap_or(u64::MAX),
        "memory": memory,
        "free": state.free,
        "cores": cores,
        "disks": disks,
        "cards": cards,
        "delivered": { "direct": state.delivered.0, "copied": state.delivered.1 },
        "network": {
            "referred": state.network.referred,
            "copied": state.network.copied,
            "retransmitted": state.network.retransmitted,
        },
        "http": {
            "open": http.open.get(),
            "connections": http.connections.get(),
            "answers": http.answers.each_ref().map(crate::counter::Counter::get),
            "sent": http.sent.get(),
            "copied": http.copied.get(),
        },
        "nbd": {
            "open": nbd.open.get(),
            "connections": nbd.connections.get(),
            "reads": nbd.reads.get(),
            "read_bytes": nbd.read_bytes.get(),
            "writes": nbd.writes.get(),
            "written_bytes": nbd.written_bytes.get(),
            "errors": nbd.errors.get(),
        },
    });
    alloc::format!("{all}\n")
}
