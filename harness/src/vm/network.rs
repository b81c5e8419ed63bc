//! A network of a machine's own: a namespace of the host's kernel, with a tap in it.
//!
//! A thread goes into a new namespace, and whatever it starts is in there: QEMU, and those who open connections to
//! the guest. Nothing outside sees it, nothing has a name that somebody else could have, and it is gone with the
//! last of its processes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};

use crate::machine::{Machine, Tap, Wire};
use crate::tools;

/// The host's address, and the bits that are the same in the whole network.
const HOST: &str = "10.7.0.1/24";

/// Its address for the link.
const HOST6: &str = "fe80::1/64";

/// What listens in the guest, by the address that tests give it.
pub(crate) const GUEST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), 80);

/// Why a machine cannot have a network of its own here; `None`: it can.
pub fn obstacle() -> Option<&'static str> {
    if !tools::is_root() {
        return Some("only root can make a network for a machine");
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun");
    }
    if tools::in_path("ip").is_none() {
        return Some("`ip` is missing (apt-get install iproute2)");
    }
    None
}

/// Goes into a network of the machine's own, and makes its taps.
pub(super) fn enter(machine: &Machine) -> Result<()> {
    if let Some(why) = obstacle() {
        bail!("a tap in a network of the machine's own is not possible: {why}");
    }
    unshare(CloneFlags::CLONE_NEWNET).context("the kernel makes no network for the machine")?;
    ip("link set lo up")?;
    for card in &machine.cards {
        if let Wire::Tap(tap) = &card.wire {
            make(tap)?;
        }
    }
    Ok(())
}

fn make(tap: &Tap) -> Result<()> {
    let name = &tap.name;
    let several = if tap.pairs > 1 { " multi_queue" } else { "" };
    ip(&format!("tuntap add dev {name} mode tap vnet_hdr{several}"))?;
    ip(&format!("addr add {HOST} dev {name}"))?;
    ip(&format!("link set {name} up"))?;
    // At once, and not when the kernel has found out that nobody else has it.
    ip(&format!("-6 addr add {HOST6} dev {name} nodad"))?;
    Ok(())
}

fn ip(arguments: &str) -> Result<String> {
    let mut command = Command::new(tools::in_path("ip").context("`ip` is missing")?);
    command.args(arguments.split(' ')).stdin(Stdio::null());
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "`ip {arguments}` fails: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where the guest listens by its address for the link, which it has made from that of its card.
pub(crate) fn guest6(tap: &str, card: u8) -> Result<SocketAddr> {
    let line = ip(&format!("-o link show {tap}"))?;
    let index = line.split(':').next().and_then(|index| index.parse().ok());
    let index = index.with_context(|| format!("`ip` says nothing of {tap}"))?;
    let last = 0x6810 + u16::from(card);
    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0x00ff, 0xfe70, last);
    Ok(SocketAddrV6::new(address, 80, 0, index).into())
}

/// Sends a datagram from each of so many ports to the guest, who need not say where it is.
pub(crate) fn scatter(tap: &str, card: u8, first: u16, ports: u16) -> Result<()> {
    let (address, last) = (GUEST.ip(), 0x10 + card);
    ip(&format!(
        "neigh replace {address} lladdr 52:54:00:70:68:{last:02x} dev {tap} nud permanent"
    ))?;
    for number in 0..ports {
        let port = first
            .checked_add(number)
            .context("there are no such ports")?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
        socket.send_to(&number.to_be_bytes(), GUEST)?;
    }
    Ok(())
}

/// What the kernel has counted of an interface of this network: frames and bytes from the guest, and to it. A frame
/// that is to be cut counts once.
pub(crate) fn statistic(interface: &str, which: u64) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    // Received: bytes, packets, and six others; then sent.
    let column = match which {
        0 => 1,
        1 => 0,
        2 => 9,
        3 => 8,
        _ => bail!("there is no such statistic"),
    };
    let numbers = text.lines().find_map(|line| {
        let (name, rest) = line.split_once(':')?;
        (name.trim() == interface).then_some(rest)
    });
    let numbers = numbers.with_context(|| format!("there is no interface {interface}"))?;
    let number = numbers.split_whitespace().nth(column);
    Ok(number.context("a column is missing")?.parse()?)
}
