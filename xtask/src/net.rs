//! The network card of `cargo xtask run`, and what its wire leads to.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use harness::machine::{Card, Forward, Machine, Protocol, Tap, User, Wire};
use harness::trial::SEED;

/// What decides which frames get lost, if nobody says so.
const LOSES: u64 = 1;

#[derive(Args)]
pub(crate) struct Network {
    /// What a network card leads to; without it there is none
    #[arg(long, value_name = "KIND", default_value = "none")]
    net: NetName,

    /// The interface of this computer that is the other end of --net tap
    #[arg(long, value_name = "NAME", default_value = "tap0")]
    ifname: String,

    /// Lead a TCP port of this computer to one of the machine, for example 8080:80; may be given several times
    ///
    /// Only programs on this computer can use it. Implies --net user.
    #[arg(long, value_name = "PORT:PORT", value_parser = forward)]
    forward: Vec<Forward>,

    /// Write down all frames that pass through the card, as tshark and Wireshark read them
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum NetName {
    /// There is no card
    None,
    /// QEMU's user network: it lends an address, and opens connections of this computer for those of the machine
    User,
    /// The same, but one frame of TCP in a hundred gets lost, one comes twice, and one comes late
    Lossy,
    /// An interface of this computer, whose kernel then is the neighbour; nobody lends an address
    Tap,
}

fn forward(text: &str) -> Result<Forward> {
    let ports = text.split_once(':').and_then(|(host, guest)| {
        let (host, guest) = (host.parse().ok()?, guest.parse().ok()?);
        let protocol = Protocol::Tcp;
        let forward = Forward {
            protocol,
            host,
            guest,
        };
        Some(forward).filter(|ports| ports.host > 0 && ports.guest > 0)
    });
    ports.context("write two ports, this computer's and the machine's, as in 8080:80")
}

impl Network {
    /// Complains about what cannot be had before anything is built. The machine is to serve something through the
    /// user network, or not.
    pub(crate) fn check(&self, serves: bool) -> Result<()> {
        if self.net == NetName::Tap {
            ensure!(
                !serves && self.forward.is_empty(),
                "ports of this computer lead through QEMU's user network, so there are none with --net tap: \
                 start what serves in the machine, for example with `httpd`"
            );
            check_tap(&self.ifname)?;
        }
        ensure!(
            self.pcap.is_none() || serves || self.has_card(),
            "--pcap writes down what passes through a card: give the machine one, for example with --net user"
        );
        if let Some(path) = &self.pcap {
            File::create(path).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        Ok(())
    }

    fn has_card(&self) -> bool {
        self.net != NetName::None || !self.forward.is_empty()
    }

    /// Adds the card, which leads these ports to the machine besides.
    pub(crate) fn add(&self, machine: &mut Machine, folder: &Path, mut forwards: Vec<Forward>) {
        if !self.has_card() && forwards.is_empty() {
            return;
        }
        forwards.extend(&self.forward);
        let user = |loses| {
            Wire::User(User {
                forwards,
                has_echo: false,
                loses,
            })
        };
        let wire = match self.net {
            NetName::Tap => Wire::Tap(Tap {
                name: self.ifname.clone(),
                pairs: 1,
                is_own: false,
            }),
            NetName::Lossy => user(Some(seed())),
            NetName::None | NetName::User => user(None),
        };
        machine.cards.push(Card {
            has_port: false,
            properties: Vec::new(),
            files: folder.join("net0"),
            capture: self.pcap.clone(),
            wire,
        });
    }
}

fn seed() -> u64 {
    let said = std::env::var(SEED).ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(LOSES)
}

/// Whether we may use a tap, and if not, what to type.
fn check_tap(name: &str) -> Result<()> {
    const TUN: &str = "/dev/net/tun";
    if !Path::new(TUN).exists() {
        bail!(
            "there is no {TUN}, through which QEMU reaches a tap. Run this, then try again:\n\n    \
             sudo modprobe tun\n\nor in a container\n\n    \
             sudo mkdir -p /dev/net && sudo mknod -m 666 {TUN} c 10 200\n"
        );
    }
    if File::options().read(true).write(true).open(TUN).is_err() {
        bail!("you may not open {TUN}. Run this, then try again:\n\n    sudo chmod 666 {TUN}\n");
    }
    let interface = Path::new("/sys/class/net").join(name);
    let make = format!(
        "\n\n    sudo ip tuntap add dev {name} mode tap user $USER\n    \
         sudo ip addr add 10.7.0.1/24 dev {name}\n    sudo ip link set {name} up\n\n\
         In the machine, `ip net0 10.7.0.2/24` then gives it an address.\n"
    );
    if !interface.exists() {
        bail!("there is no interface {name}. Run this, then try again:{make}");
    }
    let said = |what: &str| std::fs::read_to_string(interface.join(what)).ok();
    let Some(owner) = said("owner") else {
        bail!("the interface {name} is no tap: name another one with --ifname, or make one:{make}");
    };
    let us = std::fs::metadata("/proc/self")?.uid();
    let is_ours = owner.trim() == us.to_string();
    if us != 0 && !is_ours {
        bail!(
            "the tap {name} belongs to somebody else. Run this, then try again:\n\n    \
             sudo ip tuntap del dev {name} mode tap{make}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tap_is_told_with_what_to_type() {
        if File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .is_err()
        {
            println!("nothing is tried: /dev/net/tun cannot be opened");
            return;
        }
        let error = check_tap("no-such-tap").unwrap_err().to_string();
        assert!(
            error.contains("sudo ip tuntap add dev no-such-tap mode tap user $USER\n"),
            "{error}"
        );
        let error = check_tap("lo").unwrap_err().to_string();
        assert!(error.contains("lo is no tap"), "{error}");
    }

    #[test]
    fn two_ports_are_a_way() {
        let way = forward("8080:80").unwrap();
        assert_eq!((way.host, way.guest), (8080, 80));
        for wrong in ["8080", "0:80", "80:0", "a:b", "1:70000"] {
            assert!(forward(wrong).is_err(), "{wrong}");
        }
    }
}
