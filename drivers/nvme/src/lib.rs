//! NVM Express: a driver that knows bus ranges and registers, and nothing of a kernel.
//!
//! # The problem
//!
//! An NVMe controller reads commands from a ring in memory, moves data between the disk
//! and memory by itself, and writes completions to another ring. It does what it is told
//! by addresses. A wrong address, or a right one that was given away too early, is
//! somebody else's memory overwritten. And the controller's own words come back through
//! memory that it can change at any time.
//!
//! # The idea
//!
//! A transfer is a [`DmaList`](phyr::DmaList): bus ranges in order, of any length. The
//! driver never splits it into pages before the last moment, when a command describes its
//! memory by [PRPs](https://nvmexpress.org/specifications/) or by a scatter gather list.
//!
//! A list is only numbers. So a request brings its memory as a value whose type vouches for it,
//! [`Memory`], and the driver owns that value until the device is done. All that is needed from
//! the machine is one short trait, [`Platform`]. So the whole driver also runs on a host against a
//! model of a controller, which can be made to misbehave in every way.
//!
//! There is one [`Queue`] for each core, which nobody else uses, and one [`Controller`], which
//! brings them up and gets them back after a failure. A queue is driven by calls; `reach`
//! makes futures of them.
//!
//! The way of a request through the files: `requests` checks it against the namespace,
//! `queue/sending` cuts it into commands, `queue/making` makes one, `prp` and `sgl` describe its
//! memory, `operation` builds the entry, `slots` gives it an identifier, `rings` puts it into
//! memory and rings the doorbell, and `queue/completion` takes the answer. `bring_up` is how a
//! controller gets there, `inventory` which namespaces it has, `introduction` how it learns of
//! queues; `recovery` is how it gets back, `link` what the cores say to each other for that.
//!
//! # Rules
//!
//! 1. The memory of a request belongs to the driver until the device is done with it,
//!    whatever becomes of the caller, the future, or the controller.
//! 2. Everything that the device writes is checked before it is used: an identifier must
//!    be outstanding, a ring index must be in reach, a size must make sense.
//! 3. Every wait ends: by an answer, by a time limit, or because the device is seen to be
//!    gone.
//! 4. A controller that breaks a rule is stopped, kept from memory, and reset. Memory that it
//!    might still use when nobody can stop it is never used again.
//! 5. Reading and writing allocate nothing, take no lock, and read no register.
//! 6. There is no unsafe block here. What touches hardware is in the platform, and what
//!    vouches for memory is in its types: this crate only declares their duties, as the
//!    unsafe traits [`Platform`], [`SharedMemory`] and [`Memory`].
//!
//! # Use
//!
//! ```no_run
//! # use std::{cell::RefCell, rc::Rc};
//! # async fn example<P: nvme::Platform, B: nvme::Memory>(platform: P, memory: B) -> Result<(), nvme::Error> {
//! use nvme::{Controller, Options, Request, execute};
//!
//! let controller = Controller::new(platform, Options::default()).await?;
//! let queue = Rc::new(RefCell::new(controller.queue(None).await?));
//! let disk = controller.namespaces()[0];
//! // Somewhere else the executor polls `controller.service()` and `attend(queue.clone())`,
//! // and calls `queue.borrow_mut().turn()` each time that it has polled its tasks.
//! let request = Request::with_data(disk.read(0, 8)?, memory);
//! let done = execute(queue, request).await;
//! done.result?;
//! controller.shutdown().await
//! # }
//! ```

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod abilities;
pub mod admin;
mod admin_queue;
mod atomics;
mod bring_up;
mod command;
mod controller;
mod controller_memory;
mod counters;
mod doorbell;
mod error;
mod event;
mod first;
mod format;
pub mod host_memory;
mod identity;
mod introduction;
mod inventory;
mod lending;
mod limits;
mod link;
pub mod lock;
mod logs;
mod management;
mod memory;
mod namespace;
mod notices;
pub mod nvm;
mod operation;
mod own_memory;
mod page;
mod platform;
mod pointer;
mod port;
pub mod power;
pub mod protection;
mod prp;
mod queue;
mod quirks;
mod reach;
mod recovery;
pub mod registers;
mod requests;
mod retry;
mod ring;
#[cfg(test)]
mod ring_tests;
mod rings;
mod service;
mod sgl;
mod shared;
mod slots;
mod status;
mod watch;
pub mod wire;
pub mod zones;

pub use abilities::{Abilities, AdminAbilities, IoAbilities, LogAbilities, SanitizeAbilities, Sgl};
pub use command::{Command, Direction};
pub use controller::Controller;
pub use counters::Counters;
pub use error::{
    CommandError, Error, Failure, RequestError, Unmappable, Unsupported, Violation, Waiting,
};
pub use event::{Event, Happening, Response};
pub use format::{BlockFormat, Placement};
pub use identity::{Identity, Text};
pub use limits::Limits;
pub use logs::SanitizeStatus;
pub use memory::{Access, Memory, Ranges};
pub use namespace::{Namespace, Unusable};
pub use notices::Notice;
pub use operation::{Done, Operation, Request};
pub use own_memory::{OwnMemory, blocks_at_a_time};
pub use platform::{OutOfMemory, Platform, Registers, SharedMemory};
pub use queue::{Over, Queue, Ticket, Turn};
pub use quirks::{Device, Quirks, SLOW_MICROSECONDS};
pub use reach::{Execute, Reach, attend, execute};
pub use retry::Meaning;
pub use shared::Options;
pub use status::Status;
