//! How many ports there may be, and where their queues are (sections 5.3.2 to 5.3.4).

use crate::error::{ConfigError, Failure};
use crate::platform::{Platform, Registers};
use crate::transport::{Accepted, Negotiation};
use virtio_spec::console::F;

/// Offset of `max_nr_ports`, and the end of it.
const MAX_PORTS: usize = 4;
const END: usize = 8;

/// The queues of messages from the device, and to it.
pub(super) const FROM_DEVICE: u16 = 2;
pub(super) const TO_DEVICE: u16 = 3;

/// The features that this driver implements.
pub(super) fn wishes() -> Negotiation<F> {
    Negotiation::new(F::MULTIPORT | F::ACCESS_PLATFORM, F::empty())
}

/// Most ports that the device may have; `None` if it has one, and no messages.
pub(super) fn most_ports<P: Platform>(
    platform: &P,
    accepted: &Accepted<F>,
) -> Result<Option<u32>, Failure> {
    if !accepted.contains(F::MULTIPORT) {
        return Ok(None);
    }
    let config = platform.config();
    match config.len() {
        len if len < END => Err(Failure::Config(ConfigError::Short { len })),
        _ => match config.read32(MAX_PORTS) {
            0 => Err(Failure::Config(ConfigError::Empty)),
            ports => Ok(Some(ports)),
        },
    }
}

/// The queue in which a port's bytes come. The next is that in which they go.
pub(super) const fn receive_queue(port: u16) -> u16 {
    match port {
        0 => 0,
        // Those of the messages are between.
        port => 2 + 2 * port,
    }
}
