//! What tests of services need: connections, time, and disks that are made of values.

mod disk;
mod office;
mod pipe;
mod time;

pub(crate) use disk::{Flaky, memory};
pub(crate) use office::Office;
pub(crate) use pipe::{End, Trace, pipe};
pub(crate) use time::{TestClock, run};
