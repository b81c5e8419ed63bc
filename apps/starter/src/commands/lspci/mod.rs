//! `lspci`: what is on the PCI buses, and where its memory is.

mod names;

use super::{Command, Context};
use crate::error::Result;
use crate::output::Output;
use crate::text::Size;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use kernel::pci::bar::Need;
use kernel::pci::{Bar, BarKind, Function, PciAddress};

pub(super) const COMMAND: Command = Command {
    name: "lspci",
    usage: "",
    about: "list PCI functions and their memory",
    details: "An address is BUS:DEVICE.FUNCTION; the two numbers behind it are the maker's and the\n\
              device's. A BAR is memory like any other, so it is shown as a phyr.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let functions = context.system.functions();
    if functions.is_empty() {
        writeln!(context.out, "no PCI functions")?;
    }
    let unplaced = context.system.unplaced();
    for function in &functions {
        show(function, &unplaced, context.out)?;
    }
    Ok(())
}

fn show(function: &Function, unplaced: &[(PciAddress, Need)], out: &mut dyn Output) -> fmt::Result {
    let at = function.address;
    if at.segment() != 0 {
        write!(out, "{:04x}:", at.segment())?;
    }
    write!(
        out,
        "{:02x}:{:02x}.{}",
        at.bus(),
        at.device(),
        at.function()
    )?;
    write!(
        out,
        "  {:04x}:{:04x}  {}",
        function.vendor,
        function.device,
        names::class(function.class)
    )?;
    match function.secondary_bus {
        Some(bus) => writeln!(out, " to bus {bus:02x}")?,
        None => writeln!(out)?,
    }
    let mut bars: Vec<(u8, String)> = function.bars.iter().map(placed).collect();
    let is_here = |(address, _): &&(PciAddress, Need)| *address == at;
    bars.extend(
        unplaced
            .iter()
            .filter(is_here)
            .map(|(_, need)| without_place(need)),
    );
    bars.sort();
    for (index, text) in bars {
        writeln!(out, "    BAR {index}  {text}")?;
    }
    if !function.capabilities.is_empty() {
        write!(out, "    capabilities:")?;
        for (index, id) in function.capabilities.iter().enumerate() {
            write!(out, "{} ", if index == 0 { "" } else { "," })?;
            match names::capability(*id) {
                Some(name) => write!(out, "{name}")?,
                None => write!(out, "capability {id:02x}")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn placed(bar: &Bar) -> (u8, String) {
    let kind = if bar.prefetchable {
        ", prefetchable"
    } else {
        ""
    };
    (
        bar.index,
        format!("{}  {}{kind}", bar.phyr, Size(bar.phyr.len())),
    )
}

fn without_place(need: &Need) -> (u8, String) {
    let text = match need.kind {
        BarKind::Io => format!("{} I/O ports, not used", need.len),
        _ if need.is_unusable() => String::from("makes no sense, not used"),
        BarKind::Memory32 | BarKind::Memory64 => format!("{} without a place", Size(need.len)),
    };
    (need.index, text)
}
