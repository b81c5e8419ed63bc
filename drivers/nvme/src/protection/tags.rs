//! What a command says about protection: what the controller is to check, and what it is to
//! expect (NVM command set specification 1.0, section 3.2.4, command dwords 3, 12, 14 and 15).

use super::{Guard, Kind, Protection};
use crate::wire::SubmissionEntry;
use bitfield_struct::bitfield;

/// Protection Information Field (PRINFO): what the controller does with the information.
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct Checks {
    /// Check the reference tag (PRCHK bit 0).
    pub reference: bool,
    /// Check the application tag (PRCHK bit 1).
    pub application: bool,
    /// Check the guard (PRCHK bit 2).
    pub guard: bool,
    /// The controller inserts the information on a write and takes it away on a read
    /// (PRACT).
    pub act: bool,
    #[bits(4)]
    __: u8,
}

impl Checks {
    /// Everything that can be checked for a type of protection.
    ///
    /// A reference tag of type 3 means nothing to a controller.
    pub const fn all(kind: Kind) -> Self {
        Self::new()
            .with_guard(true)
            .with_application(true)
            .with_reference(!matches!(kind, Kind::Type3))
    }
}

/// What the tags of the blocks of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    /// The application tag (LBAT).
    pub application: u16,
    /// The bits of the application tag that are checked (LBATM).
    pub application_mask: u16,
    /// The reference tag of the first block (ILBRT).
    pub reference: u64,
}

impl Tags {
    /// The tags of type 1 for a request that starts at `block`: the tag is the block, and no
    /// bit of the application tag is checked.
    pub const fn of_block(block: u64, guard: Guard) -> Self {
        Self {
            application: 0,
            application_mask: 0,
            reference: block & guard.reference_mask(),
        }
    }

    /// The tags for what is left of a request after its first `blocks` blocks.
    pub const fn behind(self, protection: &Protection, blocks: u64) -> Self {
        Self {
            reference: protection.reference(self.reference, blocks),
            ..self
        }
    }
}

impl SubmissionEntry {
    /// The command with protection information fields.
    ///
    /// The upper bits of a reference tag of 48 bits are in dword 3. A tag of 32 bits leaves
    /// that alone, since there it would be reserved.
    pub const fn with_protection(self, guard: Guard, checks: Checks, tags: Tags) -> Self {
        const PRINFO: u32 = 26;
        let reference = tags.reference & guard.reference_mask();
        let info = (checks.into_bits() as u64 & 0xf) << PRINFO;
        let application = tags.application as u64 | (tags.application_mask as u64) << 16;
        Self {
            cdw2_3: (reference >> 32) << 32,
            cdw12_13: self.cdw12_13 & !(0xf << PRINFO) | info,
            cdw14_15: reference & 0xffff_ffff | application << 32,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    #[test]
    fn fields_are_where_the_specification_has_them() {
        let checks = Checks::new().with_guard(true).with_act(true);
        let tags = Tags {
            application: 0x1234,
            application_mask: 0x00ff,
            reference: 0x5678_9abc_def0,
        };
        let base = SubmissionEntry {
            cdw12_13: 7 | 1 << 30,
            ..Command::Write.entry()
        };
        let entry = base.with_protection(Guard::Crc64, checks, tags);
        assert_eq!(entry.cdw2_3, 0x5678_0000_0000);
        assert_eq!(entry.cdw12_13, 7 | 1 << 30 | 1 << 29 | 1 << 28);
        assert_eq!(entry.cdw14_15, 0x00ff_1234_9abc_def0);
        let entry = base.with_protection(Guard::Crc16, checks, tags);
        assert_eq!(entry.cdw2_3, 0, "reserved");
        assert_eq!(entry.cdw14_15, 0x00ff_1234_9abc_def0);
        let all = base.with_protection(Guard::Crc16, Checks::all(Kind::Type1), tags);
        assert_eq!(all.cdw12_13, 7 | 1 << 30 | 7 << 26);
        let all = base.with_protection(Guard::Crc16, Checks::all(Kind::Type3), tags);
        assert_eq!(all.cdw12_13, 7 | 1 << 30 | 6 << 26);
    }

    #[test]
    fn tags_go_on_behind_a_cut() {
        let mut protection = Protection {
            kind: Kind::Type1,
            guard: Guard::Crc16,
            position: super::super::Position::First,
        };
        let tags = Tags::of_block(0x1_0000_0005, Guard::Crc16);
        assert_eq!(tags.reference, 5);
        assert_eq!(tags.behind(&protection, 8).reference, 13);
        protection.kind = Kind::Type3;
        assert_eq!(tags.behind(&protection, 8).reference, 5);
    }
}
