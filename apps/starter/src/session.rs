//! A session: lines are run one after the other until someone ends it.
//!
//! A line, or a script, has any number of commands. They run in order, and the first one that
//! fails is the last one that runs: what follows was written by someone who expected it to succeed.

use crate::commands::{self, Context};
use crate::editor::history::History;
use crate::editor::{Editor, Event};
use crate::error::Error;
use crate::mounts::Mounts;
use crate::output::Output;
use crate::system::System;
use crate::text::words;
use alloc::string::String;
use embedded_io::Read;

/// Who speaks when no command does.
const SHELL: &str = "phyros";

/// How a line or a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All commands succeeded.
    Success,
    /// One failed, and its error has been printed.
    Failure,
    /// The machine is to be switched off.
    PowerOff,
}

/// What the lines of a session have in common.
pub struct Session<'a> {
    system: &'a dyn System,
    mounts: Mounts,
    history: History,
}

impl<'a> Session<'a> {
    /// A session without a past.
    pub fn new(system: &'a dyn System) -> Self {
        Self {
            system,
            mounts: Mounts::default(),
            history: History::default(),
        }
    }

    /// Runs the commands of a line or a script.
    pub fn run(&mut self, text: &str, out: &mut dyn Output) -> Outcome {
        let commands = match words::split(text) {
            Ok(commands) => commands,
            Err(error) => return fail(SHELL, &Error::Split(error), out),
        };
        for words in commands {
            let mut context = Context {
                out: &mut *out,
                system: self.system,
                mounts: &mut self.mounts,
                history: &self.history,
                power_off: false,
            };
            let result = commands::run(&words, &mut context);
            let power_off = context.power_off;
            if let Err(error) = result {
                // A command speaks for itself, if there is one.
                let speaker = words.first().filter(|name| commands::find(name).is_ok());
                return fail(speaker.map_or(SHELL, String::as_str), &error, out);
            }
            if power_off {
                return Outcome::PowerOff;
            }
        }
        Outcome::Success
    }

    /// Reads lines and runs them until one of them, or the end of the input, ends the session.
    pub fn converse<R: Read>(&mut self, mut input: R, out: &mut dyn Output) {
        let mut editor = Editor::default();
        editor.prompt(out);
        let mut buffer = [0; 64];
        loop {
            let received = match input.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(received) => received,
            };
            for byte in &buffer[..received] {
                match editor.feed(*byte, &self.history, out) {
                    None => {}
                    Some(Event::EndOfInput) => return,
                    Some(Event::Line(line)) => {
                        self.history.add(&line);
                        if self.run(&line, out) == Outcome::PowerOff {
                            return;
                        }
                        editor.prompt(out);
                    }
                }
            }
        }
    }
}

/// Prints an error on a line of its own.
fn fail(name: &str, error: &Error, out: &mut dyn Output) -> Outcome {
    if !out.at_line_start() {
        out.bytes(b"\r\n");
    }
    // There is nowhere to say that saying it failed.
    let _ = writeln!(out, "{name}: {error}");
    Outcome::Failure
}

#[cfg(test)]
mod tests;
