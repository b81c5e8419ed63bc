//! End to end: `cargo xtask` as a user sees it, from the command line to the exit status.
//!
//! Nothing here knows how the kernel works. A test gives commands, and compares what comes out with
//! what the host computes by itself.

mod appliance;
mod broken;
mod ends;
mod hostile;
mod hotplug;
mod idle;
mod kinds;
mod machines;
mod network;
mod served;
mod shell;
mod support;
mod tools;
