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

/// The host opens a connection to port 80 of the guest, through the user network. It says so many bytes of the
/// pattern and closes that direction; and is to hear so many bytes of the pattern, and then the end. See [`heard`].
pub fn talk(card: u64, says: u64, hears: u64, seed: u64) {
    call("net.talk", &[card, says, hears, seed]);
}

/// Whether the host has heard everything that it was to hear.
pub fn heard(card: u64) -> bool {
    call("net.heard", &[card]) == 1
}
