//! Finds the tests that are named after rows, in the sources.
//!
//! The sources are read as tokens, because some tests stand in a macro that makes many of one. In a
//! documentation comment, a function in an example is a test, too: the example is compiled, or must
//! not compile, by rustdoc.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::currency;

/// A test whose name begins with rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) name: String,
    /// The file, from the root of the workspace.
    pub(super) file: String,
    /// The line of the name; of an example, the one where it begins.
    pub(super) line: usize,
    pub(super) place: Place,
}

/// Where a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In an ordinary test program.
    Host,
    /// In rustdoc's compiler.
    Docs,
    /// In a virtual machine of its own.
    Machine,
    /// It runs `cargo xtask run`, and looks at that.
    EndToEnd,
}

impl Test {
    /// The rows that it shows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &str> {
        self.name.split('_').take_while(|word| is_row(word))
    }
}

/// Whether this could be the name of a row.
fn is_row(word: &str) -> bool {
    let Some(number) = word.strip_prefix(['a', 'b', 'c', 'd', 'e']) else {
        return false;
    };
    matches!(number.len(), 1..=2) && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// All tests that are named after rows, by name.
pub(super) fn all(root: &Path) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for folder in [
        "phyr", "kernel", "drivers", "boot", "apps", "harness", "xtask",
    ] {
        for file in currency::sources(&root.join(folder))? {
            let name = file.strip_prefix(root).unwrap_or(&file);
            let name = name.to_string_lossy().into_owned();
            let text = fs::read_to_string(&file)?;
            let found = of(&text).with_context(|| format!("cannot read `{name}`"))?;
            tests.extend(found.into_iter().map(|mut test| {
                if test.place == Place::Host && name.starts_with("xtask/tests/") {
                    test.place = Place::EndToEnd;
                }
                test.file.clone_from(&name);
                test
            }));
        }
    }
    tests.sort_by(|a, b| (a.place, &a.name).cmp(&(b.place, &b.name)));
    Ok(tests)
}

/// The tests of one source file.
pub(crate) fn of(source: &str) -> Result<Vec<Test>> {
    let tokens = TokenStream::from_str(source).map_err(|error| anyhow!("{error}"))?;
    let mut finder = Finder::default();
    finder.walk(tokens);
    Ok(finder.found)
}

#[derive(Default)]
struct Finder {
    found: Vec<Test>,
    /// The line where an example began, and whether it is one that is tried.
    example: Option<(usize, bool)>,
}

impl Finder {
    fn walk(&mut self, tokens: TokenStream) {
        // What the attributes so far make of the next function.
        let mut place = None;
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    let is_bang = |token: &TokenTree| token.to_string() == "!";
                    tokens.next_if(is_bang);
                    match tokens.peek() {
                        Some(TokenTree::Group(group))
                            if group.delimiter() == Delimiter::Bracket =>
                        {
                            self.attribute(group, &mut place);
                            tokens.next();
                        }
                        _ => {}
                    }
                }
                TokenTree::Ident(word) if word == "fn" => {
                    let Some(TokenTree::Ident(name)) = tokens.peek() else {
                        continue;
                    };
                    if let Some(place) = place.take() {
                        self.add(&name.to_string(), name.span().start().line, place);
                    }
                }
                TokenTree::Group(group) => self.walk(group.stream()),
                TokenTree::Punct(mark) if mark.as_char() == ';' => place = None,
                _ => {}
            }
        }
    }

    /// Takes notice of an attribute; documentation is one.
    fn attribute(&mut self, group: &Group, place: &mut Option<Place>) {
        let mut tokens = group.stream().into_iter();
        let Some(TokenTree::Ident(word)) = tokens.next() else {
            return;
        };
        let is_ignored = |tokens: TokenStream| tokens.to_string().contains("ignore =");
        match word.to_string().as_str() {
            "test" => *place = Some(Place::Host),
            // One that runs on request only, shows nothing.
            "vm_test" if !is_ignored(group.stream()) => *place = Some(Place::Machine),
            "ignore" => *place = None,
            "doc" => {
                if let Some(TokenTree::Literal(text)) = tokens.nth(1) {
                    let text = text.to_string();
                    let text = text.trim_matches('"').trim();
                    self.documentation(text, group.span_open().start().line);
                }
            }
            _ => {}
        }
    }

    fn documentation(&mut self, text: &str, line: usize) {
        if let Some(words) = text.strip_prefix("```") {
            let is_tried = !words.contains("ignore") && !words.contains("text");
            self.example = match self.example {
                None => Some((line, is_tried)),
                Some(_) => None,
            };
        } else if let Some((line, true)) = self.example {
            let text = text.trim_start_matches("# ");
            let text = text.trim_start_matches("pub ").trim_start_matches("async ");
            let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if let Some(name) = text.strip_prefix("fn ") {
                let name = name.split(|c| !inside(c)).next();
                self.add(name.unwrap_or_default(), line, Place::Docs);
            }
        }
    }

    fn add(&mut self, name: &str, line: usize, place: Place) {
        let test = Test {
            name: name.to_owned(),
            file: String::new(),
            line,
            place,
        };
        if test.rows().next().is_some() {
            self.found.push(test);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_wherever_they_stand() {
        let source = "
            //! ```compile_fail,E0308
            //! # use x::y;
            //! fn d2_in_the_docs() {}
            //! ```
            //! ```text
            //! fn d2_no_example() {}
            //! ```
            fn d3_no_test() {}
            mod tests {
                #[test] #[should_panic(expected = \"x\")] fn a1_b22_two_rows() { fn a2_inner() {} }
                proptest! { #![config] /// Doc.
                    #[test] fn a3_in_a_macro(x in y()) {} }
            }
            #[vm_test(machine = \"nvme\")] fn b1_in_a_machine() {}
            #[vm_test(ignore = \"slow\")] fn b2_on_request() {}
            #[test] #[ignore] fn b3_ignored() {}
            #[test] fn a_word() {} #[test] fn e820_map() {} #[test] fn a_1() {}
            range! { /// ```compile_fail
                     /// # fn d18_no_way_back(x: X) -> Y {
                     /// ```
                     Phyr }";
        let found = of(source).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|test| (test.name.as_str(), test.line, test.place))
            .collect();
        assert_eq!(
            found,
            [
                ("d2_in_the_docs", 2, Place::Docs),
                ("a1_b22_two_rows", 11, Place::Host),
                ("a3_in_a_macro", 13, Place::Host),
                ("b1_in_a_machine", 15, Place::Machine),
                ("d18_no_way_back", 19, Place::Docs),
            ]
        );
        let two = of("#[test] fn a1_b22_two_rows() {}").unwrap();
        assert_eq!(two[0].rows().collect::<Vec<_>>(), ["a1", "b22"]);
    }
}
