//! All that is to be had over HTTP, in one place.
//!
//! | path | what |
//! |---|---|
//! | `/` | the machine, drawn: who has which physical memory, queues, throughput |
//! | `/api/state` | the same, for programs |
//! | `/metrics` | counters, for Prometheus |
//! | `/files/` | the file system that was named, or the first there is; without any, the first folder of the host's |
//! | `/disk/` | every disk and partition, and `/disk/NAME` is its bytes |
//!
//! What a machine is like, the [`View`](view::View) says. In the machine the kernel answers; in tests
//! values do.

pub mod json;
pub mod metrics;
pub mod site;
pub mod view;

pub use site::{AnySource, Appliance};
