//! What the hypervisor is told of the guest's memory (section 5.5.6.3).
//!
//! It asks when it likes. There is always one buffer with it, from the start on, and to give that back is the question. The
//! answer is the next buffer, which it keeps until it asks anew. So no clock runs: it may never ask.
//!
//! QEMU says of the buffer that it has written as much as it has read there, which it has not, and nobody minds.

use super::device::{Balloon, Kept};
use super::pages::Surrendered;
use crate::error::{Error, RequestError};
use crate::memory::{Access, Memory};
use crate::plain::{Pieces, Posted};
use crate::platform::{Platform, SharedMemory};
use phyr::DmaRange;

/// What is said of the guest's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Nobody has it.
    pub free: u64,
    /// All that there is.
    pub total: u64,
    /// Could be given to somebody new, without taking it from anybody.
    pub available: u64,
}

/// Bytes of the memory in which it is said.
pub(super) const BYTES: usize = 4096;

/// Bytes of a number with its tag.
const ENTRY: usize = 10;

/// Bytes of all of them.
const ALL: usize = 3 * ENTRY;

impl Statistics {
    /// As the device reads it: numbers, each behind its tag.
    fn bytes(&self) -> [u8; ALL] {
        const FREE: u16 = 4;
        const TOTAL: u16 = 5;
        const AVAILABLE: u16 = 6;
        let all = [
            (FREE, self.free),
            (TOTAL, self.total),
            (AVAILABLE, self.available),
        ];
        let mut bytes = [0; ALL];
        for (entry, (tag, value)) in bytes.chunks_mut(ENTRY).zip(all) {
            entry[..2].copy_from_slice(&tag.to_le_bytes());
            entry[2..].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// Writes it down for the device. What is written there stays until it asks anew.
    fn write(&self, words: &impl SharedMemory) -> Pieces {
        for (index, part) in self.bytes().chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            words.store64(8 * index, u64::from_le_bytes(word));
        }
        let range = DmaRange::new(words.bus().addr(), ALL as u64);
        let pieces = Pieces::one(range.expect("a part of a range"), Access::ToDevice);
        pieces.with_any_length()
    }
}

/// The only answer that there is.
pub(super) enum Answer<M> {
    /// It is here, and the device waits for it.
    Here(M),
    /// The device has it.
    There(Posted),
}

impl<P: Platform, S: Surrendered, R: Memory> Balloon<P, S, R> {
    /// Whether the device may ask how much memory there is.
    pub fn may_ask(&self) -> bool {
        self.statistics.is_some()
    }

    /// Answers the device, if it has asked. Returns whether it has; the first time, it always has. Call it now and then:
    /// whoever looks seldom answers late.
    ///
    /// # Errors
    /// [`RequestError::Unsupported`], if it never asks, or what became of the device.
    pub fn answer(&self, now: impl FnOnce() -> Statistics) -> Result<bool, Error> {
        let Some(lane) = self.statistics else {
            return Err(RequestError::Unsupported.into());
        };
        let Some(answer) = self.inside.lock().answer.take() else {
            // Somebody else is at it, or the device has kept it for good.
            return match self.plain.failure() {
                Some(why) => Err(Error::Dead(why)),
                None => Ok(false),
            };
        };
        let keep = |answer| self.inside.lock().answer = Some(answer);
        let words = match answer {
            Answer::Here(words) => words,
            Answer::There(posted) => match self.plain.look(posted) {
                Ok(Ok((Kept::Statistics(words), _))) => words,
                Ok(Ok(_)) => unreachable!("a lane gives back what it was given"),
                Ok(Err((error, kept))) => {
                    if let Some(Kept::Statistics(words)) = kept {
                        keep(Answer::Here(words));
                    }
                    return Err(error);
                }
                Err(posted) => {
                    keep(Answer::There(posted));
                    return Ok(false);
                }
            },
        };
        let pieces = now().write(&words);
        match self.plain.post(lane, &pieces, Kept::Statistics(words)) {
            Ok(posted) => {
                keep(Answer::There(posted));
                Ok(true)
            }
            Err((error, kept)) => {
                if let Kept::Statistics(words) = kept {
                    keep(Answer::Here(words));
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_their_tags_without_gaps() {
        let said = Statistics {
            free: 0x0102_0304,
            total: u64::MAX,
            available: 7,
        };
        let expected = [
            &[4, 0, 4, 3, 2, 1, 0, 0, 0, 0][..],
            &[5, 0, 255, 255, 255, 255, 255, 255, 255, 255],
            &[6, 0, 7, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(said.bytes()[..], expected.concat());
    }
}
