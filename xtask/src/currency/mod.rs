//! The currency gate: memory ranges are phyrs, in every signature, and drivers take them as they come.
//!
//! "The only currency" is a promise that erodes one convenient `(u64, u64)` at a time. So the
//! sources are parsed, and these fail the build:
//!
//! - a tuple of two integers that can hold an address and a length, anywhere in the type of a
//!   parameter, of a result, or of a public field;
//! - two neighbouring parameters or public fields of integer types of which the first is named like an
//!   address and the second like a length or an end;
//! - [page frames](frames), in the same places;
//! - in drivers, [what joins ranges, and loops over them](drivers), and in their public interfaces, pointers.
//!
//! Tests may do as they like. A few places are exempt, each for a reason: where a range is taken
//! apart for the hardware, or where it is made in the first place. An exemption that nobody needs is a
//! mistake, too. And two numbers that only look like a range of memory are excused by a comment
//! right above, which says what they are:
//!
//! ```text
//! // Not memory: ticks of two clocks.
//! fn sample(&mut self) -> (u64, u64)
//! ```

mod drivers;
mod frames;
mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Attribute, File};

/// Something that the sources should not contain.
struct Rule {
    /// What is said if they do.
    because: &'static str,
    /// The folders that are looked at.
    folders: &'static [&'static str],
    /// Files and folders that may, and why.
    exempt: &'static [(&'static str, &'static str)],
    /// What a comment begins with that excuses one place.
    excuse: &'static str,
    find: fn(&File) -> Vec<Offence>,
}

/// The folders whose signatures are checked.
const CHECKED: &[&str] = &["phyr", "kernel", "drivers", "boot"];

const PAIRS: Rule = Rule {
    because: "a range of memory is a `phyr::Phyr` (or a `DmaRange`, or a virtual range), not two numbers",
    folders: CHECKED,
    exempt: &[("phyr/src/span.rs", "the two numbers inside of a range")],
    excuse: "// Not memory:",
    find: |file| found(file, scan::Scan::default(), |scan| scan.0),
};

const FRAMES: Rule = Rule {
    because: "memory is handed on by ranges, also if it is a page",
    folders: CHECKED,
    exempt: &[
        (
            "boot/src/tables.rs",
            "the loader's page tables, which are made by a crate that knows page frames",
        ),
        (
            "drivers/nvme/src/prp.rs",
            "a PRP is the address of a page, and this is where they are made",
        ),
    ],
    excuse: "// No page frame:",
    find: |file| found(file, frames::Frames::default(), |frames| frames.0),
};

const JOINS: Rule = Rule {
    because: "lists join what touches, and cursors cut it: a driver does neither",
    folders: &drivers::DRIVERS,
    exempt: &[],
    excuse: "// No join:",
    find: |file| found(file, drivers::Joins::default(), |joins| joins.0),
};

const LOOPS: Rule = Rule {
    because: "a driver has no loops over ranges, except where they are written down for a device",
    folders: &drivers::DRIVERS,
    exempt: &drivers::EMITTERS,
    excuse: "// No range:",
    find: |file| found(file, drivers::Loops::default(), |loops| loops.found),
};

const INTERFACES: Rule = Rule {
    because: "what a driver is given is memory with an owner",
    folders: &drivers::INTERFACES,
    exempt: &[],
    excuse: "// Not memory:",
    find: |file| {
        found(file, drivers::Interfaces::default(), |interfaces| {
            interfaces.0
        })
    },
};

/// Something in a source file that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offence {
    /// The line of the signature, the field, or the expression.
    line: usize,
    /// What is wrong, in words.
    what: String,
}

/// Checks all sources of a checkout and prints every offence. `true`: there is none.
pub(crate) fn check(root: &Path) -> Result<bool> {
    let mut clean = true;
    for rule in [PAIRS, FRAMES, JOINS, LOOPS, INTERFACES] {
        let flaws = rule.flaws(root)?;
        for flaw in &flaws {
            eprintln!("{flaw}");
        }
        if !flaws.is_empty() {
            clean = false;
            eprintln!("{}", rule.because);
        }
    }
    Ok(clean)
}

impl Rule {
    /// What breaks the rule in a checkout, and exemptions from it that are not needed.
    fn flaws(&self, root: &Path) -> Result<Vec<String>> {
        let mut flaws = Vec::new();
        let mut needed = vec![false; self.exempt.len()];
        for folder in self.folders {
            for file in sources(&root.join(folder))? {
                let name = file.strip_prefix(root).unwrap_or(&file);
                if is_test_file(name) {
                    continue;
                }
                let offences = self.offences(&fs::read_to_string(&file)?);
                let offences =
                    offences.with_context(|| format!("cannot parse `{}`", name.display()))?;
                let mut exempt = self.exempt.iter();
                if let Some(index) = exempt.position(|(place, _)| name.starts_with(place)) {
                    needed[index] |= !offences.is_empty();
                    continue;
                }
                for Offence { line, what } in offences {
                    flaws.push(format!("{}:{line}: {what}", name.display()));
                }
            }
        }
        for ((place, why), is_needed) in self.exempt.iter().zip(needed) {
            if !is_needed {
                flaws.push(format!("`{place}` needs no exemption any more ({why})"));
            }
        }
        Ok(flaws)
    }

    /// What breaks the rule in one source file.
    fn offences(&self, source: &str) -> Result<Vec<Offence>> {
        let file = syn::parse_file(source)?;
        if is_test(&file.attrs) {
            return Ok(Vec::new());
        }
        let lines: Vec<_> = source.lines().collect();
        let mut offences = (self.find)(&file);
        offences.retain(|offence| !self.is_excused(&lines, offence.line));
        Ok(offences)
    }

    /// Whether a comment right above this line says why it is no offence. Doc comments and attributes
    /// may stand between.
    fn is_excused(&self, lines: &[&str], line: usize) -> bool {
        let above = lines.iter().take(line.saturating_sub(1)).rev();
        above
            .map(|line| line.trim_start())
            .take_while(|line| line.starts_with("//") || line.starts_with("#["))
            .filter_map(|line| line.strip_prefix(self.excuse))
            .any(|why| !why.trim().is_empty())
    }
}

/// What a walk over a file finds.
fn found<W: for<'a> Visit<'a>>(
    file: &File,
    mut walk: W,
    found: impl FnOnce(W) -> Vec<Offence>,
) -> Vec<Offence> {
    walk.visit_file(file);
    found(walk)
}

/// The line where something begins.
fn line_of(what: &impl Spanned) -> usize {
    what.span().start().line
}

/// Whether an item exists only in tests.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let words = match &attribute.meta {
            syn::Meta::List(list) => list.tokens.to_string(),
            _ => String::new(),
        };
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && (words == "test" || words == "feature = \"vm-tests\"")
    })
}

/// Parts of a `Visit` that leave tests out.
macro_rules! skip_tests {
    () => {
        fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
            if !$crate::currency::is_test(&module.attrs) {
                syn::visit::visit_item_mod(self, module);
            }
        }

        fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
            if !$crate::currency::is_test(&function.attrs) {
                syn::visit::visit_item_fn(self, function);
            }
        }
    };
}
use skip_tests;

/// Whether a file is no part of the product.
fn is_test_file(file: &Path) -> bool {
    let in_tests = file.components().any(|part| {
        let part = part.as_os_str();
        part == "tests" || part == "vm_tests"
    });
    let is_tests = file.file_stem().is_some_and(|stem| {
        let stem = stem.to_string_lossy();
        stem == "tests" || stem.ends_with("_tests")
    });
    in_tests || is_tests || file.ends_with("build.rs")
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
mod tests;
