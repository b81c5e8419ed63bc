//! `wait`: waits for what goes on in the background.

use super::{Command, Context};
use crate::error::{Error, Result};
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "wait",
    usage: "",
    about: "wait for all background jobs",
    details: "It fails if one of them has failed.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let mut result = Ok(());
    for job in context.system.jobs() {
        let ended = wait(context, job.number);
        result = result.and(ended);
    }
    result
}

/// Waits for one job and prints how it ended.
pub(super) fn wait(context: &mut Context<'_>, number: usize) -> Result {
    let Some(job) = context.system.wait(number) else {
        return Ok(());
    };
    match job.end {
        Some(Ok(text)) => writeln!(context.out, "{}: {text}", job.what)?,
        Some(Err(text)) => return Err(Error::Job(job.what, text)),
        None => {}
    }
    Ok(())
}
