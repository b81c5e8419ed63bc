//! `uptime`: how long the kernel has been running.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "uptime",
    usage: "",
    about: "print the time since boot",
    details: "",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let time = context.system.uptime();
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    writeln!(
        context.out,
        "up {hours}:{minutes:02}:{seconds:02}.{:03}",
        time.subsec_millis()
    )?;
    Ok(())
}
