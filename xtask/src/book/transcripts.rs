//! What commands print, run again and compared.
//!
//! A transcript is what somebody sees who types the command in its first line, but for what the
//! rules ([`super::rules`]) replace. The program that runs is this one, so what a page shows has
//! come the whole way: command line, disk, machine, console, exit status.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use harness::workspace;

use super::rules;

/// A file in the folder of transcripts, and how it is made.
pub(super) struct Transcript {
    /// The name of the file, without `.txt`.
    pub(super) name: &'static str,
    source: Source,
}

/// Where a transcript comes from.
enum Source {
    /// What a verb says, the empty one being the program, if it has this flag.
    Verb(&'static str, &'static str),
    /// Commands that run in the virtual machine, without anybody at the keyboard.
    Script(Script),
    /// Lines that somebody types, up to the end of the machine.
    Typed(&'static str),
    /// A program of a crate that runs on the host: crate, example.
    Example(&'static str, &'static str),
}

/// A run of the virtual machine.
struct Script {
    /// More arguments of `cargo xtask run`, before `--exec`.
    arguments: &'static [&'static str],
    /// The shell's commands.
    commands: &'static str,
    /// Whether the run is meant to succeed.
    succeeds: bool,
}

/// The disk of all machines, in the workspace. Nothing else is on it, and it hardly ever changes.
const DISK: &str = "docs/example";

/// The same machine each time, whatever the host offers. This is left out of the transcripts.
const MACHINE: [&str; 8] = [
    "--accel",
    "tcg",
    "--firmware",
    "seabios",
    "--memory",
    "256M",
    "--timeout",
    "120",
];

/// What the shell shows when it waits for a line.
const PROMPT: &str = "phyros> ";

/// What `run` says about its own work, which is not what the machine says.
const PROGRESS: [&str; 1] = ["building Phyros"];

const fn help(name: &'static str, verb: &'static str) -> Transcript {
    Transcript {
        name,
        source: Source::Verb(verb, "--help"),
    }
}

const fn script(
    name: &'static str,
    arguments: &'static [&'static str],
    commands: &'static str,
    succeeds: bool,
) -> Transcript {
    Transcript {
        name,
        source: Source::Script(Script {
            arguments,
            commands,
            succeeds,
        }),
    }
}

/// All of them.
pub(super) const ALL: &[Transcript] = &[
    help("help", ""),
    help("help-run", "run"),
    help("help-test", "test"),
    help("help-setup", "setup"),
    help("help-doctor", "doctor"),
    help("help-lint", "lint"),
    help("help-image", "image"),
    help("help-book", "book"),
    help("help-iostress", "iostress"),
    Transcript {
        name: "session",
        source: Source::Typed(
            "ls\nls /numbers\ncat /hello.txt /phyr.txt\nsha256sum /hello.txt\npoweroff\n",
        ),
    },
    script("commands", &[], "help", true),
    script(
        "commands-disks",
        &[],
        "help iostress; help jobs; help wait; help nvme; help bench",
        true,
    ),
    script("failure", &[], "cat /nope; echo this is not reached", false),
    script("devices", &[], "lspci; lsblk", true),
    script(
        "time",
        &[],
        "ls /numbers; time sha256sum /numbers/primes.txt",
        true,
    ),
    script("memory", &[], "mem", true),
    script("gigabyte", &["--memory", "4G"], "translate alloc 1G", true),
    script("panic", &[], "panic", false),
    help("help-mutants", "mutants"),
    help("help-rows", "rows"),
    Transcript {
        name: "mutants",
        source: Source::Verb("mutants", "--list"),
    },
    Transcript {
        name: "five-ways",
        source: Source::Example("phyr", "five_ways"),
    },
];

impl Transcript {
    /// Makes the transcript, and compares it with the file, or writes the file.
    pub(super) fn check(&self, bless: bool) -> Result<Vec<String>> {
        let file = path(self.name);
        let made = self.make().with_context(|| self.name.to_owned())?;
        if bless {
            fs::write(&file, &made)
                .with_context(|| format!("cannot write `{}`", file.display()))?;
            return Ok(Vec::new());
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        if kept == made {
            return Ok(Vec::new());
        }
        let file = workspace::shorten(&file).display();
        Ok(vec![format!(
            "{file} is no longer true (`cargo xtask book --bless` writes it anew):\n{}",
            difference(&kept, &made)
        )])
    }

    fn make(&self) -> Result<String> {
        let text = match &self.source {
            Source::Verb(verb, flag) => {
                let call = format!("cargo xtask {verb}");
                let call = format!("{} {flag}", call.trim_end());
                let words = verb.split_whitespace().chain([*flag]);
                let told = run(&words.collect::<Vec<_>>(), None)?;
                ensure!(told.success, "`{call}` fails: {}", told.err);
                format!("$ {call}\n{}", told.out)
            }
            Source::Script(script) => script.make()?,
            Source::Typed(lines) => {
                let words = [&["run", "--copy", DISK], &MACHINE[..]].concat();
                let told = run(&words, Some(lines))?;
                ensure!(told.success, "the session fails: {}{}", told.out, told.err);
                let said = saying(&told.err);
                format!("$ cargo xtask run --copy {DISK}\n{said}{}", told.out)
            }
            Source::Example(package, name) => {
                let words = ["run", "--quiet", "--package", package, "--example", name];
                let output = workspace::cargo().args(words).output()?;
                ensure!(output.status.success(), "example `{name}` fails");
                let out = String::from_utf8_lossy(&output.stdout);
                format!("$ cargo run --package {package} --example {name}\n{out}")
            }
        };
        Ok(rules::apply(&text))
    }
}

impl Script {
    fn make(&self) -> Result<String> {
        let Self {
            arguments,
            commands,
            succeeds,
        } = self;
        let words = [
            &["run", "--copy", DISK],
            &MACHINE[..],
            arguments,
            &["--exec", commands],
        ]
        .concat();
        let told = run(&words, None)?;
        ensure!(
            told.success == *succeeds,
            "`{commands}` is meant to {}:\n{}{}",
            if *succeeds { "succeed" } else { "fail" },
            told.out,
            told.err
        );
        let mut shown = format!("$ cargo xtask run --copy {DISK}");
        for word in *arguments {
            shown += &format!(" {word}");
        }
        shown += &format!(" --exec \"{commands}\"\n{}{}", told.out, saying(&told.err));
        if !succeeds {
            shown += "$ echo $?\n1\n";
        }
        Ok(shown)
    }
}

/// What a program has printed.
struct Told {
    success: bool,
    out: String,
    err: String,
}

/// Runs this program with other arguments, and with somebody at the keyboard if there are lines.
fn run(arguments: &[&str], lines: Option<&str>) -> Result<Told> {
    let mut child = Command::new(env::current_exe()?)
        .args(arguments)
        .current_dir(workspace::root())
        .stdin(lines.map_or_else(Stdio::null, |_| Stdio::piped()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // The pipe stays open to the end: a keyboard does not go away.
    let keyboard = child.stdin.take();
    let mut shown = Vec::new();
    if let (Some(keyboard), Some(lines)) = (&keyboard, lines) {
        let screen = child.stdout.as_mut().context("it was asked for")?;
        type_in(lines, keyboard, screen, &mut shown)?;
    }
    let output = child.wait_with_output()?;
    drop(keyboard);
    shown.extend(output.stdout);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\r', "");
    Ok(Told {
        success: output.status.success(),
        out: text(&shown),
        err: text(&output.stderr),
    })
}

/// Types a line whenever there is a prompt. What is typed before nobody reads is lost.
fn type_in(
    lines: &str,
    mut keyboard: impl Write,
    mut screen: impl Read,
    shown: &mut Vec<u8>,
) -> Result<()> {
    for line in lines.lines() {
        let seen = shown.len();
        let mut byte = [0];
        while !shown[seen..].ends_with(PROMPT.as_bytes()) {
            if screen.read(&mut byte)? == 0 {
                return Ok(()); // the machine has ended, and says why
            }
            shown.extend(byte);
        }
        write!(keyboard, "{line}\r")?;
    }
    Ok(())
}

/// What the program itself says of the machine, without what it says of its progress.
fn saying(err: &str) -> String {
    let told = err.lines().filter(|line| !PROGRESS.contains(line));
    told.map(|line| format!("{line}\n")).collect()
}

/// The file of a transcript.
pub(super) fn path(name: &str) -> PathBuf {
    let folder = workspace::root().join("docs/src/transcripts");
    folder.join(format!("{name}.txt"))
}

/// The lines in which two texts differ: without those that they share at the start and at the end.
fn difference(old: &str, new: &str) -> String {
    let (mut old, mut new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let start = old.iter().zip(&new).take_while(same).count();
    (old, new) = (old.split_off(start), new.split_off(start));
    let end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(same)
        .count();
    old.truncate(old.len() - end);
    new.truncate(new.len() - end);
    let lines = |mark: char, lines: &[&str]| -> String {
        lines
            .iter()
            .map(|line| format!("{mark} {line}\n"))
            .collect()
    };
    format!("{}{}", lines('-', &old), lines('+', &new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_is_left_without_the_same_lines() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), "- b\n+ x\n+ y\n");
        assert_eq!(difference("a\n", "a\na\n"), "+ a\n");
        assert_eq!(difference("", "a\n"), "+ a\n");
        assert_eq!(difference("a\na\n", "a\n"), "- a\n");
    }

    #[test]
    fn names_are_used_once_and_every_file_has_a_source() {
        let mut names: Vec<_> = ALL.iter().map(|transcript| transcript.name).collect();
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        for file in fs::read_dir(path("x").parent().unwrap()).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap();
            assert!(names.contains(&name), "nothing makes `{}`", file.display());
        }
    }

    #[test]
    fn progress_is_left_out() {
        assert_eq!(saying("building Phyros\nerror: x\n"), "error: x\n");
    }
}
