//! `cargo xtask doctor`: what is here, and what is not.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use harness::tools::Tool;
use harness::{accel, image};

use crate::run;

/// Print what this computer has of what Phyros needs.
///
/// Fails if something necessary is missing. The verdict on KVM comes from booting a machine on it,
/// not from looking for /dev/kvm.
#[derive(Args)]
pub(crate) struct Options {}

/// Runs the verb; `true` is success.
pub(crate) fn run(_: &Options) -> Result<bool> {
    let mut good = true;
    let mut show = |what: &str, necessary: bool, found: Result<String>| {
        let (mark, text) = match found {
            Ok(text) => ("ok     ", text),
            Err(error) if necessary => ("MISSING", format!("{error:#}")),
            Err(error) => ("no     ", format!("{error:#}")),
        };
        good &= !(necessary && mark == "MISSING");
        println!("{mark}  {what:<10} {text}");
    };
    show("rustc", true, first_line("rustc", "--version"));
    show(
        "target",
        true,
        in_sysroot("core and alloc", &format!("{}/lib", image::TARGET)),
    );
    show(
        "linker",
        true,
        in_sysroot("rust-lld", &format!("{}/bin/rust-lld", image::TARGET)),
    );
    show("qemu", true, installed(Tool::Qemu));
    show("mke2fs", true, installed(Tool::Mke2fs));
    show("seabios", true, firmware("bios-256k.bin"));
    show("qboot", false, firmware("qboot.rom"));
    show("nextest", false, first_line("cargo-nextest", "--version"));
    show("kvm", false, kvm());
    if !good {
        println!(
            "\n`cargo xtask setup` installs QEMU and mke2fs; Rust comes from https://rustup.rs"
        );
    }
    Ok(good)
}

fn installed(tool: Tool) -> Result<String> {
    let version = tool.version()?;
    let path = tool.find().context("it has just gone")?;
    Ok(format!("{version} ({})", path.display()))
}

fn first_line(program: &str, flag: &str) -> Result<String> {
    let output = Command::new(program).arg(flag).output();
    let output = output.map_err(|_| anyhow::anyhow!("`{program}` is not installed"))?;
    ensure!(output.status.success(), "`{program} {flag}` fails");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A part of the Rust installation that the freestanding build uses.
fn in_sysroot(what: &str, below: &str) -> Result<String> {
    let sysroot = first_line("rustc", "--print=sysroot")?;
    let path = Path::new(&sysroot).join("lib/rustlib").join(below);
    ensure!(path.exists(), "{what}: `{}` does not exist", path.display());
    Ok(format!("{what} in {}", path.display()))
}

/// A file among QEMU's own, found by asking QEMU where they are.
fn firmware(name: &str) -> Result<String> {
    let output = Tool::Qemu.command()?.args(["-L", "help"]).output()?;
    let folders = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = folders
        .lines()
        .map(|folder| Path::new(folder).join(name))
        .find(|file| file.exists());
    Ok(found
        .with_context(|| format!("QEMU has no `{name}`"))?
        .display()
        .to_string())
}

/// The verdict on KVM. Nothing is built to say no.
fn kvm() -> Result<String> {
    accel::possible()?;
    let image = image::build("starter")?;
    match run::prove_kvm(&image) {
        Ok(()) => Ok("a machine boots on it".to_owned()),
        Err(error) => bail!("{error}"),
    }
}
