//! What was written is to last.
//!
//! In a module of memory it does as soon as it is there. A device whose memory is a file of the hypervisor
//! must be told, takes its time, and may fail. Whoever gives out such memory says which it is, so whoever
//! has written asks the same question of all: [`Provider::persist`].

use super::{Kind, Provider};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{Ordering, fence};

/// Why something that was written may not last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersistError {
    /// It is not persistent memory.
    Volatile,
    /// The memory was taken back: its device is leaving, or has left.
    Revoked,
    /// In the driver's words.
    Device(Box<str>),
}

impl fmt::Display for PersistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volatile => f.write_str("it is not persistent memory"),
            Self::Revoked => f.write_str("the memory was taken back: its device is leaving"),
            Self::Device(error) => f.write_str(error),
        }
    }
}

impl core::error::Error for PersistError {}

/// It is on its way to last.
pub type Persisting<'p> = Pin<Box<dyn Future<Output = Result<(), PersistError>> + 'p>>;

/// Whatever must be told before something lasts.
pub trait Persist: Send + Sync {
    /// Makes everything last that was written before this, by whomever. It is asked for when it is awaited.
    fn persist(&self) -> Persisting<'_>;
}

impl Provider {
    /// From now on, what is written to its memory lasts by this. Only the first call counts.
    pub fn lasts_by(&self, persist: Arc<dyn Persist>) {
        self.persist.call_once(|| persist);
    }

    /// Makes everything last that was written to its memory before this and is done: by the CPU, or by a
    /// device that has said so.
    ///
    /// # Errors
    /// Something that was written may not last. Nobody can say what.
    pub async fn persist(&self) -> Result<(), PersistError> {
        if self.kind() != Kind::Persistent {
            return Err(PersistError::Volatile);
        }
        if self.is_revoked() {
            return Err(PersistError::Revoked);
        }
        // What the CPU has written is in the memory first.
        fence(Ordering::SeqCst);
        match self.persist.get() {
            Some(persist) => persist.persist().await,
            None => Ok(()),
        }
    }
}
