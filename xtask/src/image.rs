//! `cargo xtask image`: builds without booting.

use anyhow::Result;
use clap::Args;
use harness::image;
use harness::workspace::shorten;

/// Build an image and print where it is.
///
/// The image is an ELF file with a PVH entry: `qemu-system-x86_64 -kernel IMAGE` boots it, and so do
/// other virtual machine monitors that know PVH.
#[derive(Args)]
pub(crate) struct Options {
    /// The application in the image: a package in the folder `apps`
    #[arg(default_value = "starter")]
    app: String,
}

/// Runs the verb; `true` is success.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let image = image::build(&options.app)?;
    println!("image   {}", shorten(&image.elf).display());
    println!("symbols {}", shorten(&image.kernel).display());
    Ok(true)
}
