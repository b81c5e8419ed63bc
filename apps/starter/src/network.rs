//! Which stack a command is for, and the address behind a name.

use crate::error::Error;
use crate::system::System;
use alloc::string::ToString;
use core::net::IpAddr;
use embassy_futures::select::select;
use embassy_time::{Duration, Timer};
use kernel::executor::block_on;
use kernel::net::stack::Stack;

/// How long an address may take to be lent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first stack, when it has an address, or will soon have none.
pub(crate) fn first(system: &dyn System) -> core::result::Result<Stack, Error> {
    let stack = system.stacks().into_iter().next().ok_or(Error::NoNetwork)?;
    block_on(select(stack.has_address(), Timer::after(PATIENCE)));
    Ok(stack)
}

/// The address of a name, and the stack for it.
pub(crate) fn find(
    system: &dyn System,
    host: &str,
) -> core::result::Result<(Stack, IpAddr), Error> {
    let asked = first(system)?;
    let address = block_on(asked.resolve(host));
    let address = address.map_err(|error| Error::Network(host.to_string(), error.to_string()))?;
    let address = *address.first().ok_or(Error::NoNetwork)?;
    let stacks = system.stacks();
    let near = stacks.iter().find(|stack| stack.is_near(address));
    let found = near.or_else(|| stacks.iter().find(|stack| stack.has_way(address)));
    let why = || Error::Network(host.to_string(), "there is no way there".to_string());
    Ok((found.ok_or_else(why)?.clone(), address))
}
