//! Ports of the host that lead into a machine.
//!
//! QEMU wants a number. Of one that the host's kernel has given, and that was given back for QEMU, anybody may be the next
//! owner: another machine that is about to start, or whoever opens a connection. So numbers are taken from below those
//! that kernels give (ip(7), `ip_local_port_range`), and each process begins at numbers of its own.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// The first number, and how many there are.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// How many a process takes before it comes to those of the next.
const EACH: u32 = 16;

/// A port of the loopback address that nobody has, for TCP and UDP. No number is given twice to a process before all
/// others were.
///
/// # Errors
/// If somebody has each of them.
pub fn free() -> Result<u16> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let mut candidates = (0..COUNT).map(|_| {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        nth(process::id(), number)
    });
    let free = candidates.find(|port| is_free(*port));
    free.context("no port of 127.0.0.1 is free")
}

/// The candidate of a process with this number.
fn nth(process: u32, number: u32) -> u16 {
    let at = process.wrapping_mul(EACH).wrapping_add(number) % u32::from(COUNT);
    FIRST + u16::try_from(at).unwrap_or(0)
}

fn is_free(port: u16) -> bool {
    let place = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(place).is_ok() && UdpSocket::bind(place).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_port_is_given_twice_though_nobody_holds_it() {
        let all: Vec<u16> = (0..200).map(|_| free().unwrap()).collect();
        let different: HashSet<&u16> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
    }

    #[test]
    fn processes_that_run_at_the_same_time_do_not_meet() {
        let numbers = || (0..1000).flat_map(|process| (0..EACH).map(move |n| nth(process, n)));
        let different: HashSet<u16> = numbers().collect();
        assert_eq!(different.len(), numbers().count());
    }

    #[test]
    fn a_port_that_somebody_has_is_passed_over() {
        let held = free().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, held)).unwrap();
        assert!(!is_free(held));
    }
}
