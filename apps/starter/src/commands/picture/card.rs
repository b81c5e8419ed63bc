//! A card that shows what is in its own memory: the picture is read into that.
//!
//! What the first block has before the first pixel is in the card's memory, too; that is why the card is told where to
//! begin.

use super::{ALONE, COPIED, CUT, Ready, on_disk};
use crate::system::{System, Volume};
use crate::text::bitmap::{Bitmap, PIXEL};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use core::ops::Range;
use kernel::block::{Operation, Request};
use kernel::dma::{Buffer, Owner};
use kernel::fs::File;
use kernel::memory::regions::{Provider, Region};

/// Brings the pixels of a file into a card's memory.
///
/// # Errors
/// Why not, in words.
pub(super) fn fill(
    system: &dyn System,
    card: &Arc<Provider>,
    file: &mut File,
    volume: Option<Volume>,
    bitmap: &Bitmap,
) -> Result<Ready, String> {
    let there = on_disk(file, volume, bitmap).filter(|_| bitmap.is_direct());
    let (region, start, how) = match there {
        // The host's are had from any byte on.
        None if file.is_shared() && !bitmap.is_upside_down => {
            (by_message(file, card, bitmap)?, 0, ALONE)
        }
        Some((volume, stretches)) => {
            let (region, start) = by_dma(system, &volume, card, &stretches)?;
            (region, start, ALONE)
        }
        None => (by_copy(file, card, bitmap)?, 0, COPIED),
    };
    Ok(Ready {
        memory: region.into_memory(),
        start,
        is_upside_down: false,
        how: how.into(),
    })
}

/// Reads the blocks in which these bytes of a disk are into the card's memory, one after the other.
/// Returns the memory, and where in it the first of the bytes is.
///
/// Where a stretch does not begin with a block, the one before would have to end within one: then the
/// bytes between go to RAM that is thrown away, or it is not possible.
fn by_dma(
    system: &dyn System,
    volume: &Volume,
    card: &Arc<Provider>,
    stretches: &[Range<u64>],
) -> Result<(Region, u64), String> {
    let size = u64::from(volume.device.geometry().block_size);
    let Some((first, last)) = stretches.first().zip(stretches.last()) else {
        return Err("it has no pixels".into());
    };
    let start = first.start % size;
    let behind = last.end.next_multiple_of(size) - last.end;
    let bytes: u64 = stretches
        .iter()
        .map(|stretch| stretch.end - stretch.start)
        .sum();
    let claimed = card.claim_any(start + bytes + behind, 4096);
    let mut rest = claimed.map_err(|error| format!("{}: {error}", card.name()))?;
    let mut done: Option<Region> = None;
    for (index, stretch) in stretches.iter().enumerate() {
        let from = stretch.start - stretch.start % size;
        let to = match index + 1 == stretches.len() {
            true => stretch.end.next_multiple_of(size),
            false => stretch.end,
        };
        let is_whole = to.is_multiple_of(size) && (index == 0 || from == stretch.start);
        if !is_whole {
            return Err("its pieces on the disk are no whole blocks".into());
        }
        let (part, left) = match rest.split_at(to - from) {
            Ok((part, left)) => (part, Some(left)),
            Err(all) => (all, None),
        };
        let operation = Operation::Read(Buffer::from_device(part.into_memory()));
        let block = from / size;
        let completion = system.carry_out(&volume.device, Request { block, operation });
        completion.result.map_err(|error| error.to_string())?;
        let part = completion.memory.map(Region::from_memory);
        let Some(Ok(part)) = part else {
            return Err("the disk has lost the card's memory".into());
        };
        done = Some(match done {
            None => part,
            Some(before) => before.join(part).map_err(|_| "its parts do not join")?,
        });
        match left {
            Some(left) => rest = left,
            None => break,
        }
    }
    done.map(|region| (region, start))
        .ok_or("it has no pixels".into())
}

/// Reads a file of the host's straight into the card's memory.
fn by_message(file: &File, card: &Arc<Provider>, bitmap: &Bitmap) -> Result<Region, String> {
    let claimed = card.claim_any(bitmap.bytes(), 4096);
    let region = claimed.map_err(|error| format!("{}: {error}", card.name()))?;
    let read = file.read_into(bitmap.pixels().start, region);
    let read = read.ok_or("it is not the host's")?;
    let (memory, filled) = read.map_err(|(error, _)| error.to_string())?;
    if (filled as u64) < bitmap.bytes() {
        return Err(CUT.into());
    }
    let region = Region::from_memory(memory);
    region.map_err(|_| "the host has lost the card's memory".into())
}

/// Reads line by line into RAM, and copies each line to its place.
fn by_copy(file: &mut File, card: &Arc<Provider>, bitmap: &Bitmap) -> Result<Region, String> {
    let claimed = card.claim_any(bitmap.bytes(), 4096);
    let mut region = claimed.map_err(|error| format!("{}: {error}", card.name()))?;
    let line = u64::from(bitmap.width) * PIXEL;
    let mut bytes = vec![0; line as usize];
    for number in 0..u64::from(bitmap.height) {
        let at = bitmap.pixels().start + number * line;
        let filled = file
            .read_at(at, &mut bytes)
            .map_err(|error| error.to_string())?;
        if filled < bytes.len() {
            return Err(CUT.into());
        }
        let row = match bitmap.is_upside_down {
            true => u64::from(bitmap.height) - 1 - number,
            false => number,
        };
        region
            .write(row * line, &bytes)
            .map_err(|error| error.to_string())?;
    }
    Ok(region)
}
