//! From a line to the words of its commands.
//!
//! - Spaces separate words; `;` and line ends separate commands.
//! - `'…'` keeps everything as it is.
//! - `"…"` does, too, but in it `\"` is a quote and `\\` a backslash.
//! - Outside quotes a backslash keeps the next character as it is.
//! - Quotes may begin inside a word, and an empty pair of them is a word.

use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, mem};

/// Why a line is no commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitError {
    /// A quote begins and does not end: write it once more, or put a backslash before it.
    Unclosed(char),
    /// The last character is a backslash, which keeps what follows: write it twice.
    Backslash,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed(quote) => write!(f, "the quote {quote} is not closed"),
            Self::Backslash => f.write_str("nothing follows the backslash at the end"),
        }
    }
}

impl core::error::Error for SplitError {}

/// The commands that are complete, the words of the one that is not, and a word that has begun.
#[derive(Default)]
struct Splitter {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
}

impl Splitter {
    fn push(&mut self, character: char) {
        self.word.get_or_insert_default().push(character);
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.commands.push(mem::take(&mut self.words));
        }
    }
}

/// The words of each command. No command is empty.
///
/// # Errors
/// If a quote or an escape is not complete; then no command is returned at all, so that half of
/// a line is never run.
pub fn split(text: &str) -> Result<Vec<Vec<String>>, SplitError> {
    let mut splitter = Splitter::default();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ';' | '\n' => splitter.end_command(),
            space if space.is_whitespace() => splitter.end_word(),
            '\\' => splitter.push(characters.next().ok_or(SplitError::Backslash)?),
            quote @ ('\'' | '"') => {
                splitter.word.get_or_insert_default();
                quoted(quote, &mut characters, &mut splitter)?;
            }
            other => splitter.push(other),
        }
    }
    splitter.end_command();
    Ok(splitter.commands)
}

/// Takes everything up to the closing quote.
fn quoted(
    quote: char,
    characters: &mut core::str::Chars<'_>,
    splitter: &mut Splitter,
) -> Result<(), SplitError> {
    loop {
        match characters.next().ok_or(SplitError::Unclosed(quote))? {
            end if end == quote => return Ok(()),
            '\\' if quote == '"' => match characters.next().ok_or(SplitError::Unclosed(quote))? {
                escaped @ ('"' | '\\') => splitter.push(escaped),
                other => {
                    splitter.push('\\');
                    splitter.push(other);
                }
            },
            other => splitter.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Vec<String> {
        let mut commands = split(text).unwrap();
        assert_eq!(commands.len(), 1, "{text}");
        commands.remove(0)
    }

    #[test]
    fn spaces_separate_words() {
        assert_eq!(one("  ls \t -l   /etc "), ["ls", "-l", "/etc"]);
        assert_eq!(one("cat /größe"), ["cat", "/größe"]);
    }

    #[test]
    fn semicolons_and_line_ends_separate_commands() {
        let commands = split("ls /;cat a b ; ;\n\r\n uptime\n;").unwrap();
        assert_eq!(
            commands,
            [vec!["ls", "/"], vec!["cat", "a", "b"], vec!["uptime"]]
        );
        assert!(split(" ; \n").unwrap().is_empty());
        assert!(split("").unwrap().is_empty());
    }

    #[test]
    fn quotes_keep_what_separates() {
        assert_eq!(one("echo 'a; b' \"c\nd\""), ["echo", "a; b", "c\nd"]);
        assert_eq!(one("echo a' 'b\" \"c"), ["echo", "a b c"]);
        assert_eq!(one("echo '' \"\""), ["echo", "", ""]);
    }

    #[test]
    fn each_quote_keeps_the_other_one() {
        assert_eq!(one(r#"echo '"' "'""#), ["echo", "\"", "'"]);
        assert_eq!(one(r#"echo "\"\\" '\'"#), ["echo", r#""\"#, r"\"]);
        assert_eq!(one(r#"echo "\n""#), ["echo", r"\n"]);
    }

    #[test]
    fn a_backslash_keeps_the_next_character() {
        assert_eq!(one(r"cat a\ b\;c\\ \'"), ["cat", r"a b;c\", "'"]);
        assert_eq!(one("cat a\\\nb"), ["cat", "a\nb"]);
    }

    #[test]
    fn a_line_that_is_not_complete_runs_nothing() {
        assert_eq!(split("ls; echo 'a"), Err(SplitError::Unclosed('\'')));
        assert_eq!(split("ls; echo \"a'"), Err(SplitError::Unclosed('"')));
        assert_eq!(split("ls; echo \"a\\"), Err(SplitError::Unclosed('"')));
        assert_eq!(split("ls; echo \\"), Err(SplitError::Backslash));
    }
}
