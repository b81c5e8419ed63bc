//! `jobs`: what goes on in the background.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "jobs",
    usage: "",
    about: "list what goes on in the background",
    details: "Commands that end in & go on in the background. `wait` waits for them.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let jobs = context.system.jobs();
    if jobs.is_empty() {
        writeln!(context.out, "no jobs")?;
    }
    for job in jobs {
        let state = match &job.end {
            None => job.progress.as_str(),
            Some(Ok(text)) => text,
            Some(Err(text)) => text,
        };
        let mark = match &job.end {
            None => "runs  ",
            Some(Ok(_)) => "done  ",
            Some(Err(_)) => "failed",
        };
        writeln!(
            context.out,
            "{:>3} {mark}  {}: {state}",
            job.number, job.what
        )?;
    }
    Ok(())
}
