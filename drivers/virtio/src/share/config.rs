//! What the device says of itself: the name that the host has given to the folder.

use crate::platform::{Platform, Registers};
use crate::transport::{Accepted, Negotiation};
use alloc::string::String;
use alloc::vec::Vec;
use virtio_spec::F;

/// The device has a name for what it shares (VIRTIO_9P_F_MOUNT_TAG).
const MOUNT_TAG: u128 = 1 << 0;

/// Longest name that is used.
const LONGEST: usize = 32;

fn mount_tag() -> F {
    F::from_bits_retain(MOUNT_TAG.into())
}

/// The features that this driver implements.
pub(super) fn wishes() -> Negotiation<F> {
    Negotiation::new(mount_tag().union(F::ACCESS_PLATFORM), F::empty())
}

/// The name of what is shared: a length of 16 bits, and so many bytes. `None` if there is none that can be typed.
pub(super) fn tag<P: Platform>(platform: &P, accepted: &Accepted<F>) -> Option<String> {
    let config = platform.config();
    if !accepted.contains(mount_tag()) || config.len() < 2 {
        return None;
    }
    let len = usize::from(config.read16(0));
    if !(1..=LONGEST).contains(&len) || config.len() - 2 < len {
        return None;
    }
    let bytes: Vec<u8> = (2..2 + len).map(|at| config.read8(at)).collect();
    let can_be_typed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let tag = bytes.iter().all(can_be_typed).then_some(bytes)?;
    String::from_utf8(tag).ok()
}
