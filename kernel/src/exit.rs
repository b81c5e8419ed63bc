//! Ending the machine.
//!
//! The exit status is the last thing a person or a test sees, so it is decided here, once:
//! `success` and `failure` end QEMU through its exit device, or halt where there is none.

#[cfg(phyros)]
use rt::exit::{Outcome, end};

/// Ends the machine; its user sees success (QEMU's status 33).
#[cfg(phyros)]
pub fn success() -> ! {
    end(Outcome::Success)
}

/// Ends the machine; its user sees failure (QEMU's status 65).
#[cfg(phyros)]
pub fn failure() -> ! {
    end(Outcome::Failure)
}
