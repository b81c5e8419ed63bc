//! Room for those who knock at a port of QEMU's.
//!
//! QEMU's user network listens with a backlog of one: of several clients that connect at once, the host's kernel
//! forgets all but two, and they try again after a second, and after two, and after four. Some even believe to be
//! connected. The backlog belongs to the socket, and whoever has the socket may listen once more, with a longer one.

use std::fs;
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use rustix::net::{listen, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::machine::{Machine, Protocol, Wire};

/// Connections that may wait until QEMU takes them. The host has a limit of its own.
const BACKLOG: i32 = 1024;

/// Makes room at all ports of the host that lead to the machine.
///
/// # Errors
/// If one of them is not found, or the host does not let us have it: Linux before 5.6, or QEMU of another user.
pub(super) fn widen(machine: &Machine, qemu: u32) -> Result<()> {
    let mut ports: Vec<u16> = forwarded(machine);
    if ports.is_empty() {
        return Ok(());
    }
    let pid = Pid::from_raw(i32::try_from(qemu)?).context("a process has a number")?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    for file in fs::read_dir(format!("/proc/{qemu}/fd"))? {
        let file = file?;
        // QEMU is not in a hurry to close what it has, but it may.
        let Ok(target) = fs::read_link(file.path()) else {
            continue;
        };
        if !target.to_string_lossy().starts_with("socket:") {
            continue;
        }
        let number = file.file_name().to_string_lossy().parse()?;
        let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?;
        if !sockopt::socket_acceptconn(&socket).unwrap_or(false) {
            continue;
        }
        let listener = TcpListener::from(socket);
        // Others listen at paths.
        if let Ok(address) = listener.local_addr()
            && ports.contains(&address.port())
        {
            listen(&listener, BACKLOG)?;
            ports.retain(|port| *port != address.port());
        }
    }
    ensure!(ports.is_empty(), "QEMU does not listen at {ports:?}");
    Ok(())
}

fn forwarded(machine: &Machine) -> Vec<u16> {
    let forwards = machine.cards.iter().flat_map(|card| match &card.wire {
        Wire::User(user) => user.forwards.as_slice(),
        Wire::Harness | Wire::Tap(_) => &[],
    });
    // Datagrams come without knocking.
    let knocked = forwards.filter(|forward| forward.protocol == Protocol::Tcp);
    knocked.map(|forward| forward.host).collect()
}
