//! What the shell says first: what runs, on what, and how to go on.

use crate::commands::lsblk;
use crate::output::Output;
use crate::system::{System, Volume};
use crate::text::Size;
use crate::text::name::Name;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use core::fmt;

/// How many disks are named.
const NAMED: usize = 4;

/// All RAM in a memory map, used or not.
pub fn ram(regions: &[MemoryRegion]) -> u64 {
    let is_ram = |region: &&MemoryRegion| {
        matches!(
            region.kind,
            MemoryRegionKind::Usable | MemoryRegionKind::Bootloader
        )
    };
    regions
        .iter()
        .filter(is_ram)
        .map(|region| region.end.saturating_sub(region.start))
        .sum()
}

/// Prints the greeting.
pub fn print(system: &dyn System, out: &mut dyn Output) -> fmt::Result {
    let volumes = system.volumes();
    let disks = || {
        volumes
            .iter()
            .filter(|volume| !lsblk::is_partition(volume, &volumes))
    };
    writeln!(out, "Phyros {}", env!("CARGO_PKG_VERSION"))?;
    let (cpus, ram) = (system.cpus(), Size(ram(system.memory_map())));
    write!(
        out,
        "{cpus} CPU{}, {ram} of RAM, ",
        if cpus == 1 { "" } else { "s" }
    )?;
    match disks().count() {
        0 => write!(out, "no disks")?,
        1 => write!(out, "1 disk: ")?,
        count => write!(out, "{count} disks: ")?,
    }
    for (index, disk) in disks().enumerate().take(NAMED) {
        write!(out, "{}", if index == 0 { "" } else { ", " })?;
        name(disk, out)?;
    }
    match disks().count().saturating_sub(NAMED) {
        0 => {}
        more => write!(out, ", and {more} more")?,
    }
    for (index, share) in system.shares().iter().enumerate() {
        let before = if index == 0 { "; shared: " } else { ", " };
        write!(out, "{before}{}", Name(share.name().as_bytes()))?;
    }
    writeln!(out)?;
    if let Some(time) = system.since_power_on() {
        write!(out, "Ready {} ms after power-on. ", time.as_millis())?;
    }
    writeln!(out, "Type `help` for the list of commands.")
}

fn name(disk: &Volume, out: &mut dyn Output) -> fmt::Result {
    let size = Size(disk.device.geometry().bytes());
    write!(out, "{} ({size})", Name(disk.device.name().as_bytes()))
}
