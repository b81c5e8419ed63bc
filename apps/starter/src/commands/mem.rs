//! `mem`: the memory map, and what is free, as phyrs.

use super::{Command, Context};
use crate::error::Result;
use crate::greeting::ram;
use crate::output::Output;
use crate::text::Size;
use alloc::format;
use alloc::string::String;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use core::fmt;
use kernel::memory::DIRECT_MAP;
use kernel::memory::paging::LeafCount;
use kernel::memory::virt::{VirtAddr, VirtRange};
use phyr::{Phyr, PhysAddr};

pub(super) const COMMAND: Command = Command {
    name: "mem",
    usage: "",
    about: "show the memory map and the free memory",
    details: "\"In use\" is RAM that is not free now: the kernel, the loader's tables, the heap, and\n\
              what has been allocated.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let (system, out) = (context.system, &mut *context.out);
    let regions = system.memory_map();
    writeln!(out, "memory map at boot")?;
    for region in regions {
        // An empty region is nowhere.
        if let Some(phyr) = phyr_of(region) {
            show(phyr, &kind(region.kind), out)?;
        }
    }

    let free = system.free_memory();
    writeln!(out, "free now")?;
    for extent in free.listed() {
        show(extent, "", out)?;
    }
    match free.extents - free.listed().count() {
        0 => {}
        more => writeln!(out, "  and {more} more")?,
    }

    let total = ram(regions);
    writeln!(out, "RAM     {:>10}", Size(total))?;
    let extents = if free.extents == 1 {
        "extent"
    } else {
        "extents"
    };
    writeln!(
        out,
        "free    {:>10}  in {} {extents}",
        Size(free.bytes),
        free.extents
    )?;
    if let Some(longest) = free.longest {
        writeln!(out, "longest {:>10}  {longest}", Size(longest.len()))?;
    }
    writeln!(
        out,
        "in use  {:>10}",
        Size(total.saturating_sub(free.bytes))
    )?;
    if let Some(view) = direct_map(regions) {
        writeln!(
            out,
            "RAM is mapped at {view} by {}",
            Leaves(system.leaves(view))
        )?;
    }
    Ok(())
}

pub(super) fn phyr_of(region: &MemoryRegion) -> Option<Phyr> {
    Phyr::new(
        PhysAddr::new(region.start),
        region.end.checked_sub(region.start)?,
    )
    .ok()
}

/// A kind of memory in words.
pub(super) fn kind(kind: MemoryRegionKind) -> String {
    match kind {
        MemoryRegionKind::Usable => "usable".into(),
        MemoryRegionKind::Bootloader => "kernel and loader".into(),
        // ACPI specification 6.5, table 15.7.
        MemoryRegionKind::UnknownBios(3) => "ACPI tables".into(),
        MemoryRegionKind::UnknownBios(4) => "ACPI storage".into(),
        MemoryRegionKind::UnknownBios(5) => "broken".into(),
        MemoryRegionKind::UnknownBios(7) => "persistent".into(),
        MemoryRegionKind::UnknownBios(2) => "reserved".into(),
        MemoryRegionKind::UnknownBios(other) => format!("reserved (BIOS type {other})"),
        MemoryRegionKind::UnknownUefi(other) => format!("reserved (UEFI type {other})"),
        _ => "unknown".into(),
    }
}

pub(super) fn show(phyr: Phyr, what: &str, out: &mut dyn Output) -> fmt::Result {
    let line = format!(
        "  {:<30} {:>11}  {what}",
        format!("{phyr}"),
        Size(phyr.len())
    );
    writeln!(out, "{}", line.trim_end())
}

/// Where the CPU sees RAM: from address 0 to the end of the last region that is RAM.
fn direct_map(regions: &[MemoryRegion]) -> Option<VirtRange> {
    let is_ram = |region: &&MemoryRegion| {
        matches!(
            region.kind,
            MemoryRegionKind::Usable | MemoryRegionKind::Bootloader
        )
    };
    let end = regions
        .iter()
        .filter(is_ram)
        .map(|region| region.end)
        .max()?;
    VirtRange::new(VirtAddr::new(DIRECT_MAP).ok()?, end).ok()
}

/// A number of leaves in words.
pub(super) struct Leaves(pub(super) LeafCount);

impl fmt::Display for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeafCount {
            gib_1,
            mib_2,
            kib_4,
        } = self.0;
        let total = self.0.total();
        write!(f, "{total} {}", if total == 1 { "leaf" } else { "leaves" })?;
        let sizes = [(gib_1, "1 GiB"), (mib_2, "2 MiB"), (kib_4, "4 KiB")];
        for (index, (count, size)) in sizes.iter().filter(|(count, _)| *count > 0).enumerate() {
            write!(
                f,
                "{} {count} of {size}",
                if index == 0 { ":" } else { "," }
            )?;
        }
        Ok(())
    }
}
