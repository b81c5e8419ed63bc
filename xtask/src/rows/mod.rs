//! `cargo xtask rows`: which capability is shown by which test.
//!
//! The [table] says what there should be, and the sources say what there is: a test that shows a row
//! is [named after it](found). The chapter "Row by row" is made of both ([page]), so it
//! cannot say more than there is. Whether the tests pass, only running them says ([trial]).

mod found;
mod page;
mod table;
mod trial;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Args;
use harness::{tools, workspace};

pub(crate) use found::of as tests_of;
use table::{Here, ROWS, Row};

/// Run the tests that are named after rows, and say of each row whether it holds.
///
/// The rows are the capabilities that the chapter "Row by row" lists. A test that shows row A5 has a
/// name that begins with `a5_`. The last line is `N rows shown, M not, F FAILED`.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask rows
  cargo xtask rows d17
  cargo xtask rows --write && git diff docs")]
pub(crate) struct Options {
    /// Only this row
    row: Option<String>,

    /// Run nothing, and write the chapter anew
    #[arg(long, conflicts_with = "row")]
    write: bool,
}

/// Runs the verb; `true` is success.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let tests = found::all(workspace::root())?;
    let flaws = page::flaws(ROWS, &tests);
    for flaw in &flaws {
        eprintln!("{flaw}");
    }
    if options.write {
        let file = workspace::root().join(page::PAGE);
        fs::write(&file, page::write(&tests))
            .with_context(|| format!("cannot write `{}`", file.display()))?;
        return Ok(flaws.is_empty());
    }
    tools::install(&tools::missing())?;
    let id = options.row.as_ref().map(|row| row.to_lowercase());
    let wanted = |row: &&Row| id.as_deref().is_none_or(|id| row.id == id);
    let rows: Vec<&Row> = ROWS.iter().filter(wanted).collect();
    ensure!(
        !rows.is_empty(),
        "there is no such row; `{}` lists them",
        page::PAGE
    );
    let needed = |test: &&found::Test| {
        let mut ids = test.rows();
        ids.any(|id| rows.iter().any(|row| row.id == id))
    };
    let passed = trial::run(&tests.iter().filter(needed).collect::<Vec<_>>())?;

    let (mut shown, mut missing, mut failed) = (0, 0, 0);
    for row in rows {
        let tests = page::of(row, &tests);
        let broken = tests.iter().filter(|test| !passed.contains(&test.name));
        let broken: Vec<&str> = broken.map(|test| test.name.as_str()).collect();
        let verdict = if !broken.is_empty() {
            failed += 1;
            format!("FAILED: {}", broken.join(" "))
        } else {
            match (tests.len(), &row.here) {
                (0, Here::Nothing(_)) => missing += 1,
                (0, _) => failed += 1,
                _ => shown += 1,
            }
            page::verdict(row, &tests)
        };
        println!("row {:3} ... {verdict}", row.id);
    }
    println!("\n{shown} rows shown, {missing} not, {failed} FAILED");
    Ok(failed == 0 && flaws.is_empty())
}

/// What is wrong with the rows, their tests, and the chapter that lists them.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let tests = found::all(root)?;
    let mut flaws = page::flaws(ROWS, &tests);
    let kept = fs::read_to_string(root.join(page::PAGE)).unwrap_or_default();
    if kept != page::write(&tests) {
        flaws.push(format!(
            "{} is no longer true (`cargo xtask rows --write` writes it anew)",
            page::PAGE
        ));
    }
    Ok(flaws)
}
