//! What a source file defines.
//!
//! The names are read from the file's tokens, not from its syntax tree: much is defined inside of
//! macros (the two range types of `phyr` come out of one), and what is in a macro is in no tree.
//! So a name counts as defined if it stands behind a keyword that defines, is a variant of an
//! enum, or is handed to a macro at the top of the file.

use std::collections::BTreeSet;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The names that a file defines: `name`, and `Type::name` for what is inside of a type or a trait.
pub(super) fn of(source: &str) -> Result<BTreeSet<String>> {
    let tokens = TokenStream::from_str(source).map_err(|error| anyhow!("{error}"))?;
    let mut names = BTreeSet::new();
    names.extend(arguments_of_macros(tokens.clone()));
    collect(tokens, &[], &mut names);
    Ok(names)
}

/// What the braces ahead will hold.
#[derive(Clone, Copy, PartialEq)]
enum Ahead {
    /// What belongs to a type that has been named.
    Items,
    /// The variants of an enum.
    Variants,
    /// What belongs to the types in the header of an `impl`, which is being read.
    Header,
}

/// Adds the names that are defined in `tokens`, which belong to `owners`.
fn collect(tokens: TokenStream, owners: &[String], names: &mut BTreeSet<String>) {
    let mut ahead = Ahead::Items;
    let mut ahead_owners: Vec<String> = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) => match word.to_string().as_str() {
                "impl" => (ahead, ahead_owners) = (Ahead::Header, Vec::new()),
                word @ ("fn" | "struct" | "enum" | "union" | "trait" | "type" | "const"
                | "static" | "mod" | "macro_rules") => {
                    // `macro_rules!` and `$name` have a mark between.
                    while tokens.next_if(|token| is_mark(token, "!$")).is_some() {}
                    let Some(TokenTree::Ident(name)) = tokens.peek() else {
                        continue;
                    };
                    let name = name.to_string();
                    names.extend(owners.iter().map(|owner| format!("{owner}::{name}")));
                    names.insert(name.clone());
                    if ahead != Ahead::Header || matches!(word, "struct" | "enum" | "trait") {
                        ahead_owners = match word {
                            "struct" | "enum" | "union" | "trait" => vec![name],
                            _ => Vec::new(),
                        };
                        ahead = match word {
                            "enum" => Ahead::Variants,
                            _ => Ahead::Items,
                        };
                    }
                }
                word if ahead == Ahead::Header => ahead_owners.push(word.to_owned()),
                _ => {}
            },
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inside = std::mem::take(&mut ahead_owners);
                if ahead == Ahead::Variants {
                    let variants = variants(&group);
                    names.extend(inside.iter().flat_map(|owner| {
                        let path = move |variant: &String| format!("{owner}::{variant}");
                        variants.iter().map(path)
                    }));
                }
                collect(group.stream(), &inside, names);
                ahead = Ahead::Items;
            }
            TokenTree::Group(group) => collect(group.stream(), &[], names),
            token if is_mark(&token, ";") => (ahead, ahead_owners) = (Ahead::Items, Vec::new()),
            _ => {}
        }
    }
}

/// The names at the start of an enum's braces, and behind each comma.
fn variants(braces: &Group) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_start = true;
    for token in braces.stream() {
        match &token {
            TokenTree::Ident(name) if is_start => {
                found.push(name.to_string());
                is_start = false;
            }
            token if is_mark(token, ",") => is_start = true,
            _ => {}
        }
    }
    found
}

/// The names that stand directly in the braces of a macro at the top of a file.
fn arguments_of_macros(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    for three in tokens.windows(3) {
        if let [TokenTree::Ident(_), mark, TokenTree::Group(group)] = three
            && is_mark(mark, "!")
        {
            found.extend(group.stream().into_iter().filter_map(|token| match token {
                TokenTree::Ident(name) => Some(name.to_string()),
                _ => None,
            }));
        }
    }
    found
}

fn is_mark(token: &TokenTree, marks: &str) -> bool {
    matches!(token, TokenTree::Punct(mark) if marks.contains(mark.as_char()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> BTreeSet<String> {
        of(source).unwrap()
    }

    #[test]
    fn items_and_what_is_inside_of_them_are_found() {
        let names = names(
            "pub struct Frames { phyr: Phyr }
             impl<W: Window> Drop for Frames { fn drop(&mut self) { let inner = 1; } }
             pub(crate) trait Firmware { fn read(&self) -> Option<u8>; }
             enum Mischief { WrongCid(u16), /// doc
                 Duplicate, Noise { bits: u8 } }
             static STACKS: u8 = 0; const fn top() -> u64 { 1 }
             mod tests { fn inside() {} }",
        );
        for name in [
            "Frames",
            "drop",
            "Frames::drop",
            "Firmware::read",
            "Mischief::WrongCid",
            "Mischief::Duplicate",
            "Mischief::Noise",
            "STACKS",
            "top",
            "inside",
        ] {
            assert!(names.contains(name), "`{name}` is missing in {names:?}");
        }
        for name in ["inner", "phyr", "Mischief::bits", "u8", "Frames::read"] {
            assert!(!names.contains(name), "`{name}` is not defined");
        }
    }

    #[test]
    fn what_macros_define_is_found() {
        let names = names(
            "macro_rules! range { ($(#[$doc:meta])* $Range:ident) => {
                 pub struct $Range; impl $Range { pub fn sub(self) {} }
             }; }
             range! { /// A phyr.
                 Phyr, PhysAddr }",
        );
        for name in ["range", "sub", "Range::sub", "Phyr", "PhysAddr"] {
            assert!(names.contains(name), "`{name}` is missing in {names:?}");
        }
    }
}
