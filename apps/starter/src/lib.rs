//! The shell: lines of text in, the output of commands out.
//!
//! - [`editor`]: keys become a line, with history;
//! - [`text`]: lines become words, words become sizes and places, and sizes become text.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod editor;
pub mod output;
pub mod text;

#[cfg(test)]
mod testing;
