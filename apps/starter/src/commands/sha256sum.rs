//! `sha256sum`: the SHA-256 of files, to compare with what another system computes.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::text::Location;
use crate::text::name::Name;
use alloc::string::String;
use kernel::fs;
use sha2::{Digest, Sha256};

pub(super) const COMMAND: Command = Command {
    name: "sha256sum",
    usage: "PATH...",
    about: "print the SHA-256 of files",
    details: "The lines are those of the program of the same name: HEX, two spaces, PATH.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    if arguments.is_empty() {
        return Err(COMMAND.misused());
    }
    for word in arguments {
        let location = Location::parse(word).ok_or(Error::NoPlace)?;
        let file_system = context.mounts.get(context.system, &location)?;
        let mut hash = Sha256::new();
        let update = |piece: &[u8]| {
            hash.update(piece);
            Ok::<_, fs::Error>(())
        };
        file_system
            .read_pieces(&location.path, update)
            .map_err(|error| Error::at(&location, file_system, error))?;
        for byte in hash.finalize() {
            write!(context.out, "{byte:02x}")?;
        }
        writeln!(context.out, "  {}", Name(word.as_bytes()))?;
    }
    Ok(())
}
