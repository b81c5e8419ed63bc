//! The shell: lines of text in, the output of commands out.
//!
//! It is what a person meets first, and how a script asks the system for something. Most of it
//! has nothing to do with the machine that it runs on: how a line is edited, what its words are,
//! what a command prints. So it is a library that knows the machine only by what it asks of it,
//! the trait [`System`](system::System), and all of it is tested on the host. The program
//! `starter` is this library, the kernel, and little else.
//!
//! The way of a line:
//!
//! ```text
//! bytes ─► editor ─► text ─► words ─► command ─► output
//! ```
//!
//! - [`editor`]: keys become a line, with history;
//! - [`text`]: lines become words, words become sizes and places, and sizes become text;
//! - [`session`]: runs what a line says, and remembers what lines have in common;
//! - [`commands`]: one file for each command;
//! - [`mounts`]: which file system a path is in;
//! - [`system`]: what the shell asks of the machine.
//!
//! What holds everywhere:
//!
//! - nothing that is typed, and nothing that a disk says, makes the shell panic;
//! - every command succeeds, or says in words what failed;
//! - file contents pass through in pieces and are never held as a whole.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod commands;
pub mod disks;
pub mod editor;
pub mod error;
pub mod greeting;
pub mod jobs;
pub mod mounts;
mod network;
pub mod output;
pub mod session;
pub mod system;
pub mod text;

#[cfg(test)]
mod testing;
