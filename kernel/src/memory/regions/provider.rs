//! Whoever gives out regions, and takes them back.

use super::extents::Extents;
use super::{Kind, Persist, Region, RegionError};
use crate::lock::Mutex;
use crate::memory::paging::Cache;
use crate::storage::Name;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use phyr::Phyr;
use spin::Once;

/// Something that has memory, and gives it out.
///
/// It is not gone before the last region of it, and neither is the claim on the device that the
/// memory is in.
pub struct Provider {
    name: Name,
    kind: Kind,
    phyr: Phyr,
    cache: Cache,
    state: Mutex<State>,
    /// Whatever must be told before something lasts, if anything must.
    pub(super) persist: Once<Arc<dyn Persist>>,
    /// Whatever must not end before the memory is nobody's.
    _keeper: Arc<dyn Any + Send + Sync>,
}

struct State {
    free: Extents,
    /// Regions of which a device has been told, and copies that are under way.
    uses: usize,
    is_revoked: bool,
    /// Who waits for the last use to end.
    waiting: Vec<Waker>,
}

/// Why a region cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimError {
    /// It is empty, or not all of it is inside.
    OutOfRange,
    /// Somebody has a part of it.
    Taken,
    /// The provider gives out nothing any more.
    Revoked,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "it has not so much memory",
            Self::Taken => "somebody has a part of that memory",
            Self::Revoked => "its memory was taken back",
        })
    }
}

impl core::error::Error for ClaimError {}

/// So many uses of the memory have not ended, so it was not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse(pub usize);

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the memory is in use {} times", self.0)
    }
}

impl core::error::Error for InUse {}

impl Provider {
    /// Begins to give out memory.
    ///
    /// # Safety
    /// For as long as `keeper` exists:
    /// - `phyr` is linear memory: bytes keep what is written, and reading changes nothing;
    /// - nobody uses it except by regions of this provider; none of it is RAM of the allocator, or
    ///   registers that somebody drives;
    /// - whoever can do DMA may read and write it;
    /// - wherever else it is mapped, it is with the same cache mode.
    pub unsafe fn new(
        name: Name,
        kind: Kind,
        phyr: Phyr,
        cache: Cache,
        keeper: Arc<dyn Any + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            kind,
            phyr,
            cache,
            state: Mutex::new(State {
                free: Extents::new(phyr),
                uses: 0,
                is_revoked: false,
                waiting: Vec::new(),
            }),
            persist: Once::new(),
            _keeper: keeper,
        })
    }

    /// Its name, which nobody else has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of memory it has.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// All of its memory.
    pub fn phyr(&self) -> Phyr {
        self.phyr
    }

    /// How the CPU is to see it.
    pub fn cache(&self) -> Cache {
        self.cache
    }

    /// The parts that nobody has, in the order of their addresses.
    pub fn free(&self) -> Vec<Phyr> {
        self.state.lock().free.iter().collect()
    }

    /// How many uses there are at this moment.
    pub fn uses(&self) -> usize {
        self.state.lock().uses
    }

    /// Whether it gives out nothing any more.
    pub fn is_revoked(&self) -> bool {
        self.state.lock().is_revoked
    }

    /// Gives out the `len` bytes `offset` bytes from the start.
    pub fn claim(self: &Arc<Self>, offset: u64, len: u64) -> Result<Region, ClaimError> {
        let part = self.phyr.sub(offset, len).ok_or(ClaimError::OutOfRange)?;
        let mut state = self.state.lock();
        if state.is_revoked {
            return Err(ClaimError::Revoked);
        }
        match state.free.take(part) {
            true => Ok(Region::new(part, self.clone())),
            false => Err(ClaimError::Taken),
        }
    }

    /// Gives out the first `len` bytes that nobody has, at a multiple of `align`, a power of two.
    pub fn claim_any(self: &Arc<Self>, len: u64, align: u64) -> Result<Region, ClaimError> {
        let mut state = self.state.lock();
        if state.is_revoked {
            return Err(ClaimError::Revoked);
        }
        let found = state.free.find(len, align);
        match found.filter(|found| state.free.take(*found)) {
            Some(found) => Ok(Region::new(found, self.clone())),
            None if len == 0 || len > self.phyr.len() => Err(ClaimError::OutOfRange),
            None => Err(ClaimError::Taken),
        }
    }

    /// Gives out all of it.
    pub fn claim_all(self: &Arc<Self>) -> Result<Region, ClaimError> {
        self.claim(0, self.phyr.len())
    }

    /// Takes everything back, unless something is in use. Regions stay with their holders, who can
    /// do nothing with them any more.
    pub fn try_revoke(&self) -> Result<(), InUse> {
        let mut state = self.state.lock();
        match state.uses {
            0 => {
                state.is_revoked = true;
                Ok(())
            }
            uses => Err(InUse(uses)),
        }
    }

    /// Takes everything back: no new use begins from now on, and when this is done, the last has
    /// ended.
    ///
    /// A use that never ends is waited for for ever: that of a device that could not be stopped.
    pub async fn revoke(&self) {
        self.state.lock().is_revoked = true;
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.uses == 0 {
                return Poll::Ready(());
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// A use begins.
    pub(super) fn enter(&self) -> Result<(), RegionError> {
        let mut state = self.state.lock();
        if state.is_revoked {
            return Err(RegionError::Revoked);
        }
        state.uses += 1;
        Ok(())
    }

    /// A use has ended.
    pub(super) fn leave(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.uses -= 1;
            match state.uses {
                0 => core::mem::take(&mut state.waiting),
                _ => Vec::new(),
            }
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A region has ended.
    pub(super) fn release(&self, phyr: Phyr) {
        self.state.lock().free.put(phyr);
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.name, self.kind, self.phyr)
    }
}
