//! Entropy devices (section 5.4).
//!
//! The device has one queue. It is given memory to write, of any kind, and fills the front of it with random bytes:
//! as many as it likes, but at least one. That is all there is; it has no configuration and no features of its own.
//!
//! What a device says of the length is checked: more than there was room for ends its use, and none at all is an
//! error of that request. Whether the bytes are random nobody can check. So who uses them for secrets should
//! mix them with what comes from elsewhere.

mod source;

pub use crate::options::Options;
pub use source::{Filled, Source, Unfilled};
