//! Queue entries (NVMe base specification 2.0, sections 3.3.3.1 and 3.3.3.2).

use crate::status::Status;
use bitfield_struct::bitfield;

/// Command dword 0 (CDW0) of a submission queue entry.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct DwordZero {
    /// Opcode (OPC).
    pub opcode: u8,
    /// Fused Operation (FUSE); 0 is a normal command.
    #[bits(2)]
    pub fuse: u8,
    #[bits(4)]
    __: u8,
    /// PRP or SGL for Data Transfer (PSDT); 0 means PRPs.
    #[bits(2)]
    pub psdt: u8,
    /// Command Identifier (CID).
    pub cid: u16,
}

/// A submission queue entry: one command, 64 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SubmissionEntry {
    /// Opcode, command identifier and the kind of data pointer (CDW0).
    pub cdw0: DwordZero,
    /// Namespace Identifier (NSID).
    pub nsid: u32,
    /// Command dwords 2 and 3.
    pub cdw2_3: u64,
    /// Metadata Pointer (MPTR).
    pub mptr: u64,
    /// First PRP entry of the data pointer.
    pub prp1: u64,
    /// Second PRP entry of the data pointer, or the first PRP list.
    pub prp2: u64,
    /// Command dwords 10 and 11.
    pub cdw10_11: u64,
    /// Command dwords 12 and 13.
    pub cdw12_13: u64,
    /// Command dwords 14 and 15.
    pub cdw14_15: u64,
}

impl SubmissionEntry {
    /// Size of an entry in bytes; the I/O Submission Queue Entry Size (IOSQES) is its log2.
    pub const BYTES: usize = 64;

    /// The entry as it lies in memory, in little-endian words.
    pub const fn words(&self) -> [u64; 8] {
        [
            self.cdw0.into_bits() as u64 | (self.nsid as u64) << 32,
            self.cdw2_3,
            self.mptr,
            self.prp1,
            self.prp2,
            self.cdw10_11,
            self.cdw12_13,
            self.cdw14_15,
        ]
    }

    /// The entry that lies in memory as these words.
    pub const fn from_words(words: &[u64; 8]) -> Self {
        Self {
            cdw0: DwordZero::from_bits(words[0] as u32),
            nsid: (words[0] >> 32) as u32,
            cdw2_3: words[1],
            mptr: words[2],
            prp1: words[3],
            prp2: words[4],
            cdw10_11: words[5],
            cdw12_13: words[6],
            cdw14_15: words[7],
        }
    }
}

/// A completion queue entry, 16 bytes. Everything in it is the device's word, not a fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CompletionEntry {
    /// Dwords 0 and 1: the command's own result.
    pub result: u64,
    /// SQ Head Pointer (SQHD).
    pub sq_head: u16,
    /// SQ Identifier (SQID).
    pub sq_id: u16,
    /// Command Identifier (CID).
    pub cid: u16,
    /// Status field and phase tag.
    pub status: Status,
}

impl CompletionEntry {
    /// Size of an entry in bytes; the I/O Completion Queue Entry Size (IOCQES) is its log2.
    pub const BYTES: usize = 16;

    /// The entry as it lies in memory, in little-endian words.
    pub const fn words(&self) -> [u64; 2] {
        [
            self.result,
            self.sq_head as u64
                | (self.sq_id as u64) << 16
                | (self.cid as u64) << 32
                | (self.status.into_bits() as u64) << 48,
        ]
    }

    /// The entry that lies in memory as these words.
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self {
            result: words[0],
            sq_head: words[1] as u16,
            sq_id: (words[1] >> 16) as u16,
            cid: (words[1] >> 32) as u16,
            status: Status::from_bits((words[1] >> 48) as u16),
        }
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<SubmissionEntry>() == SubmissionEntry::BYTES);
    assert!(offset_of!(SubmissionEntry, nsid) == 4);
    assert!(offset_of!(SubmissionEntry, mptr) == 16);
    assert!(offset_of!(SubmissionEntry, prp1) == 24);
    assert!(offset_of!(SubmissionEntry, prp2) == 32);
    assert!(offset_of!(SubmissionEntry, cdw10_11) == 40);
    assert!(size_of::<CompletionEntry>() == CompletionEntry::BYTES);
    assert!(offset_of!(CompletionEntry, sq_head) == 8);
    assert!(offset_of!(CompletionEntry, cid) == 12);
    assert!(offset_of!(CompletionEntry, status) == 14);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submission_words_are_the_layout() {
        let entry = SubmissionEntry {
            cdw0: DwordZero::new().with_opcode(0x02).with_cid(0xabcd),
            nsid: 0x1122_3344,
            cdw2_3: 0,
            mptr: 1,
            prp1: 2,
            prp2: 3,
            cdw10_11: 4,
            cdw12_13: 5,
            cdw14_15: 6,
        };
        let words = entry.words();
        assert_eq!(words[0].to_le_bytes()[0], 0x02);
        assert_eq!(words[0], 0x1122_3344_abcd_0002);
        assert_eq!(words[1..], [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(SubmissionEntry::from_words(&words), entry);
    }

    #[test]
    fn completion_words_are_the_layout() {
        let words = [0x0000_0000_dead_beef, 0x8027_abcd_0001_0203];
        let entry = CompletionEntry::from_words(words);
        assert_eq!(entry.result, 0xdead_beef);
        assert_eq!(entry.sq_head, 0x0203);
        assert_eq!(entry.sq_id, 1);
        assert_eq!(entry.cid, 0xabcd);
        assert!(entry.status.phase());
        assert_eq!(entry.status.sc(), 0x13);
        assert_eq!(entry.words(), words);
    }
}
