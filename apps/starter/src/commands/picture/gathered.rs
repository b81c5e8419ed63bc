//! A graphics device of the hypervisor's: the picture is read into RAM, and the device takes it from there.
//!
//! A disk fills whole blocks, and a file lies on it in stretches. So the RAM is a piece for each stretch, and of each
//! piece only those bytes are meant that are pixels. Together they are what is behind the picture, in as many phyrs
//! as they are.

use super::{ALONE, COPIED, CUT, Ready, on_disk};
use crate::system::{System, Volume};
use crate::text::Size;
use crate::text::bitmap::Bitmap;
use alloc::format;
use alloc::string::{String, ToString};
use core::ops::Range;
use kernel::block::{Operation, Request};
use kernel::dma::{Buffer, Memory, Mixed, Owner, Phyrs};
use kernel::fs::File;
use kernel::memory::frames::Frames;

/// The unit in which RAM is given out.
const PAGE: u64 = 4096;

/// Brings the pixels of a file into RAM.
///
/// # Errors
/// Why not, in words.
pub(super) fn gather(
    system: &dyn System,
    file: &mut File,
    volume: Option<Volume>,
    bitmap: &Bitmap,
) -> Result<Ready, String> {
    let (memory, how) = match on_disk(file, volume, bitmap) {
        Some((volume, stretches)) => {
            let mut mixed = Mixed::new();
            for stretch in stretches {
                mixed.push(by_dma(system, &volume, stretch)?);
            }
            (mixed.into_memory(), ALONE)
        }
        None if file.is_shared() => (by_message(file, bitmap)?, ALONE),
        None => (by_copy(file, bitmap)?, COPIED),
    };
    let phyrs = memory.phyrs().map_err(|error| error.to_string())?;
    let phyrs = match phyrs {
        Phyrs::One(_) => "1 phyr".into(),
        Phyrs::List(list) => format!("{} phyrs", list.phyrs().len()),
    };
    let turned = match bitmap.is_upside_down {
        true => "; the device has turned it over, line by line",
        false => "",
    };
    Ok(Ready {
        memory,
        start: 0,
        is_upside_down: bitmap.is_upside_down,
        how: format!("from {phyrs} of RAM, {how}{turned}"),
    })
}

/// RAM for so many bytes.
fn room(bytes: u64) -> Result<Frames, String> {
    let frames = Frames::allocate(bytes.next_multiple_of(PAGE));
    frames.map_err(|_| format!("there is no RAM for {} in one piece", Size(bytes)))
}

/// The same, and only those bytes of it are meant.
fn only(memory: Memory, bytes: Range<u64>) -> Result<Memory, String> {
    let part = memory.part(bytes.start as usize..bytes.end as usize);
    part.map_err(|_| "it is longer than its memory".to_string())
}

/// Has the blocks read in which these bytes of a disk are. Only these bytes are meant in the end.
fn by_dma(system: &dyn System, volume: &Volume, stretch: Range<u64>) -> Result<Memory, String> {
    let size = u64::from(volume.device.geometry().block_size);
    let before = stretch.start % size;
    let from = stretch.start - before;
    let all = stretch.end.next_multiple_of(size) - from;
    let blocks = only(room(all)?.into_memory(), 0..all)?;
    let request = Request {
        block: from / size,
        operation: Operation::Read(Buffer::from_device(blocks)),
    };
    let completion = system.carry_out(&volume.device, request);
    completion.result.map_err(|error| error.to_string())?;
    let memory = completion.memory.ok_or("the disk has lost the memory")?;
    only(memory, before..before + (stretch.end - stretch.start))
}

/// Reads a file of the host's.
fn by_message(file: &File, bitmap: &Bitmap) -> Result<Memory, String> {
    let memory = only(room(bitmap.bytes())?.into_memory(), 0..bitmap.bytes())?;
    let read = file.read_into(bitmap.pixels().start, memory);
    let read = read.ok_or("it is not the host's")?;
    let (memory, filled) = read.map_err(|(error, _)| error.to_string())?;
    match (filled as u64) < bitmap.bytes() {
        true => Err(CUT.into()),
        false => Ok(memory),
    }
}

/// Reads what is not all of it on a disk, or nobody knows where.
fn by_copy(file: &mut File, bitmap: &Bitmap) -> Result<Memory, String> {
    let mut frames = room(bitmap.bytes())?;
    let bytes = &mut frames.bytes_mut()[..bitmap.bytes() as usize];
    let filled = file.read_at(bitmap.pixels().start, bytes);
    let filled = filled.map_err(|error| error.to_string())?;
    match (filled as u64) < bitmap.bytes() {
        true => Err(CUT.into()),
        false => only(frames.into_memory(), 0..bitmap.bytes()),
    }
}
