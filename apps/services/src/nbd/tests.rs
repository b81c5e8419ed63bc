//! Whole connections, over queues, on disks of memory.
//!
//! - `client` speaks the protocol from the other side;
//! - `handshake` has the conversation before the first request;
//! - `requests` has requests, one by one;
//! - `model` has many of them, on several connections, against a model of the disk;
//! - `limits` has clients that want too much.

mod client;
mod handshake;
mod limits;
mod model;
mod requests;

use super::export::Export;
use super::session::End;
use super::wire::*;
use super::{Counters, Limits, serve};
use crate::testing::{self, Flaky, TestClock, Trace, memory, pipe, run};
use client::{Client, Reply};
use embassy_futures::join::join;
use kernel::block::RamDisk;
use kernel::net::Stream;
use std::sync::Arc;

/// The byte at every place of a fresh disk.
fn byte_at(index: usize) -> u8 {
    (index * 31 + index / 512 * 7) as u8
}

const BYTES: usize = 256 << 10;

/// A server with one disk, or more.
struct Bench {
    clock: TestClock,
    disk: Arc<Flaky>,
    exports: Vec<Arc<Export>>,
    limits: Limits,
    counters: Arc<Counters>,
    room: usize,
    most: usize,
}

impl Bench {
    fn with_disk(disk: RamDisk, writable: bool) -> Self {
        memory();
        let disk = Arc::new(Flaky::new(disk));
        let counters = Arc::new(Counters::new(4));
        let export = Export::new(disk.clone(), writable, counters.clone());
        Self {
            clock: TestClock::default(),
            disk,
            exports: vec![Arc::new(export)],
            limits: Limits::DEFAULT,
            counters,
            room: 1 << 20,
            most: usize::MAX,
        }
    }

    fn of_blocks(size: u32) -> Self {
        let bytes = (0..BYTES).map(byte_at).collect();
        Self::with_disk(RamDisk::new("nvme0n1", size, bytes), true)
    }

    fn new() -> Self {
        Self::of_blocks(512)
    }

    fn content(&self) -> Vec<u8> {
        self.disk.disk.content()
    }

    /// Runs one client against the server.
    fn raw<T>(&self, client: impl AsyncFnOnce(&mut testing::End) -> T) -> (T, End, Trace) {
        let (mut near, mut far) = pipe(self.room);
        far.most = self.most;
        let trace = far.trace();
        let server = serve(
            far,
            &self.exports,
            &self.limits,
            &self.counters,
            &self.clock,
        );
        let client = async {
            let output = client(&mut near).await;
            let _ = near.close().await;
            drop(near);
            output
        };
        let (end, output) = run(&self.clock, join(server, client));
        (output, end, trace)
    }

    /// Runs a client that has agreed on everything already.
    fn with<T>(&self, structured: bool, client: impl AsyncFnOnce(&mut Client) -> T) -> (T, End) {
        let (output, end, _) = self.raw(async |near| {
            let mut agreed = Client::begin(near, structured).await;
            client(&mut agreed).await
        });
        (output, end)
    }
}
