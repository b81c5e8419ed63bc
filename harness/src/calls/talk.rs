//! A connection of the host to the guest, through QEMU's user network or a tap.
//!
//! The host's own TCP is at this end, and shares no line of code with the guest's.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
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
        let outcome = Arc::new(Mutex::new(None));
        let result = outcome.clone();
        thread::spawn(move || {
            let ended = talk(to, says, hears, seed).map_err(|error| format!("{error:#}"));
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
