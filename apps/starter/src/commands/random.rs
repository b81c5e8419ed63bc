//! `random`: random bytes, and what they come from.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

/// Bytes that are printed unless somebody wants more, or fewer.
const USUAL: usize = 16;
/// Most bytes.
const MOST: usize = 1024;
/// Bytes in a line.
const LINE: usize = 32;

pub(super) const COMMAND: Command = Command {
    name: "random",
    usage: "[BYTES]",
    about: "print random bytes, and what they come from",
    details: "Up to 1024 bytes (16), in hexadecimal.\n\
              The last line says what the kernel's random numbers were made of: an entropy device,\n\
              the CPU, or only the time that things take.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let count = match arguments {
        [] => USUAL,
        [count] => match count.parse() {
            Ok(count @ 0..=MOST) => count,
            _ => return Err(COMMAND.misused()),
        },
        _ => return Err(COMMAND.misused()),
    };
    let mut bytes = [0; MOST];
    let origin = context.system.random(&mut bytes[..count]);
    for line in bytes[..count].chunks(LINE) {
        for byte in line {
            write!(context.out, "{byte:02x}")?;
        }
        writeln!(context.out)?;
    }
    writeln!(context.out, "from {origin}")?;
    Ok(())
}
