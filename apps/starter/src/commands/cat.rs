//! `cat`: the bytes of files, as they are.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::text::Location;
use alloc::string::String;
use kernel::fs;

pub(super) const COMMAND: Command = Command {
    name: "cat",
    usage: "PATH...",
    about: "print files, byte by byte as they are",
    details: "Nothing is converted, so a file that is no text may confuse the terminal.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    if arguments.is_empty() {
        return Err(COMMAND.misused());
    }
    for word in arguments {
        let location = Location::parse(word).ok_or(Error::NoPlace)?;
        let file_system = context.mounts.get(context.system, &location)?;
        let out = &mut *context.out;
        let print = |piece: &[u8]| {
            out.bytes(piece);
            Ok::<_, fs::Error>(())
        };
        file_system
            .read_pieces(&location.path, print)
            .map_err(|error| Error::at(&location, file_system, error))?;
    }
    Ok(())
}
