//! The atomics of [`link`](crate::link) and [`split`](crate::split), in a place of their own: the
//! model checker of the tests puts others in their place.

pub(crate) use core::sync::atomic::{AtomicU32, Ordering, fence};
