//! `cargo xtask book`: what the documentation says is true, or this fails.
//!
//! Documentation rots in four ways, and each is a check here:
//!
//! - what a machine or a program is said to print: it is run, and printed again ([`transcripts`]);
//! - what a file is said to define: the file is read ([`references`]);
//! - what is said to be tested: the tests are looked for ([`crate::rows`]);
//! - how the pages hang together: their links are followed, and mdBook builds them if it is there.

mod claims;
mod references;
mod rules;
mod symbols;
mod transcripts;

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;
use harness::{tools, workspace};

use crate::rows;
use crate::tally::Tally;

/// Check the documentation: its transcripts, its references to the sources, its links.
///
/// The transcripts in docs/src/transcripts are what commands print. They are run again, in a virtual
/// machine with the disk docs/example, and compared. What may differ between two runs is replaced by
/// words in angle brackets; the chapter "Running" has the rules.
///
/// If mdBook is installed, it builds the book in the folder target/book.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask book
  cargo xtask book --bless && git diff docs")]
pub(crate) struct Options {
    /// Write the transcripts anew instead of comparing them
    #[arg(long)]
    bless: bool,

    /// Leave the transcripts alone; for hosts with another QEMU or compiler than they were made with
    #[arg(long, hide = true, conflicts_with = "bless")]
    no_transcripts: bool,
}

/// Runs the verb; `true` is success.
pub(crate) fn run(options: &Options) -> Result<bool> {
    tools::install(&tools::missing())?;
    let mut tally = Tally::default();
    let mut report = |what: &str, flaws: Vec<String>| {
        let passed = flaws.is_empty();
        for flaw in flaws {
            eprintln!("{flaw}");
        }
        println!("book {what} ... {}", if passed { "ok" } else { "FAILED" });
        if passed {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    };
    let transcripts = match options.no_transcripts {
        true => &[],
        false => transcripts::ALL,
    };
    for transcript in transcripts {
        let what = format!("transcript {}", transcript.name);
        report(&what, transcript.check(options.bless)?);
    }
    for page in references::pages(workspace::root())? {
        let what = format!("references of {}", workspace::shorten(&page).display());
        report(&what, references::check(workspace::root(), &page)?);
    }
    report("rows and their tests", rows::check(workspace::root())?);
    if let Some(flaws) = build()? {
        report("pages, built by mdBook", flaws);
    }
    println!("\n{tally}");
    Ok(tally.failed == 0)
}

/// Has mdBook build the pages, and returns what it complains about; nothing if there is no mdBook.
fn build() -> Result<Option<Vec<String>>> {
    let is_there = Command::new("mdbook")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !is_there.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let output = Command::new("mdbook")
        .args(["build", "docs"])
        .current_dir(workspace::root())
        .output()
        .context("mdBook could not be started")?;
    // Its logger writes to either stream, depending on the version.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let complains = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    let mut flaws: Vec<String> = text.lines().filter(complains).map(str::to_owned).collect();
    if !output.status.success() && flaws.is_empty() {
        flaws.push(text);
    }
    Ok(Some(flaws))
}
