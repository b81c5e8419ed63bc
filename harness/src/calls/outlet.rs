//! The other end of a port of a console.
//!
//! Nothing here waits: what the guest has said is there when the device has given the memory back.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use vm_test::pattern;

/// The port of a machine, if it has one.
pub struct Outlet {
    socket: Option<PathBuf>,
    stream: Mutex<Option<UnixStream>>,
}

impl Outlet {
    /// The port behind this socket of QEMU's.
    pub fn new(socket: Option<PathBuf>) -> Self {
        Self {
            socket,
            stream: Mutex::new(None),
        }
    }

    /// Computes a function. `None` if it has another name.
    ///
    /// # Errors
    /// If nobody is there, or the arguments make no sense.
    pub(super) fn compute(&self, function: &str, arguments: &[u64]) -> Result<Option<u64>> {
        let stream = &mut *self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = "the host is not at the port";
        Ok(Some(match (function, arguments) {
            ("port.connect", []) => {
                ensure!(stream.is_none(), "the host is at the port already");
                let socket = self.socket.as_ref().context("the machine has no port")?;
                let new = UnixStream::connect(socket)?;
                new.set_nonblocking(true)?;
                *stream = Some(new);
                0
            }
            ("port.disconnect", []) => {
                drop(stream.take().context(gone)?);
                0
            }
            ("port.say", &[len, seed, offset]) => {
                let mut bytes = vec![0; usize::try_from(len)?];
                pattern::fill(seed, offset, &mut bytes);
                stream.as_mut().context(gone)?.write_all(&bytes)?;
                0
            }
            ("port.heard", &[len, seed, offset]) => {
                let stream = stream.as_mut().context(gone)?;
                let mut bytes = Vec::new();
                match stream.take(len).read_to_end(&mut bytes) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
                let different = pattern::first_difference(seed, offset, &bytes);
                different.unwrap_or(bytes.len()) as u64
            }
            _ => return Ok(None),
        }))
    }
}
