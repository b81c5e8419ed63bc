//! `cargo xtask setup`: gets what does not come with cargo.

use anyhow::Result;
use clap::Args;
use harness::tools::{self, Tool};

/// Install the programs that Phyros needs beside Rust: QEMU and mke2fs.
///
/// Uses apt-get, says what it does, and does nothing if nothing is missing. Without root it prints
/// the command for you to run and stops. `cargo xtask run` does the same by itself.
#[derive(Args)]
pub(crate) struct Options {}

/// Runs the verb; `true` is success.
pub(crate) fn run(_: &Options) -> Result<bool> {
    tools::install(&tools::missing())?;
    for tool in Tool::ALL {
        println!("{:<20} {}", tool.program(), tool.version()?);
    }
    Ok(true)
}
