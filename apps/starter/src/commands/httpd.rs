//! `httpd`: files, disks and pages about the machine, over HTTP.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::system::Service;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "httpd",
    usage: "",
    about: "serve files and pages over HTTP",
    details: "If it serves already, it says how it goes. The port is 80.\n\
              `/` draws the machine, `/files/` has the files, `/disk/` the disks, `/metrics`\n\
              what was counted. Data goes from the disk to the card, and no byte is copied.\n\
              The host reaches it at a port of its own: cargo xtask run --http 8080\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    serve(context, Service::Http)
}

/// Starts a service, or says how it goes.
pub(super) fn serve(context: &mut Context<'_>, service: Service) -> Result {
    let said = context.system.serve(service).map_err(Error::Service)?;
    writeln!(context.out, "{said}")?;
    Ok(())
}
