//! What the terminal shows of a line.
//!
//! The width of the terminal is not known, because asking for it means waiting for an answer. It
//! is assumed to have 80 columns. A line that needs more is shown through a window, with `<` and
//! `>` where it goes on, so the cursor never leaves the terminal's row, and every
//! movement is one along it.
//!
//! The screen remembers what it has shown and writes only the difference. A character
//! at the end of a line is therefore just that character, and what a pipe sends comes out as if
//! it had been echoed.

use super::PROMPT;
use crate::output::Output;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use unicode_width::UnicodeWidthChar;

/// The columns of a terminal. The last one stays empty, where terminals differ in what comes next.
const COLUMNS: usize = 80;

/// The columns for the line.
pub(super) const ROOM: usize = COLUMNS - PROMPT.len() - 1;

/// The part of a line that is shown behind the prompt.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// The line's first character in the window.
    first: usize,
    cells: Vec<char>,
    /// The column of the cursor, from the end of the prompt.
    column: usize,
}

fn width(characters: &[char]) -> usize {
    characters
        .iter()
        .map(|character| character.width().unwrap_or(0))
        .sum()
}

/// The end of the longest piece of the line from `first` on that fits into `room` columns.
fn end_of_window(line: &[char], first: usize, room: usize) -> usize {
    let mut columns = 0;
    let fits = |character: &&char| {
        columns += character.width().unwrap_or(0);
        columns <= room
    };
    first + line[first..].iter().take_while(fits).count()
}

/// The start of the longest piece of the line up to `cursor` that fits into half of the room.
fn start_of_window(line: &[char], cursor: usize) -> usize {
    let mut columns = 0;
    let fits = |character: &&char| {
        columns += character.width().unwrap_or(0);
        columns <= ROOM / 2
    };
    cursor - line[..cursor].iter().rev().take_while(fits).count()
}

impl Screen {
    /// Shows a line and its cursor.
    pub fn show(&mut self, line: &[char], cursor: usize, out: &mut dyn Output) {
        let (first, end) = self.window(line, cursor);
        let mut cells = line[first..end].to_vec();
        if first > 0
            && let Some(cell) = cells.first_mut()
        {
            *cell = '<';
        }
        if end < line.len()
            && let Some(cell) = cells.last_mut()
        {
            *cell = '>';
        }
        // A mark may be narrower than what it stands for; the cursor is never on one.
        let column = width(&cells[..cursor - first]);
        self.write(&cells, column, out);
        *self = Self {
            first,
            cells,
            column,
        };
    }

    /// The part of the line to show: the one that is shown, unless the cursor leaves it.
    fn window(&self, line: &[char], cursor: usize) -> (usize, usize) {
        let end = end_of_window(line, 0, ROOM);
        if end == line.len() {
            return (0, end);
        }
        let first = self.first.min(line.len());
        let end = end_of_window(line, first, ROOM);
        let is_left = cursor < first || first > 0 && cursor == first;
        let is_right = end < line.len() && cursor + 1 >= end;
        if !is_left && !is_right {
            return (first, end);
        }
        let first = start_of_window(line, cursor);
        (first, end_of_window(line, first, ROOM))
    }

    /// Turns what is shown into `cells`, with the cursor at `column`.
    fn write(&self, cells: &[char], column: usize, out: &mut dyn Output) {
        let common = self
            .cells
            .iter()
            .zip(cells)
            .take_while(|(old, new)| old == new)
            .count();
        let mut at = self.column;
        if common < cells.len() || common < self.cells.len() {
            go(at, width(&cells[..common]), out);
            out.bytes(cells[common..].iter().collect::<String>().as_bytes());
            at = width(cells);
            if at < width(&self.cells) {
                // Erase to the end of the row (ECMA-48, EL).
                out.bytes(b"\x1b[K");
            }
        }
        go(at, column, out);
    }
}

/// Moves the cursor along its row (ECMA-48, CUF and CUB).
fn go(from: usize, to: usize, out: &mut dyn Output) {
    if from < to {
        out.bytes(format!("\x1b[{}C", to - from).as_bytes());
    } else if to < from {
        out.bytes(format!("\x1b[{}D", from - to).as_bytes());
    }
}
