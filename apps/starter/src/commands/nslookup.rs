//! `nslookup`: the addresses of a name.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::network;
use alloc::string::{String, ToString};
use kernel::executor::block_on;

pub(super) const COMMAND: Command = Command {
    name: "nslookup",
    usage: "NAME",
    about: "print the addresses of a name",
    details: "The servers of names that `ip` shows are asked.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let [name] = arguments else {
        return Err(COMMAND.misused());
    };
    let stack = network::first(context.system)?;
    let found = block_on(stack.resolve(name));
    let found = found.map_err(|error| Error::Network(name.clone(), error.to_string()))?;
    for address in found {
        writeln!(context.out, "{address}")?;
    }
    Ok(())
}
