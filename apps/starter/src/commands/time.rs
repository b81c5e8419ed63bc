//! `time`: how long a command takes, and what it reads.
//!
//! Reading is counted in two kinds by the block layer. What the device wrote by DMA into the memory
//! of the request is the rule; what went through other memory and was copied is the exception.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::text::Size;
use alloc::string::String;
use core::fmt;

pub(super) const COMMAND: Command = Command {
    name: "time",
    usage: "COMMAND [WORD...]",
    about: "run a command, print its time and what it read",
    details: "\"Directly\" counts what the disk wrote by DMA into the memory that it was asked to fill,\n\
              \"copied\" what it had to write elsewhere first. What a file system copies after that\n\
              is in neither number.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let name = arguments.first().ok_or(COMMAND.misused())?;
    // Nesting has no meaning, and the stack has an end.
    if name == COMMAND.name {
        return Err(Error::Nested);
    }
    let (start, before) = (context.system.uptime(), context.system.transferred());
    let result = super::run(arguments, context);
    let (end, after) = (context.system.uptime(), context.system.transferred());
    let micros = end.saturating_sub(start).as_micros();
    let direct = after.direct.saturating_sub(before.direct);
    let copied = after.copied.saturating_sub(before.copied);
    if !context.out.at_line_start() {
        writeln!(context.out)?;
    }
    writeln!(
        context.out,
        "time  {}.{:03} ms",
        micros / 1000,
        micros % 1000
    )?;
    let (direct, copied) = (Amount(direct), Amount(copied));
    writeln!(context.out, "read  {direct} directly, {copied} copied")?;
    result
}

/// Bytes, exactly and readably.
struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            small @ ..1024 => write!(f, "{}", Size(small)),
            large => write!(f, "{large} B ({})", Size(large)),
        }
    }
}
