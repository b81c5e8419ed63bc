//! Random bytes, and where they come from.
//!
//! # The problem
//!
//! A machine does what it is told, and so it has no random numbers of its own. What it has is sources that may be
//! good, and nobody can tell by looking at what they give: a CPU's instruction, a device of the hypervisor's, the
//! time that things take.
//!
//! # The idea
//!
//! All of them are hashed together into the key of a stream cipher (ChaCha20, by the crate of RustCrypto), whose stream
//! is the random bytes. The key is unguessable if *one* of the sources was, and a source that is somebody
//! else's can make it no worse. After each answer the key is replaced by bytes of the stream that nobody was given: who
//! learns it later cannot go back.
//!
//! [`fill`] always has an answer, and [`origin`] says honestly what that is worth. The time stamp counter is the last
//! resort: its low bits differ from boot to boot on a real machine, and in an emulator that counts instructions they do
//! not differ at all.
//!
//! | source | when |
//! |---|---|
//! | an entropy device (virtio) | as soon as its driver has one, and whenever somebody [mixes](mix) more in |
//! | RDSEED | at the first use, if the CPU has it |
//! | RDRAND | likewise |
//! | the time stamp counter | always |

mod cpu;
mod pool;

use crate::lock::Mutex;
use core::fmt;
use pool::Pool;

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// What the random bytes have come from so far: bytes of each source that were hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// From entropy devices.
    pub device: u64,
    /// From the CPU's source (RDSEED).
    pub rdseed: u64,
    /// From the CPU's generator (RDRAND).
    pub rdrand: u64,
    /// Readings of the time stamp counter, which is no good source, and may be none at all.
    pub jitter: u64,
}

/// A source that is mixed in from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An entropy device.
    Device,
}

impl Origin {
    /// Whether there was a source that says of itself that it is random.
    pub fn has_source(&self) -> bool {
        self.device + self.rdseed + self.rdrand > 0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = [
            (self.device, "an entropy device"),
            (self.rdseed, "RDSEED"),
            (self.rdrand, "RDRAND"),
        ];
        let mut before = "";
        for (bytes, name) in sources.into_iter().filter(|(bytes, _)| *bytes > 0) {
            write!(f, "{before}{bytes} bytes of {name}")?;
            before = ", ";
        }
        match self.has_source() {
            true => write!(f, ", and {} readings of the clock", self.jitter),
            false => write!(
                f,
                "{} readings of the clock and nothing else: do not use it for secrets",
                self.jitter
            ),
        }
    }
}

/// Fills `bytes`. Any amount may be asked for; [`origin`] says what it is worth.
pub fn fill(bytes: &mut [u8]) {
    with(|pool| pool.fill(bytes));
}

/// A random number.
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Mixes bytes in. They may be known to others, or chosen by them: nothing gets worse by it.
pub fn mix(source: Source, bytes: &[u8]) {
    with(|pool| pool.mix(source, bytes));
}

/// What the bytes come from.
pub fn origin() -> Origin {
    with(|pool| pool.origin())
}

fn with<R>(action: impl FnOnce(&mut Pool) -> R) -> R {
    action(POOL.lock().get_or_insert_with(Pool::of_this_cpu))
}
