//! Message-signalled interrupts: an interrupt as a write to memory (Intel SDM volume 3, section
//! 11.11).
//!
//! A device raises an interrupt by a write of [`data`](Message::data) to
//! [`address`](Message::address). A device that is told another address writes there, like any
//! other DMA. So a [`Message`] can only be had from an [`Interrupt`](super::Interrupt), and what
//! accepts a `Message` is no way to memory.

use phyr::DmaAddr;

/// What a device writes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    address: DmaAddr,
    data: u32,
}

impl Message {
    /// Where all such addresses start.
    const BASE: u64 = 0xfee0_0000;

    /// Raises a vector on the core of this APIC identifier. The address has 8 bits for it; a core
    /// whose identifier is longer cannot be reached, and has no message.
    pub(super) fn new(apic_id: u32, vector: u8) -> Option<Self> {
        let id = u8::try_from(apic_id).ok().filter(|id| *id != u8::MAX)?;
        // All other bits zero: to one core, edge-triggered, with this vector.
        Some(Self {
            address: DmaAddr::new(Self::BASE | u64::from(id) << 12),
            data: u32::from(vector),
        })
    }

    /// Where the device writes.
    pub fn address(self) -> DmaAddr {
        self.address
    }

    /// What the device writes.
    pub fn data(self) -> u32 {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_core_and_vector() {
        let message = Message::new(3, 0x31).unwrap();
        assert_eq!(message.address(), DmaAddr::new(0xfee0_3000));
        assert_eq!(message.data(), 0x31);
    }

    #[test]
    fn identifiers_of_more_than_8_bits_and_everybody_have_no_message() {
        assert!(Message::new(254, 0x31).is_some());
        assert_eq!(Message::new(255, 0x31), None);
        assert_eq!(Message::new(256, 0x31), None);
        assert_eq!(Message::new(300 << 8, 0x31), None);
    }
}
