//! `cargo xtask lint`: what must hold before a test is worth running.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use harness::{image, workspace};

use crate::currency;
use crate::tally::Tally;

/// Check the sources: formatting, clippy for host and virtual machine, links of the documentation, the currency of memory.
///
/// All checks are run, even if one fails. The last line is `N passed, M failed`.
#[derive(Args)]
pub(crate) struct Options {}

/// Runs the verb; `true` is success.
pub(crate) fn run(_: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let mut check = |what: &str, passed: Result<bool>| {
        let passed = match passed {
            Ok(passed) => passed,
            Err(error) => {
                eprintln!("error: {error:#}");
                false
            }
        };
        println!("lint {what} ... {}", if passed { "ok" } else { "FAILED" });
        if passed {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    };
    check("formatting", formatted());
    let deny = ["--", "-D", "warnings"];
    let mut host = workspace::cargo();
    host.args(["clippy", "--quiet", "--workspace", "--all-targets"])
        .args(deny);
    check("clippy on the host", succeeds(&mut host));
    // One by one: together, each would get the features that another one asks for.
    for program in ["starter", "vm-tests", "contract", "phyros-boot"] {
        let mut os = image::cargo("clippy");
        os.args(["--quiet", "--package", program]).args(deny);
        check(&format!("clippy on {program}"), succeeds(&mut os));
    }
    let mut host = workspace::cargo();
    host.arg("doc");
    check("documentation of the tools", documented(host, &TOOLS, &[]));
    let system = documented(image::cargo("doc"), &SYSTEM, &["--cfg", "phyros"]);
    check("documentation of the system", system);
    check("the currency of memory", currency::check(workspace::root()));
    println!("\n{tally}");
    Ok(tally.failed == 0)
}

/// What runs on the host.
const TOOLS: [&str; 3] = ["phyros-harness", "vm-test-macros", "xtask"];

/// What runs in the virtual machine.
const SYSTEM: [&str; 9] = [
    "phyr",
    "phyros-boot",
    "phyros-rt",
    "phyros-kernel",
    "phyros-nvme",
    "phyros-virtio",
    "iostress",
    "services",
    "vm-test",
];

/// Whether every link of the documentation leads somewhere. Links to private items are welcome: who reads the sources
/// follows them, too.
fn documented(mut cargo: Command, packages: &[&str], flags: &[&str]) -> Result<bool> {
    let deny = ["-D", "warnings", "-A", "rustdoc::private-intra-doc-links"];
    cargo
        .args(["--quiet", "--no-deps", "--document-private-items"])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .env(
            "CARGO_ENCODED_RUSTDOCFLAGS",
            [&deny, flags].concat().join("\x1f"),
        )
        .env_remove("RUSTDOCFLAGS");
    succeeds(&mut cargo)
}

/// Names the files that `cargo fmt` would change.
fn formatted() -> Result<bool> {
    let good = succeeds(workspace::cargo().args(["fmt", "--all", "--check", "--", "-l"]))?;
    if !good {
        eprintln!("`cargo fmt --all` formats these files");
    }
    Ok(good)
}

fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command
        .status()
        .context("cargo could not be started")?
        .success())
}
