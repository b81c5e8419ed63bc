//! Services of the machine at ports of the host.
//!
//! QEMU listens at a port of 127.0.0.1 from its start, and the guest does not answer before it is up. So nobody
//! guesses: the guest says by a record when it does, and only then a line tells the user where.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, Result};
use harness::machine::{Card, Forward, Machine, User, Wire};
use harness::vm::Guide;

/// Ports of the guest, by the names that it knows its services by.
const GUEST: &[(&str, u16)] = &[
    ("http", 80),
    ("nbd", 10_809),
    ("nbd-write", 10_809),
    ("iperf", 5201),
];

/// Has the guest serve what is wanted. Returns the ports of the guest, and those of the host that lead there.
pub(crate) fn add(
    wanted: &[(&'static str, u16)],
    patience: Option<u64>,
    machine: &mut Machine,
    folder: &Path,
) -> Result<Vec<(u16, u16)>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for (name, port) in wanted {
        let guest = GUEST.iter().find(|(known, _)| known == name);
        let (_, guest) = guest.context("the guest has no such service")?;
        ports.push((*guest, free(*port)?));
        names.push(*name);
    }
    let path = folder.join("serve");
    fs::write(&path, names.join(" "))?;
    machine.inputs.push(("opt/phyros/serve".to_owned(), path));
    if let Some(milliseconds) = patience {
        let path = folder.join("patience");
        fs::write(&path, milliseconds.to_string())?;
        let input = ("opt/phyros/patience".to_owned(), path);
        machine.inputs.push(input);
    }
    let forwards = ports.iter().map(|(guest, host)| Forward {
        host: *host,
        guest: *guest,
    });
    let user = machine
        .cards
        .iter_mut()
        .find_map(|card| match &mut card.wire {
            Wire::User(user) => Some(user),
            Wire::Harness => None,
        });
    match user {
        Some(user) => user.forwards.extend(forwards),
        None => machine.cards.push(Card {
            has_port: false,
            properties: Vec::new(),
            files: folder.join("net0"),
            wire: Wire::User(User {
                forwards: forwards.collect(),
                has_echo: false,
            }),
        }),
    }
    Ok(ports)
}

/// A port that is free: this one, or for 0 any. Somebody may be faster than QEMU; then QEMU says so.
fn free(port: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = listener.with_context(|| format!("port {port} of 127.0.0.1 cannot be had"))?;
    Ok(listener.local_addr()?.port())
}

/// Says where everything is when it is, and presses the power button when somebody wants us to end.
pub(crate) fn guide(ports: Vec<(u16, u16)>) -> Result<Guide> {
    let (sender, end) = mpsc::channel();
    let told = move || {
        // Whoever listens has gone once the machine has ended.
        let _ = sender.send(());
    };
    ctrlc::set_handler(told).context("signals cannot be received")?;
    let ready = Box::new(move |said: &str| {
        // The machine writes to the same place, and may be in the middle of a line.
        let text = format!("\n{}\n", line(said, &ports));
        let mut out = std::io::stdout().lock();
        // Nobody may be there to read it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    });
    let takes_signals = true;
    Ok(Guide {
        ready,
        end,
        takes_signals,
    })
}

/// The line for the user: what the guest says, with ports of the host. What is no `NAME=PORT` is passed on.
fn line(said: &str, ports: &[(u16, u16)]) -> String {
    let mut line = "ready".to_owned();
    for word in said.split_whitespace() {
        let parts = word.split_once('=').and_then(|(name, place)| {
            let (port, rest) = match place.split_once('/') {
                Some((port, rest)) => (port, format!("/{rest}")),
                None => (place, String::new()),
            };
            let guest: u16 = port.parse().ok()?;
            let (_, host) = ports.iter().find(|(known, _)| *known == guest)?;
            Some((name, host, rest))
        });
        line.push(' ');
        match parts {
            Some((name @ ("http" | "nbd"), host, rest)) => {
                line.push_str(&format!("{name}={name}://127.0.0.1:{host}{rest}"));
            }
            Some((name, host, rest)) => line.push_str(&format!("{name}=127.0.0.1:{host}{rest}")),
            None => line.push_str(word),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_ports_of_the_host() {
        let ports = [(80, 4000), (10_809, 4001), (5201, 4002)];
        let said = "http=80 nbd=10809/nvme0n1 iperf=5201 other=7 odd";
        assert_eq!(
            line(said, &ports),
            "ready http=http://127.0.0.1:4000 nbd=nbd://127.0.0.1:4001/nvme0n1 \
             iperf=127.0.0.1:4002 other=7 odd"
        );
    }

    #[test]
    fn a_port_that_somebody_has_is_refused() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
        let port = taken.local_addr().expect("it has one").port();
        assert!(free(port).is_err());
        assert_ne!(free(0).expect("there is another"), port);
    }
}
