//! What endpoints were not let do: the device writes it into buffers that it was given for that (section
//! 5.13.6.10).

use super::device::Queue;
use crate::chain::{WRITE, descriptor};
use crate::error::{Failure, Violation};
use crate::platform::{Platform, SharedMemory};
use phyr::DmaAddr;

/// Bytes of a buffer: a fault has 24.
const BYTES: usize = 32;

/// Why something was not let happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not known.
    Unknown,
    /// The endpoint is in no domain.
    Domain,
    /// The domain has nothing there, or not to be used in this way.
    Mapping,
    /// A reason that means nothing.
    Other(u8),
}

/// Something that an endpoint was not let do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Who.
    pub endpoint: u32,
    /// Where, if that is known.
    pub address: Option<DmaAddr>,
    /// It wanted to read.
    pub read: bool,
    /// It wanted to write.
    pub write: bool,
    /// Why not.
    pub reason: Reason,
}

impl Fault {
    fn decode(words: [u64; 3]) -> Self {
        const READ: u64 = 1 << 32;
        const WRITE: u64 = 2 << 32;
        const ADDRESS: u64 = 1 << 40;
        let [first, endpoint, address] = words;
        Self {
            endpoint: endpoint as u32,
            address: (first & ADDRESS != 0).then_some(DmaAddr::new(address)),
            read: first & READ != 0,
            write: first & WRITE != 0,
            reason: match first as u8 {
                0 => Reason::Unknown,
                1 => Reason::Domain,
                2 => Reason::Mapping,
                other => Reason::Other(other),
            },
        }
    }
}

/// The queue of events: each of its buffers is the device's until it has written one into it.
pub(super) struct Events<M> {
    queue: Queue<M>,
    buffers: M,
}

impl<M: SharedMemory> Events<M> {
    /// Bytes of buffers for a queue of so many entries.
    pub(super) fn bytes(entries: u16) -> usize {
        usize::from(entries) * BYTES
    }

    pub(super) fn new(queue: Queue<M>, buffers: M) -> Self {
        Self { queue, buffers }
    }

    /// Gives the device all buffers. It may be told of the queue from now on.
    pub(super) fn fill<P: Platform<Shared = M>>(&mut self, platform: &P) {
        let start = self.buffers.bus().addr().get();
        for number in 0..self.queue.entries {
            let at = start + u64::from(number) * BYTES as u64;
            let words = descriptor(at, BYTES as u32, WRITE, 0);
            self.queue.ring.describe(number, words);
            self.queue.ring.push(number);
        }
        self.queue.publish(platform);
    }

    /// Takes the next fault, and gives its buffer back to the device.
    pub(super) fn next<P: Platform<Shared = M>>(
        &mut self,
        platform: &P,
    ) -> Result<Option<Fault>, Failure> {
        let Some(used) = self.queue.pop()? else {
            return Ok(None);
        };
        let number = u16::try_from(used.id).ok();
        let number = number.filter(|number| *number < self.queue.entries);
        let number = number.ok_or(Failure::Violation(Violation::UsedId(used.id)))?;
        let at = usize::from(number) * BYTES;
        let word = |index: usize| self.buffers.load64(at + 8 * index);
        let fault = Fault::decode([word(0), word(1), word(2)]);
        self.queue.ring.push(number);
        self.queue.publish(platform);
        Ok(Some(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_what_the_specification_says() {
        let fault = Fault::decode([2 | 0x102 << 32, 0x18, 0xabcd_e123]);
        let expected = Fault {
            endpoint: 0x18,
            address: Some(DmaAddr::new(0xabcd_e123)),
            read: false,
            write: true,
            reason: Reason::Mapping,
        };
        assert_eq!(fault, expected);
        let fault = Fault::decode([1 | 1 << 32, 0x10, 0xabcd]);
        assert_eq!((fault.reason, fault.read), (Reason::Domain, true));
        assert_eq!(fault.address, None);
    }
}
