//! `cores`: what each core has done since it came.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "cores",
    usage: "",
    about: "show what each core has done",
    details: "A turn is a look at everything that could have happened, and a poll a step of one task.\n\
              A core halts when a turn has found nothing. \"Wakes\" are the tasks that a core has woken,\n\
              its own and those of others, and \"calls\" the interrupts that it took to tell others of\n\
              theirs. \"Devices\" are the interrupts of devices that a core has noticed.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let out = &mut *context.out;
    writeln!(
        out,
        "core      turns      polls      halts      wakes  to others      calls    devices"
    )?;
    for core in context.system.cores() {
        let did = core.activity;
        writeln!(
            out,
            "{:>4} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            core.number,
            did.turns,
            did.polls,
            did.halts,
            did.local_wakes,
            did.remote_wakes,
            did.calls,
            core.interrupts
        )?;
    }
    Ok(())
}
