//! Network cards: a pair of queues on a core, or on several.
//!
//! - `line` is a queue on its core, and who looks at it when;
//! - `nic` is a card with its pairs, and the tasks that keep them going;
//! - `interface` is the same as a network interface;
//! - `words` turns the kernel's frames into the driver's, and back.

mod interface;
mod line;
mod nic;
mod words;

pub use line::LineCounters;
pub use nic::{Nic, PairCounters};

use super::window::{self, Found, HasWire};
use super::{Opened, ProbeError};
use crate::pci::Function;
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use alloc::sync::Arc;
use virtio::net::Card;
use virtio::transport::DeviceKind;

/// Whether a function is a virtio network card, transitional or modern.
pub fn is_card(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::NET)
}

/// How a card is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Most pairs of queues. Each is on a core of its own, beginning with the one that finds the card.
    pub pairs: usize,
    /// Features to do without, by their numbers as bits.
    pub avoid: u128,
}

impl Default for Usage {
    /// One pair, and all that the driver and the card can do, but for resets of one queue: QEMU 7.2 aborts if
    /// frames wait behind the card meanwhile. Without them a card in trouble is reset as a whole.
    fn default() -> Self {
        Self {
            pairs: 1,
            avoid: RING_RESET,
        }
    }
}

/// The number of that feature, as a bit.
const RING_RESET: u128 = 1 << 40;

/// Brings a card up, with the next free name. It is in use from here on.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
    usage: Usage,
) -> Result<Arc<Nic>, ProbeError> {
    bring_up(super::open(owners, function)?, usage).await
}

/// Brings a card without a bus up, likewise.
pub async fn probe_window(found: &Found, usage: Usage) -> Result<Arc<Nic>, ProbeError> {
    bring_up(window::open(found, HasWire::Yes)?, usage).await
}

async fn bring_up(opened: Opened, usage: Usage) -> Result<Arc<Nic>, ProbeError> {
    let Opened {
        location,
        platform,
        notify,
        messages,
        first_entry,
        config_vector,
    } = opened;
    let mut options = virtio::net::Options::default();
    (options.config_vector, options.avoid) = (config_vector, usage.avoid);
    let domain = platform.domain().clone();
    let card = Card::new(platform, notify, options).await;
    let card = card.map_err(ProbeError::Driver)?;
    let nic = Arc::new(Nic::new(location, card, domain));
    let started = nic.start(messages, first_entry, usage.pairs.max(1)).await;
    started.map_err(ProbeError::Driver)?;
    Ok(nic)
}
