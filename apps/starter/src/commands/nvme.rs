//! `nvme`: the NVMe controllers, how they are, and what to do if one is not well.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::text::name::Name;
use alloc::string::{String, ToString};

pub(super) const COMMAND: Command = Command {
    name: "nvme",
    usage: "[health|errors|reset NAME]",
    about: "list NVMe controllers, or ask one",
    details: "health  the SMART log: temperature, wear, how much was read and written\n\
              errors  the error log, the latest first\n\
              reset   reset the controller; requests that are under way are sent again\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let words: alloc::vec::Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (what, name) = match words[..] {
        [] => return list(context),
        [what @ ("health" | "errors" | "reset"), name] => (what, name),
        _ => return Err(COMMAND.misused()),
    };
    let text = match what {
        "health" => context.system.health(name),
        "errors" => context.system.errors(name),
        _ => context.system.reset(name),
    };
    match text {
        None => Err(Error::NoController(name.to_string())),
        Some(Err(error)) => Err(Error::Controller(name.to_string(), error)),
        Some(Ok(text)) => {
            context.out.write_str(&text)?;
            Ok(())
        }
    }
}

fn list(context: &mut Context<'_>) -> Result {
    let controllers = context.system.controllers();
    if controllers.is_empty() {
        writeln!(context.out, "no NVMe controllers")?;
        return Ok(());
    }
    writeln!(
        context.out,
        "NAME     QUEUES  RESETS  COMMANDS    DOORBELLS   INTERRUPTS  STATE  MODEL"
    )?;
    for controller in controllers {
        writeln!(
            context.out,
            "{:<8} {:>6}  {:>6}  {:<10}  {:<10}  {:<10}  {:<5}  {}",
            controller.name,
            controller.queues,
            controller.resets,
            controller.commands,
            controller.doorbells,
            controller.interrupts,
            if controller.failure.is_none() {
                "good"
            } else {
                "dead"
            },
            Name(controller.model.as_bytes()),
        )?;
        if let Some(failure) = controller.failure {
            writeln!(context.out, "         {failure}")?;
        }
    }
    Ok(())
}
