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
//! memory by [PRPs](https://nvmexpress.org/specifications/). A list is only numbers, so it
//! comes from a type that vouches for it: a [`Target`] to read into, or a [`Source`] to write
//! from. All that is needed from the machine is one short trait, [`Platform`]. So the whole
//! driver also runs on a host against a model of a controller, which can be made to
//! misbehave in every way.
//!
//! The way of a transfer through the files: `transfer` checks it, `plan` cuts it into
//! commands, `prp` describes the memory of one, `command` builds the entry, `queue` gives
//! it a slot and an identifier, `ring` puts it into memory, and `port` rings the doorbell.
//! `bring_up` is how a controller gets there, `watch` is how the driver waits for it.
//!
//! # Rules
//!
//! 1. When a call returns, the device is done with the caller's memory, whatever the
//!    result.
//! 2. Everything that the device writes is checked before it is used: an identifier must
//!    be outstanding, a ring index must be in reach, a size must make sense.
//! 3. Every wait ends: by an answer, by a time limit, or because the device is seen to be
//!    gone.
//! 4. A controller that breaks a rule is stopped and kept from memory. It may be
//!    [reset](Controller::reset).
//! 5. After set-up, reading and writing allocate nothing, take no lock, and read no
//!    register unless they wait for more than a millisecond.
//! 6. There is no unsafe block here. What touches hardware is in the platform, and what
//!    vouches for memory is in its types: this crate only declares their duties, as the
//!    unsafe traits [`Platform`] and [`SharedMemory`], [`Source`] and [`Target`].
//!
//! # Use
//!
//! ```no_run
//! # fn example<P: nvme::Platform>(platform: P, memory: &impl nvme::Target) -> Result<(), nvme::Error> {
//! let mut controller = nvme::Controller::new(platform)?;
//! let disk = controller.namespaces()[0];
//! controller.read(disk.id, 0, memory)?;
//! controller.shutdown()
//! # }
//! ```

//!
//! # The interface that replaces the calls which wait
//!
//! The driver is becoming asynchronous, with a queue pair per core. Its interface will be:
//!
//! ```text
//! // Memory. The request owns it until the device is done.
//! unsafe trait Memory { fn ranges(&self) -> Ranges<'_>; fn access(&self) -> Access; }
//! enum Ranges<'a> { One(DmaRange), List(&'a DmaList) }       // One: a small B is cheap to move
//! struct Access { device_reads: bool, device_writes: bool }
//!
//! // What to do: plain data, built by a namespace, which checks the blocks.
//! Namespace::{read, write, write_zeroes, deallocate, verify, compare, ..}(first, blocks) -> Result<Operation, RequestError>
//! Namespace::flush() -> Option<Operation>                    // None: no write cache, nothing to do
//! Operation::with_fua(), ..                                  // every dword of a command can be set
//! struct Request<B> { operation: Operation, data: Option<B>, metadata: Option<B> }
//!
//! // One queue pair, used by one core.
//! Queue<P, B>::submit(&mut self, Request<B>) -> Result<Ticket, Refused<B>>   // Refused { request, error }; error Full: wait for room
//!   poll(&mut self, &Ticket, cx) -> Poll<Done<B>>            // Done { data, metadata, result: Result<u64 /*dwords 0 and 1*/, Error> }
//!   abandon(&mut self, Ticket)   poll_room(&mut self, cx) -> Poll<()>
//!   reap(&mut self) -> usize   ring(&mut self)   turn(&mut self) -> Turn  // turn = reap, push what waits, ring: once an executor turn
//!
//! // How a queue is reached: a per-core cell, or a lock where cores share a queue.
//! trait Reach: Clone { type Platform; type Memory; fn with<R>(&self, f: impl FnOnce(&mut Queue<..>) -> R) -> R; }
//! execute(&reach, Request<B>) -> impl Future<Output = Done<B>>   // dropping it abandons the request
//! attend(reach) -> impl Future                                    // a task per queue on the queue's core: reset, deadlines
//!
//! // The controller: Clone, all methods &self, admin commands behind a short lock.
//! Controller<P>::new(platform, Options).await -> Result<Controller<P>, Error>
//!   identity(), namespaces() -> Vec<Namespace>, queues() -> u16 (granted pairs), counters(), failure()
//!   queue::<B>(vector: Option<u16>).await -> Result<Queue<P, B>, Error>     // then sent to its core
//!   admin(command, page).await, reset().await, shutdown().await, next_event().await
//!   service().await                                           // a task on one core: events, trouble, recovery
//!
//! // Platform, new: fn pause(&self, microseconds) -> impl Future; fn is_present(&self) -> bool;
//! //   fn interrupted(&self) -> impl Future (admin vector; default: never); fn stop_dma(&self) -> bool (confirmed?)
//! ```

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod abilities;
pub mod admin;
mod bring_up;
mod command;
mod controller;
mod counters;
mod error;
mod event;
mod format;
pub mod host_memory;
mod identity;
mod limits;
mod logs;
mod memory;
mod namespace;
pub mod nvm;
mod page;
mod plan;
mod platform;
mod port;
pub mod power;
pub mod protection;
mod prp;
mod queue;
mod quirks;
pub mod registers;
mod retry;
mod ring;
mod slots;
mod status;
mod transfer;
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
pub use memory::{Source, Target};
pub use namespace::{Namespace, Unusable};
pub use platform::{OutOfMemory, Platform, Registers, SharedMemory};
pub use quirks::{Device, Quirks, SLOW_MICROSECONDS};
pub use retry::Meaning;
pub use status::Status;
