//! The network driver.

mod announcing;
mod carrying;
mod hostile;
mod one_queue;
mod setup;
pub(crate) mod world;
