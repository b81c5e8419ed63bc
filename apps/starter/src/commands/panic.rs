//! `panic`: what a panic of the kernel looks like.

use super::{Command, Context};
use crate::error::Result;
use alloc::string::String;

pub(super) const COMMAND: Command = Command {
    name: "panic",
    usage: "[TEXT...]",
    about: "panic, to see what that looks like",
    details: "The machine ends, and its user sees a failure.\n",
    run,
};

fn run(_: &mut Context<'_>, arguments: &[String]) -> Result {
    if arguments.is_empty() {
        panic!("someone typed `panic`");
    }
    panic!("{}", arguments.join(" "));
}
