//! `cargo xtask iostress`: judges what the shell's command of that name has left on a disk.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use harness::disk::stressed;

/// Check a disk image that the shell's `iostress` has written all over.
///
/// Each block carries its address, a generation and a checksum, and behind the blocks is a table of
/// the generations that they must have. All of it is read here, without any part of Phyros.
#[derive(Args)]
#[command(after_help = "Example:
  truncate -s 64M disk.img
  cargo xtask run --smp 4 --disk disk.img --exec \"iostress nvme0n1 --seconds 10\"
  cargo xtask iostress disk.img")]
pub(crate) struct Options {
    /// The raw image
    image: PathBuf,

    /// Bytes of a block
    #[arg(long, value_name = "BYTES", default_value = "512")]
    block_size: u32,
}

/// Runs the verb; `true` is success.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let size = options.block_size;
    ensure!(
        size.is_power_of_two() && size >= 512,
        "a block has a power of two of bytes, at least 512"
    );
    let sound = stressed::check(&options.image, size)?;
    println!(
        "{} blocks are right, {} of them not zero (seed {})",
        sound.blocks, sound.written, sound.seed
    );
    Ok(true)
}
