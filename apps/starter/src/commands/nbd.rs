//! `nbd`: disks over the network.

use super::{Command, Context, httpd};
use crate::error::Result;
use crate::system::Service;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "nbd",
    usage: "[--write]",
    about: "give out the disks over NBD",
    details: "If they are given out already, it says how it goes. The port is 10809,\n\
              and an export is called as its disk, for example nvme0n1, read-only if not told otherwise.\n\
              With --write, clients may change the disks.\n\
              The host reaches it at a port of its own: cargo xtask run --nbd 10809\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let writable = match arguments {
        [] => false,
        [word] if word == "--write" => true,
        _ => return Err(COMMAND.misused()),
    };
    httpd::serve(context, Service::Nbd { writable })
}
