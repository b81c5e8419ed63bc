//! Network interfaces: a frame is owned memory, both ways.
//!
//! # The problem
//!
//! A network card reads and writes memory on its own, as a disk does. But nobody asks for what
//! arrives: memory for it must lie ready before. And what is sent is seldom one buffer: headers are
//! made, and what they announce lies elsewhere, in a file's memory or on another card. To gather all
//! that in one place first would be to copy every byte that leaves the machine.
//!
//! # The idea
//!
//! An [`Interface`] takes and gives memory by value.
//!
//! ```text
//! supply(▓) ──► the card ──► poll_receive: Received ▓   whose bytes can be read; supplied again, or kept
//! transmit(▒ head, ▓ body) ──► the card ──► poll_sent: Sent ▒ ▓, for whoever wants them back
//! ```
//!
//! An [`Outgoing`] frame is a head and a body, each of which is memory of any kind: the head is where a
//! stack writes headers, and the body may be part of a file, a region of another device, or nothing.
//! What the card is to do with it besides, its checksum and cutting it into segments, is data
//! ([`Offload`]), and so is what the card has found out about a [`Received`] one.
//!
//! # Rules
//!
//! 1. Memory belongs to the interface from `supply` and `transmit` on, until it comes back. Whoever
//!    loses interest takes nothing away from the card: the memory is freed when the card is done.
//! 2. Receiving and sending concern the queues of the core that calls. [`Interface::cores`] tells which
//!    cores have any.
//! 3. What was transmitted is told to the card once a turn of the core's executor, all of it together.
//! 4. An interface that is removed stays valid, and answers that it is gone.
//!
//! The parts: `interface` is what a driver implements, `frame` and `offload` are the vocabulary,
//! [`Registry`] knows which interfaces there are, and [`Wire`] is two of them made of memory, for tests.
//! [`Stream`] is what services are written over: a connection, whatever makes it.

#[cfg(any(test, all(phyros, feature = "vm-tests")))]
pub(crate) mod corpus;
#[cfg(phyros)]
mod follow;
mod frame;
mod interface;
mod offload;
mod registry;
pub mod stack;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

pub use frame::{Outgoing, Received, Refused, Sent, SentMemory};
pub use interface::{
    Counters, Interface, Link, MacAddress, NetError, Properties, Reception, Refusal,
};
pub use offload::{Checked, Checksum, Offload, Offloads, Segmentation, Segments};
pub use registry::Registry;
pub use stream::{Stream, StreamError};
pub use wire::{Fate, Wire};

use crate::lock::Mutex;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// Looks for network cards, brings them up, and follows what comes and goes from then on. Only the first call
/// counts, and resolves when the cards that were there are up.
#[cfg(phyros)]
pub async fn start(usage: crate::drivers::virtio::net::Usage) {
    follow::begin(usage).await;
}

/// The virtio cards in use at this moment: to be asked for counters, or reset.
#[cfg(phyros)]
pub fn virtio_cards() -> Vec<Arc<crate::drivers::virtio::net::Nic>> {
    follow::cards()
}

/// The interfaces that there are at this moment.
pub fn interfaces() -> Vec<Arc<dyn Interface>> {
    REGISTRY.lock().snapshot()
}

/// An interface has come.
pub fn add(interface: Arc<dyn Interface>) {
    let wakers = REGISTRY.lock().add(interface);
    wakers.into_iter().for_each(core::task::Waker::wake);
}

/// An interface has gone. It stays valid for those who hold it.
pub fn remove(interface: &Arc<dyn Interface>) {
    let (gone, wakers) = REGISTRY.lock().remove(interface);
    wakers.into_iter().for_each(core::task::Waker::wake);
    drop(gone);
}

/// Ready when interfaces have come or gone since `seen`, which is the last result, or 0.
pub fn poll_interfaces(seen: u64, cx: &mut Context<'_>) -> Poll<u64> {
    REGISTRY.lock().poll_changed(seen, cx)
}
