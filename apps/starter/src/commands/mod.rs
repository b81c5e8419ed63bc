//! The commands, one file each.
//!
//! A command is a row in a table: its name, how its arguments are written, what it does, and the
//! function that does it. `help` prints the table, so it cannot forget a command.

use crate::editor::history::History;
use crate::error::{Error, Result};
use crate::mounts::Mounts;
use crate::output::Output;
use crate::system::System;
use crate::text::name::Name;
use alloc::string::{String, ToString};

mod balloon;
mod bench;
mod cat;
mod clear;
mod cores;
mod echo;
mod flush;
mod help;
mod history;
mod httpd;
mod iostress;
mod ip;
mod jobs;
mod ls;
pub mod lsblk;
mod lspci;
mod mem;
mod nbd;
mod netstat;
mod nslookup;
mod nvme;
mod p2p;
mod panic;
pub mod phyrs;
mod picture;
mod ping;
mod poweroff;
mod random;
mod sha256sum;
mod time;
mod translate;
mod uptime;
mod wait;
mod wget;

/// A command.
pub struct Command {
    /// The word that it is called by.
    pub name: &'static str,
    /// How its arguments are written; optional ones are in brackets.
    pub usage: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What else there is to know, for `help` with its name; lines that end in a line feed.
    pub details: &'static str,
    /// Does it. The words do not include the name.
    pub run: fn(&mut Context<'_>, &[String]) -> Result,
}

/// What a command works with.
pub struct Context<'a> {
    /// Where it prints.
    pub out: &'a mut dyn Output,
    /// What it asks about the machine.
    pub system: &'a dyn System,
    /// The file systems.
    pub mounts: &'a mut Mounts,
    /// The lines of before.
    pub history: &'a History,
    /// Whether the machine is to be switched off when the command is done.
    pub power_off: bool,
}

/// Every command, in the order in which `help` lists them.
pub const ALL: &[Command] = &[
    help::COMMAND,
    ls::COMMAND,
    cat::COMMAND,
    sha256sum::COMMAND,
    lsblk::COMMAND,
    lspci::COMMAND,
    mem::COMMAND,
    phyrs::COMMAND,
    cores::COMMAND,
    translate::COMMAND,
    time::COMMAND,
    uptime::COMMAND,
    ip::COMMAND,
    ping::COMMAND,
    nslookup::COMMAND,
    netstat::COMMAND,
    wget::COMMAND,
    nvme::COMMAND,
    bench::COMMAND,
    p2p::COMMAND,
    flush::COMMAND,
    picture::COMMAND,
    random::COMMAND,
    balloon::COMMAND,
    iostress::COMMAND,
    httpd::COMMAND,
    nbd::COMMAND,
    jobs::COMMAND,
    wait::COMMAND,
    echo::COMMAND,
    history::COMMAND,
    clear::COMMAND,
    panic::COMMAND,
    poweroff::COMMAND,
];

/// The command of a name.
pub fn find(name: &str) -> core::result::Result<&'static Command, Error> {
    let found = ALL.iter().find(|command| command.name == name);
    found.ok_or_else(|| Error::NoCommand(Name(name.as_bytes()).to_string()))
}

/// Runs the command that the first word names, with the others as its arguments.
pub fn run(words: &[String], context: &mut Context<'_>) -> Result {
    let Some((name, arguments)) = words.split_first() else {
        return Ok(());
    };
    (find(name)?.run)(context, arguments)
}

impl Command {
    /// The error for arguments that the command does not take.
    pub const fn misused(&self) -> Error {
        Error::Usage(self.name, self.usage)
    }

    /// Checks that there are no arguments.
    fn takes_nothing(&self, arguments: &[String]) -> Result {
        if arguments.is_empty() {
            Ok(())
        } else {
            Err(self.misused())
        }
    }
}
