//! The engine's device: one frame in, some frames out, and nothing below.
//!
//! The engine is called with one frame at a time, which lies in the memory that the card has put it in. What it
//! emits is collected, and looked at before it goes to the card: so neither side holds the other.

use crate::net::{Properties, Received};
use alloc::vec::Vec;
use smoltcp::phy::{
    self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium, RxToken, TxToken,
};
use smoltcp::time::Instant;

use super::heads::Heads;
use super::segment::ETHERNET;

/// What the engine takes for a device.
pub(super) struct Device {
    capabilities: DeviceCapabilities,
    arriving: Option<Received>,
    /// A copy of a frame that is in several pieces, or whose memory has no bytes.
    gathered: Option<Vec<u8>>,
    is_new: bool,
    /// What the engine has emitted.
    pub(super) emitted: Vec<Vec<u8>>,
    pub(super) heads: Heads,
    /// Frames that it may still emit.
    pub(super) room: usize,
}

impl Device {
    pub(super) fn new(properties: &Properties) -> Self {
        // Of TCP and UDP the card or `sums` takes care, and of headers of IPv4 that arrive, whoever reads frames first.
        let mut checksum = ChecksumCapabilities::default();
        checksum.ipv4 = Checksum::Tx;
        (checksum.tcp, checksum.udp) = (Checksum::None, Checksum::None);
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(properties.mtu) + ETHERNET;
        capabilities.checksum = checksum;
        Self {
            capabilities,
            arriving: None,
            gathered: None,
            is_new: false,
            emitted: Vec::new(),
            heads: Heads::default(),
            room: 0,
        }
    }

    /// A frame has arrived. `gathered`: a copy of it, if it is in several pieces, or its memory has no bytes.
    pub(super) fn put(&mut self, frame: Received, gathered: Option<Vec<u8>>) {
        (self.arriving, self.gathered, self.is_new) = (Some(frame), gathered, true);
    }

    /// A frame that has arrived before is looked at once more.
    pub(super) fn put_again(&mut self, frame: Vec<u8>) {
        (self.gathered, self.is_new) = (Some(frame), true);
    }

    /// The frame that has arrived.
    pub(super) fn bytes(&self) -> &[u8] {
        match (&self.gathered, &self.arriving) {
            (Some(bytes), _) => bytes,
            (None, Some(frame)) => frame.first.bytes(),
            _ => &[],
        }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match (&mut self.gathered, &mut self.arriving) {
            (Some(bytes), _) => bytes,
            (None, Some(frame)) => frame.first.bytes_mut(),
            _ => &mut [],
        }
    }

    /// The frame that has arrived is not needed any more. Its memory is, by others.
    pub(super) fn take(&mut self) -> Option<Received> {
        (self.gathered, self.is_new) = (None, false);
        self.arriving.take()
    }
}

impl phy::Device for Device {
    type RxToken<'a> = Arrived<'a>;
    type TxToken<'a> = Emitted<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Emitted<'_>)> {
        if !core::mem::take(&mut self.is_new) {
            return None;
        }
        let bytes = match (&self.gathered, &self.arriving) {
            (Some(bytes), _) => &bytes[..],
            (None, Some(frame)) => frame.first.bytes(),
            _ => return None,
        };
        Some((Arrived(bytes), Emitted(&mut self.emitted, &mut self.heads)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Emitted<'_>> {
        self.room = self.room.checked_sub(1)?;
        Some(Emitted(&mut self.emitted, &mut self.heads))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

/// The bytes of a frame that has arrived.
pub(super) struct Arrived<'a>(&'a [u8]);

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for a frame that leaves.
pub(super) struct Emitted<'a>(&'a mut Vec<Vec<u8>>, &'a mut Heads);

impl TxToken for Emitted<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = self.1.take(len);
        let result = write(&mut frame);
        self.0.push(frame);
        result
    }
}
