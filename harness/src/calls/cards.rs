//! The other end of a network card's wire, and the hand that plugs the card.
//!
//! Nothing here waits: a frame that has not come yet is no frame, and one for which there is no room on the wire
//! is not sent. The guest asks again.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};

use super::talk::Talk;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use vm_test::pattern;

use crate::capture::{frames, is_of_guest};
use crate::machine::{Card, Machine, Wire};
use crate::qmp::Remote;
use crate::ram::Ram;
use crate::relay::{Fates, Relay};
use crate::vm::network;

/// No frame is longer, offloads included.
const LONGEST: usize = 1 << 17;

/// All cards of a machine.
pub struct Cards {
    remote: Remote,
    ends: Vec<End>,
}

/// What is known of one card.
struct End {
    /// `None`: its wire leads elsewhere.
    socket: Option<UnixDatagram>,
    card: Card,
    plugged: Mutex<Plugged>,
    talks: Mutex<Vec<Talk>>,
    fates: Option<Arc<Fates>>,
}

impl End {
    fn socket(&self) -> Result<&UnixDatagram> {
        let socket = self.socket.as_ref();
        socket.context("the harness is not at the other end of this card's wire")
    }
}

struct Plugged {
    name: String,
    is_gone: bool,
    /// How often it was plugged: a name is never used again.
    times: u32,
}

impl Cards {
    /// The cards of this machine, which has not started yet.
    ///
    /// # Errors
    /// If there is a socket of that name already.
    pub fn new(remote: Remote, machine: &Machine, relays: &[Relay]) -> Result<Self> {
        let end = |(index, card): (usize, &Card)| -> Result<End> {
            let socket = match card.wire {
                Wire::Harness => Some(UnixDatagram::bind(card.host_end())?),
                Wire::User(_) | Wire::Tap(_) => None,
            };
            if let Some(socket) = &socket {
                socket.set_nonblocking(true)?;
            }
            Ok(End {
                talks: Mutex::new(Vec::new()),
                fates: relays
                    .iter()
                    .find(|relay| relay.card == index)
                    .map(|relay| relay.fates.clone()),
                socket,
                card: card.clone(),
                plugged: Mutex::new(Plugged {
                    name: format!("net{index}"),
                    is_gone: false,
                    times: 0,
                }),
            })
        };
        let ends = machine.cards.iter().enumerate().map(end);
        Ok(Self {
            remote,
            ends: ends.collect::<Result<_>>()?,
        })
    }

    /// Computes a function. `None` if it has another name.
    ///
    /// # Errors
    /// If QEMU refuses, or the arguments make no sense.
    pub(super) fn compute(
        &self,
        function: &str,
        arguments: &[u64],
        ram: &Ram,
    ) -> Result<Option<u64>> {
        Ok(Some(match (function, arguments) {
            ("net.take", &[card, address, room]) => self.take(card, address, room, ram)?,
            ("net.send", &[card, address, len, more, seed, offset]) => {
                let mut frame = vec![0; usize::try_from(len)?];
                ram.read(address, &mut frame)?;
                let head = frame.len();
                frame.resize(head + usize::try_from(more)?, 0);
                pattern::fill(seed, offset, &mut frame[head..]);
                self.send(card, &frame)?
            }
            ("net.captured", &[card]) => frames(&self.capture(card)?)?.len() as u64,
            ("net.seen", &[card, seed, offset, len]) => {
                let mut bytes = vec![0; usize::try_from(len)?];
                pattern::fill(seed, offset, &mut bytes);
                ensure!(!bytes.is_empty(), "nothing is everywhere");
                let has = |frame: &[u8]| frame.windows(bytes.len()).any(|part| part == bytes);
                let capture = self.capture(card)?;
                frames(&capture)?
                    .into_iter()
                    .filter(|frame| has(frame))
                    .count() as u64
            }
            ("net.longest", &[card, of_guest]) => {
                let capture = self.capture(card)?;
                let frames = frames(&capture)?.into_iter();
                let frames = frames.filter(|frame| is_of_guest(frame) == (of_guest != 0));
                frames.map(<[u8]>::len).max().unwrap_or(0) as u64
            }
            ("net.fates", &[card, fate]) => {
                let fates = self.end(card)?.fates.as_ref();
                fates
                    .context("nothing gets lost on this wire")?
                    .count(fate)?
            }
            ("net.scatter", &[card, first, ports]) => {
                let Wire::Tap(tap) = &self.end(card)?.card.wire else {
                    bail!("network card {card} is on no tap");
                };
                let first = u16::try_from(first)?;
                network::scatter(&tap.name, u8::try_from(card)?, first, u16::try_from(ports)?)?;
                0
            }
            ("net.statistic", &[card, which]) => {
                let Wire::Tap(tap) = &self.end(card)?.card.wire else {
                    bail!("network card {card} is on no tap");
                };
                network::statistic(&tap.name, which)?
            }
            ("net.plug", &[card]) => self.plug(card)?,
            ("net.unplug", &[card]) => {
                let name = self.name(card)?;
                self.order(&format!("device_del {name}"))?
            }
            ("net.remove", &[card]) => {
                let path = format!("/machine/peripheral/{}", self.name(card)?);
                let arguments = json!({ "path": path, "property": "realized", "value": false });
                self.remote.execute("qom-set", arguments)?;
                self.plugged(card, |plugged| plugged.is_gone = true)?;
                0
            }
            ("net.talk", &[card, says, hears, seed]) => {
                self.talk(card, says, hears, seed, false)?
            }
            ("net.talk6", &[card, says, hears, seed]) => {
                self.talk(card, says, hears, seed, true)?
            }
            ("net.fetch", &[card, times, start, end, seed]) => {
                let to = self.way(card, false)?;
                self.begin(card, Talk::fetch(to, times, start..end, seed))?
            }
            ("net.heard", &[card]) => self.heard(card)?,
            ("net.is_gone", &[card]) => self.is_gone(card)?.into(),
            _ => return Ok(None),
        }))
    }

    fn end(&self, card: u64) -> Result<&End> {
        let end = usize::try_from(card)
            .ok()
            .and_then(|card| self.ends.get(card));
        end.with_context(|| format!("the machine has no network card {card}"))
    }

    fn plugged<R>(&self, card: u64, look: impl FnOnce(&mut Plugged) -> R) -> Result<R> {
        let plugged = &self.end(card)?.plugged;
        Ok(look(
            &mut plugged.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// The next frame that has left the guest, into its memory. Its length; 0 if there is none.
    fn take(&self, card: u64, address: u64, room: u64, ram: &Ram) -> Result<u64> {
        let mut frame = vec![0; LONGEST];
        let len = match self.end(card)?.socket()?.recv(&mut frame) {
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        ensure!(len as u64 <= room, "a frame of {len} bytes");
        ram.write(address, &frame[..len])?;
        Ok(len as u64)
    }

    /// Sends a frame to the guest. 0 if there is no room on the wire.
    fn send(&self, card: u64, frame: &[u8]) -> Result<u64> {
        let end = self.end(card)?;
        match end.socket()?.send_to(frame, end.card.guest_end()) {
            Ok(len) => {
                ensure!(len == frame.len(), "only {len} bytes were sent");
                Ok(1)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a connection to the guest, by the first way in.
    fn talk(&self, card: u64, says: u64, hears: u64, seed: u64, is_ip6: bool) -> Result<u64> {
        let to = self.way(card, is_ip6)?;
        self.begin(card, Talk::start(to, says, hears, seed))
    }

    /// The first way in.
    fn way(&self, card: u64, is_ip6: bool) -> Result<SocketAddr> {
        Ok(match &self.end(card)?.card.wire {
            Wire::User(network) if !is_ip6 => {
                let way = network.forwards.first().context("there is no way in")?;
                SocketAddr::from((Ipv4Addr::LOCALHOST, way.host))
            }
            Wire::Tap(_) if !is_ip6 => network::GUEST.into(),
            Wire::Tap(tap) => network::guest6(&tap.name, u8::try_from(card)?)?,
            _ => bail!("there is no way to network card {card}"),
        })
    }

    fn begin(&self, card: u64, talk: Talk) -> Result<u64> {
        let talks = &self.end(card)?.talks;
        talks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(talk);
        Ok(0)
    }

    fn capture(&self, card: u64) -> Result<Vec<u8>> {
        let capture = self.end(card)?.card.capture.as_ref();
        Ok(fs::read(
            capture.context("nobody writes down what passes")?,
        )?)
    }

    /// Whether all connections have ended, as they should.
    fn heard(&self, card: u64) -> Result<u64> {
        let talks = &self.end(card)?.talks;
        let talks = talks.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(!talks.is_empty(), "nobody talks");
        for talk in &*talks {
            if !talk.has_ended()? {
                return Ok(0);
            }
        }
        Ok(1)
    }

    /// Runs a command of the monitor for people that prints only when it fails.
    fn order(&self, line: &str) -> Result<u64> {
        let answer = self.remote.ask(line)?;
        let answer = answer.trim();
        ensure!(answer.is_empty(), "QEMU refuses `{line}`: {answer}");
        Ok(0)
    }

    fn plug(&self, card: u64) -> Result<u64> {
        ensure!(self.is_gone(card)?, "network card {card} is plugged");
        let times = self.plugged(card, |plugged| plugged.times + 1)?;
        let name = format!("net{card}-{times}");
        let device = self
            .end(card)?
            .card
            .device(usize::try_from(card)?, &name, None);
        self.order(&format!("device_add {device}"))?;
        self.plugged(card, |plugged| {
            *plugged = Plugged {
                name,
                is_gone: false,
                times,
            };
        })?;
        Ok(0)
    }

    fn is_gone(&self, card: u64) -> Result<bool> {
        self.plugged(card, |plugged| {
            plugged.is_gone |= self.remote.is_deleted(&plugged.name);
            plugged.is_gone
        })
    }

    /// The name of a card that is there.
    fn name(&self, card: u64) -> Result<String> {
        ensure!(!self.is_gone(card)?, "network card {card} is not plugged");
        self.plugged(card, |plugged| plugged.name.clone())
    }
}
