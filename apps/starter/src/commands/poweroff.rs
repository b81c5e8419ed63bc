//! `poweroff`: the end, as a success.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "poweroff",
    usage: "",
    about: "switch the machine off",
    details: "Ctrl-D on an empty line does the same.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    context.power_off = true;
    Ok(())
}
