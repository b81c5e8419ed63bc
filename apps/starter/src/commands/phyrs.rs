//! `phyrs`: all physical memory, and who has it.

use super::mem::{kind, phyr_of, show};
use super::{Command, Context};
use crate::error::Result;
use crate::system::System;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootloader_api::info::MemoryRegionKind;
use kernel::memory::regions::Provider;
use kernel::pci::Function;
use phyr::{Phyr, PhysAddr};
use services::appliance::view::{Extent, Kind};

pub(super) const COMMAND: Command = Command {
    name: "phyrs",
    usage: "",
    about: "show all physical memory, and who has it",
    details: "RAM is the kernel's and the loader's, in use, or free. What is not RAM belongs to a device or to\n\
              the firmware, and where somebody gives it out, the name to ask for it by is shown:\n\
              `p2p` takes such names.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let (all, more) = ranges(context.system);
    for range in &all {
        show(range.phyr, &range.owner, context.out)?;
    }
    if more > 0 {
        writeln!(
            context.out,
            "of the free RAM, {more} more extents are shown as in use"
        )?;
    }
    Ok(())
}

/// All physical memory in the order of its addresses, and how many free extents are not among it.
pub fn ranges(system: &dyn System) -> (Vec<Extent>, usize) {
    let mut all = Vec::new();
    let more = ram(system, &mut all);
    let providers = system.providers();
    for provider in &providers {
        given_out(provider, &mut all);
    }
    for function in system.functions() {
        registers(&function, &providers, &mut all);
    }
    all.sort_by_key(|range| range.phyr.addr());
    (all, more)
}

/// RAM and what the firmware has. Returns how many free extents are not among it.
fn ram(system: &dyn System, all: &mut Vec<Extent>) -> usize {
    let free = system.free_memory();
    let extents: Vec<Phyr> = free.listed().collect();
    for region in system.memory_map() {
        let Some(phyr) = phyr_of(region) else {
            continue;
        };
        match region.kind {
            // The loader's part is given to the allocator when the loader is done with it.
            MemoryRegionKind::Usable | MemoryRegionKind::Bootloader => {
                let rest = match region.kind {
                    MemoryRegionKind::Usable => "in use".into(),
                    other => kind(other),
                };
                let mut add = |phyr: Option<Phyr>, kind, who: &str| {
                    let owner = format!("RAM, {who}");
                    all.extend(phyr.map(|phyr| Extent { phyr, kind, owner }));
                };
                let mut next = phyr.addr();
                let inside = extents.iter().filter_map(|extent| extent.intersect(phyr));
                for extent in inside {
                    add(between(next, extent.addr()), Kind::Used, &rest);
                    add(Some(extent), Kind::Free, "free");
                    next = match extent.last().checked_add(1) {
                        Some(next) => next,
                        None => break,
                    };
                }
                let behind = Phyr::from_inclusive(next, phyr.last()).ok();
                add(behind, Kind::Used, &rest);
            }
            other => all.push(Extent {
                phyr,
                kind: Kind::Firmware,
                owner: kind(other),
            }),
        }
    }
    free.extents - extents.len()
}

/// From one address up to another, if there is anything.
fn between(first: PhysAddr, end: PhysAddr) -> Option<Phyr> {
    Phyr::new(first, end.offset_from(first)?).ok()
}

/// The memory of a provider: what somebody has of it, and what nobody has.
fn given_out(provider: &Arc<Provider>, all: &mut Vec<Extent>) {
    let (name, kind) = (provider.name(), provider.kind());
    let mut next = provider.phyr().addr();
    let mut add = |phyr: Option<Phyr>, how: &str| {
        all.extend(phyr.map(|phyr| Extent {
            phyr,
            kind: Kind::Device,
            owner: format!("{name}, {kind}, {how}"),
        }));
    };
    for free in provider.free() {
        add(between(next, free.addr()), "held");
        add(Some(free), "free");
        match free.last().checked_add(1) {
            Some(behind) => next = behind,
            None => return,
        }
    }
    add(
        Phyr::from_inclusive(next, provider.phyr().last()).ok(),
        "held",
    );
}

/// The base address registers of a function, as far as nobody gives them out.
fn registers(function: &Function, providers: &[Arc<Provider>], all: &mut Vec<Extent>) {
    for bar in &function.bars {
        let mut rest = alloc::vec![bar.phyr];
        for provider in providers {
            let cut = |part: Phyr| subtract(part, provider.phyr());
            rest = rest.into_iter().flat_map(cut).collect();
        }
        let (address, index) = (function.address, bar.index);
        let who = |phyr| Extent {
            phyr,
            kind: Kind::Device,
            owner: format!("{address} BAR {index}, {:?}", function.kind()),
        };
        all.extend(rest.into_iter().map(who));
    }
}

/// What is in the one and not in the other.
fn subtract(part: Phyr, other: Phyr) -> Vec<Phyr> {
    let Some(common) = part.intersect(other) else {
        return alloc::vec![part];
    };
    let behind = common.last().checked_add(1);
    let behind = behind.and_then(|next| Phyr::from_inclusive(next, part.last()).ok());
    between(part.addr(), common.addr())
        .into_iter()
        .chain(behind)
        .collect()
}
