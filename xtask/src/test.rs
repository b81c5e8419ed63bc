//! `cargo xtask test`: all tests, of the host and of the virtual machine.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use harness::{tools, workspace};

use crate::tally::Tally;

/// Run the tests: on the host, in virtual machines, and end to end.
///
/// In-VM tests are marked with `#[vm_test]` in the kernel and the drivers. Each boots a machine of its
/// own, as many at once as there are cores. End-to-end tests call `cargo xtask run`.
///
/// The last line sums up all test programs: `N passed, M failed`.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test --only vm
  cargo xtask test kernel::memory
  cargo xtask test --only vm kernel::vm_tests::pci --nocapture
  cargo xtask test --list

PHYROS_SEED repeats the data of an earlier run of in-VM tests (a failed test prints it), PHYROS_ACCEL
is `tcg` or `kvm` and skips the proof of KVM. `cargo test` and `cargo nextest run` run the same tests.")]
pub(crate) struct Options {
    /// Run only one kind of tests
    #[arg(long, value_name = "KIND")]
    only: Option<Kind>,

    /// A filter and flags for the test programs, as after `cargo test --`
    ///
    /// For example: --list, --exact, --ignored, --nocapture, --test-threads 1
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "FILTER AND FLAGS"
    )]
    libtest: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// ordinary tests of all crates, and the harness's tests of itself
    Host,
    /// tests inside of virtual machines
    Vm,
    /// end-to-end tests of `cargo xtask`
    E2e,
}

impl Kind {
    /// The runs of `cargo test` for this kind, as their arguments.
    fn runs(kind: Option<Self>) -> &'static [&'static [&'static str]] {
        match kind {
            None => &[&["--workspace"]],
            Some(Self::Host) => &[
                &[
                    "--workspace",
                    "--exclude",
                    "phyros-harness",
                    "--exclude",
                    "xtask",
                ],
                &["--package", "phyros-harness", "--lib", "--test", "self"],
                &["--package", "xtask", "--bins"],
            ],
            Some(Self::Vm) => &[&["--package", "phyros-harness", "--test", "vm"]],
            Some(Self::E2e) => &[&["--package", "xtask", "--test", "run"]],
        }
    }
}

/// Runs the verb; `true` is success.
pub(crate) fn run(options: &Options) -> Result<bool> {
    tools::install(&tools::missing())?;
    let mut tally = Tally::default();
    let mut good = true;
    for run in Kind::runs(options.only) {
        let mut command = workspace::cargo();
        // One failing program must not hide the others.
        command
            .args(["test", "--no-fail-fast"])
            .args(*run)
            .arg("--")
            .args(libtest(options));
        good &= stream(&mut command, &mut tally)?;
    }
    if !good && tally.failed == 0 {
        // What does not compile, or dies, prints no summary.
        tally.failed = 1;
    }
    if !options.libtest.iter().any(|argument| argument == "--list") {
        println!("\n{tally}");
    }
    Ok(good)
}

/// The arguments for the test programs. A `--` of the user's says nothing new.
fn libtest(options: &Options) -> impl Iterator<Item = &String> {
    options.libtest.iter().filter(|argument| *argument != "--")
}

/// Runs a command, passes its output on as it comes, and adds up what it says.
fn stream(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo could not be started")?;
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? != 0 {
            tally.take(&String::from_utf8_lossy(&line));
            std::io::stdout().write_all(&line)?;
            line.clear();
        }
    }
    Ok(child.wait()?.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parsed(line: &str) -> Vec<String> {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        libtest(&cli.options).cloned().collect()
    }

    #[test]
    fn filters_and_flags_pass_through_with_and_without_dashes() {
        assert_eq!(
            parsed("test memory --exact --nocapture"),
            ["memory", "--exact", "--nocapture"]
        );
        assert_eq!(
            parsed("test --only vm -- memory --list"),
            ["memory", "--list"]
        );
        assert_eq!(parsed("test --list"), ["--list"]);
        assert!(parsed("test").is_empty());
    }
}
