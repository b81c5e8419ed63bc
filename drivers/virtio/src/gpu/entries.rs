//! The memory behind a picture, as a device is told of it: an entry for each range (section 5.7.6.8).

use super::RANGES;
use super::command::pair;
use crate::error::RequestError;
use crate::memory::Ranges;
use crate::platform::SharedMemory;

/// Bytes of an entry: an address of 64 bits, a length of 32, and as many that are not used.
pub(super) const ENTRY: usize = 16;

/// Most bytes of an entry, a multiple of everything that matters.
const MOST: u64 = 1 << 31;

/// Bytes that the entries of so many bytes of memory need at most.
///
/// # Errors
/// [`RequestError::Length`], if the memory is shorter; [`RequestError::Pieces`], if it is in too many ranges.
pub(super) fn room(ranges: Ranges<'_>, bytes: u64) -> Result<usize, RequestError> {
    if ranges.bytes() < bytes {
        return Err(RequestError::Length);
    }
    let most = ranges.pieces() as u64 + bytes / MOST;
    match most <= RANGES.into() {
        true => Ok(most as usize * ENTRY),
        false => Err(RequestError::Pieces { offset: 0 }),
    }
}

/// Writes the entries of the first so many bytes. Returns how many entries they are.
pub(super) fn write(ranges: Ranges<'_>, bytes: u64, into: &impl SharedMemory) -> u32 {
    let mut cursor = ranges.cursor();
    let (mut left, mut count) = (bytes, 0);
    while left > 0
        && let Some(range) = cursor.next(left.min(MOST))
    {
        let at = count as usize * ENTRY;
        into.store64(at, range.addr().get());
        into.store64(at + 8, pair(range.len() as u32, 0));
        (left, count) = (left - range.len(), count + 1);
    }
    count
}
