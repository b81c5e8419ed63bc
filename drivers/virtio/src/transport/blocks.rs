//! The register blocks of a device, of all its capabilities.

use super::capability::{Capability, CapabilityError, Kind, Notify};
use phyr::Phyr;

/// Where the registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// The common configuration.
    pub common: Phyr,
    /// Where queues are notified.
    pub notify: Notify,
    /// The configuration of this kind of device.
    pub device: Phyr,
    /// What the device asks for by its line, one byte. `None` if it does not say where, or not inside of a BAR: who has messages
    /// needs none.
    pub isr: Option<Phyr>,
}

impl Blocks {
    /// Looks through capabilities, in list order, each as the bytes of configuration space that it
    /// starts with. `bar` is the memory behind a base address register.
    ///
    /// Of several blocks for one purpose the first counts that is in memory: the device prefers it
    /// (section 4.1.4). A block that makes no sense is passed over, and is an error only if no
    /// other serves.
    pub fn find<'c>(
        capabilities: impl IntoIterator<Item = &'c [u8]>,
        bar: impl Fn(u8) -> Option<Phyr>,
    ) -> Result<Self, CapabilityError> {
        let (mut common, mut notify, mut device, mut isr) = (None, None, None, None);
        let mut wrong = None;
        for bytes in capabilities {
            let found = Capability::parse(bytes).and_then(|capability| {
                let Some(capability) = capability else {
                    return Ok(());
                };
                let Some(bar) = bar(capability.bar) else {
                    return Ok(());
                };
                match capability.kind {
                    Kind::Common if common.is_none() => common = Some(capability.within(bar)?),
                    Kind::Device if device.is_none() => device = Some(capability.within(bar)?),
                    Kind::Isr if isr.is_none() => isr = capability.within(bar).ok(),
                    Kind::Notify { .. } if notify.is_none() => {
                        notify = capability.notify(bar).transpose()?;
                    }
                    _ => {}
                }
                Ok(())
            });
            if let Err(error) = found {
                wrong.get_or_insert(error);
            }
        }
        let missing = |block| wrong.unwrap_or(CapabilityError::Missing { block });
        Ok(Self {
            common: common.ok_or(missing("the common configuration"))?,
            notify: notify.ok_or(missing("notifications"))?,
            device: device.ok_or(missing("the device's configuration"))?,
            isr,
        })
    }
}

/// The memory with this identifier that a device shares (section 4.1.4.7). `None` if it names none.
///
/// # Errors
/// If it names one that is not inside its base address register.
pub fn shared_memory<'c>(
    capabilities: impl IntoIterator<Item = &'c [u8]>,
    bar: impl Fn(u8) -> Option<Phyr>,
    id: u8,
) -> Result<Option<Phyr>, CapabilityError> {
    for bytes in capabilities {
        if let Ok(Some(capability)) = Capability::parse(bytes)
            && capability.kind == (Kind::SharedMemory { id })
            && let Some(bar) = bar(capability.bar)
        {
            return capability.within(bar).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::PhysAddr;

    fn capability(kind: u8, bar: u8, offset: u32, len: u32) -> Vec<u8> {
        let mut bytes = vec![0x09, 0, 20, kind, bar, 0, 0, 0];
        for word in [offset, len, 4] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    /// BAR 4 is memory, all others are not.
    fn memory() -> Phyr {
        Phyr::new(PhysAddr::new(0x38_0000_0000), 0x4000).expect("a range")
    }

    fn find(capabilities: &[Vec<u8>]) -> Result<Blocks, CapabilityError> {
        let bar = |index| (index == 4).then(memory);
        Blocks::find(capabilities.iter().map(Vec::as_slice), bar)
    }

    /// What a transitional device of QEMU has: I/O ports for those who know no better, and the
    /// same blocks as a modern one.
    #[test]
    fn a_transitional_device_has_modern_blocks() {
        let blocks = find(&[
            capability(5, 0, 0, 0),
            capability(2, 4, 0x3000, 0x1000),
            capability(4, 4, 0x2000, 0x1000),
            capability(3, 4, 0x1000, 0x1000),
            capability(1, 4, 0, 0x1000),
        ]);
        let blocks = blocks.expect("all are there");
        assert_eq!(Some(blocks.common), memory().sub(0, 0x1000));
        assert_eq!(Some(blocks.device), memory().sub(0x2000, 0x1000));
        assert_eq!(blocks.isr, memory().sub(0x1000, 0x1000));
        assert_eq!(Some(blocks.notify.block()), memory().sub(0x3000, 0x1000));
    }

    #[test]
    fn the_first_usable_block_counts() {
        let mut all = vec![
            capability(1, 0, 0, 0x1000),      // I/O ports
            capability(1, 4, 0x3fff, 0x1000), // outside
            capability(1, 4, 0x100, 0x40),
            capability(1, 4, 0, 0x1000),
            capability(2, 4, 0x3000, 0x1000),
            capability(4, 4, 0x2000, 0x1000),
        ];
        let blocks = find(&all).expect("all are there");
        assert_eq!(Some(blocks.common), memory().sub(0x100, 0x40));
        assert_eq!(blocks.isr, None, "nobody needs it who has messages");
        all.push(capability(3, 4, 0x4000, 1));
        let blocks = find(&all).expect("all are there");
        assert_eq!(blocks.isr, None, "it is outside");
        all.pop();
        all.drain(2..4);
        let outside = matches!(find(&all), Err(CapabilityError::Misaligned { .. }));
        assert!(outside, "{:?}", find(&all));
        all.remove(1);
        let missing = matches!(find(&all), Err(CapabilityError::Missing { .. }));
        assert!(missing, "a legacy device has none that can be used");
    }

    #[test]
    fn shared_memory_is_found_by_its_identifier_and_is_inside() {
        let memory = |id: u8, high: u32| {
            let mut bytes = vec![0x09, 0, 24, 8, 2, id, 0, 0];
            for word in [0x1000, 0x2000, high, 0] {
                bytes.extend(u32::to_le_bytes(word));
            }
            bytes
        };
        let bar = |index| {
            let bar = Phyr::new(PhysAddr::new(0xf000_0000), 0x3000).expect("a range");
            (index == 2).then_some(bar)
        };
        let all = [capability(1, 2, 0, 56), memory(1, 0), memory(0, 0)];
        let find = |all: &[Vec<u8>], id| shared_memory(all.iter().map(Vec::as_slice), bar, id);
        let expected = Phyr::new(PhysAddr::new(0xf000_1000), 0x2000).expect("a range");
        assert_eq!(find(&all, 0), Ok(Some(expected)));
        assert_eq!(find(&all, 7), Ok(None));
        assert!(find(&[memory(0, 1)], 0).is_err());
    }
}
