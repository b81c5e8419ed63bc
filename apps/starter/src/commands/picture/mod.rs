//! `picture`: from a file to the screen.
//!
//! The pixels of a bitmap of 32 bits lie in its file as a screen wants them. So whoever shows them can take them from
//! where the disk has put them, and there are two kinds of screens:
//!
//! - A *card* shows what is in its own memory (`card`). The blocks of the file that have the pixels are read straight
//!   into that. This does where the pixels begin at a multiple of 4 bytes, and the lines come from top to bottom.
//!   Otherwise the CPU copies them, and says so.
//! - A *graphics device* of the hypervisor's takes them from RAM, from ranges of any length and in any number
//!   (`gathered`). The blocks are read into RAM, and the device is told which bytes of that are pixels. It takes the
//!   lines one by one, if they lie in the other order. So nothing is copied for it in either case.
//!
//! From a folder of the host's the pixels come straight to where they are wanted, wherever they begin.

mod card;
mod gathered;

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::mounts::Mounts;
use crate::system::{Screen, Shown, System, Volume};
use crate::text::bitmap::{Bitmap, HEADER};
use crate::text::{Location, Size};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use kernel::dma::Memory;
use kernel::fs::File;

pub(super) const COMMAND: Command = Command {
    name: "picture",
    usage: "PATH [on SCREEN]",
    about: "show a picture on a screen, by DMA from the disk",
    details: "The file is a bitmap (BMP) of 32 bits a pixel. If the screen is a graphics device of the\n\
              hypervisor's (gpu0), which takes pictures from anywhere in RAM, the CPU copies no byte of it.\n\
              A card with memory of its own (vram0) wants pixels that begin at a multiple of 4 bytes, and\n\
              lines that go from top to bottom; otherwise the CPU copies them. If there are several screens\n\
              and none is named, it is the first, graphics devices before cards.\n\
              \n\
              cargo xtask run -- -device virtio-gpu-pci    a machine with a graphics device\n\
              cargo xtask run -- -device bochs-display     a machine with a card\n",
    run,
};

/// How pixels that were not copied came to the screen.
const ALONE: &str = "by DMA alone, nothing copied by the CPU";
/// How the others did.
const COPIED: &str = "copied by the CPU";

/// A picture, where its screen can take it from.
struct Ready {
    memory: Memory,
    /// Bytes before the first pixel.
    start: u64,
    is_upside_down: bool,
    /// How it came there.
    how: String,
}

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (word, name) = match words[..] {
        [word] => (word, None),
        [word, "on", name] => (word, Some(name)),
        _ => return Err(COMMAND.misused()),
    };
    let location = Location::parse(word).ok_or(Error::NoPlace)?;
    let wrong = |why: &str| Error::Picture(location.to_string(), why.to_string());
    let (volume, mut file) = open(context.system, context.mounts, &location)?;
    let mut header = [0; HEADER];
    let filled = file.read_at(0, &mut header);
    let filled = filled.map_err(|error| wrong(&error.to_string()))?;
    let bitmap = Bitmap::parse(&header[..filled]).map_err(wrong)?;
    // One of the host's may have grown since.
    if bitmap.pixels().end > file.len() && !file.is_shared() {
        return Err(wrong(CUT));
    }
    let screen = choose(context.system.screens(), name).map_err(|why| wrong(&why))?;
    let ready = match &screen.memory {
        Some(memory) => card::fill(context.system, memory, &mut file, volume, &bitmap),
        None => gathered::gather(context.system, &mut file, volume, &bitmap),
    };
    let ready = ready.map_err(|why| wrong(&why))?;
    let shown = Shown {
        width: bitmap.width,
        height: bitmap.height,
        start: ready.start,
        is_upside_down: ready.is_upside_down,
    };
    let done = context.system.show(&screen.name, ready.memory, &shown);
    done.map_err(|why| wrong(&why))?;
    writeln!(
        context.out,
        "{}: {} x {} pixels, {}, {}",
        screen.name,
        bitmap.width,
        bitmap.height,
        Size(bitmap.bytes()),
        ready.how
    )?;
    Ok(())
}

/// The file has fewer bytes than its header says.
const CUT: &str = "it ends before its last pixel";

/// The screen of this name, or the first.
fn choose(screens: Vec<Screen>, name: Option<&str>) -> core::result::Result<Screen, String> {
    if screens.is_empty() {
        return Err("there is no screen; `help picture` says how to get one".into());
    }
    let names: Vec<&str> = screens.iter().map(|screen| screen.name.as_str()).collect();
    let all = names.join(", ");
    let mut screens = screens.into_iter();
    let is_it = |screen: &Screen| name.is_none_or(|name| screen.name == name);
    let none = || format!("there is no such screen; there is: {all}");
    screens.find(is_it).ok_or_else(none)
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

/// Where the pixels are on the disk that the file is on, if they are on one and all of them are somewhere.
fn on_disk(
    file: &File,
    volume: Option<Volume>,
    bitmap: &Bitmap,
) -> Option<(Volume, Vec<Range<u64>>)> {
    volume.zip(file.stretches(bitmap.pixels()))
}
