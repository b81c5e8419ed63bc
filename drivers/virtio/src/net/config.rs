//! What a network card is like (section 5.1.4): read once, checked, and kept.

use super::header::{ETHERNET, HEADER};
use super::spread::Spread;
use crate::device::Kind;
use crate::error::ConfigError;
use crate::platform::Registers;
use crate::transport::{Accepted, Negotiation};
use virtio_spec::net::{F, S};

/// Offsets of the fields. A field is there if its feature was accepted.
mod field {
    pub(super) const MAC: usize = 0;
    pub(super) const STATUS: usize = 6;
    pub(super) const MAX_PAIRS: usize = 8;
    pub(super) const MTU: usize = 10;
    pub(super) const SPREAD_KEY: usize = 17;
    pub(super) const SPREAD_TABLE: usize = 18;
    pub(super) const SPREAD_KINDS: usize = 20;
}

/// The smallest packets that IPv4 allows a link to have.
const LEAST_MTU: u16 = 68;

/// Most pairs of queues (section 5.1.4.1).
const MOST_PAIRS: u16 = 0x8000;

/// Most bytes of an IP packet: a frame that is cut or joined is no longer.
const MOST: u64 = 65_535;

/// A tag that says to which VLAN a frame belongs.
const TAG: u64 = 4;

/// Least memory for a part of a frame that may arrive in several parts.
const PART: u64 = 128;

/// Network cards.
pub(crate) enum Net {}

/// What a network card is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Its address; `None` if it has none.
    pub mac: Option<[u8; 6]>,
    /// There is somebody at the other end, as far as it can tell.
    pub is_up: bool,
    /// It asks that neighbours be told of the guest's addresses, which have moved.
    pub must_announce: bool,
    /// Most bytes of an IP packet on the wire.
    pub mtu: u16,
    /// Pairs of queues that there may be.
    pub pairs: u16,
    /// It fills in checksums.
    pub checksum: bool,
    /// It cuts TCP on IPv4.
    pub segment_tcp4: bool,
    /// It cuts TCP on IPv6.
    pub segment_tcp6: bool,
    /// It says of frames whether their checksum is right, or still to be filled in.
    pub checked: bool,
    /// It joins TCP on IPv4.
    pub joined_tcp4: bool,
    /// It joins TCP on IPv6.
    pub joined_tcp6: bool,
    /// A frame may arrive in several pieces of memory.
    pub mergeable: bool,
    /// It can choose which frames arrive, by address.
    pub has_filter: bool,
    /// The same, by VLAN.
    pub has_vlans: bool,
    /// Its address can be changed.
    pub has_new_mac: bool,
    /// It can spread frames over pairs of queues by what they are.
    pub spread: Option<Spread>,
    /// The control queue, if there is one.
    pub(crate) control: Option<u16>,
}

impl Properties {
    /// A card that can do nothing but carry frames.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self {
            mac: None,
            is_up: true,
            must_announce: false,
            mtu: 1500,
            pairs: 1,
            checksum: false,
            segment_tcp4: false,
            segment_tcp6: false,
            checked: false,
            joined_tcp4: false,
            joined_tcp6: false,
            mergeable: false,
            has_filter: false,
            has_vlans: false,
            has_new_mac: false,
            spread: None,
            control: None,
        }
    }

    /// Most bytes of a frame on the wire.
    #[inline]
    pub fn longest_on_wire(&self) -> u64 {
        u64::from(self.mtu) + ETHERNET + TAG
    }

    /// Most bytes of a frame that is given to the card to be cut.
    #[inline]
    pub fn longest_sent(&self) -> u64 {
        match self.segment_tcp4 || self.segment_tcp6 {
            true => (MOST + ETHERNET + TAG).max(self.longest_on_wire()),
            false => self.longest_on_wire(),
        }
    }

    /// Bytes of memory in which any frame that arrives fits, with its header.
    pub fn ample(&self) -> u64 {
        let frame = match self.joined_tcp4 || self.joined_tcp6 {
            true => (MOST + ETHERNET + TAG).max(self.longest_on_wire()),
            false => self.longest_on_wire(),
        };
        frame + HEADER as u64
    }

    /// Fewest bytes of memory that can be supplied.
    pub fn least(&self) -> u64 {
        match self.mergeable {
            true => PART,
            false => self.ample(),
        }
    }
}

fn says(status: u16, bit: S) -> bool {
    status & bit.bits().to_ne() != 0
}

impl Kind for Net {
    type Features = F;
    type Properties = Properties;
    /// What was asked of a card goes over its control queue, and so again after a reset.
    type Standing = ();

    /// ACCESS_PLATFORM is among them because the driver tells a device nothing but bus addresses.
    fn wishes() -> Negotiation<F> {
        let implemented = F::EVENT_IDX
            | F::RING_PACKED
            | F::RING_RESET
            | F::INDIRECT_DESC
            | F::ACCESS_PLATFORM
            | F::CSUM
            | F::GUEST_CSUM
            | F::MTU
            | F::MAC
            | F::GUEST_TSO4
            | F::GUEST_TSO6
            | F::HOST_TSO4
            | F::HOST_TSO6
            | F::MRG_RXBUF
            | F::STATUS
            | F::CTRL_VQ
            | F::CTRL_RX
            | F::CTRL_VLAN
            | F::CTRL_MAC_ADDR
            | F::GUEST_ANNOUNCE
            | F::MQ
            | F::RSS;
        Negotiation::new(implemented, F::empty())
    }

    fn read_once(
        config: &impl Registers,
        accepted: &Accepted<F>,
    ) -> Result<Properties, ConfigError> {
        let has = |feature| accepted.contains(feature);
        let len = config.len();
        // A field without its feature has no meaning, and may not be there.
        let optional = |feature, at: usize, bytes: usize| match has(feature) {
            true if at + bytes > len => Err(ConfigError::Short { len }),
            is_there => Ok(is_there.then_some(at)),
        };
        let mac = optional(F::MAC, field::MAC, 6)?;
        let status = optional(F::STATUS, field::STATUS, 2)?;
        let pairs = optional(F::MQ, field::MAX_PAIRS, 2)?.map_or(1, |at| config.read16(at));
        if !(1..=MOST_PAIRS).contains(&pairs) {
            return Err(ConfigError::Pairs(pairs));
        }
        let mtu = optional(F::MTU, field::MTU, 2)?.map_or(1500, |at| config.read16(at));
        if mtu < LEAST_MTU {
            return Err(ConfigError::Mtu(mtu));
        }
        let spread = optional(F::RSS, field::SPREAD_KEY, 7)?;
        let spread = spread.filter(|_| has(F::MQ)).map(|at| Spread {
            key: config.read8(at),
            table: config.read16(field::SPREAD_TABLE),
            kinds: config.read32(field::SPREAD_KINDS),
        });
        let status = status.map(|at| config.read16(at));
        let says = |bit: S| status.is_some_and(|status| says(status, bit));
        Ok(Properties {
            mac: mac.map(|at| core::array::from_fn(|index| config.read8(at + index))),
            is_up: status.is_none() || says(S::LINK_UP),
            must_announce: has(F::GUEST_ANNOUNCE) && says(S::ANNOUNCE),
            mtu,
            pairs,
            checksum: has(F::CSUM),
            segment_tcp4: has(F::HOST_TSO4),
            segment_tcp6: has(F::HOST_TSO6),
            checked: has(F::GUEST_CSUM),
            joined_tcp4: has(F::GUEST_TSO4),
            joined_tcp6: has(F::GUEST_TSO6),
            mergeable: has(F::MRG_RXBUF),
            has_filter: has(F::CTRL_RX),
            has_vlans: has(F::CTRL_VLAN),
            has_new_mac: has(F::CTRL_MAC_ADDR),
            // Whoever can do less than all of them is driven without.
            spread: spread.filter(Spread::is_possible),
            // Behind all pairs that the device has, used or not.
            control: has(F::CTRL_VQ).then_some(2 * pairs),
        })
    }

    fn with_queues(mut properties: Properties, queues: u16) -> Properties {
        properties.pairs = properties.pairs.min((queues / 2).max(1));
        properties
    }

    /// The wish for an announcement ends when the card hears that it was made, of which it tells nobody. One that comes
    /// meanwhile has its own notice.
    fn notice(_: &(), config: &impl Registers, properties: &mut Properties) {
        properties.must_announce =
            properties.must_announce && says(config.read16(field::STATUS), S::ANNOUNCE);
    }

    fn continues(now: &Properties, before: &Properties) -> bool {
        let lasting = |properties: &Properties| Properties {
            // It may have been changed by whoever drives the card.
            mac: None,
            is_up: true,
            must_announce: false,
            ..*properties
        };
        lasting(now) == lasting(before)
    }
}
