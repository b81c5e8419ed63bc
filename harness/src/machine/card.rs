//! Network cards, as values and as QEMU's arguments.
//!
//! The other end of a card's wire is the harness: each frame is a datagram of a Unix socket, as it is, without
//! anything in front of it. So the host sees what leaves the guest, bit for bit, and sends what it likes. QEMU
//! besides writes down what passes in a file, in the format of libpcap.
//!
//! Or it is QEMU's *user network*: QEMU itself plays a router, a DHCP server and a few machines, and opens
//! connections of the host for those of the guest. A port of the host leads to one of the guest. On the wire before it
//! there may be a [relay](crate::relay), which loses some of what it is given:
//!
//! ```text
//! card ── wire0 ══ relay ══ near0 ── hub ── far0, the user network
//! ```
//!
//! Or it is a *tap*, an interface of the host's kernel, whose TCP/IP is then the one at the other end.
//!
//! | what | QEMU's name |
//! |---|---|
//! | the second card | `net1` |
//! | its port, if it is behind one | `netport1` |
//! | its wire | `wire1` |
//! | what writes down what passes | `dump1` |

use std::path::PathBuf;

use super::Machine;
use super::line::{Line, escape, join};

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// It is behind a root port of its own, to be plugged and unplugged.
    pub has_port: bool,
    /// Properties of QEMU's device, for example `mrg_rxbuf=off`.
    pub properties: Vec<String>,
    /// Where the sockets are: in files whose names start like this.
    pub files: PathBuf,
    /// What passes is written down here.
    pub capture: Option<PathBuf>,
    /// What the wire leads to.
    pub wire: Wire,
}

/// What the wire of a card leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// The harness.
    #[default]
    Harness,
    /// QEMU's user network.
    User(User),
    /// An interface of the host's.
    Tap(Tap),
}

/// What there is in a user network besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Ways in.
    pub forwards: Vec<Forward>,
    /// There is somebody at 10.0.2.100, port 7, who echoes what is said to him.
    pub has_echo: bool,
    /// Some of what passes gets lost, as this number decides.
    pub loses: Option<u64>,
}

/// An interface of the host's kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Its name.
    pub name: String,
    /// Pairs of queues.
    pub pairs: u16,
    /// The machine runs in a [network of its own](crate::vm), where the interface is made for it.
    pub is_own: bool,
}

impl Tap {
    /// One with a single pair of queues in the machine's own network.
    pub fn own() -> Self {
        Self {
            name: "tap0".to_owned(),
            pairs: 1,
            is_own: true,
        }
    }
}

/// What is on IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the host, on its loopback address, that leads to one of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Ports of what.
    pub protocol: Protocol,
    /// The host's.
    pub host: u16,
    /// The guest's.
    pub guest: u16,
}

/// Who echoes: `cat` does.
const ECHO: &str = ",guestfwd=tcp:10.0.2.100:7-cmd:cat";

/// Chassis of the cards' ports: between those of controllers and the empty ones.
const CHASSIS: usize = 60;

impl Card {
    fn file(&self, end: &str) -> PathBuf {
        let mut name = self.files.clone().into_os_string();
        name.push(end);
        name.into()
    }

    /// The socket that QEMU reads from.
    pub fn guest_end(&self) -> PathBuf {
        self.file(".guest")
    }

    /// The socket that QEMU writes to.
    pub fn host_end(&self) -> PathBuf {
        self.file(".host")
    }

    /// The sockets of the same kind behind a relay.
    pub(crate) fn beyond(&self) -> [PathBuf; 2] {
        [".near.guest", ".near.host"].map(|end| self.file(end))
    }

    /// The device, under this name; in this window, if it is on no bus.
    pub fn device(&self, index: usize, name: &str, window: Option<usize>) -> String {
        let mac = format!("52:54:00:70:68:{:02x}", 0x10 + index);
        let model = match window {
            None => "virtio-net-pci",
            Some(_) => "virtio-net-device",
        };
        let mut device = format!("{model},id={name},netdev=wire{index},mac={mac}");
        if let Some(window) = window {
            device.push_str(&format!(",bus={}", Machine::window(window)));
        }
        if self.has_port {
            device.push_str(&format!(",bus=netport{index}"));
        }
        if let Wire::Tap(Tap {
            pairs: pairs @ 2.., ..
        }) = self.wire
        {
            device.push_str(&format!(",mq=on,vectors={}", 2 * pairs + 2));
        }
        for property in &self.properties {
            device.push(',');
            device.push_str(property);
        }
        device
    }
}

/// Adds all cards.
pub(super) fn add_all(line: &mut Line, cards: &[Card], first_window: Option<usize>) {
    if cards.iter().any(|card| card.has_port) {
        // Otherwise QEMU plugs and unplugs by ACPI methods, and keeps the ports out of it.
        let native = "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off";
        line.add("-global", native);
    }
    for (index, card) in cards.iter().enumerate() {
        match &card.wire {
            Wire::Harness => add_wire(line, &format!("wire{index}"), &ends(card)),
            Wire::Tap(tap) => {
                let name = &tap.name;
                let mut wire =
                    format!("tap,id=wire{index},ifname={name},script=no,downscript=no,vhost=off");
                if tap.pairs > 1 {
                    wire.push_str(&format!(",queues={}", tap.pairs));
                }
                line.add("-netdev", &wire);
            }
            Wire::User(network) => {
                let echo = if network.has_echo { ECHO } else { "" };
                let name = match network.loses {
                    None => "wire",
                    Some(_) => "far",
                };
                let mut user = format!("user,id={name}{index}{echo}");
                for forward in &network.forwards {
                    let (host, guest) = (forward.host, forward.guest);
                    let protocol = match forward.protocol {
                        Protocol::Tcp => "tcp",
                        Protocol::Udp => "udp",
                    };
                    user.push_str(&format!(",hostfwd={protocol}:127.0.0.1:{host}-:{guest}"));
                }
                line.add("-netdev", &user);
                if network.loses.is_some() {
                    add_wire(line, &format!("near{index}"), &card.beyond());
                    for end in ["near", "far"] {
                        let end = format!("id=hub-{end}{index},hubid={index},netdev={end}{index}");
                        line.add("-netdev", &format!("hubport,{end}"));
                    }
                    add_wire(line, &format!("wire{index}"), &ends(card));
                }
            }
        }
        if let Some(capture) = &card.capture {
            let dump = format!("filter-dump,id=dump{index},netdev=wire{index},maxlen=262144,file=");
            line.add("-object", &join(&[&dump, &escape(capture)]));
        }
        if card.has_port {
            let chassis = CHASSIS + index;
            let port = format!("pcie-root-port,id=netport{index},chassis={chassis},slot={chassis}");
            line.add("-device", &port);
        }
        let name = format!("net{index}");
        let window = first_window.map(|first| first + index);
        line.add("-device", &card.device(index, &name, window));
    }
}

fn ends(card: &Card) -> [PathBuf; 2] {
    [card.guest_end(), card.host_end()]
}

/// Adds the sockets between QEMU and the harness.
fn add_wire(line: &mut Line, name: &str, [guest, host]: &[PathBuf; 2]) {
    let wire = format!("dgram,id={name},local.type=unix,remote.type=unix,local.path=");
    let (guest, host) = (escape(guest), escape(host));
    line.add("-netdev", &join(&[&wire, &guest, &",remote.path=", &host]));
}
