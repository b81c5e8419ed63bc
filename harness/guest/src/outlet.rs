//! The other end of a port of a console.
//!
//! The host is a client of a socket of QEMU's: it connects, says bytes, reads what has come, and goes.
//!
//! # Panics
//! All of these panic when the host refuses, and say why.

use crate::host::call;

/// The host comes to the port. The guest has yet to notice.
pub fn connect() {
    call("port.connect", &[]);
}

/// The host goes.
pub fn disconnect() {
    call("port.disconnect", &[]);
}

/// The host says so many bytes of the pattern, from `offset` on.
pub fn say(len: u64, seed: u64, offset: u64) {
    call("port.say", &[len, seed, offset]);
}

/// Takes so many bytes that the guest has said, if they have come. How many at the start are those of the pattern,
/// from `offset` on.
pub fn heard(len: u64, seed: u64, offset: u64) -> u64 {
    call("port.heard", &[len, seed, offset])
}
