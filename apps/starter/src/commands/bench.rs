//! `bench`: how fast a disk is.

use super::{Command, Context};
use crate::error::{Error, Result};
use alloc::string::{String, ToString};

pub(super) const COMMAND: Command = Command {
    name: "bench",
    usage: "DISK",
    about: "measure random reads of 4 KiB by depth, polled and by interrupt",
    details: "Nothing is written. One core reads, for a moment at each depth, in two ways: it keeps looking\n\
              for completions, or it lets itself be interrupted by each batch.\n\
              In an emulator the numbers tell more about the emulator than about the disk.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let [name] = arguments else {
        return Err(COMMAND.misused());
    };
    let volumes = context.system.volumes();
    let volume = volumes
        .iter()
        .find(|volume| volume.device.name() == name)
        .ok_or_else(|| Error::NoVolume(name.to_string()))?;
    writeln!(
        context.out,
        "          polled             by interrupt\n\
         depth     IOPS      MB/s     IOPS      MB/s"
    )?;
    for depth in [1, 2, 4, 8, 16, 32, 64] {
        let [polled, interrupted] = [true, false].map(|polled| {
            let rate = context.system.measure(&volume.device, depth, polled);
            rate.map_err(|error| Error::Measure(name.to_string(), error))
        });
        let (polled, interrupted) = (polled?, interrupted?);
        writeln!(
            context.out,
            "{depth:>5}  {:>7}  {:>8}  {:>7}  {:>8}",
            polled.iops(),
            polled.megabytes(),
            interrupted.iops(),
            interrupted.megabytes(),
        )?;
    }
    Ok(())
}
