//! Commands of zoned namespaces (ZNS command set specification 1.1, section 3.4).

use crate::command::Command;
use crate::nvm::over_blocks;
use crate::wire::SubmissionEntry;

/// Zone Send Action (ZSA): what is done with a zone, or with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneAction {
    /// Gives its open resources back, and keeps what was written.
    Close,
    /// Makes it full, whatever was written.
    Finish,
    /// Opens it explicitly.
    Open,
    /// Makes it empty.
    Reset,
    /// Takes a read-only zone out of use.
    Offline,
}

impl ZoneAction {
    const fn number(self) -> u64 {
        match self {
            Self::Close => 1,
            Self::Finish => 2,
            Self::Open => 3,
            Self::Reset => 4,
            Self::Offline => 5,
        }
    }
}

/// Zone Receive Action Specific (ZRASF): which zones a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All.
    All,
    /// Those that are empty.
    Empty,
    /// Those that a write has opened.
    ImplicitlyOpen,
    /// Those that a command has opened.
    ExplicitlyOpen,
    /// Those that are closed.
    Closed,
    /// Those that are full.
    Full,
    /// Those that can only be read.
    ReadOnly,
    /// Those that are out of use.
    Offline,
}

impl Filter {
    const fn number(self) -> u64 {
        match self {
            Self::All => 0,
            Self::Empty => 1,
            Self::ImplicitlyOpen => 2,
            Self::ExplicitlyOpen => 3,
            Self::Closed => 4,
            Self::Full => 5,
            Self::ReadOnly => 6,
            Self::Offline => 7,
        }
    }
}

/// Acts on the zone that starts at block `zone`, or on all zones that the action is for.
pub const fn zone_management_send(
    nsid: u32,
    zone: Option<u64>,
    action: ZoneAction,
) -> SubmissionEntry {
    const SELECT_ALL: u64 = 1 << 8;
    let (block, all) = match zone {
        Some(block) => (block, 0),
        None => (0, SELECT_ALL),
    };
    SubmissionEntry {
        nsid,
        cdw10_11: block,
        cdw12_13: (action.number() | all) << 32,
        ..Command::ZoneManagementSend.entry()
    }
}

/// Reports the zones from the one with block `block` on, into `bytes` bytes of memory, which
/// are a multiple of 4 and not 0.
///
/// The number of zones in the head of the report is the number of zones in the memory (Partial
/// Report).
pub const fn report_zones(nsid: u32, block: u64, filter: Filter, bytes: u32) -> SubmissionEntry {
    const PARTIAL: u64 = 1 << 16;
    const REPORT: u64 = 0;
    let dwords = (bytes / 4).saturating_sub(1) as u64;
    SubmissionEntry {
        nsid,
        cdw10_11: block,
        cdw12_13: dwords | (REPORT | filter.number() << 8 | PARTIAL) << 32,
        ..Command::ZoneManagementReceive.entry()
    }
}

/// Writes `blocks` blocks to where the write pointer of a zone is. The completion says where
/// that was.
pub const fn zone_append(nsid: u32, zone: u64, blocks: u32) -> SubmissionEntry {
    over_blocks(Command::ZoneAppend, nsid, zone, blocks)
}

impl SubmissionEntry {
    /// Protection Information Remap (PIREMAP) of Zone Append: the controller makes reference
    /// tags of type 1 those of the blocks that the data comes to.
    pub const fn with_remap(self) -> Self {
        const PIREMAP: u64 = 1 << 25;
        Self {
            cdw12_13: self.cdw12_13 | PIREMAP,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_commands_are_laid_out_as_specified() {
        let reset = zone_management_send(1, Some(0x4000), ZoneAction::Reset);
        assert_eq!(reset.cdw0.opcode(), 0x79);
        assert_eq!((reset.cdw10_11, reset.cdw12_13), (0x4000, 4 << 32));
        let all = zone_management_send(1, None, ZoneAction::Finish);
        assert_eq!((all.cdw10_11, all.cdw12_13), (0, 0x102 << 32));
        let report = report_zones(1, 8, Filter::Full, 4096);
        assert_eq!(report.cdw0.opcode(), 0x7a);
        assert_eq!(report.cdw12_13 as u32, 1023, "dwords, zero-based");
        assert_eq!(report.cdw12_13 >> 32, 0x1_0500);
        let append = zone_append(1, 0x4000, 8).with_remap();
        assert_eq!(append.cdw0.opcode(), 0x7d);
        assert_eq!((append.cdw10_11, append.cdw12_13), (0x4000, 0x0200_0007));
    }

    #[test]
    fn actions_and_filters_have_their_numbers() {
        use ZoneAction::{Close, Finish, Offline, Open, Reset};
        let numbers = [Close, Finish, Open, Reset, Offline].map(ZoneAction::number);
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        // Full is 5 in the specification, though read-only zones stand before full ones in the
        // table of states.
        assert_eq!(Filter::Full.number(), 5);
        assert_eq!(Filter::ReadOnly.number(), 6);
    }
}
