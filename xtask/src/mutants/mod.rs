//! `cargo xtask mutants`: breaks the system on purpose, and looks whether the tests notice.
//!
//! A test that has never failed may be one that cannot. So here are the mistakes that a system made
//! of physical ranges could make, each as a change of a few words, with the tests that are to see it.
//! Each is made in a copy of the sources, never in the sources themselves.
//!
//! - The tests are run on the unchanged copy first: a test that is red already would see everything.
//! - A mutant that does not compile proves nothing, and is an error of the table.
//! - So is one whose place in the sources is not there any more, or is there twice.

mod copy;
mod table;

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use harness::workspace;

use copy::Copy;
use table::{MUTANTS, Mutant, Tests};

/// Break the system on purpose, and see whether the tests notice.
///
/// Works on a copy of the tracked files, in `target/mutants`. Each mutant is built and tested; that
/// takes about a minute each. The last line is `N caught, M missed`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only mutants whose name contains this
    name: Option<String>,
    /// Say what there is, and do nothing
    #[arg(long)]
    list: bool,
}

/// What became of a mutant.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// These tests went red.
    Caught(&'static Tests),
    /// None did.
    Missed,
}

/// Runs the verb; `true` is success: all mutants were caught.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let wanted = |mutant: &&Mutant| {
        let name = options.name.as_deref().unwrap_or_default();
        mutant.name.contains(name)
    };
    let mutants: Vec<_> = MUTANTS.iter().filter(wanted).collect();
    ensure!(
        !mutants.is_empty(),
        "there is no such mutant; `cargo xtask mutants --list` names them"
    );
    if options.list {
        for mutant in mutants {
            println!("{:24} {}", mutant.name, mutant.mistake);
        }
        return Ok(true);
    }
    let copy = Copy::of(workspace::root(), &workspace::root().join("target/mutants"))?;
    sound(&copy, &mutants)?;
    let (mut caught, mut missed) = (0, 0);
    for mutant in mutants {
        let fate = try_one(&copy, mutant).with_context(|| format!("mutant {}", mutant.name))?;
        match fate {
            Fate::Caught(tests) => {
                caught += 1;
                println!("mutant {} ... caught by {}", mutant.name, tests.0.join(" "));
            }
            Fate::Missed => {
                missed += 1;
                println!("mutant {} ... MISSED: {}", mutant.name, mutant.mistake);
            }
        }
    }
    println!("\n{caught} caught, {missed} missed");
    Ok(missed == 0)
}

/// The tests are green where nothing is broken.
fn sound(copy: &Copy, mutants: &[&Mutant]) -> Result<()> {
    let mut seen: Vec<&Tests> = Vec::new();
    for tests in mutants.iter().flat_map(|mutant| mutant.tests) {
        if seen.contains(&tests) {
            continue;
        }
        seen.push(tests);
        let output = test(copy.root(), tests)?;
        ensure!(
            output.status.success(),
            "`cargo {}` fails without a mutant:\n{}",
            tests.0.join(" "),
            ending(&output)
        );
        ensure!(
            ran_something(&output),
            "`cargo {}` runs no test",
            tests.0.join(" ")
        );
    }
    Ok(())
}

fn try_one(copy: &Copy, mutant: &Mutant) -> Result<Fate> {
    let _broken = copy.replace(mutant.file, mutant.find, mutant.replace)?;
    for tests in mutant.tests {
        let output = test(copy.root(), tests)?;
        if output.status.success() {
            continue;
        }
        if said(&output, "could not compile") {
            bail!("it does not compile:\n{}", ending(&output));
        }
        return Ok(Fate::Caught(tests));
    }
    Ok(Fate::Missed)
}

fn test(root: &Path, tests: &Tests) -> Result<Output> {
    Command::new(env!("CARGO"))
        .args(tests.0)
        .current_dir(root)
        .env("CARGO_TARGET_DIR", root.with_file_name("target"))
        .output()
        .context("cargo could not be started")
}

fn said(output: &Output, words: &str) -> bool {
    [&output.stdout, &output.stderr]
        .into_iter()
        .any(|stream| String::from_utf8_lossy(stream).contains(words))
}

/// Whether at least one test was run: a filter that names none is green, too.
fn ran_something(output: &Output) -> bool {
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text.lines().filter_map(|line| {
        let (before, _) = line.split_once(" passed")?;
        before.rsplit([' ', '.']).next()?.parse::<u32>().ok()
    });
    passed.into_iter().any(|passed| passed > 0)
}

/// The last lines of what was said.
fn ending(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&all);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stdout: &str) -> Output {
        Output {
            status: Default::default(),
            stdout: stdout.into(),
            stderr: Vec::new(),
        }
    }

    #[test]
    fn a_run_without_tests_is_no_run() {
        assert!(ran_something(&output(
            "test result: ok. 3 passed; 0 failed"
        )));
        assert!(ran_something(&output("1 passed, 0 failed")));
        assert!(!ran_something(&output(
            "test result: ok. 0 passed; 0 failed\n\n0 passed, 0 failed"
        )));
    }

    /// Each mutant has its place in the sources as they are.
    #[test]
    fn the_table_fits_the_sources() {
        for mutant in MUTANTS {
            let path = workspace::root().join(mutant.file);
            let text = std::fs::read_to_string(&path).expect(mutant.file);
            let places = text.matches(mutant.find).count();
            assert_eq!(places, 1, "{}: `{}`", mutant.name, mutant.find);
            assert_ne!(mutant.find, mutant.replace, "{}", mutant.name);
            assert!(!mutant.tests.is_empty(), "{}", mutant.name);
        }
    }
}
