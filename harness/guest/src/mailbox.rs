//! The page in which the host leaves its answers.
//!
//! A call goes out as a record (`call FUNCTION PHYS ARGUMENT…`, numbers in hexadecimal, and if there
//! is a text, ` : TEXT`).
//! The answer cannot come back that way, so the host writes it into guest memory, which it sees as
//! a file: the address in the record is the offset.
//!
//! The page is an array of little-endian words:
//!
//! | word | meaning |
//! |---|---|
//! | [`TICKET`] | number of the answered record, plus one; written last |
//! | [`STATUS`] | [`ANSWERED`] or [`REFUSED`] |
//! | [`VALUE`] | the answer |
//! | [`TEXT_LEN`] | bytes of text that follow: a digest, or why the call was refused |
//! | [`TEXT`] … | the text |
//!
//! Words are atomics because somebody outside of the program writes them. So the guest needs no
//! unsafe code, and the compiler may not assume that a word stays as it was.

use core::sync::atomic::{AtomicU64, Ordering};

/// Word: number of the answered record, plus one.
pub const TICKET: usize = 0;
/// Word: how the call went.
pub const STATUS: usize = 1;
/// Word: the answer.
pub const VALUE: usize = 2;
/// Word: length of the text in bytes.
pub const TEXT_LEN: usize = 3;
/// First word of the text.
pub const TEXT: usize = 4;
/// Number of words.
pub const WORDS: usize = 512;
/// Longest text in bytes. Longer ones are cut.
pub const TEXT_MAX: usize = 8 * (WORDS - TEXT);

/// [`STATUS`]: the value counts.
pub const ANSWERED: u64 = 0;
/// [`STATUS`]: the text says why there is no value.
pub const REFUSED: u64 = 1;

/// One page that the host writes and the guest reads.
#[repr(C, align(4096))]
pub struct Mailbox([AtomicU64; WORDS]);

impl Mailbox {
    /// An empty mailbox.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// Waits for the answer to the record of this number.
    ///
    /// Waits forever if the host does not answer; then the test's time limit strikes.
    pub fn answer(&self, record: u64) -> Answer {
        while self.0[TICKET].load(Ordering::Acquire) != record.wrapping_add(1) {
            core::hint::spin_loop();
        }
        let word = |at: usize| self.0[at].load(Ordering::Relaxed);
        let mut text = [0; TEXT_MAX];
        for (i, piece) in text.chunks_exact_mut(8).enumerate() {
            piece.copy_from_slice(&word(TEXT + i).to_le_bytes());
        }
        Answer {
            refused: word(STATUS) != ANSWERED,
            value: word(VALUE),
            text,
            text_len: usize::try_from(word(TEXT_LEN))
                .unwrap_or(TEXT_MAX)
                .min(TEXT_MAX),
        }
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

/// What the host has said.
pub struct Answer {
    /// The host could not do it; the text says why.
    pub refused: bool,
    /// The value, if it was not refused.
    pub value: u64,
    text: [u8; TEXT_MAX],
    text_len: usize,
}

impl Answer {
    /// The bytes that came with the answer.
    pub fn text(&self) -> &[u8] {
        &self.text[..self.text_len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn waits_for_its_own_ticket_and_takes_the_text_along() {
        let mailbox = Arc::new(Mailbox::new());
        mailbox.0[TICKET].store(6, Ordering::Release); // the answer to an older record
        let host = Arc::clone(&mailbox);
        let host = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            host.0[VALUE].store(42, Ordering::Relaxed);
            host.0[TEXT_LEN].store(10, Ordering::Relaxed);
            host.0[TEXT].store(u64::from_le_bytes(*b"abcdefgh"), Ordering::Relaxed);
            host.0[TEXT + 1].store(u64::from_le_bytes(*b"ijklmnop"), Ordering::Relaxed);
            host.0[TICKET].store(7, Ordering::Release);
        });
        let answer = mailbox.answer(6);
        assert!(!answer.refused);
        assert_eq!(
            (answer.value, answer.text()),
            (42, b"abcdefghij".as_slice())
        );
        host.join().unwrap();
    }

    #[test]
    fn an_absurd_length_is_cut() {
        let mailbox = Mailbox::new();
        mailbox.0[TEXT_LEN].store(u64::MAX, Ordering::Relaxed);
        mailbox.0[TICKET].store(1, Ordering::Release);
        assert_eq!(mailbox.answer(0).text().len(), TEXT_MAX);
    }
}
