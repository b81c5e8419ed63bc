//! `echo`: its arguments, with spaces between them.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "echo",
    usage: "[WORD...]",
    about: "print words",
    details: "",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    writeln!(context.out, "{}", arguments.join(" "))?;
    Ok(())
}
