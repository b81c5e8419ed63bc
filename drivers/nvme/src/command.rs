//! Builders of the commands that the driver sends (NVMe base specification 2.0, section 5;
//! NVM command set specification 1.0, section 3).
//!
//! A builder fills in everything but the command identifier, which the queue gives when it
//! takes the command.

use crate::wire::{DwordZero, SubmissionEntry};

/// What a command does, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Identify, controller data structure (CNS 01h).
    IdentifyController,
    /// Identify, active namespace list (CNS 02h).
    IdentifyActiveNamespaces,
    /// Identify, namespace data structure (CNS 00h).
    IdentifyNamespace,
    /// Set Features, number of queues (FID 07h).
    SetNumberOfQueues,
    /// Create I/O Completion Queue.
    CreateCompletionQueue,
    /// Create I/O Submission Queue.
    CreateSubmissionQueue,
    /// Delete I/O Completion Queue.
    DeleteCompletionQueue,
    /// Delete I/O Submission Queue.
    DeleteSubmissionQueue,
    /// Read.
    Read,
    /// Write.
    Write,
    /// Flush.
    Flush,
}

impl Command {
    /// The opcode (OPC). Admin and NVM commands count separately.
    pub const fn opcode(self) -> u8 {
        match self {
            Self::DeleteSubmissionQueue => 0x00,
            Self::CreateSubmissionQueue => 0x01,
            Self::DeleteCompletionQueue => 0x04,
            Self::CreateCompletionQueue => 0x05,
            Self::IdentifyController | Self::IdentifyActiveNamespaces | Self::IdentifyNamespace => {
                0x06
            }
            Self::SetNumberOfQueues => 0x09,
            Self::Flush => 0x00,
            Self::Write => 0x01,
            Self::Read => 0x02,
        }
    }

    /// The specification's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdentifyController => "Identify Controller",
            Self::IdentifyActiveNamespaces => "Identify Active Namespace List",
            Self::IdentifyNamespace => "Identify Namespace",
            Self::SetNumberOfQueues => "Set Features (Number of Queues)",
            Self::CreateCompletionQueue => "Create I/O Completion Queue",
            Self::CreateSubmissionQueue => "Create I/O Submission Queue",
            Self::DeleteCompletionQueue => "Delete I/O Completion Queue",
            Self::DeleteSubmissionQueue => "Delete I/O Submission Queue",
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Flush => "Flush",
        }
    }

    /// An entry with the opcode and nothing else.
    const fn entry(self) -> SubmissionEntry {
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

/// Identify Controller into the page at `data`.
pub(crate) fn identify_controller(data: u64) -> SubmissionEntry {
    identify(Command::IdentifyController, 0x01, 0, data)
}

/// Identify the up to 1024 active namespaces with identifiers above `after`.
pub(crate) fn identify_active_namespaces(after: u32, data: u64) -> SubmissionEntry {
    identify(Command::IdentifyActiveNamespaces, 0x02, after, data)
}

/// Identify Namespace `nsid` into the page at `data`.
pub(crate) fn identify_namespace(nsid: u32, data: u64) -> SubmissionEntry {
    identify(Command::IdentifyNamespace, 0x00, nsid, data)
}

/// Identify with a Controller or Namespace Structure (CNS) value; `data` is page-aligned.
fn identify(command: Command, cns: u64, nsid: u32, data: u64) -> SubmissionEntry {
    SubmissionEntry {
        nsid,
        prp1: data,
        cdw10_11: cns,
        ..command.entry()
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

/// Moves `blocks` logical blocks, 1 to 65536, from or to `block` on.
///
/// `direction` is [`Command::Read`] or [`Command::Write`].
pub(crate) fn transfer(
    direction: Command,
    nsid: u32,
    block: u64,
    blocks: u32,
    data: DataPointer,
) -> SubmissionEntry {
    debug_assert!((1..=65536).contains(&blocks));
    SubmissionEntry {
        nsid,
        prp1: data.prp1,
        prp2: data.prp2,
        cdw10_11: block,
        cdw12_13: u64::from(blocks.wrapping_sub(1) & 0xffff),
        ..direction.entry()
    }
}

/// Makes everything written to the namespace before durable.
pub(crate) fn flush(nsid: u32) -> SubmissionEntry {
    SubmissionEntry {
        nsid,
        ..Command::Flush.entry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dword(entry: &SubmissionEntry, index: usize) -> u32 {
        (entry.words()[index / 2] >> (index % 2 * 32)) as u32
    }

    #[test]
    fn read_is_laid_out_as_specified() {
        let data = DataPointer {
            prp1: 0x1000,
            prp2: 0x2000,
        };
        let entry = transfer(Command::Read, 7, 0x1_0000_0002, 65536, data);
        assert_eq!(dword(&entry, 0), 0x02);
        assert_eq!(dword(&entry, 1), 7);
        assert_eq!(dword(&entry, 6), 0x1000);
        assert_eq!(dword(&entry, 8), 0x2000);
        assert_eq!(dword(&entry, 10), 2);
        assert_eq!(dword(&entry, 11), 1);
        assert_eq!(dword(&entry, 12), 0xffff);
        assert_eq!(dword(&entry, 13), 0);
    }

    #[test]
    fn one_block_is_zero_in_the_command() {
        let data = DataPointer { prp1: 0, prp2: 0 };
        let entry = transfer(Command::Write, 1, 0, 1, data);
        assert_eq!(dword(&entry, 0), 0x01);
        assert_eq!(dword(&entry, 12), 0);
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
    fn admin_commands_carry_cns_and_feature() {
        assert_eq!(dword(&identify_controller(0x1000), 10), 1);
        assert_eq!(dword(&identify_active_namespaces(9, 0x1000), 10), 2);
        assert_eq!(dword(&identify_active_namespaces(9, 0x1000), 1), 9);
        assert_eq!(dword(&identify_namespace(4, 0x1000), 10), 0);
        assert_eq!(dword(&identify_namespace(4, 0x1000), 1), 4);
        let entry = set_number_of_queues(2);
        assert_eq!(dword(&entry, 0), 0x09);
        assert_eq!(dword(&entry, 10), 7);
        assert_eq!(dword(&entry, 11), 0x0001_0001);
        assert_eq!(dword(&flush(5), 1), 5);
    }
}
