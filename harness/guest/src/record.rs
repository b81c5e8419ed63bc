//! What the guest tells the host about its one test.
//!
//! Every guest begins with `hello`. A guest that ends in a way it knows of says what it has
//! come to and then `bye`. So there are three endings, and the lack of one:
//!
//! | the test | records |
//! |---|---|
//! | returned | `hello`, `begin NAME`, `outcome ok`, `bye` |
//! | panicked | `hello`, `begin NAME`, `panic MESSAGE`, `bye` |
//! | met an exception | `hello`, `begin NAME`, `fault VECTOR`, `bye` |
//! | anything else | no `bye` |
//!
//! The form of a record is [`sequence`](crate::sequence)'s. Writing needs no memory and
//! no interrupt, so it works in a panic inside of an exception handler. Cores take turns; one that
//! waits for too long takes it that the other has been broken off, for good.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::port;
use crate::sequence::{VERSION, write_record};

/// Number of the next record.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A record has been begun and not ended: by another core, or by what this core was broken off in.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Looks at [`OPEN`] before its writer is given up. A record takes a hundredth of them.
const PATIENCE: u32 = 10_000_000;

/// Writes one record and returns its number.
pub(crate) fn write(kind: &str, text: fmt::Arguments<'_>) -> u64 {
    let mut looks = 0;
    while OPEN.swap(true, Ordering::Acquire) {
        looks += 1;
        if looks == PATIENCE {
            port::send(b'\n');
            break;
        }
        core::hint::spin_loop();
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    write_record(number, kind, text, port::send);
    OPEN.store(false, Ordering::Release);
    number
}

/// The guest is alive and speaks this version.
pub(crate) fn hello() {
    write("hello", format_args!("{VERSION}"));
}

/// The test of this name starts now.
pub(crate) fn begin(name: &str) {
    write("begin", format_args!("{name}"));
}

/// The test returned.
pub(crate) fn returned() {
    write("outcome", format_args!("ok"));
}

/// Says something that is printed with the test's result.
pub fn note(text: fmt::Arguments<'_>) {
    write("note", text);
}

/// The guest does for others what it was started for: which services are where.
pub fn ready(text: fmt::Arguments<'_>) {
    write("ready", text);
}

/// To be called by the panic handler, which then ends the machine with a failure.
pub fn panicked(message: fmt::Arguments<'_>) {
    write("panic", message);
    bye();
}

/// To be called by the exception handlers, which then end the machine with a failure.
pub fn fault(vector: u8) {
    write("fault", format_args!("{vector}"));
    bye();
}

/// The last record.
pub(crate) fn bye() {
    write("bye", format_args!(""));
}
