//! `ping`: whether a machine answers.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::network;
use alloc::string::{String, ToString};
use kernel::executor::block_on;
use kernel::net::stack::PingError;

/// How long an answer may take, in microseconds.
const PATIENCE: u64 = 2_000_000;

pub(super) const COMMAND: Command = Command {
    name: "ping",
    usage: "HOST [COUNT]",
    about: "ask a machine for an answer",
    details: "HOST is a name or an address. It is asked three times, or COUNT times, one after the other,\n\
              and has two seconds for each answer. If there was none at all, the command fails.\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let (host, count) = match arguments {
        [host] => (host, 3),
        [host, count] => match count.parse() {
            Ok(count @ 1..=1000) => (host, count),
            _ => return Err(COMMAND.misused()),
        },
        _ => return Err(COMMAND.misused()),
    };
    let (stack, address) = network::find(context.system, host)?;
    let mut answers = 0;
    for number in 1..=count {
        let took = block_on(stack.ping(address, number, PATIENCE));
        let out = &mut *context.out;
        match took {
            Ok(took) => {
                answers += 1;
                let (millis, micros) = (took / 1000, took % 1000);
                writeln!(
                    out,
                    "{address} answers, number {number}, after {millis}.{micros:03} ms"
                )?;
            }
            Err(PingError::TimedOut) => {
                writeln!(out, "{address} does not answer, number {number}")?
            }
            Err(error) => return Err(Error::Network(host.clone(), error.to_string())),
        }
    }
    match answers {
        0 => Err(Error::Network(host.clone(), "no answer".to_string())),
        _ => Ok(()),
    }
}
