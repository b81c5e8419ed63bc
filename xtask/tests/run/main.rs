//! End to end: `cargo xtask` as a user sees it, from the command line to the exit status.
//!
//! Nothing here knows how the kernel works. A test gives commands, and compares what comes out with
//! what the host computes by itself.

mod appliance;
mod broken;
mod clients;
mod ends;
mod hostile;
mod hotplug;
mod idle;
mod iperf;
mod kills;
mod kinds;
mod machines;
mod microvm;
mod nbd;
mod network;
mod pictures;
mod qcow2;
mod served;
mod share;
mod shell;
mod support;
mod tools;
mod wire;
