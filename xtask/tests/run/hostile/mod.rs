//! Clients that mean harm, and a machine that goes on serving.
//!
//! The machine waits for nobody longer than [`PATIENCE`], so what is slow is over soon, and a counter tells that it
//! is. Everything is done several times: the first time fills what has a bound, and after that the machine has as
//! much memory as before.

mod http;
mod nbd;

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use crate::served::Served;

/// Milliseconds.
const PATIENCE: &str = "10000";

/// Bytes of the heap that may differ: connections that are over are remembered for some seconds, a thousand of them at
/// most, and each look at the counters is one.
const NOISE: u64 = 256 << 10;

/// What a connection has brought when it has ended, however it has.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = vec![];
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it does not end: {error}"),
    }
    all
}

impl Served {
    /// Waits until a counter has come so far.
    fn until(&self, name: &str, count: u64) {
        while self.counter(name) < count {}
        assert_eq!(self.counter(name), count, "{name}");
    }

    /// Waits until nobody is connected but who asks.
    fn until_alone(&self) {
        while self.counter("phyros_network_connections") > 1 {}
    }

    /// Bytes that are free or the heap's, and those of the heap that somebody has.
    ///
    /// How much the heap takes depends on how many answers happen to wait at once, and it keeps that. It may take more
    /// between two looks, which then belong together no more.
    fn memory(&self) -> [u64; 2] {
        self.until_alone();
        let taken = || self.counter("phyros_heap_taken_bytes");
        let mut before = taken();
        loop {
            let free = self.counter("phyros_memory_free_bytes");
            let used = self.counter("phyros_heap_used_bytes");
            let after = taken();
            if after == before {
                return [free + after, used];
            }
            before = after;
        }
    }
}

fn assert_flat(memory: &[[u64; 2]]) {
    let [.., before, after] = memory else {
        panic!("there was one round only");
    };
    assert_eq!(before[0], after[0], "frames: {memory:?}");
    let is_flat = after[1] <= before[1] + NOISE;
    assert!(is_flat, "bytes of the heap: {memory:?}");
}
