//! `picture`: from a file to the screen.
//!
//! The pixels of a bitmap of 32 bits lie in its file as a screen wants them. So the blocks of the file that
//! have them are read straight into the screen's memory, and the screen is told where in there the first
//! pixel is. That does where the pixels begin at a multiple of 4 bytes, and the lines come from
//! top to bottom. Otherwise the CPU copies them, and says so. From a folder of the host's they come straight into the
//! screen's memory wherever they begin.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::mounts::Mounts;
use crate::system::{Shown, System, Volume};
use crate::text::bitmap::{Bitmap, HEADER, PIXEL};
use crate::text::{Location, Size};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use core::ops::Range;
use kernel::block::{Operation, Request};
use kernel::dma::{Buffer, Owner};
use kernel::fs::File;
use kernel::memory::regions::{Kind, Provider, Region};

pub(super) const COMMAND: Command = Command {
    name: "picture",
    usage: "PATH",
    about: "show a picture on the screen, read straight into the screen's memory",
    details: "The file is a bitmap (BMP) of 32 bits a pixel. If its pixels begin at a multiple of 4 bytes and\n\
              its lines go from top to bottom, no byte of it is copied by the CPU.\n\
              A screen is there if the machine has one: cargo xtask run -- -device bochs-display\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let [word] = arguments else {
        return Err(COMMAND.misused());
    };
    let location = Location::parse(word).ok_or(Error::NoPlace)?;
    let wrong = |why: &str| Error::Picture(location.to_string(), why.to_string());
    let (volume, mut file) = open(context.system, context.mounts, &location)?;
    let mut header = [0; HEADER];
    let mut read = |at, into: &mut [u8]| {
        file.read_at(at, into)
            .map_err(|error| Error::Picture(location.to_string(), error.to_string()))
    };
    let filled = read(0, &mut header)?;
    let bitmap = Bitmap::parse(&header[..filled]).map_err(wrong)?;
    let screens = context.system.providers();
    let screen = screens
        .iter()
        .find(|provider| provider.kind() == Kind::Video);
    let screen = screen.ok_or(wrong(
        "there is no screen; `help picture` says how to get one",
    ))?;

    let direct = bitmap.is_direct();
    let stretches = file.stretches(bitmap.pixels()).filter(|_| direct);
    let alone = "by DMA alone, nothing copied by the CPU";
    let (region, start, how) = match stretches.zip(volume) {
        // The host's are had from any byte on.
        None if file.is_shared() && !bitmap.is_upside_down => {
            let region = by_message(&file, screen, &bitmap).map_err(|why| wrong(&why))?;
            (region, 0, alone)
        }
        Some((stretches, volume)) => {
            let (region, start) =
                by_dma(context.system, &volume, screen, &stretches).map_err(|why| wrong(&why))?;
            (region, start, alone)
        }
        None => {
            let region = by_copy(&mut file, screen, &bitmap).map_err(|why| wrong(&why))?;
            (region, 0, "copied by the CPU")
        }
    };
    let shown = Shown {
        width: bitmap.width,
        height: bitmap.height,
        start,
    };
    context
        .system
        .show(region, &shown)
        .map_err(|why| wrong(&why))?;
    writeln!(
        context.out,
        "{} x {} pixels, {}, {how}",
        bitmap.width,
        bitmap.height,
        Size(bitmap.bytes())
    )?;
    Ok(())
}

/// The file, and the volume that its file system is on, if it is on one.
fn open(
    system: &dyn System,
    mounts: &mut Mounts,
    location: &Location,
) -> core::result::Result<(Option<Volume>, File), Error> {
    let files = mounts.get(system, location)?;
    let file = files.open(&location.path);
    let file = file.map_err(|error| Error::at(location, files, error))?;
    let name = files.name();
    let mut volumes = system.volumes().into_iter();
    Ok((volumes.find(|volume| volume.device.name() == name), file))
}

/// Reads the blocks in which these bytes of a disk are into the screen's memory, one after the other.
/// Returns the memory, and where in it the first of the bytes is.
///
/// What the first block has before them is in the screen's memory, too; that is why the screen is told where
/// to begin. Where a stretch does not begin with a block, the one before would have to end within one: then the
/// bytes between go to RAM that is thrown away, or it is not possible.
fn by_dma(
    system: &dyn System,
    volume: &Volume,
    screen: &Arc<Provider>,
    stretches: &[Range<u64>],
) -> core::result::Result<(Region, u64), String> {
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
    let claimed = screen.claim_any(start + bytes + behind, 4096);
    let mut rest = claimed.map_err(|error| format!("{}: {error}", screen.name()))?;
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
            return Err("the disk has lost the screen's memory".into());
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

/// Reads a file of the host's straight into the screen's memory.
fn by_message(
    file: &File,
    screen: &Arc<Provider>,
    bitmap: &Bitmap,
) -> core::result::Result<Region, String> {
    let claimed = screen.claim_any(bitmap.bytes(), 4096);
    let region = claimed.map_err(|error| format!("{}: {error}", screen.name()))?;
    let read = file.read_into(bitmap.pixels().start, region);
    let read = read.ok_or("it is not the host's")?;
    let (memory, filled) = read.map_err(|(error, _)| error.to_string())?;
    if (filled as u64) < bitmap.bytes() {
        return Err("it ends before its last pixel".into());
    }
    let region = Region::from_memory(memory);
    region.map_err(|_| "the host has lost the screen's memory".into())
}

/// Reads line by line into RAM, and copies each line to its place.
fn by_copy(
    file: &mut File,
    screen: &Arc<Provider>,
    bitmap: &Bitmap,
) -> core::result::Result<Region, String> {
    let claimed = screen.claim_any(bitmap.bytes(), 4096);
    let mut region = claimed.map_err(|error| format!("{}: {error}", screen.name()))?;
    let line = u64::from(bitmap.width) * PIXEL;
    let mut bytes = vec![0; line as usize];
    for number in 0..u64::from(bitmap.height) {
        let at = bitmap.pixels().start + number * line;
        let filled = file
            .read_at(at, &mut bytes)
            .map_err(|error| error.to_string())?;
        if filled < bytes.len() {
            return Err("it ends before its last pixel".into());
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
