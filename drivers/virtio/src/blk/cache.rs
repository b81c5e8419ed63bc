//! The write cache of a disk, which can be turned on and off (section 5.2.6, CONFIG_WCE).
//!
//! # The problem
//!
//! While the cache is off, what a disk says that it has written is durable. So a durable write needs no flush behind it.
//! But each queue is another core's, and the cache may be turned on while a write is on its way: the disk keeps that one
//! in its cache, and whoever saw that the cache was off when it was sent is wrong.
//!
//! # The idea
//!
//! Changes are counted, and the count is odd while the cache is off. A write remembers the count at which it was sent.
//! Only if that is odd, and still the same when the write is done, was the cache off all the time.
//!
//! - The count becomes even *before* the disk is told to turn the cache on, and odd *after* it has turned it off.
//! - A flush that is asked for is always sent. What was written while the cache was on is in there still when it is off.
//! - What was asked for is asked for again after a reset, which turns the cache back to what it was. If the disk does not
//!   do it, the count says so.

use super::config::{Block, switch_cache};
use crate::device::Shared;
use crate::error::{DeviceError, Error, RequestError};
use crate::platform::Platform;
use crate::transport::Step;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// What was asked for.
const NOTHING: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

/// What was asked of a write cache, and what has come of it.
#[derive(Default)]
pub(crate) struct Cache {
    wish: AtomicU8,
    /// Odd while what is done is durable.
    changes: AtomicU32,
}

/// A moment at which something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u32);

impl Moment {
    /// One at which the cache was on.
    pub(super) const CACHED: Self = Self(0);
}

impl Cache {
    /// This moment.
    #[inline]
    pub(super) fn moment(&self) -> Moment {
        Moment(self.changes.load(Ordering::Acquire))
    }

    /// Whether what was sent at that moment, and is done now, is durable.
    #[inline]
    pub(super) fn was_off_since(&self, moment: Moment) -> bool {
        !moment.0.is_multiple_of(2) && self.moment() == moment
    }

    /// Whether the cache was asked to be on, or off.
    pub(super) fn wish(&self) -> Option<bool> {
        match self.wish.load(Ordering::Relaxed) {
            ON => Some(true),
            OFF => Some(false),
            _ => None,
        }
    }

    fn set_wish(&self, wish: Option<bool>) {
        let wish = wish.map_or(NOTHING, |is_on| if is_on { ON } else { OFF });
        self.wish.store(wish, Ordering::Relaxed);
    }

    /// The cache is on, or will be in a moment; or it is off. Behind the device's lock.
    pub(super) fn notice(&self, is_on: bool) {
        let changes = self.changes.load(Ordering::Relaxed);
        if changes.is_multiple_of(2) != is_on {
            self.changes
                .store(changes.wrapping_add(1), Ordering::Release);
        }
    }
}

impl<P: Platform> Shared<P, Block> {
    /// Turns the write cache on or off, now and after each reset.
    pub(super) fn set_write_cache(&self, is_on: bool) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.is_dead {
            return Err(Error::Dead(state.reason));
        }
        if !state.properties.can_switch_cache {
            return Err(RequestError::Unsupported.into());
        }
        let before = self.standing.wish();
        self.standing.set_wish(Some(is_on));
        if is_on {
            self.standing.notice(true);
        }
        // One that is being reset is told when it has come so far again.
        if Step::FeaturesOk.check(self.common().status()).is_err() {
            return Ok(());
        }
        let is_now = switch_cache(self.platform.config(), is_on);
        self.standing.notice(is_now);
        state.properties.writes_back = is_now;
        if is_now != is_on {
            self.standing.set_wish(before);
            return Err(Error::Device(DeviceError::Unsupported));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_durable_only_if_the_cache_was_off_all_the_time() {
        let cache = Cache::default();
        let cached = cache.moment();
        assert_eq!(cached, Moment::CACHED);
        assert!(!cache.was_off_since(cached));
        cache.notice(false);
        assert!(!cache.was_off_since(cached), "it was sent before");
        let off = cache.moment();
        cache.notice(false);
        assert!(cache.was_off_since(off));
        cache.notice(true);
        assert!(!cache.was_off_since(off));
        cache.notice(false);
        assert!(!cache.was_off_since(off), "it was on meanwhile");
        assert!(cache.was_off_since(cache.moment()));
        assert!(!cache.was_off_since(Moment::CACHED));
    }
}
