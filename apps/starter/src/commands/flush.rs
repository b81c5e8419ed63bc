//! `flush`: what was written to a disk, or to persistent memory, is to last.

use super::{Command, Context};
use crate::error::{Error, Result};
use alloc::string::{String, ToString};

pub(super) const COMMAND: Command = Command {
    name: "flush",
    usage: "NAME",
    about: "make what was written to a disk or to persistent memory last",
    details: "NAME is a disk or partition (`lsblk`), or persistent memory (`phyrs`).\n\
              `poweroff` does it for all of them.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let [name] = arguments else {
        return Err(COMMAND.misused());
    };
    match context.system.flush(name) {
        None => Err(Error::NoEnd(name.to_string())),
        Some(Err(why)) => Err(Error::Flush(name.to_string(), why)),
        Some(Ok(())) => {
            writeln!(
                context.out,
                "{name}: what was written before this is there to stay"
            )?;
            Ok(())
        }
    }
}
