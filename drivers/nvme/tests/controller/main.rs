//! The driver against a model of a controller.
//!
//! The model is written from the specification and from what QEMU does. It shares nothing
//! with the driver but the wire structures. It sees memory by bus addresses only, and
//! records whatever a real controller would not have liked.

mod aborts;
mod allocation;
mod bring_up;
mod commands;
mod controller_memory;
mod corpus;
mod device;
mod errors;
mod events;
mod features;
mod fuzz;
mod hostile;
mod hostile_answers;
mod identity;
mod lending;
mod lists;
mod logs;
mod management;
mod model;
mod namespaces;
mod play;
mod protection;
mod queues;
mod quirks;
mod recovery;
mod resets;
mod retries;
mod shadows;
mod splitting;
mod stopping;
mod tickets;
mod transfers;
mod zoned;
