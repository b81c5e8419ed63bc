//! `ip`: addresses, routes and neighbours, and another address.

use super::{Command, Context};
use crate::error::{Error, Result};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use kernel::net::stack::{Ipv4, Stack, Status};

pub(super) const COMMAND: Command = Command {
    name: "ip",
    usage: "[INTERFACE dhcp|ADDRESS/BITS [ROUTER [DNS]]]",
    about: "show network addresses, or give another",
    details: "Without arguments it shows, of each interface, its addresses with the number of bits that\n\
              are the same in its whole network, who has lent them, who knows the way to everybody else,\n\
              who knows names, who was met on the link, and what has passed.\n\
              At first each interface asks for an address (DHCP). ip net0 10.0.0.7/24 10.0.0.1 gives it\n\
              one that is known, and ip net0 dhcp asks again. Connections do not outlast that.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let stacks = context.system.stacks();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, ipv4) = match words[..] {
        [] => return show(context, &stacks),
        [name, "dhcp"] => (name, Ipv4::Dhcp),
        [name, address, ref others @ ..] if others.len() <= 2 => (
            name,
            fixed(address, others).ok_or_else(|| COMMAND.misused())?,
        ),
        _ => return Err(COMMAND.misused()),
    };
    let stack = stacks.iter().find(|stack| stack.name() == name);
    let stack = stack.ok_or_else(|| Error::NoInterface(name.to_string()))?;
    stack.configure(ipv4);
    Ok(())
}

/// What was written of an address.
fn fixed(address: &str, others: &[&str]) -> Option<Ipv4> {
    let (address, prefix) = address.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    let is_possible =
        !(address.is_unspecified() || address.is_multicast() || address.is_broadcast());
    let router = others
        .first()
        .map(|router| router.parse())
        .transpose()
        .ok()?;
    let dns = others
        .get(1)
        .map(|server| server.parse())
        .transpose()
        .ok()?;
    is_possible.then(|| Ipv4::Fixed {
        address,
        prefix,
        router,
        dns: dns.into_iter().collect(),
    })
}

fn show(context: &mut Context<'_>, stacks: &[Stack]) -> Result {
    if stacks.is_empty() {
        writeln!(context.out, "no network interfaces")?;
    }
    for stack in stacks {
        show_one(context, &stack.status())?;
    }
    Ok(())
}

fn show_one(context: &mut Context<'_>, status: &Status) -> Result {
    let out = &mut *context.out;
    writeln!(
        out,
        "{}: {}, packets of up to {} bytes",
        status.interface, status.mac, status.mtu
    )?;
    for (address, prefix) in &status.addresses {
        let lease = status
            .lease
            .as_ref()
            .filter(|lease| IpAddr::V4(lease.address) == *address);
        match lease {
            Some(lease) => writeln!(
                out,
                "    address    {address}/{prefix}, lent by {}",
                lease.server
            )?,
            None => writeln!(out, "    address    {address}/{prefix}")?,
        }
    }
    if status.uses_dhcp && status.lease.is_none() {
        writeln!(out, "    address    none of IPv4 yet: nobody has lent one")?;
    }
    for (network, prefix, router) in &status.routes {
        writeln!(out, "    route      {network}/{prefix} by {router}")?;
    }
    for server in &status.dns {
        writeln!(out, "    names      {server}")?;
    }
    for (address, mac) in &status.neighbours {
        writeln!(out, "    neighbour  {address} is {mac}")?;
    }
    let counters = &status.counters;
    writeln!(
        out,
        "    frames     {} received, {} damaged",
        counters.received, counters.damaged
    )?;
    writeln!(
        out,
        "               {} sent, {} dropped",
        counters.sent, counters.dropped
    )?;
    Ok(())
}
