//! `balloon`: memory that the hypervisor gets back.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::text::size::Size;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "balloon",
    usage: "[report]",
    about: "show the memory balloon, or tell the hypervisor what is free",
    details: "`balloon report` tells the hypervisor of all free extents of at least 2 MiB. It may use what is\n\
              behind them for others, until they are used here again.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    match arguments {
        [] => show(context),
        [word] if word == "report" => report(context),
        _ => Err(COMMAND.misused()),
    }
}

fn show(context: &mut Context<'_>) -> Result {
    let balloons = context.system.balloons();
    if balloons.is_empty() {
        writeln!(context.out, "the machine has no memory balloon")?;
    }
    for balloon in balloons {
        let (inside, wanted) = (Size(balloon.inside), Size(balloon.wanted));
        let reports = match balloon.reports {
            true => "wants to know what is free",
            false => "does not ask what is free",
        };
        writeln!(
            context.out,
            "{}  {inside} in it, {wanted} wanted; {reports}",
            balloon.address
        )?;
    }
    Ok(())
}

fn report(context: &mut Context<'_>) -> Result {
    match context.system.report_free() {
        Ok((phyrs, bytes)) => {
            let bytes = Size(bytes);
            writeln!(context.out, "{phyrs} phyrs reported, {bytes}")?;
            Ok(())
        }
        Err(why) => Err(Error::Balloon(why)),
    }
}
