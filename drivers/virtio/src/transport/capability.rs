//! PCI capabilities (section 4.1.4): where in which BAR the registers are.
//!
//! A virtio device describes its register blocks by vendor-specific capabilities. Each one
//! names a BAR, an offset and a length. They are the device's words: a block is used only
//! after it was found to lie inside the BAR. A BAR is a phyr, and so is a block.

use core::fmt;
use phyr::Phyr;

/// PCI capability ID of a vendor-specific capability.
const VENDOR_SPECIFIC: u8 = 0x09;

/// Bytes of a capability without what only some kinds have.
const BASE: usize = 16;

/// What a register block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Common configuration: status, features, queues.
    Common,
    /// Notifications of available buffers.
    Notify {
        /// Bytes between the places of two values of `queue_notify_off`; 0 if all queues
        /// share one place.
        multiplier: u32,
    },
    /// Interrupt status.
    Isr,
    /// Configuration of this kind of device.
    Device,
    /// Memory that device and driver share, with the device's identifier for it.
    SharedMemory {
        /// Which of the device's memories it is.
        id: u8,
    },
}

/// A virtio capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What the block is for.
    pub kind: Kind,
    /// Number of the BAR, 0 to 5.
    pub bar: u8,
    /// Where the block starts in the BAR, in bytes.
    pub offset: u64,
    /// Bytes in the block.
    pub len: u64,
}

/// What is wrong with a capability. The device breaks the specification; do not use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityError {
    /// The capability ends before its fields do.
    Truncated {
        /// Bytes that there are.
        len: usize,
    },
    /// The block is not inside the BAR, or is shorter than its kind needs.
    Bounds {
        /// Where the block starts.
        offset: u64,
        /// Bytes in the block.
        len: u64,
        /// Bytes in the BAR.
        bar: u64,
    },
    /// The block, or a place in it, is not aligned as its kind needs.
    Misaligned {
        /// Where it starts.
        offset: u64,
    },
    /// The device has no such block, or not in a BAR that has its place.
    Missing {
        /// What the block would be for, in a word.
        block: &'static str,
    },
    /// A queue's notification place is outside the block.
    NotifyOffset {
        /// The queue's `queue_notify_off`.
        offset: u16,
    },
}

impl Capability {
    /// Reads a capability from the bytes of configuration space that it starts with.
    ///
    /// `bytes` may be longer than the capability. Returns `None` for capabilities that are
    /// not for this driver to look at: other vendors' ones, kinds and BARs that are reserved
    /// for the future, and the window into configuration space, which nobody needs who can
    /// map BARs.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, CapabilityError> {
        if bytes.first() != Some(&VENDOR_SPECIFIC) {
            return Ok(None);
        }
        let claimed = bytes.get(2).copied().map_or(0, usize::from);
        let bytes = &bytes[..claimed.min(bytes.len())];
        let truncated = CapabilityError::Truncated { len: bytes.len() };
        if bytes.len() < BASE {
            return Err(truncated);
        }
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            word.map(u32::from_le_bytes).ok_or(truncated)
        };
        let (kind, bar, id) = (bytes[3], bytes[4], bytes[5]);
        let mut offset = u64::from(word(8)?);
        let mut len = u64::from(word(12)?);
        let kind = match kind {
            1 => Kind::Common,
            2 => Kind::Notify {
                multiplier: word(16)?,
            },
            3 => Kind::Isr,
            4 => Kind::Device,
            8 => {
                offset |= u64::from(word(16)?) << 32;
                len |= u64::from(word(20)?) << 32;
                Kind::SharedMemory { id }
            }
            _ => return Ok(None),
        };
        Ok((bar <= 5).then_some(Self {
            kind,
            bar,
            offset,
            len,
        }))
    }

    /// The block as a part of its BAR.
    pub fn within(&self, bar: Phyr) -> Result<Phyr, CapabilityError> {
        let (shortest, align) = match self.kind {
            // Up to queue_device, which every device since version 1.0 has.
            Kind::Common => (56, 4),
            Kind::Notify { .. } => (2, 2),
            Kind::Isr | Kind::SharedMemory { .. } => (1, 1),
            Kind::Device => (1, 4),
        };
        if !self.offset.is_multiple_of(align) {
            let offset = self.offset;
            return Err(CapabilityError::Misaligned { offset });
        }
        let block = bar.sub(self.offset, self.len);
        block.filter(|_| self.len >= shortest).ok_or({
            CapabilityError::Bounds {
                offset: self.offset,
                len: self.len,
                bar: bar.len(),
            }
        })
    }

    /// The block as the place of notifications. `None` if it is for something else.
    pub fn notify(&self, bar: Phyr) -> Option<Result<Notify, CapabilityError>> {
        match self.kind {
            Kind::Notify { multiplier } => Some(Notify::new(self.within(bar), multiplier)),
            _ => None,
        }
    }
}

/// The block of registers that queues are notified by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    block: Phyr,
    multiplier: u32,
}

impl Notify {
    fn new(block: Result<Phyr, CapabilityError>, multiplier: u32) -> Result<Self, CapabilityError> {
        let is_legal = multiplier == 0 || (multiplier.is_power_of_two() && multiplier > 1);
        if !is_legal {
            let offset = u64::from(multiplier);
            return Err(CapabilityError::Misaligned { offset });
        }
        block.map(|block| Self { block, multiplier })
    }

    /// All queues are notified in this one place.
    pub(super) fn in_one_place(block: Phyr) -> Self {
        let multiplier = 0;
        Self { block, multiplier }
    }

    /// All of it.
    pub fn block(&self) -> Phyr {
        self.block
    }

    /// Where in the block a queue is notified, by two bytes. `offset` is its `queue_notify_off`.
    ///
    /// Ask once for each queue, when it is set up.
    pub fn offset(&self, offset: u16) -> Result<usize, CapabilityError> {
        let place = u64::from(offset) * u64::from(self.multiplier);
        let inside = self.block.sub(place, 2).map(|_| place as usize);
        inside.ok_or(CapabilityError::NotifyOffset { offset })
    }
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { len } => write!(f, "a virtio capability of only {len} bytes"),
            Self::Bounds { offset, len, bar } => write!(
                f,
                "{len} bytes of virtio registers at {offset:#x} do not fit into {bar:#x} bytes"
            ),
            Self::Misaligned { offset } => {
                write!(f, "virtio registers at {offset:#x} are misaligned")
            }
            Self::Missing { block } => write!(f, "there are no virtio registers for {block}"),
            Self::NotifyOffset { offset } => {
                write!(f, "queue notification offset {offset} is out of range")
            }
        }
    }
}

impl core::error::Error for CapabilityError {}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::PhysAddr;

    fn bar(len: u64) -> Phyr {
        Phyr::new(PhysAddr::new(0xfe00_0000), len).expect("a range")
    }

    /// A capability as it lies in configuration space.
    fn bytes(kind: u8, bar: u8, offset: u32, len: u32, more: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0x09, 0x70, 16 + more.len() as u8 * 4, kind, bar, 7, 0, 0];
        for word in [&[offset, len], more].concat() {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Capability {
        let capability = Capability::parse(bytes).expect("well-formed");
        capability.expect("for this driver")
    }

    /// The capabilities of a virtio-blk-pci device of QEMU, which has them all in BAR 4.
    #[test]
    fn capabilities_of_qemu() {
        let device = bar(0x4000);
        let common = parse(&bytes(1, 4, 0, 0x1000, &[]));
        assert_eq!((common.kind, common.bar), (Kind::Common, 4));
        assert_eq!(common.within(device), Ok(bar(0x1000)));
        let isr = parse(&bytes(3, 4, 0x1000, 0x1000, &[]));
        assert_eq!(isr.kind, Kind::Isr);
        let config = parse(&bytes(4, 4, 0x2000, 0x1000, &[]));
        assert_eq!(config.kind, Kind::Device);
        assert_eq!(
            config.within(device),
            Ok(device.sub(0x2000, 0x1000).expect("inside"))
        );
        let notify = parse(&bytes(2, 4, 0x3000, 0x1000, &[4]));
        assert_eq!(notify.kind, Kind::Notify { multiplier: 4 });
        let notify = notify.notify(device).expect("it is").expect("legal");
        assert_eq!(Ok(notify.block()), device.sub(0x3000, 0x1000).ok_or(()));
        assert_eq!(notify.offset(3), Ok(12));
    }

    #[test]
    fn blocks_must_lie_inside_their_bar() {
        let device = bar(0x4000);
        let within = |offset, len| parse(&bytes(4, 0, offset, len, &[])).within(device);
        assert!(within(0x3ffc, 4).is_ok());
        for (offset, len) in [
            (0x3ffc, 5),
            (0x4000, 1),
            (0, 0x4001),
            (u32::MAX - 3, u32::MAX),
        ] {
            let error = CapabilityError::Bounds {
                offset: offset.into(),
                len: len.into(),
                bar: 0x4000,
            };
            assert_eq!(within(offset, len), Err(error));
        }
    }

    #[test]
    fn blocks_must_be_long_enough_and_aligned() {
        let within =
            |kind, offset, len| parse(&bytes(kind, 0, offset, len, &[])).within(bar(0x100));
        assert!(within(1, 4, 56).is_ok());
        let is_short = |block| matches!(block, Err(CapabilityError::Bounds { .. }));
        assert!(is_short(within(1, 4, 55)));
        assert!(is_short(within(3, 0, 0)));
        let misaligned = Err(CapabilityError::Misaligned { offset: 2 });
        assert_eq!(within(1, 2, 56), misaligned);
        assert_eq!(within(4, 2, 56), misaligned);
        assert!(within(3, 2, 1).is_ok(), "one byte has no alignment");
    }

    #[test]
    fn queues_are_notified_inside_the_block() {
        let notify = |len, multiplier| {
            let capability = parse(&bytes(2, 0, 0x10, len, &[multiplier]));
            capability.notify(bar(0x100)).expect("it is")
        };
        let shared = notify(2, 0).expect("legal");
        assert_eq!(shared.offset(0), shared.offset(u16::MAX));
        let spread = notify(8, 4).expect("legal");
        assert!(spread.offset(1).is_ok());
        assert_eq!(
            spread.offset(2),
            Err(CapabilityError::NotifyOffset { offset: 2 })
        );
        let wide = notify(8, 1 << 31).expect("legal");
        let out = Err(CapabilityError::NotifyOffset { offset: u16::MAX });
        assert_eq!(wide.offset(u16::MAX), out);
        for multiplier in [1, 3, 6, u32::MAX] {
            assert!(notify(8, multiplier).is_err());
        }
    }

    #[test]
    fn shared_memory_may_be_above_four_gibibytes() {
        let capability = parse(&bytes(8, 2, 0x1000, 0, &[2, 1]));
        assert_eq!(capability.kind, Kind::SharedMemory { id: 7 });
        assert_eq!(capability.offset, 0x2_0000_1000);
        assert_eq!(capability.len, 0x1_0000_0000);
        assert!(capability.within(bar(0x3_0000_1000)).is_ok());
        assert!(capability.within(bar(0x3_0000_0fff)).is_err());
    }

    #[test]
    fn capabilities_for_others_are_passed_over() {
        let mut msix = bytes(1, 0, 0, 0x1000, &[]);
        msix[0] = 0x11;
        assert_eq!(Capability::parse(&msix), Ok(None));
        assert_eq!(Capability::parse(&[]), Ok(None));
        for kind in [0, 5, 6, 7, 9, 255] {
            assert_eq!(Capability::parse(&bytes(kind, 0, 0, 0x1000, &[])), Ok(None));
        }
        for reserved in [6, 7, 255] {
            assert_eq!(
                Capability::parse(&bytes(1, reserved, 0, 0x1000, &[])),
                Ok(None)
            );
        }
    }

    /// Every length that the bytes can have, and every length that they can claim.
    #[test]
    fn short_capabilities_are_errors() {
        for (kind, needed) in [(1, 16), (2, 20), (3, 16), (4, 16), (8, 24)] {
            let whole = bytes(kind, 0, 0, 0x1000, &[2, 0]);
            for len in 1..=whole.len() {
                for claimed in 0..=u8::MAX {
                    let mut bytes = whole[..len].to_vec();
                    if let Some(cap_len) = bytes.get_mut(2) {
                        *cap_len = claimed;
                    }
                    let is_whole = len >= needed && usize::from(claimed) >= needed;
                    assert_eq!(Capability::parse(&bytes).is_ok(), is_whole);
                }
            }
        }
    }
}
