//! The host as a witness.
//!
//! A driver that reads a disk and then compares what it read with what it wrote proves little:
//! both could go wrong in the same way. The host sees guest memory and the disk images as files
//! and shares no line of code with the driver. These functions ask it.
//!
//! The order is always the same. The guest names memory by a [`Phyr`], the host looks there.
//! Nothing of it works before the kernel has given a page for the answers ([`install`]).

use core::fmt;

use phyr::{Phyr, PhysAddr};
use spin::{Mutex, Once};

pub use crate::mailbox::Answer;
use crate::mailbox::Mailbox;
use crate::record;

/// Where answers arrive.
static MAILBOX: Once<(&'static Mailbox, PhysAddr)> = Once::new();

/// One question at a time: there is one mailbox.
static TURN: Mutex<()> = Mutex::new(());

/// Tells where answers are to be written. Only the first call counts.
///
/// `phys` is the physical address of `mailbox`, whose memory must stay the mailbox's for good.
/// A wrong address makes the first question hang until the test's time limit.
pub fn install(mailbox: &'static Mailbox, phys: PhysAddr) {
    MAILBOX.call_once(|| (mailbox, phys));
}

/// Asks the host for the value of `function` for these arguments.
///
/// # Panics
/// If there is no mailbox, or if the host refuses: it says why.
pub fn call(function: &str, arguments: &[u64]) -> u64 {
    ask(function, arguments, "").value
}

/// Writes the pattern's bytes from `offset` on into guest memory, from outside.
pub fn fill_pattern(memory: Phyr, seed: u64, offset: u64) {
    call(
        "memory.fill",
        &[memory.addr().get(), memory.len(), seed, offset],
    );
}

/// Checks that guest memory holds the pattern's bytes from `offset` on.
///
/// # Panics
/// If a byte differs: the message says which.
pub fn assert_pattern(memory: Phyr, seed: u64, offset: u64) {
    let equal = call(
        "memory.check",
        &[memory.addr().get(), memory.len(), seed, offset],
    );
    assert!(
        equal == memory.len(),
        "the host sees byte {equal} of {memory} differ from the pattern (seed {seed}, offset {offset})"
    );
}

/// For how many bytes of the machine's RAM the host has memory. What was never touched, or was given back, is not
/// among them.
pub fn backed() -> u64 {
    call("memory.backed", &[])
}

/// Checks that `len` bytes of a disk's image hold the pattern's bytes from `offset` on.
///
/// Disks are counted from 0 in the order of the machine's description; `at` is in bytes.
///
/// # Panics
/// If a byte differs: the message says which.
pub fn assert_disk_pattern(disk: u64, at: u64, len: u64, seed: u64, offset: u64) {
    let equal = call("disk.check", &[disk, at, len, seed, offset]);
    assert!(
        equal == len,
        "the host sees byte {equal} behind byte {at} of disk {disk} differ from the pattern (seed {seed}, offset {offset})"
    );
}

/// Writes the pattern's bytes from `offset` on into the file behind memory that is no RAM: the guest
/// finds them there.
///
/// The name is that of QEMU's device and a number: `ivshmem0`, `nvdimm1`, `pmr0` (the controller's).
pub fn fill_file(name: &str, at: u64, len: u64, seed: u64, offset: u64) {
    ask("file.fill", &[at, len, seed, offset], name);
}

/// Checks that `len` bytes of such a file hold the pattern's bytes from `offset` on.
///
/// # Panics
/// If a byte differs: the message says which.
pub fn assert_file_pattern(name: &str, at: u64, len: u64, seed: u64, offset: u64) {
    let equal = ask("file.check", &[at, len, seed, offset], name).value;
    assert!(
        equal == len,
        "the host sees byte {equal} behind byte {at} of {name} differ from the pattern (seed {seed}, offset {offset})"
    );
}

/// Says that `len` bytes of such a file must hold the pattern's bytes from `offset` on when the machine has
/// been [killed](crate::control::kill). Otherwise the test has failed.
pub fn outlasts(name: &str, at: u64, len: u64, seed: u64, offset: u64) {
    ask("file.outlasts", &[at, len, seed, offset], name);
}

/// Checks that QEMU finds the pattern's bytes from `offset` on at a physical address, in memory of any kind.
///
/// # Panics
/// If a byte differs: the message says which.
pub fn assert_physical(memory: Phyr, seed: u64, offset: u64) {
    let (start, len) = (memory.addr().get(), memory.len());
    let equal = call("physical.check", &[start, len, seed, offset]);
    assert!(
        equal == len,
        "QEMU sees byte {equal} of {memory} differ from the pattern (seed {seed}, offset {offset})"
    );
}

/// The SHA-256 digest of `len` bytes of such a file.
pub fn file_sha256(name: &str, at: u64, len: u64) -> [u8; 32] {
    digest(ask("file.sha256", &[at, len], name))
}

/// How many pixels of the screen, from the first on, show the pattern's bytes from `offset` on: blue,
/// green, red, and one that is not seen. The screen must have these measures.
pub fn equal_pixels(width: u64, height: u64, seed: u64, offset: u64) -> u64 {
    call("screen.check", &[width, height, seed, offset])
}

/// Copies bytes of a disk's image into guest memory, past every driver.
pub fn read_disk(disk: u64, at: u64, memory: Phyr) {
    call("disk.read", &[disk, at, memory.addr().get(), memory.len()]);
}

/// The sum of all bytes of guest memory, as the host sees them.
pub fn sum(memory: Phyr) -> u64 {
    call("memory.sum", &[memory.addr().get(), memory.len()])
}

/// The SHA-256 digest of guest memory, as the host sees it.
pub fn sha256(memory: Phyr) -> [u8; 32] {
    digest(ask(
        "memory.sha256",
        &[memory.addr().get(), memory.len()],
        "",
    ))
}

/// The SHA-256 digest of `len` bytes of a disk's image, from byte `at` on.
pub fn disk_sha256(disk: u64, at: u64, len: u64) -> [u8; 32] {
    digest(ask("disk.sha256", &[disk, at, len], ""))
}

/// Checks every block of a disk that `iostress` has written all over, by what it has left there.
///
/// Returns how many blocks were checked.
///
/// # Panics
/// If a block is not right: the message says which.
pub fn assert_stressed(disk: u64, block_size: u32) -> u64 {
    call("disk.stressed", &[disk, block_size.into()])
}

fn digest(answer: Answer) -> [u8; 32] {
    match answer.text().try_into() {
        Ok(digest) => digest,
        Err(_) => panic!("the host sent a digest of {} bytes", answer.text().len()),
    }
}

/// Sends a question with numbers and a text, and waits for the answer.
///
/// Cores take turns. Nothing else happens on this core meanwhile.
///
/// # Panics
/// If there is no mailbox, or if the host refuses: it says why.
pub fn ask(function: &str, arguments: &[u64], text: &str) -> Answer {
    let Some((mailbox, phys)) = MAILBOX.get() else {
        panic!("the host cannot answer `{function}`: the kernel has installed no mailbox");
    };
    let arguments = Arguments {
        phys: phys.get(),
        arguments,
        text,
    };
    let turn = TURN.lock();
    let number = record::write("call", format_args!("{function} {arguments}"));
    let answer = mailbox.answer(number);
    drop(turn);
    if answer.refused {
        let why = core::str::from_utf8(answer.text()).unwrap_or("for a reason that is no text");
        panic!("the host refuses `{function}`: {why}");
    }
    answer
}

/// The numbers of a call, in hexadecimal, and its text.
struct Arguments<'a> {
    phys: u64,
    arguments: &'a [u64],
    text: &'a str,
}

impl fmt::Display for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.phys)?;
        self.arguments
            .iter()
            .try_for_each(|argument| write!(f, " {argument:x}"))?;
        if !self.text.is_empty() {
            write!(f, " : {}", self.text)?;
        }
        Ok(())
    }
}
