//! The model itself, driven by raw queue entries.
//!
//! What the driver is tested against must be right without the driver. So this is a second
//! host, as simple as can be: it writes entries, rings doorbells, and looks at memory.

mod aborts;
mod commands;
mod events;
mod features;
mod formats;
mod host;
mod interrupts;
mod lifecycle;
mod lists;
mod memory;
mod namespaces;
mod queues;
mod shadows;
mod zones;

use host::{Host, entry};
