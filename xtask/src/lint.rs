//! `cargo xtask lint`: what must hold before a test is worth running.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use harness::{image, workspace};

use crate::currency;
use crate::tally::Tally;

/// Check the sources: formatting, clippy for host and virtual machine, the currency of memory.
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
    check("the currency of memory", currency::check(workspace::root()));
    println!("\n{tally}");
    Ok(tally.failed == 0)
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
