//! `netstat`: connections, and what was done for them.

use super::{Command, Context};
use crate::error::Result;
use alloc::format;
use alloc::string::{String, ToString};

pub(super) const COMMAND: Command = Command {
    name: "netstat",
    usage: "",
    about: "list connections, and what was done for them",
    details: "\"Unread\" are bytes that have arrived, and \"waiting\" those that were written and that the\n\
              other end has not confirmed. Bytes \"by reference\" left the machine from where they lay;\n\
              the others were copied into their frames.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let stacks = context.system.stacks();
    let out = &mut *context.out;
    if stacks.is_empty() {
        writeln!(out, "no network interfaces")?;
        return Ok(());
    }
    writeln!(
        out,
        "interface  this end               other end              state         unread  waiting"
    )?;
    for stack in &stacks {
        for one in stack.connections() {
            let (local, remote) = match one.remote {
                Some(remote) => (one.local.to_string(), remote.to_string()),
                None => (format!("*:{}", one.local.port()), "*".to_string()),
            };
            let state = format!("{:?}", one.state);
            writeln!(
                out,
                "{:<9}  {local:<21}  {remote:<21}  {state:<11}  {:>7}  {:>7}",
                stack.name(),
                one.unread,
                one.unacknowledged
            )?;
        }
    }
    for stack in &stacks {
        let did = stack.status().counters;
        writeln!(
            out,
            "{}: {} connections accepted, {} opened; {} segments of data, {} of them once more, {} of several;\n\
             {} bytes by reference, {} copied; {} datagrams that nobody has read in time",
            stack.name(),
            did.accepted,
            did.connected,
            did.segments,
            did.retransmitted,
            did.super_segments,
            did.referred_bytes,
            did.copied_bytes,
            did.overflowed
        )?;
    }
    Ok(())
}
