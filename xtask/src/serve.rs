//! Services of the machine at ports of the host.
//!
//! QEMU listens at a port of 127.0.0.1 from its start, and the guest does not answer before it is up. So nobody
//! guesses: the guest says by a record when it does, and only then a line tells the user where.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::{env, thread};

use anyhow::{Context, Result, ensure};
use harness::machine::{Forward, Machine, Protocol};
use harness::ports;
use harness::vm::Guide;

/// Ports of the guest, by the names that it knows its services by.
const GUEST: &[(&str, u16)] = &[
    ("http", 80),
    ("nbd", 10_809),
    ("nbd-write", 10_809),
    ("iperf", IPERF),
    ("echo", 7),
];

const IPERF: u16 = 5201;

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
    Ok(ports)
}

/// What leads there.
pub(crate) fn forwards(ports: &[(u16, u16)]) -> Vec<Forward> {
    let forwards = ports.iter().flat_map(|&(guest, host)| {
        // iperf3 has datagrams at the port of its connections.
        let protocols: &[Protocol] = match guest {
            IPERF => &[Protocol::Tcp, Protocol::Udp],
            _ => &[Protocol::Tcp],
        };
        protocols.iter().map(move |&protocol| Forward {
            protocol,
            host,
            guest,
        })
    });
    forwards.collect()
}

/// A port that is free: this one, or for 0 any. Somebody may be faster than QEMU; then QEMU says so.
fn free(port: u16) -> Result<u16> {
    if port == 0 {
        return ports::free();
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = listener.with_context(|| format!("port {port} of 127.0.0.1 cannot be had"))?;
    let found = listener.local_addr()?.port();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, found));
    socket.with_context(|| format!("port {found} of UDP, of 127.0.0.1, cannot be had"))?;
    Ok(found)
}

/// The program that opens what the user likes to open such things with. Debian: xdg-utils.
const OPENER: &str = "xdg-open";

/// Whether something can be shown in a browser.
///
/// # Errors
/// If not, with what to do about it.
pub(crate) fn check_browser() -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|folder| folder.join(OPENER).is_file());
    ensure!(
        is_there,
        "`{OPENER}` is missing, which --open calls: `apt-get install xdg-utils` installs it. \
         Without --open, a line says where the page is"
    );
    Ok(())
}

/// Shows a page in the browser. The machine goes on whether that goes well or not.
fn open(page: &str) {
    let opened = Command::new(OPENER).arg(page).stdin(Stdio::null()).spawn();
    let told = match opened {
        // Some stay for as long as their browser does.
        Ok(mut opener) => thread::spawn(move || match opener.wait() {
            Ok(status) if status.success() => {}
            _ => eprintln!("`{OPENER}` has found no browser for the page"),
        }),
        Err(error) => {
            eprintln!("`{OPENER}` cannot be started: {error}");
            return;
        }
    };
    drop(told);
}

/// Says where everything is when it is, shows the page to whom wants to see it, and presses the power button when
/// somebody wants us to end.
pub(crate) fn guide(ports: Vec<(u16, u16)>, opens: bool) -> Result<Guide> {
    let (sender, end) = mpsc::channel();
    let told = move || {
        // Whoever listens has gone once the machine has ended.
        let _ = sender.send(());
    };
    ctrlc::set_handler(told).context("signals cannot be received")?;
    let ready = Box::new(move |said: &str| {
        // The machine writes to the same place, and may be in the middle of a line.
        let line = line(said, &ports);
        let text = format!("\n{line}\n");
        let mut out = std::io::stdout().lock();
        // Nobody may be there to read it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        drop(out);
        let mut words = line.split(' ');
        if opens && let Some(page) = words.find_map(|word| word.strip_prefix("http=")) {
            open(page);
        }
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
