//! Formats of logical blocks (NVM command set specification 1.0, sections 2.1.4, 4.1.5.1
//! and 5.2).
//!
//! A block has data, a power of two of bytes, and may have metadata. In memory, the metadata
//! of a block either follows its data, so that a block is a little longer than its data, or
//! has memory of its own, which a command names by its metadata pointer. Some of the metadata
//! may be [protection information](crate::protection).

use crate::namespace::Unusable;
use crate::protection::{Guard, Kind, Position, Protection};
use crate::wire::{ExtendedLbaFormat, IdentifyNamespace, LbaFormat, NvmNamespace};
use core::fmt;

/// What the blocks of a namespace look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockFormat {
    /// Bytes of data in a block, a power of two of at least 512.
    pub data: u32,
    /// Bytes of metadata in a block (MS).
    pub metadata: u16,
    /// Where metadata lies in memory. Without metadata, this means nothing.
    pub placement: Placement,
    /// Protection information in the metadata.
    pub protection: Option<Protection>,
}

/// Where the metadata of blocks lies in memory (FLBAS bit 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Behind the data of each block: extended blocks.
    Interleaved,
    /// In memory of its own, which the metadata pointer names.
    Separate,
}

impl BlockFormat {
    /// A format of `1 << shift` bytes of data and nothing else.
    pub(crate) const fn plain(shift: u8) -> Self {
        Self {
            data: 1 << shift,
            metadata: 0,
            placement: Placement::Separate,
            protection: None,
        }
    }

    /// The format that a namespace has now.
    ///
    /// `extended` is what the NVM command set adds (CNS 05h); a controller without it has
    /// guards of 16 bits only.
    pub fn of(
        identify: &IdentifyNamespace,
        extended: Option<&NvmNamespace>,
    ) -> Result<Self, Unusable> {
        let index = identify.format_index();
        if index > usize::from(identify.nlbaf) {
            return Err(Unusable::Format { index: index as u8 });
        }
        let format = identify.lbaf[index];
        let extension = extended.map_or(ExtendedLbaFormat::new(), |extended| extended.elbaf[index]);
        let plain = Self::new(format)?;
        let protection = match identify.dps & 7 {
            0 => None,
            kind => {
                let unusable = Unusable::Protection { kind };
                if extension.sts() != 0 {
                    return Err(Unusable::StorageTag {
                        bits: extension.sts(),
                    });
                }
                let guard = match extension.pif() {
                    0 => Guard::Crc16,
                    2 => Guard::Crc64,
                    format => return Err(Unusable::Guard { format }),
                };
                // Protection without metadata to put it in is no format.
                if usize::from(plain.metadata) < guard.tuple_bytes() {
                    return Err(unusable);
                }
                Some(Protection {
                    kind: Kind::new(kind).ok_or(unusable)?,
                    guard,
                    position: match identify.dps & 8 {
                        0 => Position::Last,
                        _ => Position::First,
                    },
                })
            }
        };
        Ok(Self {
            placement: match identify.is_metadata_interleaved() {
                true => Placement::Interleaved,
                false => Placement::Separate,
            },
            protection,
            ..plain
        })
    }

    /// The sizes of a format in the table of formats.
    pub fn new(format: LbaFormat) -> Result<Self, Unusable> {
        let shift = format.lbads();
        if !(9..32).contains(&shift) {
            return Err(Unusable::BlockSize { shift });
        }
        Ok(Self {
            metadata: format.ms(),
            ..Self::plain(shift)
        })
    }

    /// Bytes that a block takes in a request's data memory.
    pub const fn memory_block_bytes(&self) -> u64 {
        match self.placement {
            Placement::Interleaved => self.data as u64 + self.metadata as u64,
            Placement::Separate => self.data as u64,
        }
    }

    /// Bytes that a block takes in a request's separate metadata memory.
    pub const fn metadata_block_bytes(&self) -> u64 {
        match self.placement {
            Placement::Interleaved => 0,
            Placement::Separate => self.metadata as u64,
        }
    }

    /// The format that memory has for commands in which the controller inserts and takes away
    /// the protection information (PRACT).
    ///
    /// If the information is all the metadata there is, memory has none. Otherwise memory has
    /// all of the metadata, and the controller writes over the information in it.
    pub const fn acted_on(self) -> Self {
        match self.protection {
            Some(protection) if protection.guard.tuple_bytes() == self.metadata as usize => Self {
                metadata: 0,
                protection: None,
                ..self
            },
            _ => self,
        }
    }
}

impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.data)?;
        if self.metadata == 0 {
            return Ok(());
        }
        write!(f, "+{}", self.metadata)?;
        if self.placement == Placement::Interleaved {
            f.write_str(" interleaved")?;
        }
        match self.protection {
            None => Ok(()),
            Some(protection) => write!(
                f,
                ", protection type {} with {} bits",
                protection.kind.number(),
                protection.guard.bits()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identify(shift: u8, ms: u16, flbas: u8, dps: u8) -> IdentifyNamespace {
        let mut identify = IdentifyNamespace {
            nlbaf: 1,
            flbas: flbas | 1,
            dps,
            ..IdentifyNamespace::default()
        };
        identify.lbaf[1] = LbaFormat::new().with_lbads(shift).with_ms(ms);
        identify
    }

    fn extended(pif: u8, sts: u8) -> NvmNamespace {
        let mut extended = NvmNamespace::default();
        extended.elbaf[1] = ExtendedLbaFormat::new().with_pif(pif).with_sts(sts);
        extended
    }

    #[test]
    fn all_formats_of_qemu_can_be_used() {
        for shift in [9, 12] {
            for ms in [0, 8, 16, 64] {
                for flbas in [0, 0x10] {
                    let format = BlockFormat::of(&identify(shift, ms, flbas, 0), None)
                        .expect("a usable format");
                    assert_eq!((format.data, format.metadata), (1 << shift, ms));
                    let together = format.memory_block_bytes() + format.metadata_block_bytes();
                    assert_eq!(together, (1 << shift) + u64::from(ms));
                }
            }
        }
    }

    #[test]
    fn protection_is_read_from_three_places() {
        let format = BlockFormat::of(&identify(9, 8, 0, 1), None).expect("usable");
        let protection = format.protection.expect("protected");
        assert_eq!(protection.kind, Kind::Type1);
        assert_eq!(protection.guard, Guard::Crc16);
        assert_eq!(protection.position, Position::Last);
        let format = BlockFormat::of(&identify(12, 64, 0x10, 8 | 3), Some(&extended(2, 0)));
        let protection = format.expect("usable").protection.expect("protected");
        assert_eq!(protection.kind, Kind::Type3);
        assert_eq!(protection.guard, Guard::Crc64);
        assert_eq!(protection.position, Position::First);
        // A guard format without a type means nothing.
        let format = BlockFormat::of(&identify(12, 64, 0, 0), Some(&extended(2, 0)));
        assert_eq!(format.expect("usable").protection, None);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let reason = |identify: &IdentifyNamespace, extended: Option<&NvmNamespace>| {
            BlockFormat::of(identify, extended).expect_err("unusable")
        };
        let protection = Unusable::Protection { kind: 1 };
        assert_eq!(reason(&identify(9, 0, 0, 1), None), protection);
        assert_eq!(
            reason(&identify(9, 8, 0, 1), Some(&extended(2, 0))),
            protection,
            "16 bytes do not fit into 8"
        );
        assert_eq!(
            reason(&identify(9, 8, 0, 5), None),
            Unusable::Protection { kind: 5 }
        );
        assert_eq!(
            reason(&identify(9, 16, 0, 2), Some(&extended(1, 0))),
            Unusable::Guard { format: 1 }
        );
        assert_eq!(
            reason(&identify(9, 16, 0, 2), Some(&extended(2, 8))),
            Unusable::StorageTag { bits: 8 }
        );
        for shift in [0, 8, 32, 255] {
            assert_eq!(
                reason(&identify(shift, 0, 0, 0), None),
                Unusable::BlockSize { shift }
            );
        }
        let mut far = identify(9, 0, 0, 0);
        far.flbas = 0x23;
        assert_eq!(reason(&far, None), Unusable::Format { index: 0x13 });
    }

    #[test]
    fn a_controller_that_acts_hides_the_information() {
        let format = BlockFormat::of(&identify(9, 8, 0x10, 1), None).expect("usable");
        assert_eq!(format.memory_block_bytes(), 520);
        assert_eq!(format.acted_on().memory_block_bytes(), 512);
        let format = BlockFormat::of(&identify(9, 64, 0x10, 1), None).expect("usable");
        assert_eq!(format.acted_on().memory_block_bytes(), 576);
        let format = BlockFormat::of(&identify(9, 8, 0, 1), None).expect("usable");
        assert_eq!(format.acted_on().metadata_block_bytes(), 0);
    }

    #[test]
    fn formats_have_names() {
        let name = |identify, pif| {
            let extended = extended(pif, 0);
            format!(
                "{}",
                BlockFormat::of(&identify, Some(&extended)).expect("usable")
            )
        };
        assert_eq!(name(identify(9, 0, 0x10, 0), 0), "512");
        assert_eq!(name(identify(12, 8, 0x10, 0), 0), "4096+8 interleaved");
        assert_eq!(
            name(identify(12, 16, 0, 2), 2),
            "4096+16, protection type 2 with 64 bits"
        );
        assert_eq!(
            name(identify(9, 8, 0, 1), 0),
            "512+8, protection type 1 with 16 bits"
        );
    }
}
