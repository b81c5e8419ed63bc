//! The network driver.

mod carrying;
mod hostile;
mod setup;
mod world;
