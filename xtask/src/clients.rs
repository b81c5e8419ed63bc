//! `cargo xtask clients`: the services, judged by programs of other people.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Result, bail, ensure};
use clap::Args;
use harness::{tools, workspace};

/// Programs, and the packages of Debian and its kin that they are in.
const PROGRAMS: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("wrk", "wrk"),
    ("nbdinfo", "libnbd-bin"),
    ("nbdcopy", "libnbd-bin"),
    ("qemu-io", "qemu-utils"),
    ("fio", "fio"),
    ("mke2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("chromium", "chromium"),
];

/// Where the results are, in the book.
const PAGE: &str = "docs/src/clients.md";

/// Let curl, wrk, nbdcopy, fio, Chromium and others judge what the machine serves.
///
/// Takes some minutes. Says which programs are missing, and the command that installs them.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask clients
  cargo xtask clients fio
  cargo xtask clients kills
  cargo xtask clients --write")]
pub(crate) struct Options {
    /// Only the tests with this in their names
    filter: Option<String>,

    /// Write the page of the book that says what each has done, and the pictures
    #[arg(long, conflicts_with = "filter")]
    write: bool,
}

/// Runs the verb; `true` is success.
pub(crate) fn run(options: &Options) -> Result<bool> {
    tools::install(&tools::missing())?;
    complain(&missing(is_there))?;
    let notes = tempfile::NamedTempFile::new()?;
    let mut command = workspace::cargo();
    command.args(["test", "--package", "xtask", "--test", "run", "--"]);
    command.args(["--ignored", "--test-threads", "1"]);
    command.args(match &options.filter {
        Some(filter) => vec![filter.as_str()],
        None => vec!["clients::", "kills::"],
    });
    if options.write {
        command.env("PHYROS_CLIENTS", notes.path());
    }
    let good = command.status()?.success();
    if good && options.write {
        let page = page(&fs::read_to_string(notes.path())?, version);
        fs::write(workspace::root().join(PAGE), page)?;
    }
    Ok(good)
}

fn missing(is_there: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
    let gone = PROGRAMS.iter().filter(|(program, _)| !is_there(program));
    gone.copied().collect()
}

/// Says all that is missing in one go.
fn complain(missing: &[(&str, &str)]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    bail!(
        "missing: {}. This installs them:\n\n    apt-get install --yes --no-install-recommends {}\n",
        programs.join(", "),
        packages.join(" ")
    );
}

/// Whether a program is in the search path, or where root's are.
fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .into_iter()
        .any(|folder| folder.join(program).is_file())
}

/// What a package manager says of the program's version.
fn version(program: &str) -> Result<String> {
    let known = PROGRAMS.iter().find(|(known, _)| *known == program);
    let package = known.map_or(program, |(_, package)| package);
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Version}", package]);
    let output = query.output()?;
    ensure!(
        output.status.success(),
        "dpkg-query does not know {package}"
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The page, from the notes of the tests: programs, and what they have done.
fn page(notes: &str, version: impl Fn(&str) -> Result<String>) -> String {
    let mut done: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (program, what) in notes.lines().filter_map(|line| line.split_once('\t')) {
        done.entry(program).or_default().push(what);
    }
    let mut page = "# Services and their judges\n\n\
        Written by `cargo xtask clients --write`, when all of it had passed; the tests are in `xtask/tests/run/clients/`.\n\n\
        | program | version | what it has done |\n|---|---|---|\n"
        .to_owned();
    for (program, what) in done {
        let first = program.split(", ").next().unwrap_or(program);
        let version = version(first).unwrap_or_else(|_| "?".to_owned());
        for (at, what) in what.iter().enumerate() {
            let (program, version) = match at {
                0 => (
                    format!("`{}`", program.replace(", ", "`, `")),
                    version.as_str(),
                ),
                _ => (String::new(), ""),
            };
            page.push_str(&format!("| {program} | {version} | {what} |\n"));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_at_once_with_the_command() {
        let gone = missing(|program| !program.starts_with("nbd") && program != "fio");
        let error = complain(&gone).expect_err("something is missing");
        let text = error.to_string();
        assert!(
            text.starts_with("missing: nbdinfo, nbdcopy, fio. "),
            "{text}"
        );
        assert!(text.contains(" libnbd-bin fio\n"), "{text}");
        assert!(complain(&missing(|_| true)).is_ok());
    }

    #[test]
    fn the_page_has_a_row_for_each_note() {
        let notes = "wrk\tone\nmke2fs, e2fsck\tsound\nwrk\ttwo\n";
        let page = page(notes, |program| Ok(format!("{program} 1")));
        assert!(
            page.contains("| `wrk` | wrk 1 | one |\n|  |  | two |\n"),
            "{page}"
        );
        assert!(
            page.contains("| `mke2fs`, `e2fsck` | mke2fs 1 | sound |\n"),
            "{page}"
        );
    }
}
