//! `clear`: an empty screen.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "clear",
    usage: "",
    about: "empty the screen",
    details: "",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    context.out.clear();
    Ok(())
}
