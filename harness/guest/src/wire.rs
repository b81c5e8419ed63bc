//! The other end of a network card's wire.
//!
//! The host shares no line of code with the driver: a frame that it has received was really sent, and one that it
//! sends comes from outside. Cards are counted from 0.
//!
//! # Panics
//! All of these panic when the host refuses, and say why.

use crate::host::{ask, call};
use phyr::Phyr;

/// The next frame that has left the guest, copied into its memory by the host, as it was on the wire. Its length;
/// `None` if there is none yet.
pub fn take(card: u64, into: Phyr) -> Option<usize> {
    let len = call("net.take", &[card, into.addr().get(), into.len()]);
    (len != 0).then_some(len as usize)
}

/// Sends a frame to the guest: these bytes of its memory, and then so many of the pattern, from `offset` on.
/// Returns whether there was room on the wire.
pub fn send(card: u64, head: Phyr, more: u64, seed: u64, offset: u64) -> bool {
    let (at, len) = (head.addr().get(), head.len());
    call("net.send", &[card, at, len, more, seed, offset]) == 1
}

/// How many frames have passed, either way, by what QEMU has written down.
pub fn captured(card: u64) -> u64 {
    call("net.captured", &[card])
}

/// How many frames have these bytes of the pattern, by what QEMU has written down.
pub fn seen(card: u64, seed: u64, offset: u64, len: u64) -> u64 {
    call("net.seen", &[card, seed, offset, len])
}

/// Bytes of the longest frames from the guest, and to it, by what QEMU has written down.
pub fn longest(card: u64) -> [u64; 2] {
    [1, 0].map(|from_guest| call("net.longest", &[card, from_guest]))
}

/// How many frames were lost, doubled, and late, on a wire that is like that.
pub fn fates(card: u64) -> [u64; 3] {
    [0, 1, 2].map(|fate| call("net.fates", &[card, fate]))
}

/// What the host's kernel has counted of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Frames from the guest. One that is to be cut counts once.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Frames to the guest.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
}

/// What the host's kernel has counted of the tap of a card.
pub fn statistics(card: u64) -> Statistics {
    let [frames_out, bytes_out, frames_in, bytes_in] =
        [0, 1, 2, 3].map(|which| call("net.statistic", &[card, which]));
    Statistics {
        frames_out,
        bytes_out,
        frames_in,
        bytes_in,
    }
}

/// The host sends a datagram of UDP from each of so many ports to port 80 of the guest, on a tap where that is 10.7.0.2.
pub fn scatter(card: u64, first_port: u16, ports: u16) {
    call("net.scatter", &[card, first_port.into(), ports.into()]);
}

/// Pulls the wire out, or plugs it in again.
pub fn set_link(card: u64, is_up: bool) {
    let command = match (card, is_up) {
        (0, true) => "set_link net0 on",
        (0, false) => "set_link net0 off",
        (1, true) => "set_link net1 on",
        (1, false) => "set_link net1 off",
        _ => panic!("no wire {card}"),
    };
    ask("monitor", &[], command);
}

/// Presses the button of a card's slot. The guest must power the slot off; then it [`is_gone`].
pub fn unplug(card: u64) {
    call("net.unplug", &[card]);
}

/// Takes a card away without a word.
pub fn tear_out(card: u64) {
    call("net.remove", &[card]);
}

/// Plugs a card that has been unplugged.
pub fn plug(card: u64) {
    call("net.plug", &[card]);
}

/// Whether a card is not there, or not any more.
pub fn is_gone(card: u64) -> bool {
    call("net.is_gone", &[card]) == 1
}

/// The host opens a connection to port 80 of the guest, through the user network or a tap, where the guest is 10.7.0.2. It says so many bytes of the
/// pattern and closes that direction; and is to hear so many bytes of the pattern, and then the end. See [`heard`].
pub fn talk(card: u64, says: u64, hears: u64, seed: u64) {
    call("net.talk", &[card, says, hears, seed]);
}

/// The same by IPv6: to the guest's address for the link of a tap.
pub fn talk6(card: u64, says: u64, hears: u64, seed: u64) {
    call("net.talk6", &[card, says, hears, seed]);
}

/// The host opens a connection to port 80 of the guest, as in [`talk`], and asks so many times, by HTTP, for these bytes
/// of the file `pattern.bin`, one answer after the other. They are to be the bytes of the pattern. See [`heard`].
pub fn fetch(card: u64, times: u64, bytes: core::ops::Range<u64>, seed: u64) {
    call("net.fetch", &[card, times, bytes.start, bytes.end, seed]);
}

/// Whether the host has heard everything that it was to hear.
pub fn heard(card: u64) -> bool {
    call("net.heard", &[card]) == 1
}
