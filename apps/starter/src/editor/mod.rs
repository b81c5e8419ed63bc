//! The line editor: bytes from a terminal become lines, and the terminal shows them meanwhile.
//!
//! It asks the terminal nothing. An editor that asks for the cursor's position, or for the
//! width, waits for ever when the "terminal" is a pipe. So this one is a state machine: each byte
//! that arrives changes the line and what is shown, and that is all. Lines that come from a pipe and lines
//! that someone types take the same way.
//!
//! - [`keys`] makes keys of bytes;
//! - [`mod@line`] is the line and what keys do to it;
//! - [`screen`] shows it with as few bytes as it takes;
//! - [`history`] has the lines of before.

pub mod history;
pub mod keys;
pub mod line;
pub mod screen;

use crate::output::Output;
use alloc::string::String;
use alloc::vec::Vec;
use history::History;
use keys::{Key, Keys};
use line::Line;
use screen::Screen;

/// What the shell shows when it waits for a line.
pub const PROMPT: &str = "phyros> ";

/// What a byte completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line, without its end.
    Line(String),
    /// Ctrl-D on an empty line: there will be no more lines.
    EndOfInput,
}

/// A line that is being edited.
#[derive(Debug, Default)]
pub struct Editor {
    keys: Keys,
    line: Line,
    screen: Screen,
    /// Which line of the history is shown, counted from the newest; none while a new one is.
    recalled: Option<usize>,
    /// The new line, while one of the history is shown.
    draft: Vec<char>,
}

impl Editor {
    /// Starts a line: shows the prompt, on a line of its own.
    pub fn prompt(&mut self, out: &mut dyn Output) {
        if !out.at_line_start() {
            out.bytes(b"\r\n");
        }
        out.bytes(PROMPT.as_bytes());
        self.screen = Screen::default();
    }

    /// Takes a byte from the terminal.
    ///
    /// After a line the next one starts with [`prompt`](Self::prompt).
    pub fn feed(&mut self, byte: u8, history: &History, out: &mut dyn Output) -> Option<Event> {
        let key = self.keys.feed(byte)?;
        match key {
            Key::Enter => {
                out.bytes(b"\r\n");
                self.recalled = None;
                return Some(Event::Line(self.line.take()));
            }
            Key::Control('D') if self.line.is_empty() => {
                out.bytes(b"\r\n");
                return Some(Event::EndOfInput);
            }
            Key::Control('C') => {
                out.bytes(b"^C\r\n");
                self.line.take();
                self.recalled = None;
                self.prompt(out);
            }
            Key::Control('L') => {
                out.clear();
                self.prompt(out);
            }
            Key::Up | Key::Control('P') => self.recall(Step::Older, history),
            Key::Down | Key::Control('N') => self.recall(Step::Newer, history),
            other => {
                if !self.line.apply(other) {
                    out.bytes(b"\x07");
                }
            }
        }
        self.screen
            .show(self.line.characters(), self.line.cursor(), out);
        None
    }

    fn recall(&mut self, step: Step, history: &History) {
        let wanted = match (step, self.recalled) {
            (Step::Older, None) => Some(0),
            (Step::Older, Some(age)) => Some(age + 1),
            (Step::Newer, None | Some(0)) => None,
            (Step::Newer, Some(age)) => Some(age - 1),
        };
        match wanted {
            Some(age) => {
                let Some(line) = history.recent(age) else {
                    return;
                };
                if self.recalled.is_none() {
                    self.draft = self.line.characters().to_vec();
                }
                self.line.set(line.chars().collect());
            }
            None if self.recalled.is_some() => self.line.set(core::mem::take(&mut self.draft)),
            None => {}
        }
        self.recalled = wanted;
    }
}

/// Which way to go in the history.
#[derive(Debug, Clone, Copy)]
enum Step {
    Older,
    Newer,
}

#[cfg(test)]
mod tests;
