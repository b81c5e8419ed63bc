//! What pages refer to: files, what is defined in them, parts of them, other pages.
//!
//! In a page, these are references, and all of them are checked:
//!
//! - a path in backticks, from the root of the workspace: the file or folder exists;
//! - a path with a name, `kernel/src/memory/frames.rs#Frames`: the file defines the name;
//! - a link to another page, and to a heading of it;
//! - mdBook's `{{#include FILE}}` and `{{#include FILE:ANCHOR}}`;
//! - in the README, which mdBook does not build, a block behind the comment
//!   `<!-- from FILE -->`: its lines are lines of that file, in the same order.
//!   A line `…` stands for what is left out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::symbols;
use crate::rows;

/// Paths in backticks that are not ours: those of Linux' sources, and names that only look like paths.
const FOREIGN: [&str; 4] = ["arch/", "block/", "include/", "opt/"];

/// The pages: the README, the chapters, the decisions, the changelog.
pub(super) fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in ["docs/src", "docs/decisions"] {
        let folder = root.join(folder);
        let entries =
            fs::read_dir(&folder).with_context(|| format!("no folder `{}`", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Checks a page, and returns what is wrong, each with the line.
pub(super) fn check(root: &Path, page: &Path) -> Result<Vec<String>> {
    let text =
        fs::read_to_string(page).with_context(|| format!("cannot read `{}`", page.display()))?;
    let name = page.strip_prefix(root).unwrap_or(page).display();
    let mut flaws = Vec::new();
    for (number, reference) in references(&text) {
        if let Err(what) = reference.resolve(root, page) {
            flaws.push(format!("{name}:{number}: {what}"));
        }
    }
    for (number, what) in super::claims::bare(&text) {
        flaws.push(format!("{name}:{number}: {what}"));
    }
    Ok(flaws)
}

/// Something that a page refers to.
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    /// A path from the root, and what it should define.
    Source(String, Option<String>),
    /// A path from the page, and a heading there.
    Link(String, Option<String>),
    /// A path from the page, and an anchor there.
    Include(String, Option<String>),
    /// A path from the root, and lines of the file.
    Excerpt(String, Vec<String>),
}

/// All references of a page, with their lines.
fn references(text: &str) -> Vec<(usize, Reference)> {
    let mut found = Vec::new();
    let mut is_block = false;
    // The excerpt's file, and where in the list it is once its block has begun.
    let mut excerpt = None;
    let mut open: Option<usize> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(file) = between(line, "<!-- from ", " -->").next() {
            excerpt = Some(file.to_owned());
        }
        for include in between(line, "{{#include ", "}}") {
            found.push((number, Reference::Include.of(include, ':')));
        }
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
            open = None;
            if let (true, Some(file)) = (is_block, excerpt.take()) {
                open = Some(found.len());
                found.push((number, Reference::Excerpt(file, Vec::new())));
            }
            continue;
        }
        if is_block {
            if let Some((_, Reference::Excerpt(_, lines))) = open.and_then(|at| found.get_mut(at)) {
                lines.push(line.to_owned());
            }
            continue;
        }
        for span in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|span| is_path(span))
        {
            found.push((number, Reference::Source.of(span, '#')));
        }
        for link in between(line, "](", ")").filter(|link| !link.contains("://")) {
            found.push((number, Reference::Link.of(link, '#')));
        }
    }
    found
}

/// What stands between two marks, as often as it does.
fn between<'a>(line: &'a str, before: &'a str, behind: &'a str) -> impl Iterator<Item = &'a str> {
    let pieces = line.split(before).skip(1);
    pieces.filter_map(move |piece| Some(piece.split_once(behind)?.0))
}

/// Whether a text in backticks is a path in the workspace.
fn is_path(span: &str) -> bool {
    let (path, _) = span.split_once('#').unwrap_or((span, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    path.contains('/')
        && path.chars().all(plain)
        && !path.starts_with(['/', '.', '-'])
        && !FOREIGN.iter().any(|foreign| path.starts_with(foreign))
}

/// Makes a reference of a text in two parts.
trait InParts {
    fn of(self, text: &str, mark: char) -> Reference;
}

impl<F: FnOnce(String, Option<String>) -> Reference> InParts for F {
    fn of(self, text: &str, mark: char) -> Reference {
        match text.split_once(mark) {
            Some((path, part)) => self(path.to_owned(), Some(part.to_owned())),
            None => self(text.to_owned(), None),
        }
    }
}

impl Reference {
    /// Whether what it names is there; if not, what is wrong.
    fn resolve(&self, root: &Path, page: &Path) -> Result<(), String> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|_| format!("there is no file `{}`", path.display()))
        };
        let beside = |path: &str| match path {
            "" => page.to_owned(),
            path => page.parent().unwrap_or(root).join(path),
        };
        match self {
            Self::Source(path, None) => match root.join(path).exists() {
                true => Ok(()),
                false => Err(format!("there is no `{path}`")),
            },
            Self::Source(path, Some(name)) => {
                let text = read(&root.join(path))?;
                match defines(path, &text, name) {
                    true => Ok(()),
                    false => Err(format!("`{path}` defines no `{name}`")),
                }
            }
            Self::Link(path, None) => match beside(path).exists() {
                true => Ok(()),
                false => Err(format!("the link to `{path}` leads nowhere")),
            },
            Self::Link(path, Some(heading)) => {
                let text = read(&beside(path))?;
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                match headings.any(|line| slug(line) == *heading) {
                    true => Ok(()),
                    false => Err(format!("`{path}` has no heading `#{heading}`")),
                }
            }
            Self::Include(path, None) => read(&beside(path)).map(drop),
            Self::Include(path, Some(anchor)) => {
                let text = read(&beside(path))?;
                let has = |mark: &str| {
                    let mark = format!("{mark}: {anchor}");
                    text.lines().any(|line| line.trim_end().ends_with(&mark))
                };
                match has("ANCHOR") && has("ANCHOR_END") {
                    true => Ok(()),
                    false => Err(format!("`{path}` has no anchor `{anchor}`")),
                }
            }
            Self::Excerpt(path, lines) => {
                let text = read(&root.join(path))?;
                let mut rest = text.lines();
                let mut missing = lines
                    .iter()
                    .filter(|line| line.trim() != "…")
                    .filter(|line| !rest.any(|other| other == line.as_str()));
                match missing.next() {
                    None => Ok(()),
                    Some(line) => Err(format!("`{path}` has no line `{line}` here")),
                }
            }
        }
    }
}

/// Whether the file defines the name. What is no Rust only has to contain it as a word.
fn defines(path: &str, text: &str, name: &str) -> bool {
    if path.ends_with(".rs") {
        // A function of an example is no symbol, but it may be a test.
        return symbols::of(text).is_ok_and(|names| names.contains(name))
            || rows::tests_of(text).is_ok_and(|tests| tests.iter().any(|test| test.name == name));
    }
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c: char| !inside(c)).any(|word| word == name)
}

/// The name by which mdBook (and others) link to a heading.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaws(page: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "kernel/a.rs",
            "// ANCHOR: part\npub struct Frames;\n// ANCHOR_END: part\n",
        );
        write("kernel/a.ld", "kernel_start = .;");
        write(
            "docs/src/other.md",
            "# Other\n\n## Not a `path`, but near!\n",
        );
        write("docs/src/transcripts/x.txt", "one\ntwo\nthree\n");
        write("docs/src/page.md", page);
        check(root.path(), &root.path().join("docs/src/page.md")).unwrap()
    }

    #[test]
    fn what_is_there_is_no_flaw() {
        let page = "See `kernel/a.rs#Frames`, `kernel/`, `kernel/a.ld#kernel_start`, `/x` and `a.b`.\n\
            [Other](other.md), [near](other.md#not-a-path-but-near), <https://x>, [w](https://x/y#z)\n\
            ```text\n{{#include transcripts/x.txt}}\n```\n\
            ```rust,ignore\n{{#include ../../kernel/a.rs:part}}\nlet x = `no/path`;\n```\n\
            <!-- from docs/src/transcripts/x.txt -->\n```text\none\n…\nthree\n```\n";
        assert_eq!(flaws(page), Vec::<String>::new());
    }

    #[test]
    fn what_is_gone_is_named_with_its_line() {
        for (page, what) in [
            ("\n`kernel/b.rs`", "page.md:2: there is no `kernel/b.rs`"),
            ("`kernel/a.rs#Frame`", "defines no `Frame`"),
            ("`kernel/a.ld#kernel`", "defines no `kernel`"),
            ("[x](gone.md)", "leads nowhere"),
            ("[x](other.md#gone)", "no heading `#gone`"),
            ("{{#include transcripts/y.txt}}", "there is no file"),
            ("{{#include ../../kernel/a.rs:gone}}", "no anchor `gone`"),
            (
                "<!-- from docs/src/transcripts/x.txt -->\n```\ntwo\none\n```",
                "no line `one` here",
            ),
        ] {
            let flaws = flaws(page);
            assert!(
                flaws.len() == 1 && flaws[0].contains(what),
                "{page}: {flaws:?}"
            );
        }
    }
}
