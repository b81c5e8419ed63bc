//! The currency gate: memory ranges are phyrs, in every signature.
//!
//! "The only currency" is a promise that erodes one convenient `(u64, u64)` at a time. So the
//! sources are parsed, and these fail the build:
//!
//! - a tuple of two integers that can hold an address and a length, anywhere in the type of a
//!   parameter, of a result, or of a public field;
//! - two neighbouring parameters or public fields of integer types of which the first is named like an
//!   address and the second like a length or an end.
//!
//! Tests may do as they like. A few places are [exempt], each for a reason: where a range is taken
//! apart for the hardware, or where it is made in the first place. And two numbers that only look
//! like a range of memory are excused by a comment right above, which says what they are:
//!
//! ```text
//! // Not memory: ticks of two clocks.
//! fn sample(&mut self) -> (u64, u64)
//! ```

mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders whose signatures are checked.
const CHECKED: [&str; 4] = ["phyr", "kernel", "drivers", "boot"];

/// Files and folders that may handle raw numbers, and why.
const EXEMPT: [(&str, &str); 3] = [
    (
        "kernel/src/memory/paging",
        "page-table entries are raw numbers, and this is where they are made",
    ),
    ("phyr/src/span.rs", "the two numbers inside of a range"),
    ("kernel/src/vm_tests", "tests"),
];

/// A signature that hands on a range as two numbers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offence {
    /// The line of the signature or the field.
    line: usize,
    /// What is wrong, in words.
    what: String,
}

/// Checks all sources of a checkout and prints every offence. `true`: there is none.
pub(crate) fn check(root: &Path) -> Result<bool> {
    let mut files = Vec::new();
    for folder in CHECKED {
        files.extend(sources(&root.join(folder))?);
    }
    let mut clean = true;
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        if exempt(name).is_some() {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        let offences =
            scan::scan(&text).with_context(|| format!("cannot parse `{}`", name.display()))?;
        for offence in offences {
            clean = false;
            eprintln!("{}:{}: {}", name.display(), offence.line, offence.what);
        }
    }
    if !clean {
        eprintln!(
            "a range of memory is a `phyr::Phyr` (or a `DmaRange`, or a virtual range), not two numbers"
        );
    }
    Ok(clean)
}

/// Why a file need not be clean.
fn exempt(file: &Path) -> Option<&'static str> {
    let tests = file.components().any(|part| part.as_os_str() == "tests")
        || file.file_stem().is_some_and(|stem| {
            let stem = stem.to_string_lossy();
            stem == "tests" || stem.ends_with("_tests")
        });
    if tests || file.ends_with("build.rs") {
        return Some("it is not a part of the product");
    }
    EXEMPT
        .iter()
        .find(|(place, _)| file.starts_with(place))
        .map(|(_, why)| *why)
}

/// All Rust sources below a folder, in order.
pub(crate) fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("no folder `{}`", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_places_are_exempt() {
        assert!(exempt(Path::new("kernel/src/memory/paging/walk.rs")).is_some());
        assert!(exempt(Path::new("kernel/src/block/partition_tests.rs")).is_some());
        assert!(exempt(Path::new("kernel/tests/memory/main.rs")).is_some());
        assert!(exempt(Path::new("kernel/src/memory/frames.rs")).is_none());
        assert!(exempt(Path::new("kernel/src/paging.rs")).is_none());
    }

    #[test]
    fn an_offence_anywhere_in_a_checkout_is_found() {
        let root = tempfile::tempdir().unwrap();
        for folder in CHECKED {
            fs::create_dir_all(root.path().join(folder).join("src/deep")).unwrap();
        }
        let file = root.path().join("drivers/src/deep/ring.rs");
        fs::write(&file, "pub fn submit(range: Phyr) {}").unwrap();
        assert!(check(root.path()).unwrap());
        fs::write(&file, "pub fn submit(range: (u64, usize)) {}").unwrap();
        assert!(!check(root.path()).unwrap());
    }
}
