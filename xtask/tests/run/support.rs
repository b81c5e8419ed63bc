//! Calls the program under test.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use harness::workspace;
use sha2::{Digest, Sha256};

/// Seconds after which a machine counts as hanging, on a host that is busy with other tests.
const LIMIT: &str = "400";

/// What the shell prints when it waits for a command.
const PROMPT: &[u8] = b"phyros> ";

/// What a run of the program has come to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    /// Standard output: for `run`, the serial console.
    pub(crate) out: String,
    /// The error stream: what the program itself says.
    pub(crate) err: String,
}

impl Outcome {
    fn new(status: ExitStatus, out: &[u8], err: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\r', "");
        Self {
            success: status.success(),
            out: text(out),
            err: text(err),
        }
    }

    /// It must have succeeded.
    pub(crate) fn ok(self) -> Self {
        assert!(self.success, "this should have succeeded: {self}");
        self
    }

    /// It must have failed.
    pub(crate) fn failed(self) -> Self {
        assert!(!self.success, "this should have failed: {self}");
        self
    }

    /// The console must have shown this.
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(
            self.out.contains(text),
            "the console does not show `{text}`: {self}"
        );
        self
    }

    /// The program must have said this.
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.err.contains(text),
            "the program does not say `{text}`: {self}"
        );
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n--- output\n{}\n--- errors\n{}", self.out, self.err)
    }
}

/// The program, ready for its arguments.
pub(crate) fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(arguments)
        .current_dir(workspace::root())
        .stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let output = command.output().expect("the program under test starts");
    Outcome::new(output.status, &output.stdout, &output.stderr)
}

/// `cargo xtask run` with these arguments, which may include `--` and more.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let all = [&["run", "--timeout", LIMIT], arguments].concat();
    finish(&mut xtask(&all))
}

/// `cargo xtask run` with somebody at the keyboard, who waits for the prompt and then types this.
pub(crate) fn type_in(arguments: &[&str], keys: &[u8]) -> Outcome {
    let mut seat = Seat::take(arguments);
    seat.press(keys);
    seat.watch_the_end()
}

/// The same, by somebody who does not wait for the prompt.
pub(crate) fn type_ahead(arguments: &[&str], keys: &[u8]) -> Outcome {
    let mut seat = Seat::before_the_prompt(arguments);
    seat.press(keys);
    seat.watch_the_end()
}

/// Somebody at the keyboard of a machine that runs, who types a line when there is a prompt.
pub(crate) struct Seat {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: Vec<u8>,
}

impl Seat {
    /// `cargo xtask run` with these arguments, up to its first prompt.
    pub(crate) fn take(arguments: &[&str]) -> Self {
        let mut seat = Self::before_the_prompt(arguments);
        seat.read_to_prompt();
        seat
    }

    fn before_the_prompt(arguments: &[&str]) -> Self {
        let all = [&["run", "--timeout", LIMIT], arguments].concat();
        let mut command = xtask(&all);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program under test starts");
        Self {
            keyboard: child.stdin.take().expect("it was asked for"),
            screen: child.stdout.take().expect("it was asked for"),
            child,
            shown: Vec::new(),
        }
    }

    /// The program's process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Types a command, and returns what is shown up to the next prompt. If the machine ends before it comes, that
    /// is all there is.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        let before = self.shown.len();
        self.press(format!("{command}\r").as_bytes());
        self.read_to_prompt();
        String::from_utf8_lossy(&self.shown[before..]).replace('\r', "")
    }

    /// Types a command again and again, until what it shows is as it should be.
    pub(crate) fn until(&mut self, command: &str, is_so: impl Fn(&str) -> bool) -> String {
        loop {
            let answer = self.ask(command);
            if is_so(&answer) {
                return answer;
            }
            let ended = self.child.try_wait().expect("it is our child");
            assert!(
                ended.is_none(),
                "`{command}` never showed what it should:\n{}",
                String::from_utf8_lossy(&self.shown)
            );
        }
    }

    /// Switches the machine off.
    pub(crate) fn leave(mut self) -> Outcome {
        self.press(b"poweroff\r");
        self.watch_the_end()
    }

    fn press(&mut self, keys: &[u8]) {
        // A machine that has ended reads no more. What it has shown is told by whoever asks.
        let _ = self.keyboard.write_all(keys);
    }

    fn read_to_prompt(&mut self) {
        let mut byte = [0];
        let start = self.shown.len();
        while !self.shown[start..].ends_with(PROMPT)
            && self.screen.read(&mut byte).is_ok_and(|count| count == 1)
        {
            self.shown.push(byte[0]);
        }
    }

    fn watch_the_end(mut self) -> Outcome {
        self.screen
            .read_to_end(&mut self.shown)
            .expect("the program's output can be read");
        drop(self.keyboard);
        let output = self.child.wait_with_output().expect("the program ends");
        Outcome::new(output.status, &self.shown, &output.stderr)
    }
}

/// A folder that goes away, and paths in it as text.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary files can be made"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file in the folder.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, bytes).expect("the folder can be written");
        path
    }

    /// A copy of a program, which everybody may run.
    ///
    /// Another process writes it. While we had it open for writing, a test beside us could start something, which would
    /// have it open, too, for a moment longer than we do, and as long as anybody has, nobody can run it (`ETXTBSY`).
    pub(crate) fn program(&self, name: &str, source: &Path) -> PathBuf {
        let path = self.file(name);
        let copied = Command::new("install").args([source, &path]).status();
        assert!(copied.expect("`install` is there").success());
        path
    }

    /// A script, which everybody may run.
    pub(crate) fn script(&self, name: &str, lines: &str) -> PathBuf {
        let source = self.write(&format!("{name}.source"), lines);
        self.program(name, &source)
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// The digest as `sha256sum` prints it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
