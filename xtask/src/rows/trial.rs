//! Runs tests that are named after rows, and sees which pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use harness::workspace;

use super::found::{Place, Test};

/// Runs these tests, and returns the names of those that passed.
///
/// What fails is printed as its test program printed it.
pub(super) fn run(tests: &[&Test]) -> Result<BTreeSet<String>> {
    // Tests in virtual machines are all in one program, the others in one for each package.
    let mut programs: BTreeMap<(Place, String), Vec<&Test>> = BTreeMap::new();
    for test in tests {
        let package = match test.place {
            Place::Machine => "phyros-harness".to_owned(),
            _ => package(&workspace::root().join(&test.file))?,
        };
        programs
            .entry((test.place, package))
            .or_default()
            .push(test);
    }
    let mut passed = BTreeSet::new();
    for ((place, package), tests) in programs {
        let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        let mut command = workspace::cargo();
        command.args(["test", "--no-fail-fast", "--package", &package]);
        match place {
            Place::Host => command
                .args(["--lib", "--bins", "--tests", "--"])
                .args(names),
            Place::EndToEnd => command.args(["--test", "run", "--"]).args(names),
            Place::Machine => command.args(["--test", "vm", "--", &names.join(",")]),
            // What must not compile could fail for another reason than it should, a name that has
            // changed. Only a compiler that may use what is unstable compares the errors' codes.
            Place::Docs => command.arg("--doc").env("RUSTC_BOOTSTRAP", "1"),
        };
        eprintln!("running {} tests of {package}", tests.len());
        passed.extend(outcome(&mut command, &tests)?);
    }
    Ok(passed)
}

/// Runs a program, and returns the names of those of `tests` that it has passed.
fn outcome(command: &mut Command, tests: &[&Test]) -> Result<Vec<String>> {
    let output = command.output().context("cargo could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let is_passed = |test: &&&Test| text.lines().any(|line| passes(line, test));
    let passed = tests.iter().filter(is_passed);
    Ok(passed.map(|test| test.name.clone()).collect())
}

/// Whether a line of a test program says that this test has passed.
fn passes(line: &str, test: &Test) -> bool {
    let Some((name, "ok")) = line
        .strip_prefix("test ")
        .and_then(|line| line.rsplit_once(" ... "))
    else {
        return false;
    };
    match test.place {
        // An example has no name but its place.
        Place::Docs => {
            name.starts_with(&format!("{} - ", test.file))
                && name.contains(&format!("(line {})", test.line))
        }
        _ => name
            .split_whitespace()
            .any(|word| word.rsplit("::").next() == Some(&test.name)),
    }
}

/// The name of the package that a file belongs to.
fn package(file: &Path) -> Result<String> {
    let manifests = file.ancestors().map(|folder| folder.join("Cargo.toml"));
    let text = manifests
        .filter_map(|manifest| fs::read_to_string(manifest).ok())
        .next();
    let text = text.with_context(|| format!("`{}` is in no package", file.display()))?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = \""));
    let name = name.context("a package has a name")?;
    Ok(name.trim_end_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn only_the_line_that_says_so_counts() {
        let host = &found::of("#[test] fn a1_x() {}").unwrap()[0];
        assert!(passes("test tests::a1_x ... ok", host));
        assert!(passes("test [nvme,size=16M] vm_tests::a1_x ... ok", host));
        assert!(passes("test tests::a1_x - should panic ... ok", host));
        assert!(!passes("test tests::a1_x ... FAILED", host));
        assert!(!passes("test tests::a1_x ... ignored", host));
        assert!(!passes("test tests::a1_xy ... ok", host));
        assert!(!passes("tests::a1_x ... ok", host));

        let mut docs = found::of("\n/// ```\n/// fn d2_x() {}\n/// ```\nfn f() {}").unwrap();
        let docs = &mut docs[0];
        docs.file = "phyr/src/range.rs".to_owned();
        let line = "test phyr/src/range.rs - range::Phyr (line 2) - compile fail ... ok";
        assert!(passes(line, docs));
        assert!(!passes(&line.replace("line 2", "line 22"), docs));
        assert!(!passes(&line.replace("phyr/src", "x/src"), docs));
    }

    #[test]
    fn a_file_belongs_to_the_nearest_package() {
        let file = |name: &str| package(&workspace::root().join(name)).unwrap();
        assert_eq!(file("phyr/src/range.rs"), "phyr");
        assert_eq!(file("harness/guest/src/lib.rs"), "vm-test");
        assert_eq!(file("kernel/tests/memory/main.rs"), "phyros-kernel");
    }
}
