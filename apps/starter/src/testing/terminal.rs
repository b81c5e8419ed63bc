//! The other end of a terminal's wire.

use std::cell::RefCell;
use std::rc::Rc;
use unicode_width::UnicodeWidthChar;

/// The bytes on their way to a terminal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Rc<RefCell<Vec<u8>>>);

impl Wire {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl embedded_io::ErrorType for Wire {
    type Error = core::convert::Infallible;
}

impl embedded_io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// What a terminal of 80 columns shows. It knows the few sequences that the editor sends, and
/// fails the test at any other, and where text would leave its row.
#[derive(Debug)]
pub(crate) struct Glass {
    /// Of each row its cells: a character with what combines with it, or nothing in the second
    /// column of a wide one.
    rows: Vec<Vec<String>>,
    column: usize,
}

impl Default for Glass {
    fn default() -> Self {
        Self {
            rows: vec![Vec::new()],
            column: 0,
        }
    }
}

impl Glass {
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("a key is answered with whole characters");
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => self.column = 0,
                '\n' => self.rows.push(Vec::new()),
                '\x07' => {}
                '\x1b' => {
                    assert_eq!(characters.next(), Some('['));
                    let mut number = String::new();
                    let last = loop {
                        match characters.next().expect("sequences are whole") {
                            digit @ '0'..='9' => number.push(digit),
                            other => break other,
                        }
                    };
                    self.obey(last, number.parse().unwrap_or(1));
                }
                other => self.put(other),
            }
        }
    }

    fn obey(&mut self, last: char, number: usize) {
        match last {
            'C' => self.column += number,
            'D' => {
                self.column = self
                    .column
                    .checked_sub(number)
                    .expect("left of the first column")
            }
            'K' => self.rows.last_mut().unwrap().truncate(self.column),
            'H' => self.column = 0,
            'J' => self.rows = vec![Vec::new()],
            other => panic!("unknown sequence {other}"),
        }
        assert!(self.column < 80);
    }

    fn put(&mut self, character: char) {
        let row = self.rows.last_mut().unwrap();
        match character.width().unwrap_or(0) {
            0 => row[..self.column]
                .iter_mut()
                .rfind(|cell| !cell.is_empty())
                .unwrap()
                .push(character),
            width => {
                row.resize(row.len().max(self.column + width), " ".into());
                row[self.column] = character.into();
                row[self.column + 1..self.column + width].fill(String::new());
                self.column += width;
            }
        }
        assert!(self.column < 80, "text leaves the row");
    }

    /// The row with the cursor.
    pub(crate) fn row(&self) -> String {
        self.rows.last().unwrap().concat()
    }

    /// What is left of the cursor in its row.
    pub(crate) fn before_cursor(&self) -> String {
        self.rows.last().unwrap()[..self.column].concat()
    }

    pub(crate) fn column(&self) -> usize {
        self.column
    }

    pub(crate) fn rows(&self) -> Vec<String> {
        self.rows
            .iter()
            .map(|row| row.concat().trim_end().to_string())
            .collect()
    }
}
