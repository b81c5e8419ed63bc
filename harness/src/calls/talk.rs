//! A connection of the host to the guest, through QEMU's user network or a tap.
//!
//! The host's own TCP is at this end, and shares no line of code with the guest's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use vm_test::pattern;

/// Nobody is silent for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is under way, or has ended.
pub(super) struct Talk {
    outcome: Arc<Mutex<Option<Result<(), String>>>>,
}

impl Talk {
    /// Opens a connection, says so many bytes of the pattern, and closes that direction; and hears so many bytes of
    /// the pattern, and then the end.
    pub(super) fn start(to: SocketAddr, says: u64, hears: u64, seed: u64) -> Self {
        Self::spawn(move || talk(to, says, hears, seed))
    }

    /// Opens a connection, and asks so many times, by HTTP, for these bytes of the file `pattern.bin`, one answer after
    /// the other; what is answered are the bytes of the pattern.
    pub(super) fn fetch(to: SocketAddr, times: u64, bytes: Range<u64>, seed: u64) -> Self {
        Self::spawn(move || fetch(to, times, &bytes, seed))
    }

    fn spawn(talk: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        let outcome = Arc::new(Mutex::new(None));
        let result = outcome.clone();
        thread::spawn(move || {
            let ended = talk().map_err(|error| format!("{error:#}"));
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        });
        Self { outcome }
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// If it was not as it should have been.
    pub(super) fn has_ended(&self) -> Result<bool> {
        let outcome = self.outcome.lock();
        match &*outcome.unwrap_or_else(PoisonError::into_inner) {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(anyhow!("the host's connection: {error}")),
        }
    }
}

fn talk(to: SocketAddr, says: u64, hears: u64, seed: u64) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut speaker = stream.try_clone()?;
    let speaks = thread::spawn(move || -> Result<()> {
        let mut bytes = vec![0; usize::try_from(says)?];
        pattern::fill(seed, 0, &mut bytes);
        speaker.write_all(&bytes)?;
        speaker.shutdown(Shutdown::Write)?;
        Ok(())
    });
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let spoke = speaks.join();
    spoke.map_err(|_| anyhow!("the speaker panicked"))??;
    ensure!(
        bytes.len() as u64 == hears,
        "{} bytes were heard, and {hears} expected",
        bytes.len()
    );
    let wrong = pattern::first_difference(seed, 0, &bytes);
    ensure!(wrong.is_none(), "what was heard differs: {wrong:?}");
    Ok(())
}

fn fetch(to: SocketAddr, times: u64, bytes: &Range<u64>, seed: u64) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let question = format!(
        "GET /pattern.bin HTTP/1.1\r\nHost: guest\r\nRange: bytes={}-{}\r\n\r\n",
        bytes.start,
        bytes.end - 1
    );
    let mut content = vec![0; usize::try_from(bytes.end - bytes.start)?];
    let length = format!("content-length: {}", content.len());
    for _ in 0..times {
        stream.write_all(question.as_bytes())?;
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            answers.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_ascii_lowercase()),
            }
        }
        let is_right = head.first().is_some_and(|line| line.contains(" 206 "));
        ensure!(
            is_right && head.contains(&length),
            "the head of an answer is {head:?}"
        );
        answers.read_exact(&mut content)?;
        let wrong = pattern::first_difference(seed, bytes.start, &content);
        ensure!(wrong.is_none(), "what was fetched differs: {wrong:?}");
    }
    Ok(())
}
