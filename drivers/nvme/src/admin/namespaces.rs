//! Commands that change namespaces: Format NVM, Namespace Attachment, Namespace Management
//! (NVMe base specification 2.0, sections 5.14, 5.22 and 5.23).

use crate::command::Command;
use crate::format::Placement;
use crate::protection::{Kind, Position};
use crate::wire::{IdentifyNamespace, SubmissionEntry};

/// Secure Erase Settings (SES).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erase {
    /// Formatting need not erase anything.
    No,
    /// All data is overwritten or erased.
    User,
    /// The key that all data is encrypted with is erased.
    Crypto,
}

/// What the blocks of a namespace are to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Index in the namespace's table of LBA formats, below 64.
    pub index: u8,
    /// Where metadata is to be in memory.
    pub placement: Placement,
    /// The protection information, and where it is to be in the metadata.
    pub protection: Option<(Kind, Position)>,
    /// What is to be erased.
    pub erase: Erase,
}

impl Format {
    /// The format with this index without protection, and without erasing anything.
    pub const fn new(index: u8) -> Self {
        Self {
            index,
            placement: Placement::Separate,
            protection: None,
            erase: Erase::No,
        }
    }

    /// FLBAS of a namespace that has this format.
    pub const fn flbas(&self) -> u8 {
        let interleaved = match self.placement {
            Placement::Interleaved => 0x10,
            Placement::Separate => 0,
        };
        self.index & 0xf | interleaved | (self.index >> 4 & 3) << 5
    }

    /// DPS of a namespace that has this format.
    pub const fn dps(&self) -> u8 {
        match self.protection {
            None => 0,
            Some((kind, Position::Last)) => kind.number(),
            Some((kind, Position::First)) => kind.number() | 8,
        }
    }
}

/// Formats namespace `nsid`. All its blocks are lost.
pub const fn format_nvm(nsid: u32, format: Format) -> SubmissionEntry {
    let erase = match format.erase {
        Erase::No => 0,
        Erase::User => 1,
        Erase::Crypto => 2,
    };
    let interleaved = match format.placement {
        Placement::Interleaved => 1 << 4,
        Placement::Separate => 0,
    };
    let protection = match format.protection {
        None => 0,
        Some((kind, position)) => {
            let first = match position {
                Position::First => 1 << 8,
                Position::Last => 0,
            };
            (kind.number() as u64) << 5 | first
        }
    };
    let index = (format.index & 0xf) as u64 | ((format.index >> 4 & 3) as u64) << 12;
    SubmissionEntry {
        nsid,
        cdw10_11: index | interleaved | protection | erase << 9,
        ..Command::FormatNvm.entry()
    }
}

/// What Namespace Attachment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// The controllers can use the namespace.
    Attach,
    /// They cannot use it any more. It stays, with its data.
    Detach,
}

/// Attaches or detaches namespace `nsid`. The command's 4096 bytes of memory are a
/// [controller list](crate::wire::controller_list).
pub const fn namespace_attachment(nsid: u32, what: Attachment) -> SubmissionEntry {
    let select = match what {
        Attachment::Attach => 0,
        Attachment::Detach => 1,
    };
    SubmissionEntry {
        nsid,
        cdw10_11: select,
        ..Command::NamespaceAttachment.entry()
    }
}

/// A namespace to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewNamespace {
    /// Blocks that it has (NSZE).
    pub blocks: u64,
    /// Blocks that there is room for (NCAP), at most `blocks`.
    pub capacity: u64,
    /// What the blocks look like. `erase` means nothing here.
    pub format: Format,
    /// Several controllers may have it attached (NMIC bit 0).
    pub is_shared: bool,
}

impl NewNamespace {
    /// The structure as it lies in the command's memory.
    pub fn encode(&self) -> [u8; IdentifyNamespace::BYTES] {
        let mut bytes = [0; IdentifyNamespace::BYTES];
        let identify = IdentifyNamespace {
            nsze: self.blocks,
            ncap: self.capacity,
            flbas: self.format.flbas(),
            dps: self.format.dps(),
            nmic: u8::from(self.is_shared),
            ..IdentifyNamespace::default()
        };
        identify.encode(&mut bytes);
        bytes
    }
}

/// Creates a namespace of the NVM command set. The command's 4096 bytes of memory are a
/// [`NewNamespace`]; dword 0 of the completion is the identifier of the namespace.
pub const fn create_namespace() -> SubmissionEntry {
    Command::NamespaceManagement.entry()
}

/// Deletes namespace `nsid`, and all its data.
pub const fn delete_namespace(nsid: u32) -> SubmissionEntry {
    const DELETE: u64 = 1;
    SubmissionEntry {
        nsid,
        cdw10_11: DELETE,
        ..Command::NamespaceManagement.entry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_laid_out_as_specified() {
        let plain = format_nvm(2, Format::new(1));
        assert_eq!(plain.cdw0.opcode(), 0x80);
        assert_eq!((plain.nsid, plain.cdw10_11), (2, 1));
        let format = Format {
            index: 0x25,
            placement: Placement::Interleaved,
            protection: Some((Kind::Type3, Position::First)),
            erase: Erase::Crypto,
        };
        let entry = format_nvm(2, format);
        // LBAFU, SES, PIL, PI, MSET, LBAFL.
        assert_eq!(
            entry.cdw10_11,
            2 << 12 | 2 << 9 | 1 << 8 | 3 << 5 | 1 << 4 | 5
        );
        assert_eq!(format.flbas(), 0x55);
        assert_eq!(format.dps(), 0x0b);
    }

    #[test]
    fn the_format_of_a_namespace_is_the_one_that_was_asked_for() {
        for index in 0..64 {
            let identify = IdentifyNamespace {
                flbas: Format::new(index).flbas(),
                ..IdentifyNamespace::default()
            };
            assert_eq!(identify.format_index(), usize::from(index));
        }
    }

    #[test]
    fn attachment_and_management_are_laid_out_as_specified() {
        let attach = namespace_attachment(4, Attachment::Attach);
        assert_eq!((attach.cdw0.opcode(), attach.cdw10_11), (0x15, 0));
        assert_eq!(namespace_attachment(4, Attachment::Detach).cdw10_11, 1);
        assert_eq!(create_namespace().cdw0.opcode(), 0x0d);
        let delete = delete_namespace(9);
        assert_eq!((delete.nsid, delete.cdw10_11), (9, 1));
        let new = NewNamespace {
            blocks: 100,
            capacity: 50,
            format: Format::new(3),
            is_shared: true,
        };
        let bytes = new.encode();
        assert_eq!((bytes[0], bytes[8], bytes[26], bytes[30]), (100, 50, 3, 1));
    }
}
