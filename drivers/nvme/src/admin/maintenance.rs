//! Commands that a disk sees a few times in its life: Sanitize, Device Self-test, firmware
//! updates; and Keep Alive, which it may see all the time (NVMe base specification 2.0,
//! sections 5.9, 5.12, 5.13, 5.18 and 5.24).

use crate::command::Command;
use crate::wire::SubmissionEntry;

/// Sanitize Action (SANACT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitize {
    /// Leaves the state that a failed operation has left.
    ExitFailure,
    /// Erases the media.
    BlockErase,
    /// Overwrites the media with a pattern, up to 16 times.
    Overwrite {
        /// The number of passes, 1 to 16.
        passes: u8,
        /// The pattern.
        pattern: u32,
    },
    /// Erases the key that everything is encrypted with.
    CryptoErase,
}

/// Sanitizes the whole subsystem: every namespace of every controller. All data is lost.
///
/// The command completes when the operation has begun. The log says how far it is.
pub const fn sanitize(what: Sanitize) -> SubmissionEntry {
    let (action, pattern) = match what {
        Sanitize::ExitFailure => (1, 0),
        Sanitize::BlockErase => (2, 0),
        // Sixteen passes are the number 0.
        Sanitize::Overwrite { passes, pattern } => (3 | (passes as u64 & 0xf) << 4, pattern),
        Sanitize::CryptoErase => (4, 0),
    };
    SubmissionEntry {
        cdw10_11: action | (pattern as u64) << 32,
        ..Command::Sanitize.entry()
    }
}

/// Self-test Code (STC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// A test of a few minutes.
    Short,
    /// A test that takes the time that the controller says (EDSTT).
    Extended,
    /// Ends the test that is going on.
    Abort,
}

/// Tests the controller, and namespace `nsid`: 0 for none, FFFFFFFFh for all.
///
/// The command completes when the test has begun. The log says how it ended.
pub const fn device_self_test(nsid: u32, what: SelfTest) -> SubmissionEntry {
    let code = match what {
        SelfTest::Short => 0x1,
        SelfTest::Extended => 0x2,
        SelfTest::Abort => 0xf,
    };
    SubmissionEntry {
        nsid,
        cdw10_11: code,
        ..Command::DeviceSelfTest.entry()
    }
}

/// Loads `bytes` bytes of a firmware image, which come from the command's memory and belong at
/// byte `offset` of the image. Both are multiples of 4.
pub const fn firmware_download(offset: u64, bytes: u32) -> SubmissionEntry {
    let dwords = (bytes / 4).saturating_sub(1) as u64;
    SubmissionEntry {
        cdw10_11: dwords | (offset / 4) << 32,
        ..Command::FirmwareDownload.entry()
    }
}

/// Commit Action (CA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Puts the loaded image into a slot.
    Replace,
    /// Puts it into a slot, and runs it from the next reset on.
    ReplaceAndActivate,
    /// Runs what is in a slot from the next reset on.
    Activate,
    /// Runs what is in a slot now.
    ActivateNow,
}

/// Commits a firmware image to slot 1 to 7, or to one that the controller chooses with 0.
pub const fn firmware_commit(slot: u8, what: Commit) -> SubmissionEntry {
    let action = match what {
        Commit::Replace => 0,
        Commit::ReplaceAndActivate => 1,
        Commit::Activate => 2,
        Commit::ActivateNow => 3,
    };
    SubmissionEntry {
        cdw10_11: (slot & 7) as u64 | action << 3,
        ..Command::FirmwareCommit.entry()
    }
}

/// Tells the controller that the host lives.
pub const fn keep_alive() -> SubmissionEntry {
    Command::KeepAlive.entry()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_laid_out_as_specified() {
        assert_eq!(sanitize(Sanitize::BlockErase).cdw0.opcode(), 0x84);
        assert_eq!(sanitize(Sanitize::BlockErase).cdw10_11, 2);
        assert_eq!(sanitize(Sanitize::CryptoErase).cdw10_11, 4);
        let overwrite = Sanitize::Overwrite {
            passes: 16,
            pattern: 0xdead_beef,
        };
        assert_eq!(sanitize(overwrite).cdw10_11, 0xdead_beef_0000_0003);
        let test = device_self_test(u32::MAX, SelfTest::Abort);
        assert_eq!((test.cdw0.opcode(), test.cdw10_11), (0x14, 0xf));
        let load = firmware_download(0x2000, 4096);
        assert_eq!(
            (load.cdw0.opcode(), load.cdw10_11),
            (0x11, 0x0000_0800_0000_03ff)
        );
        let commit = firmware_commit(2, Commit::ActivateNow);
        assert_eq!((commit.cdw0.opcode(), commit.cdw10_11), (0x10, 0x1a));
        assert_eq!(keep_alive().cdw0.opcode(), 0x18);
    }
}
