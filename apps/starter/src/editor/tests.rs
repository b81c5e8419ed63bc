//! The editor in front of a terminal that is an array.

use super::screen::ROOM;
use super::*;
use crate::output::Terminal;
use crate::testing::{Glass, Wire};

struct Desk {
    editor: Editor,
    history: History,
    wire: Wire,
    terminal: Terminal<Wire>,
    glass: Glass,
}

impl Desk {
    fn new() -> Self {
        let wire = Wire::default();
        let mut desk = Self {
            editor: Editor::default(),
            history: History::default(),
            terminal: Terminal::new(wire.clone()),
            wire,
            glass: Glass::default(),
        };
        desk.editor.prompt(&mut desk.terminal);
        desk.look();
        desk
    }

    fn look(&mut self) -> usize {
        let bytes = self.wire.take();
        self.glass.receive(&bytes);
        bytes.len()
    }

    /// Types, compares the screen with the line after each byte, and returns what was completed.
    fn type_in(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            if let Some(event) = self.editor.feed(*byte, &self.history, &mut self.terminal) {
                if let Event::Line(line) = &event {
                    self.history.add(line);
                }
                events.push(event);
                self.editor.prompt(&mut self.terminal);
            }
            self.look();
            self.check();
        }
        events
    }

    /// The glass shows the line, or a window on it that has the cursor in it.
    fn check(&self) {
        let line: String = self.editor.line.characters().iter().collect();
        let before: String = self.editor.line.characters()[..self.editor.line.cursor()]
            .iter()
            .collect();
        let shown = self
            .glass
            .row()
            .strip_prefix(PROMPT.trim_end())
            .expect("the prompt is there")
            .to_string();
        let shown = shown.trim();
        if unicode_columns(&line) <= ROOM {
            assert_eq!(shown, line.trim(), "the whole line is shown");
            assert_eq!(self.glass.column(), PROMPT.len() + unicode_columns(&before));
        } else {
            let inside = shown.trim_start_matches('<').trim_end_matches('>');
            assert!(line.contains(inside), "{inside:?} is no part of {line:?}");
            assert!(self.glass.column() < 80);
            let left = &self.glass.before_cursor()[PROMPT.len()..];
            assert!(
                before.ends_with(left.trim_start_matches('<')),
                "{before:?} {left:?}"
            );
        }
    }
}

fn unicode_columns(text: &str) -> usize {
    use unicode_width::UnicodeWidthStr;
    text.width()
}

fn line(text: &str) -> Event {
    Event::Line(text.into())
}

#[test]
fn a_typed_line_is_echoed_and_returned() {
    let mut desk = Desk::new();
    assert_eq!(desk.type_in(b"ls -l /etc\r"), [line("ls -l /etc")]);
    assert_eq!(desk.glass.rows(), ["phyros> ls -l /etc", "phyros>"]);
}

#[test]
fn what_a_pipe_sends_is_echoed_and_nothing_else() {
    let wire = Wire::default();
    let mut terminal = Terminal::new(wire.clone());
    let (mut editor, history) = (Editor::default(), History::default());
    editor.prompt(&mut terminal);
    for byte in b"ls /\n" {
        editor.feed(*byte, &history, &mut terminal);
    }
    assert_eq!(wire.take(), b"phyros> ls /\r\n");
}

#[test]
fn several_lines_at_once_are_several_lines() {
    let mut desk = Desk::new();
    assert_eq!(
        desk.type_in(b"a\r\nb\nc\r"),
        [line("a"), line("b"), line("c")]
    );
}

#[test]
fn the_middle_of_a_line_can_be_edited() {
    let mut desk = Desk::new();
    assert_eq!(
        desk.type_in(b"lx /\x1b[D\x1b[D\x7fs\x05etc\r"),
        [line("ls /etc")]
    );
    assert_eq!(
        desk.type_in("größe\x01\x1b[3~\x1b[C\x1b[Ck\x0b\r".as_bytes()),
        [line("rök")]
    );
    assert_eq!(desk.type_in(b"one two three\x17\x17\r"), [line("one ")]);
    assert_eq!(desk.type_in(b"abc\x02\x15\r"), [line("c")]);
}

#[test]
fn wide_and_combining_characters_keep_the_cursor_where_it_is() {
    let mut desk = Desk::new();
    let typed = "日本語e\u{301}x\x02\x02\x02\x02y\x7f\x1b[D!\r";
    assert_eq!(desk.type_in(typed.as_bytes()), [line("日!本語e\u{301}x")]);
}

#[test]
fn ctrl_c_drops_the_line() {
    let mut desk = Desk::new();
    assert_eq!(desk.type_in(b"rm\x03ls\r"), [line("ls")]);
    assert_eq!(desk.glass.rows()[0], "phyros> rm^C");
}

#[test]
fn ctrl_d_deletes_and_ends_only_an_empty_line() {
    let mut desk = Desk::new();
    assert_eq!(desk.type_in(b"ab\x01\x04\x04\x04"), [Event::EndOfInput]);
    assert_eq!(desk.type_in(b"a\x04\r"), [line("a")]);
}

#[test]
fn ctrl_l_keeps_the_line() {
    let mut desk = Desk::new();
    desk.type_in(b"first\rsecond\x02\x0c");
    assert_eq!(desk.glass.rows(), ["phyros> second"]);
    assert_eq!(desk.type_in(b"!\r"), [line("secon!d")]);
}

#[test]
fn up_and_down_walk_through_the_history() {
    let (up, down) = ("\x1b[A", "\x1b[B");
    let mut desk = Desk::new();
    desk.type_in(b"one\rtwo\rtwo\r");
    assert_eq!(
        desk.type_in(format!("{up}{up}{up}{up}\r").as_bytes()),
        [line("one")]
    );
    // Now: one, two, one.
    assert_eq!(
        desk.type_in(format!("{up}{up}{down}\r").as_bytes()),
        [line("one")]
    );
    assert_eq!(
        desk.type_in(format!("new{up}{up}{down}{down}{down}er\r").as_bytes()),
        [line("newer")]
    );
    assert_eq!(desk.type_in(format!("{down}x\r").as_bytes()), [line("x")]);
}

#[test]
fn a_recalled_line_can_be_changed_and_the_old_one_stays() {
    let mut desk = Desk::new();
    desk.type_in(b"cat a\r");
    assert_eq!(desk.type_in(b"\x1b[A\x7fb\r"), [line("cat b")]);
    let lines: Vec<_> = desk.history.lines().map(|(_, text)| text).collect();
    assert_eq!(lines, ["cat a", "cat b"]);
    // After Enter the history starts at its newest line again.
    assert_eq!(desk.type_in(b"\x10\x10\x0e\r"), [line("cat b")]);
}

#[test]
fn a_line_longer_than_the_terminal_stays_in_its_row() {
    let mut desk = Desk::new();
    let long: String = (0..60).map(|n| format!("{n:03} ")).collect();
    desk.type_in(long.as_bytes());
    for keys in ["\x01", "\x1b[C", "\x05", "\x1b[D", "x", "\x7f", "\x17"] {
        for _ in 0..90 {
            desk.type_in(keys.as_bytes());
        }
    }
    assert_eq!(desk.glass.rows().len(), 1);
    let mut desk = Desk::new();
    assert_eq!(
        desk.type_in(format!("{long}\x01>\r").as_bytes()),
        [line(&format!(">{long}"))]
    );
}

#[test]
fn a_long_line_costs_few_bytes_for_each_character() {
    let mut desk = Desk::new();
    let mut bytes = 0;
    for _ in 0..2000 {
        desk.editor.feed(b'x', &desk.history, &mut desk.terminal);
        bytes += desk.look();
    }
    assert!(bytes < 2000 * 5, "{bytes}");
}

#[test]
fn random_keys_never_confuse_the_screen() {
    const KEYS: [&str; 18] = [
        "a",
        "b",
        " ",
        "é",
        "語",
        "\x1b[A",
        "\x1b[B",
        "\x1b[C",
        "\x1b[D",
        "\x01",
        "\x05",
        "\x7f",
        "\x1b[3~",
        "\x17",
        "word ",
        "\x10",
        "\x0c",
        "0123456789",
    ];
    let mut state = 7u32;
    let mut desk = Desk::new();
    for step in 0..6000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = if step % 500 == 499 {
            "\r"
        } else {
            KEYS[(state >> 16) as usize % KEYS.len()]
        };
        desk.type_in(key.as_bytes());
    }
}
