//! Builders of the commands that the driver sends (NVMe base specification 2.0, section 5;
//! NVM command set specification 1.0, section 3).
//!
//! A builder fills in everything but the command identifier, which the queue gives when it
//! takes the command.

use crate::page::PAGE;
use crate::wire::{DwordZero, SubmissionEntry};

/// Lists commands: what each does, its opcode, and how errors call it.
macro_rules! commands {
    ($($set:ident { $( $(#[$doc:meta])* $name:ident = $opcode:literal, $text:literal; )* })*) => {
        /// What a command does, as errors name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Command {
            $($( $(#[$doc])* $name, )*)*
        }

        impl Command {
            /// All commands that the driver knows.
            pub const ALL: &'static [Self] = &[$($( Self::$name, )*)*];

            /// The opcode (OPC). Admin and I/O commands count separately.
            pub const fn opcode(self) -> u8 {
                match self {
                    $($( Self::$name => $opcode, )*)*
                }
            }

            /// The specification's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $($( Self::$name => $text, )*)*
                }
            }

            /// Whether the command goes to the admin queue.
            pub const fn is_admin(self) -> bool {
                enum Set {
                    Admin,
                    Io,
                }
                let set = match self {
                    $($( Self::$name => Set::$set, )*)*
                };
                matches!(set, Set::Admin)
            }
        }
    };
}

commands! {
    Admin {
        /// Delete I/O Submission Queue.
        DeleteSubmissionQueue = 0x00, "Delete I/O Submission Queue";
        /// Create I/O Submission Queue.
        CreateSubmissionQueue = 0x01, "Create I/O Submission Queue";
        /// Get Log Page.
        GetLogPage = 0x02, "Get Log Page";
        /// Delete I/O Completion Queue.
        DeleteCompletionQueue = 0x04, "Delete I/O Completion Queue";
        /// Create I/O Completion Queue.
        CreateCompletionQueue = 0x05, "Create I/O Completion Queue";
        /// Identify, controller data structure (CNS 01h).
        IdentifyController = 0x06, "Identify Controller";
        /// Identify, active namespace list (CNS 02h, or 07h of one command set).
        IdentifyActiveNamespaces = 0x06, "Identify Active Namespace List";
        /// Identify, namespace data structure (CNS 00h).
        IdentifyNamespace = 0x06, "Identify Namespace";
        /// Identify, namespace identification descriptors (CNS 03h).
        IdentifyDescriptors = 0x06, "Identify Namespace Descriptors";
        /// Identify, namespace data structure of a command set (CNS 05h).
        IdentifyNamespaceOfSet = 0x06, "Identify Namespace of a Command Set";
        /// Identify, controller data structure of a command set (CNS 06h).
        IdentifyControllerOfSet = 0x06, "Identify Controller of a Command Set";
        /// Identify, allocated namespace list (CNS 10h).
        IdentifyAllocatedNamespaces = 0x06, "Identify Allocated Namespace List";
        /// Identify, allocated namespace data structure (CNS 11h).
        IdentifyAllocatedNamespace = 0x06, "Identify Allocated Namespace";
        /// Identify, list of controllers that a namespace is attached to (CNS 12h).
        IdentifyControllers = 0x06, "Identify Controller List";
        /// Identify, I/O command sets (CNS 1Ch).
        IdentifyCommandSets = 0x06, "Identify I/O Command Sets";
        /// Abort.
        Abort = 0x08, "Abort";
        /// Set Features, number of queues (FID 07h).
        SetNumberOfQueues = 0x09, "Set Features (Number of Queues)";
        /// Set Features.
        SetFeatures = 0x09, "Set Features";
        /// Get Features.
        GetFeatures = 0x0a, "Get Features";
        /// Asynchronous Event Request.
        AsynchronousEventRequest = 0x0c, "Asynchronous Event Request";
        /// Namespace Management.
        NamespaceManagement = 0x0d, "Namespace Management";
        /// Firmware Commit.
        FirmwareCommit = 0x10, "Firmware Commit";
        /// Firmware Image Download.
        FirmwareDownload = 0x11, "Firmware Image Download";
        /// Device Self-test.
        DeviceSelfTest = 0x14, "Device Self-test";
        /// Namespace Attachment.
        NamespaceAttachment = 0x15, "Namespace Attachment";
        /// Keep Alive.
        KeepAlive = 0x18, "Keep Alive";
        /// Doorbell Buffer Config.
        DoorbellBufferConfig = 0x7c, "Doorbell Buffer Config";
        /// Format NVM.
        FormatNvm = 0x80, "Format NVM";
        /// Sanitize.
        Sanitize = 0x84, "Sanitize";
    }
    Io {
        /// Flush.
        Flush = 0x00, "Flush";
        /// Write.
        Write = 0x01, "Write";
        /// Read.
        Read = 0x02, "Read";
        /// Compare.
        Compare = 0x05, "Compare";
        /// Write Zeroes.
        WriteZeroes = 0x08, "Write Zeroes";
        /// Dataset Management.
        DatasetManagement = 0x09, "Dataset Management";
        /// Verify.
        Verify = 0x0c, "Verify";
        /// Copy.
        Copy = 0x19, "Copy";
        /// Zone Management Send.
        ZoneManagementSend = 0x79, "Zone Management Send";
        /// Zone Management Receive.
        ZoneManagementReceive = 0x7a, "Zone Management Receive";
        /// Zone Append.
        ZoneAppend = 0x7d, "Zone Append";
    }
}

/// Which way a command moves data, if it moves any: a bit for each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// No data.
    Nothing = 0,
    /// The device reads memory.
    ToDevice = 1,
    /// The device writes memory.
    FromDevice = 2,
    /// Both.
    BothWays = 3,
}

impl Command {
    /// Which way data goes: the two lowest bits of an opcode say so.
    pub const fn direction(self) -> Direction {
        match self.opcode() & 3 {
            0 => Direction::Nothing,
            1 => Direction::ToDevice,
            2 => Direction::FromDevice,
            _ => Direction::BothWays,
        }
    }

    /// An entry with the opcode and nothing else.
    #[inline(always)]
    pub const fn entry(self) -> SubmissionEntry {
        SubmissionEntry {
            cdw0: DwordZero::new().with_opcode(self.opcode()),
            nsid: 0,
            cdw2_3: 0,
            mptr: 0,
            prp1: 0,
            prp2: 0,
            cdw10_11: 0,
            cdw12_13: 0,
            cdw14_15: 0,
        }
    }
}

impl core::fmt::Display for Command {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// Asks for `pairs` I/O submission and completion queues; at least one.
pub(crate) fn set_number_of_queues(pairs: u16) -> SubmissionEntry {
    const NUMBER_OF_QUEUES: u64 = 0x07;
    let zero_based = u64::from(pairs.saturating_sub(1));
    SubmissionEntry {
        cdw10_11: NUMBER_OF_QUEUES | (zero_based | zero_based << 16) << 32,
        ..Command::SetNumberOfQueues.entry()
    }
}

/// Creates a polled, physically contiguous I/O completion queue.
pub(crate) fn create_completion_queue(queue: u16, entries: u16, base: u64) -> SubmissionEntry {
    const CONTIGUOUS: u64 = 1;
    SubmissionEntry {
        prp1: base,
        cdw10_11: queue_and_size(queue, entries) | CONTIGUOUS << 32,
        ..Command::CreateCompletionQueue.entry()
    }
}

/// Creates a physically contiguous I/O submission queue that completes to the completion
/// queue of the same identifier.
pub(crate) fn create_submission_queue(queue: u16, entries: u16, base: u64) -> SubmissionEntry {
    const CONTIGUOUS: u64 = 1;
    SubmissionEntry {
        prp1: base,
        cdw10_11: queue_and_size(queue, entries) | (u64::from(queue) << 16 | CONTIGUOUS) << 32,
        ..Command::CreateSubmissionQueue.entry()
    }
}

/// Turns shadow doorbells on: a page of shadows at `base`, and EventIdx on the page behind it.
pub(crate) fn doorbell_buffer_config(base: u64) -> SubmissionEntry {
    SubmissionEntry {
        prp1: base,
        prp2: base + PAGE,
        ..Command::DoorbellBufferConfig.entry()
    }
}

/// Deletes an I/O submission queue.
pub(crate) fn delete_submission_queue(queue: u16) -> SubmissionEntry {
    SubmissionEntry {
        cdw10_11: u64::from(queue),
        ..Command::DeleteSubmissionQueue.entry()
    }
}

/// Deletes an I/O completion queue, whose submission queue is gone already.
pub(crate) fn delete_completion_queue(queue: u16) -> SubmissionEntry {
    SubmissionEntry {
        cdw10_11: u64::from(queue),
        ..Command::DeleteCompletionQueue.entry()
    }
}

/// Queue Identifier and zero-based Queue Size, as dword 10 of the create commands has them.
fn queue_and_size(queue: u16, entries: u16) -> u64 {
    u64::from(queue) | u64::from(entries.saturating_sub(1)) << 16
}

/// The data pointer of a command: two PRP entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataPointer {
    /// The first page, with an offset.
    pub(crate) prp1: u64,
    /// The second page, or the first PRP list, or 0 if the first page is all.
    pub(crate) prp2: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command that the driver sends, by what it is known to do with memory.
    #[test]
    fn opcodes_say_which_way_data_goes() {
        use Direction::{FromDevice, Nothing, ToDevice};
        for command in Command::ALL {
            let expected = match command {
                Command::Write
                | Command::Compare
                | Command::DatasetManagement
                | Command::Copy
                | Command::ZoneManagementSend
                | Command::ZoneAppend
                | Command::SetFeatures
                | Command::SetNumberOfQueues
                | Command::NamespaceManagement
                | Command::NamespaceAttachment
                | Command::FirmwareDownload
                | Command::CreateSubmissionQueue
                | Command::CreateCompletionQueue => ToDevice,
                Command::Read
                | Command::ZoneManagementReceive
                | Command::GetLogPage
                | Command::GetFeatures => FromDevice,
                command if command.opcode() == 0x06 => FromDevice,
                _ => Nothing,
            };
            assert_eq!(command.direction(), expected, "{command}");
        }
    }

    fn dword(entry: &SubmissionEntry, index: usize) -> u32 {
        (entry.words()[index / 2] >> (index % 2 * 32)) as u32
    }

    #[test]
    fn queues_are_created_contiguous_and_polled() {
        let entry = create_completion_queue(1, 64, 0x5000);
        assert_eq!(dword(&entry, 0), 0x05);
        assert_eq!(dword(&entry, 10), 63 << 16 | 1);
        assert_eq!(dword(&entry, 11), 1);
        assert_eq!(entry.prp1, 0x5000);
        let entry = create_submission_queue(3, 2, 0x6000);
        assert_eq!(dword(&entry, 0), 0x01);
        assert_eq!(dword(&entry, 10), 1 << 16 | 3);
        assert_eq!(dword(&entry, 11), 3 << 16 | 1);
        assert_eq!(dword(&delete_submission_queue(3), 10), 3);
        assert_eq!(dword(&delete_completion_queue(3), 0), 0x04);
    }

    #[test]
    fn features_are_numbered() {
        let entry = set_number_of_queues(2);
        assert_eq!(dword(&entry, 0), 0x09);
        assert_eq!(dword(&entry, 10), 7);
        assert_eq!(dword(&entry, 11), 0x0001_0001);
    }
}
