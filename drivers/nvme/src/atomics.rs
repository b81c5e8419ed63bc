//! The atomics of [`link`](crate::link), [`doorbell`](crate::doorbell) and of the rings, in a place
//! of their own: the model checker of the tests puts others in their place.

pub(crate) use core::sync::atomic::{AtomicU32, Ordering, fence};
