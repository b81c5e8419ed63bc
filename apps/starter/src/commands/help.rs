//! `help`: the table of commands, or one row of it with its details.

use super::{ALL, Command, Context, find};
use crate::error::Result;
use alloc::format;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "help",
    usage: "[COMMAND]",
    about: "list the commands, or explain one",
    details: "",
    run,
};

const NOTES: &str = "
`;` separates commands; the first one that fails is the last one that runs.
Paths start at the root of the first file system. NAME:/PATH is on another one;
`lsblk` shows the names. Numbers may be hexadecimal (0x1000) and may end in K, M, G or T.
";

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    match arguments {
        [] => {
            for command in ALL {
                let call = format!("{} {}", command.name, command.usage);
                writeln!(context.out, "  {call:<27}  {}", command.about)?;
            }
            context.out.write_str(NOTES)?;
        }
        [name] => {
            let command = find(name)?;
            let call = format!("{} {}", command.name, command.usage);
            writeln!(context.out, "{}", call.trim_end())?;
            writeln!(context.out, "  {}", command.about)?;
            context.out.write_str(command.details)?;
        }
        _ => return Err(COMMAND.misused()),
    }
    Ok(())
}
