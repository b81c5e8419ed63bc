//! The shell: lines of text in, the output of commands out.
//!
//! - [`text`]: lines become words, words become sizes and places, and sizes become text.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod text;
