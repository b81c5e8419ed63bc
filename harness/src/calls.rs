//! What a test may ask the host to do.
//!
//! A call comes as a record and is answered in guest memory; [`vm_test::mailbox`] has the format.
//! The functions see memory and disk images as files. They know nothing of the kernel.
//!
//! | function | arguments | answer |
//! |---|---|---|
//! | `memory.fill` | address, length, seed, offset | 0 |
//! | `memory.check` | address, length, seed, offset | number of equal bytes at the start |
//! | `memory.sum` | address, length | sum of the bytes |
//! | `memory.sha256` | address, length | the digest, as text |
//! | `memory.backed` | | bytes of all RAM for which the host has memory |
//! | `disk.check` | disk, at, length, seed, offset | number of equal bytes at the start |
//! | `disk.read` | disk, at, address, length | 0; memory holds a copy |
//! | `disk.sha256` | disk, at, length | the digest, as text |
//! | `disk.stressed` | disk, block size | number of blocks, all as `iostress` has left them |
//! | `file.fill` | at, length, seed, offset `:` name | 0 |
//! | `file.check` | at, length, seed, offset `:` name | number of equal bytes at the start |
//! | `file.outlasts` | at, length, seed, offset `:` name | 0; to be [looked at](outlasting) when QEMU was killed |
//! | `file.sha256` | at, length `:` name | the digest, as text |
//! | `disk.fill` | disk, at, length, seed, offset | 0; for a disk that nobody uses |
//!
//! Files are those behind memory that is no RAM, by [name](crate::machine::Machine::files).
//!
//! These change the machine ([`Control`]). Controllers and disks are counted as in the machine's description:
//!
//! | function | arguments | answer |
//! |---|---|---|
//! | `device.plug` | controller | 0; it is there, the guest has yet to notice |
//! | `device.unplug` | controller | 0; the button is pressed, the guest has yet to let go |
//! | `device.remove` | controller | 0; it is gone, and nobody has told the guest |
//! | `device.is_gone` | controller | 1 if it is not plugged (any more) |
//! | `device.smart` | controller, bits | 0; the health log has these critical warnings |
//! | `disk.faults` | disk `:` rules | 0; `read`, `write 28 at 4096 once`, … fail; no rule: nothing does |
//! | `disk.hold` | disk | 0; reads and writes that come from now on wait |
//! | `disk.release` | disk | 0; nothing waits any more |
//! | `disk.throttle` | disk, requests a second | 0 |
//! | `disk.resize` | disk, bytes | 0; under an NVMe controller only while that is not plugged |
//! | `screen.check` | width, height, seed, offset | number of equal pixels at the start |
//! | `physical.check` | address, length, seed, offset | number of equal bytes at the start, as QEMU sees them |
//! | `trace.mark` | | 0; counting starts here |
//! | `trace.count` | `:` event and text | number of lines of that event with that text |
//! | `machine.nmi` | | 0; every core has got one |
//! | `machine.kill` | | none: QEMU gets SIGKILL |
//! | `machine.cpu_time` | | milliseconds of CPU time that QEMU has used |
//! | `monitor` | `:` command | what QEMU's monitor for people prints, as text |
//!
//! And these are about network cards ([`Cards`]), of whose wires the harness is the other end:
//!
//! | function | arguments | answer |
//! |---|---|---|
//! | `net.take` | card, address, room | length of the next frame that left, which is there now; 0 if none has |
//! | `net.send` | card, address, length, more, seed, offset | 1; the guest gets these bytes and so many of the pattern; 0 if the wire is full |
//! | `net.captured` | card | number of frames that have passed, by QEMU's capture |
//! | `net.seen` | card, seed, offset, length | number of frames that have these bytes of the pattern, by QEMU's capture |
//! | `net.longest` | card, 1 or 0 | bytes of the longest frame from the guest, or to it, by QEMU's capture |
//! | `net.talk`, `net.talk6` | card, says, hears, seed | 0; the host opens a connection to the guest, through the user network or a tap |
//! | `net.scatter` | card, port, ports | 0; the host sends a datagram from each of these ports to the guest on a tap |
//! | `net.heard` | card | 1 if all have said so many bytes of the pattern and heard so many and the end, 0 if not yet |
//! | `net.fates` | card, fate | number of frames that were lost, doubled, or late |
//! | `net.statistic` | card, which | what the host's kernel says of a tap: frames and bytes from the guest, and to it |
//! | `net.plug`, `net.unplug`, `net.remove`, `net.is_gone` | card | as for controllers |
//!
//! And these are about the port of a console ([`Outlet`]), at whose other end the host may be:
//!
//! | function | arguments | answer |
//! |---|---|---|
//! | `port.connect`, `port.disconnect` | | 0; the host comes, or goes |
//! | `port.say` | length, seed, offset | 0; it says so many bytes of the pattern |
//! | `port.heard` | length, seed, offset | number of equal bytes at the start of what has come |
//!
//! Words behind ` : ` are text; everything before it is numbers.

mod cards;
mod control;
mod layers;
pub(crate) mod outlasting;
mod outlet;
mod screen;
mod talk;
mod trace;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use vm_test::mailbox::{ANSWERED, REFUSED, STATUS, TEXT, TEXT_LEN, TEXT_MAX, TICKET, VALUE};
use vm_test::pattern;

use crate::disk::stressed;
use crate::ram::{Ram, file_in_pieces};
pub use cards::Cards;
pub use control::Control;
pub use outlet::Outlet;
pub use screen::Picture;

/// The host's side of the calls of one machine.
pub struct Host {
    ram: Ram,
    disks: Vec<PathBuf>,
    /// What is behind memory that is no RAM.
    files: Vec<(String, PathBuf)>,
    control: Option<Control>,
    cards: Option<Cards>,
    outlet: Option<Outlet>,
}

/// What a function gives back: a value, or a value and a text.
struct Value(u64, Vec<u8>);

impl Host {
    /// Answers with this memory and these disk images.
    pub fn new(ram: Ram, disks: Vec<PathBuf>) -> Self {
        Self {
            ram,
            disks,
            files: Vec::new(),
            control: None,
            cards: None,
            outlet: None,
        }
    }

    /// The same, with these files behind memory that is no RAM.
    pub fn with_files(self, files: Vec<(String, PathBuf)>) -> Self {
        Self { files, ..self }
    }

    /// The same, and the calls that change the machine are answered too.
    pub fn with_control(self, control: Control) -> Self {
        let control = Some(control);
        Self { control, ..self }
    }

    /// The same, and the calls about network cards are answered too.
    pub fn with_cards(self, cards: Cards) -> Self {
        let cards = Some(cards);
        Self { cards, ..self }
    }

    /// The same, and the calls about a port are answered too.
    pub fn with_outlet(self, outlet: Outlet) -> Self {
        let outlet = Some(outlet);
        Self { outlet, ..self }
    }

    /// Answers the call in the record with this number and text.
    ///
    /// # Errors
    /// If the record is no call, or the answer cannot be delivered: the guest then waits forever.
    pub fn answer(&self, record: u64, text: &str) -> Result<()> {
        let (numbers, text) = text.split_once(" : ").unwrap_or((text, ""));
        let mut words = numbers.split(' ');
        let function = words.next().unwrap_or_default();
        let arguments: Vec<u64> = words
            .map(|word| u64::from_str_radix(word, 16))
            .collect::<Result<_, _>>()
            .with_context(|| format!("`{numbers}` is no call"))?;
        let (&mailbox, arguments) = arguments
            .split_first()
            .with_context(|| format!("`{function}` has no mailbox"))?;

        let (status, Value(value, text)) = match self.compute(function, arguments, text) {
            Ok(value) => (ANSWERED, value),
            Err(error) => (REFUSED, Value(0, format!("{error:#}").into_bytes())),
        };
        let text = &text[..text.len().min(TEXT_MAX)];
        let word = |at: usize| mailbox.wrapping_add(8 * at as u64);
        self.ram.write(word(STATUS), &status.to_le_bytes())?;
        self.ram.write(word(VALUE), &value.to_le_bytes())?;
        self.ram
            .write(word(TEXT_LEN), &(text.len() as u64).to_le_bytes())?;
        self.ram.write(word(TEXT), text)?;
        // Last, because the guest waits for it.
        self.ram
            .write(word(TICKET), &record.wrapping_add(1).to_le_bytes())
    }

    fn compute(&self, function: &str, arguments: &[u64], text: &str) -> Result<Value> {
        if let Some(control) = &self.control
            && let Some((value, text)) = control.compute(function, arguments, text)?
        {
            return Ok(Value(value, text.into_bytes()));
        }
        let number = |value| Ok(Value(value, Vec::new()));
        if let Some(cards) = &self.cards
            && let Some(value) = cards.compute(function, arguments, &self.ram)?
        {
            return number(value);
        }
        if let Some(outlet) = &self.outlet
            && let Some(value) = outlet.compute(function, arguments)?
        {
            return number(value);
        }
        match (function, arguments) {
            ("memory.fill", &[address, len, seed, offset]) => {
                let mut bytes = vec![0; usize::try_from(len)?.min(1 << 16)];
                let mut done = 0;
                while done < len {
                    let piece = (len - done).min(bytes.len() as u64) as usize;
                    pattern::fill(seed, offset.wrapping_add(done), &mut bytes[..piece]);
                    self.ram
                        .write(address.wrapping_add(done), &bytes[..piece])?;
                    done += piece as u64;
                }
                number(0)
            }
            ("disk.fill", &[disk, at, len, seed, offset]) => {
                fill_file(self.image(disk)?, at, len, seed, offset)?;
                number(0)
            }
            ("file.fill", &[at, len, seed, offset]) => {
                fill_file(self.file(text)?, at, len, seed, offset)?;
                number(0)
            }
            ("file.check", &[at, len, seed, offset]) => {
                number(equal_in_file(self.file(text)?, at, len, seed, offset)?)
            }
            ("file.outlasts", &[_, _, _, _]) => {
                self.file(text)?;
                number(0)
            }
            ("file.sha256", &[at, len]) => {
                let mut hash = Sha256::new();
                file_in_pieces(&File::open(self.file(text)?)?, at, len, |_, piece| {
                    hash.update(piece);
                    true
                })?;
                Ok(Value(0, hash.finalize().to_vec()))
            }
            ("memory.check", &[address, len, seed, offset]) => {
                let mut same = Same::new(len, seed, offset);
                self.ram
                    .read_in_pieces(address, len, |at, piece| same.look(at, piece))?;
                number(same.equal)
            }
            ("memory.backed", &[]) => number(self.ram.backed()?),
            ("memory.sum", &[address, len]) => {
                let mut sum = 0_u64;
                self.ram.read_in_pieces(address, len, |_, piece| {
                    sum += piece.iter().map(|&byte| u64::from(byte)).sum::<u64>();
                    true
                })?;
                number(sum)
            }
            ("memory.sha256", &[address, len]) => {
                let mut hash = Sha256::new();
                self.ram.read_in_pieces(address, len, |_, piece| {
                    hash.update(piece);
                    true
                })?;
                Ok(Value(0, hash.finalize().to_vec()))
            }
            ("disk.check", &[disk, at, len, seed, offset]) => {
                let mut same = Same::new(len, seed, offset);
                file_in_pieces(&self.disk(disk)?, at, len, |at, piece| same.look(at, piece))?;
                number(same.equal)
            }
            ("disk.read", &[disk, at, address, len]) => {
                let mut result = Ok(());
                file_in_pieces(&self.disk(disk)?, at, len, |done, piece| {
                    result = self.ram.write(address.wrapping_add(done), piece);
                    result.is_ok()
                })?;
                result.map(|()| Value(0, Vec::new()))
            }
            ("disk.sha256", &[disk, at, len]) => {
                let mut hash = Sha256::new();
                file_in_pieces(&self.disk(disk)?, at, len, |_, piece| {
                    hash.update(piece);
                    true
                })?;
                Ok(Value(0, hash.finalize().to_vec()))
            }
            ("disk.stressed", &[disk, block_size]) => {
                let sound = stressed::check(self.image(disk)?, u32::try_from(block_size)?)?;
                number(sound.blocks)
            }
            (name, _) => bail!(
                "there is no function `{name}` of {} arguments",
                arguments.len()
            ),
        }
    }

    fn image(&self, index: u64) -> Result<&PathBuf> {
        let path = usize::try_from(index)
            .ok()
            .and_then(|index| self.disks.get(index));
        path.with_context(|| format!("the machine has no disk {index}"))
    }

    fn file(&self, name: &str) -> Result<&PathBuf> {
        let file = self.files.iter().find(|(other, _)| other == name);
        let file = file.with_context(|| format!("the machine has no memory `{name}`"))?;
        Ok(&file.1)
    }

    fn disk(&self, index: u64) -> Result<File> {
        Ok(File::open(self.image(index)?)?)
    }
}

/// Writes the pattern into a part of a file.
fn fill_file(path: &Path, at: u64, len: u64, seed: u64, offset: u64) -> Result<()> {
    let file = File::options().write(true).open(path)?;
    let mut bytes = vec![0; usize::try_from(len)?];
    pattern::fill(seed, offset, &mut bytes);
    Ok(file.write_all_at(&bytes, at)?)
}

/// How many bytes of a part of a file are those of the pattern, from the first on.
fn equal_in_file(path: &Path, at: u64, len: u64, seed: u64, offset: u64) -> Result<u64> {
    let mut same = Same::new(len, seed, offset);
    let file = File::open(path)?;
    file_in_pieces(&file, at, len, |at, piece| same.look(at, piece))?;
    Ok(same.equal)
}

/// Counts how many bytes agree with the pattern before the first that does not.
struct Same {
    seed: u64,
    offset: u64,
    equal: u64,
}

impl Same {
    fn new(len: u64, seed: u64, offset: u64) -> Self {
        Self {
            seed,
            offset,
            equal: len,
        }
    }

    fn look(&mut self, at: u64, piece: &[u8]) -> bool {
        match pattern::first_difference(self.seed, self.offset.wrapping_add(at), piece) {
            Some(index) => {
                self.equal = at + index as u64;
                false
            }
            None => true,
        }
    }
}

#[cfg(test)]
mod tests;
