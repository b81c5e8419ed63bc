//! On which pair of queues a frame arrives (receive-side scaling, section 5.1.6.5.7).
//!
//! The card makes a number of a frame's addresses and ports, with a key, and looks it up in a table. So all frames
//! of a connection arrive on one queue, and connections are spread over all of them.

use super::filter::Command;
use alloc::vec::Vec;
use virtio_spec::net::{Ctrl, ctrl};

/// What a card can do of this (section 5.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Most bytes of a key.
    pub key: u8,
    /// Most entries of a table.
    pub table: u16,
    /// Kinds of packets that it tells apart, as bits.
    pub kinds: u32,
}

/// The key: that with which the way of computing was published, so that results can be compared.
pub const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// Entries of the table: as many as every card has room for.
pub const ENTRIES: u16 = 128;

/// IPv4 and IPv6, each alone, with TCP and with UDP.
const KINDS: u32 = 0x3f;

impl Spread {
    /// Whether it is what every such card can do at least.
    pub(super) const fn is_possible(&self) -> bool {
        self.key as usize >= KEY.len() && self.table >= ENTRIES
    }

    /// The command that spreads frames over so many pairs. Frames that are none of the kinds arrive on the first.
    pub(super) fn command(&self, pairs: u16) -> Command {
        let mut data = Vec::new();
        data.extend((self.kinds & KINDS).to_le_bytes());
        data.extend((ENTRIES - 1).to_le_bytes());
        data.extend(0_u16.to_le_bytes());
        for entry in 0..ENTRIES {
            data.extend((entry % pairs.max(1)).to_le_bytes());
        }
        data.extend(pairs.to_le_bytes());
        data.push(KEY.len() as u8);
        data.extend(KEY);
        Command::new(Ctrl::Mq, ctrl::Mq::RssConfig, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_deals_out_all_pairs_in_turn() {
        let spread = Spread {
            key: 40,
            table: 128,
            kinds: 0x1ff,
        };
        assert!(spread.is_possible());
        let command = spread.command(3);
        assert_eq!((command.class, command.command), (4, 1));
        let data = command.data;
        assert_eq!(data.len(), 8 + 2 * 128 + 3 + 40);
        assert_eq!(data[..8], [0x3f, 0, 0, 0, 127, 0, 0, 0]);
        assert_eq!(data[8..16], [0, 0, 1, 0, 2, 0, 0, 0]);
        assert_eq!(data[264..268], [3, 0, 40, 0x6d]);
        let short = Spread { key: 39, ..spread };
        let small = Spread {
            table: 127,
            ..spread
        };
        assert!(!short.is_possible() && !small.is_possible());
    }
}
