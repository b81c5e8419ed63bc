//! Services judged by programs of other people.
//!
//! They are run on request: `cargo xtask clients` says which of them are missing and runs the rest of the way.
//! What each has done is noted for the table in the book.

mod browser;
mod http;
mod nbd;
mod page;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use vm_test::pattern;

/// Runs a program to its end, which must be a good one. Returns what it has said, on both streams.
fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    // An ordinary user's search path often leaves out `sbin`.
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(arguments)
        .env("PATH", path + ":/usr/sbin:/sbin");
    let output = command.output();
    let output = output.unwrap_or_else(|error| {
        panic!("`{program}` cannot be started ({error}): `cargo xtask clients` says how to get it")
    });
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}:\n{said}");
    said
}

/// Notes what a program has done, for the book.
fn note(program: &str, what: &str) {
    println!("{program}: {what}");
    if let Some(path) = std::env::var_os("PHYROS_CLIENTS") {
        let file = File::options().append(true).open(path);
        let written = file.and_then(|mut file| writeln!(file, "{program}\t{what}"));
        written.expect("the notes can be written");
    }
}

/// A file of a pattern.
fn write_pattern(path: &Path, seed: u64, len: usize) -> PathBuf {
    let mut bytes = vec![0; len];
    pattern::fill(seed, 0, &mut bytes);
    std::fs::write(path, bytes).expect("the folder can be written");
    path.to_owned()
}
