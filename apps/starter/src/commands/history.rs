//! `history`: the lines that were typed before.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "history",
    usage: "",
    about: "list the last lines",
    details: "",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    for (number, line) in context.history.lines() {
        writeln!(context.out, "{number:5}  {line}")?;
    }
    Ok(())
}
