//! Reads the record channel.
//!
//! The reader trusts nothing: the guest may be broken in every way, so any byte may come.
//! What does not follow the form of [`vm_test::sequence`] is kept as a [`Flaw`], and a channel
//! with a flaw never makes a test pass.

use std::fmt;

use vm_test::sequence::RECORD_SEPARATOR;

/// A whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the sequence.
    pub number: u64,
    /// What it says.
    pub event: Event,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest is alive and speaks this version.
    Hello(String),
    /// The test of this name starts.
    Begin(String),
    /// Something to be printed.
    Note(String),
    /// The guest does for others what it was started for: which services are where.
    Ready(String),
    /// A question to the host.
    Call(String),
    /// The kernel has panicked, with this message.
    Panic(String),
    /// The kernel has met the exception of this vector.
    Fault(u8),
    /// The test has come to this.
    Outcome(String),
    /// The last record.
    Bye,
}

impl Event {
    fn parse(kind: &str, text: &str) -> Option<Self> {
        let text = unescape(text);
        Some(match kind {
            "hello" => Self::Hello(text),
            "begin" => Self::Begin(text),
            "note" => Self::Note(text),
            "ready" => Self::Ready(text),
            "call" => Self::Call(text),
            "panic" => Self::Panic(text),
            "fault" => Self::Fault(text.parse().ok()?),
            "outcome" => Self::Outcome(text),
            "bye" => Self::Bye,
            _ => return None,
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match &self.event {
            Event::Hello(text) => write!(f, "{number} hello {text}"),
            Event::Begin(text) => write!(f, "{number} begin {text}"),
            Event::Note(text) => write!(f, "{number} note {text}"),
            Event::Ready(text) => write!(f, "{number} ready {text}"),
            Event::Call(text) => write!(f, "{number} call {text}"),
            Event::Panic(text) => write!(f, "{number} panic {text}"),
            Event::Fault(vector) => write!(f, "{number} fault {vector}"),
            Event::Outcome(text) => write!(f, "{number} outcome {text}"),
            Event::Bye => write!(f, "{number} bye"),
        }
    }
}

/// Something that a sound guest does not send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A line that ends without the mark of a whole record.
    Torn(String),
    /// A whole line that is no record.
    Unknown(String),
    /// A record with this number came where that one was due.
    OutOfSequence {
        /// The number that was due.
        due: u64,
        /// The number that came.
        came: u64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn(line) => write!(f, "the record `{line}` was broken off"),
            Self::Unknown(line) => write!(f, "`{line}` is no record"),
            Self::OutOfSequence { due, came } => {
                write!(f, "record {came} came where record {due} was due")
            }
        }
    }
}

/// Everything that came over the channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// Whole records, in the order of their coming.
    pub records: Vec<Record>,
    /// What was wrong.
    pub flaws: Vec<Flaw>,
    /// The line that is being received.
    open: Vec<u8>,
}

/// Longer lines are cut: a guest gone wild must not eat the host's memory.
const LONGEST_LINE: usize = 64 << 10;

impl Channel {
    /// Takes the next byte. Returns a record when the byte completes one.
    pub fn push(&mut self, byte: u8) -> Option<&Record> {
        if byte != b'\n' {
            if self.open.len() < LONGEST_LINE {
                self.open.push(byte);
            }
            return None;
        }
        let line = std::mem::take(&mut self.open);
        self.line(&line)
    }

    /// No more bytes will come.
    pub fn finish(&mut self) {
        let line = std::mem::take(&mut self.open);
        self.line(&line);
    }

    fn line(&mut self, line: &[u8]) -> Option<&Record> {
        let text = String::from_utf8_lossy(line).into_owned();
        let Some(whole) = text.strip_suffix(RECORD_SEPARATOR as char) else {
            if !text.is_empty() {
                self.flaws.push(Flaw::Torn(text));
            }
            return None;
        };
        let Some(record) = parse(whole) else {
            self.flaws.push(Flaw::Unknown(whole.to_owned()));
            return None;
        };
        let due = self
            .records
            .last()
            .map_or(0, |last| last.number.wrapping_add(1));
        if record.number != due {
            self.flaws.push(Flaw::OutOfSequence {
                due,
                came: record.number,
            });
        }
        self.records.push(record);
        self.records.last()
    }

    /// All events, in order.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.records.iter().map(|record| &record.event)
    }
}

fn parse(line: &str) -> Option<Record> {
    let mut words = line.splitn(3, ' ');
    let number = words.next()?.parse().ok()?;
    let (kind, text) = (words.next()?, words.next()?);
    Some(Record {
        number,
        event: Event::parse(kind, text)?,
    })
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(match characters.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                _ => '\u{fffd}',
            }),
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_test::sequence::write_record;

    fn channel(bytes: &[u8]) -> Channel {
        let mut channel = Channel::default();
        for &byte in bytes {
            channel.push(byte);
        }
        channel.finish();
        channel
    }

    #[test]
    fn what_the_guest_writes_is_what_the_host_reads() {
        let message = "left\n  right \\n \u{1f525}";
        let mut bytes = Vec::new();
        write_record(0, "hello", format_args!("1"), |byte| bytes.push(byte));
        write_record(1, "panic", format_args!("{message}"), |byte| {
            bytes.push(byte)
        });
        write_record(2, "fault", format_args!("14"), |byte| bytes.push(byte));
        write_record(3, "bye", format_args!(""), |byte| bytes.push(byte));
        let channel = channel(&bytes);
        assert_eq!(channel.flaws, []);
        let events: Vec<_> = channel.events().cloned().collect();
        let panic = Event::Panic(message.to_owned());
        assert_eq!(
            events,
            [
                Event::Hello("1".into()),
                panic,
                Event::Fault(14),
                Event::Bye
            ]
        );
    }

    #[test]
    fn a_record_that_was_broken_off_is_a_flaw_even_if_it_looks_whole() {
        let channel = channel(b"0 hello 1\x1e\n1 begin kernel::mem\n2 panic x\x1e\n3 by");
        assert_eq!(channel.records.len(), 2);
        assert_eq!(
            channel.flaws,
            [
                Flaw::Torn("1 begin kernel::mem".into()),
                Flaw::OutOfSequence { due: 1, came: 2 },
                Flaw::Torn("3 by".into()),
            ]
        );
    }

    #[test]
    fn a_lost_and_a_repeated_record_are_seen() {
        assert_eq!(channel(b"0 hello 1\x1e\n2 bye \x1e\n").flaws.len(), 1);
        assert_eq!(channel(b"0 hello 1\x1e\n0 hello 1\x1e\n").flaws.len(), 1);
    }

    #[test]
    fn any_bytes_are_survived() {
        for bytes in [
            &b"\xff\xfe\x1e\n"[..],
            b"\x1e\n",
            b"x bye \x1e\n",
            b"0 fault 256\x1e\n",
        ] {
            assert_eq!(channel(bytes).flaws.len(), 1, "{bytes:?}");
        }
        assert_eq!(
            channel(b"\n\n\n"),
            Channel::default(),
            "empty lines say nothing"
        );
        assert!(channel(&vec![b'a'; 1 << 20]).flaws[0].to_string().len() < LONGEST_LINE + 100);
    }
}
