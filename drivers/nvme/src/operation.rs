//! What a request is to do: the plain data that commands are made of.
//!
//! A request may be larger than a command. So an [`Operation`] is not a command but what all
//! commands of one request have in common, with the rule by which they differ, its [`Shape`].
//! The queue makes the commands, one after the other, as there is room for them.
//!
//! An operation comes from a [`Namespace`](crate::Namespace), which has checked its blocks.
//! It says nothing about memory but how much there must be.

use crate::command::Command;
use crate::protection::{Guard, Protection};
use crate::sgl::Granularity;
use crate::wire::SubmissionEntry;
use bitfield_struct::bitfield;

/// How an operation becomes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Logical blocks in order: each command takes as many as it can. Dwords 10 and 11 are
    /// the first block (SLBA), the lower half of dword 12 the number of blocks (NLB).
    Blocks,
    /// Logical blocks in order, named by ranges of a Dataset Management command, which the
    /// queue writes to memory of its own.
    Ranges,
    /// Logical blocks in order that are written with others: the sources of a Copy command,
    /// which the queue describes in memory of its own.
    ///
    /// The guard of the namespace decides how sources are described.
    Sources(Guard),
    /// One command as it is. Its data, if any, is transferred as a whole.
    Whole,
}

/// What else than its size there is to the memory of a block.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub(crate) struct Traits {
    /// Bytes of separate metadata for each block; 0 if there is none.
    pub(crate) metadata_bytes: u16,
    /// Memory may be described by scatter gather lists.
    has_lists: bool,
    /// Their pieces have whole dwords only.
    has_dwords: bool,
    #[bits(14)]
    __: u16,
}

impl Traits {
    /// Separate metadata, and what pieces of a list must be like, if there may be lists.
    pub(crate) fn of(metadata_bytes: u16, lists: Option<Granularity>) -> Self {
        Self::new()
            .with_metadata_bytes(metadata_bytes)
            .with_has_lists(lists.is_some())
            .with_has_dwords(lists == Some(Granularity::Dword))
    }

    /// What pieces of a list must be like; `None` if there may be no lists.
    pub(crate) fn lists(self) -> Option<Granularity> {
        match (self.has_lists(), self.has_dwords()) {
            (false, _) => None,
            (true, false) => Some(Granularity::Byte),
            (true, true) => Some(Granularity::Dword),
        }
    }
}

/// How the commands of one operation are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Bytes of data memory for each block; 0 if the command moves no data.
    pub(crate) block_bytes: u32,
    /// What else there is to memory, in one word: then it is copied as one.
    pub(crate) traits: Traits,
    /// Most blocks in a command, not 0.
    pub(crate) max_blocks: u32,
    /// Most memory pages in a command, counting those at both ends that are only partly used.
    /// For [`Shape::Ranges`] and [`Shape::Sources`], where `max_blocks` is for a range: most
    /// ranges in a command.
    pub(crate) max_pages: u32,
    /// Blocks of a piece of the namespace that no command crosses the end of; 0 if it does not matter.
    pub(crate) boundary: u16,
    /// One command may be all of it, if its memory permits.
    pub(crate) may_be_short: bool,
}

impl Cut {
    /// A command without data, of one block.
    pub(crate) const NO_DATA: Self = Self {
        block_bytes: 0,
        traits: Traits::new(),
        max_blocks: 1,
        max_pages: u32::MAX,
        boundary: 0,
        may_be_short: true,
    };

    /// Most blocks for a command that begins at this block.
    pub(crate) fn most_at(&self, block: u64) -> u64 {
        let most = u64::from(self.max_blocks);
        match u64::from(self.boundary) {
            0 => most,
            boundary => most.min(boundary - block % boundary),
        }
    }

    /// The cut of a request for these blocks.
    #[inline]
    pub(crate) fn of(self, first: u64, blocks: u64) -> Self {
        // Pages are what a short command has two of.
        let is_one = self.boundary == 0 || blocks <= self.most_at(first);
        Self {
            may_be_short: self.max_pages > 1 && is_one,
            ..self
        }
    }
}

/// What a request is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub(crate) command: Command,
    pub(crate) shape: Shape,
    /// The command may be sent again if nobody knows whether it was executed.
    pub(crate) idempotent: bool,
    /// All of it is one command, or it is refused.
    pub(crate) is_single: bool,
    /// The protection whose reference tag, in dwords 3 and 14, counts with the blocks.
    pub(crate) protection: Option<Protection>,
    pub(crate) cut: Cut,
    pub(crate) nsid: u32,
    /// Blocks of the operation. For [`Shape::Whole`] with data: 1, of `block_bytes` bytes.
    pub(crate) blocks: u64,
    /// For [`Shape::Sources`]: the first block that is copied.
    pub(crate) from: u64,
    pub(crate) cdw2_3: u64,
    pub(crate) cdw10_11: u64,
    pub(crate) cdw12_13: u64,
    pub(crate) cdw14_15: u64,
}

// It is copied with each request.
const _: () = assert!(size_of::<Operation>() <= 80);

impl Operation {
    /// Force Unit Access (FUA), in dwords 12 and 13.
    const FUA: u64 = 1 << 30;
    /// Limited Retry (LR).
    const LIMITED_RETRY: u64 = 1 << 31;
    /// Deallocate (DEAC) of Write Zeroes.
    const DEALLOCATE: u64 = 1 << 25;

    /// One command, without data and options.
    #[inline(always)]
    pub(crate) fn whole(command: Command, nsid: u32) -> Self {
        Self {
            command,
            shape: Shape::Whole,
            idempotent: false,
            is_single: false,
            protection: None,
            cut: Cut::NO_DATA,
            nsid,
            blocks: 1,
            from: 0,
            cdw2_3: 0,
            cdw10_11: 0,
            cdw12_13: 0,
            cdw14_15: 0,
        }
    }

    /// A command for each so many blocks from `first` on, with data. The caller has checked
    /// that the namespace has these blocks, and that a command of `n` blocks moves `n` times
    /// `cut.block_bytes` bytes, since that is what the device will do.
    #[inline(always)]
    pub(crate) fn of_blocks(
        command: Command,
        nsid: u32,
        first: u64,
        blocks: u64,
        cut: Cut,
    ) -> Self {
        Self {
            shape: Shape::Blocks,
            idempotent: true,
            cut: cut.of(first, blocks),
            blocks,
            cdw10_11: first,
            ..Self::whole(command, nsid)
        }
    }

    /// One command that is made already, without data.
    pub(crate) fn of_entry(command: Command, entry: &SubmissionEntry) -> Self {
        Self {
            cdw2_3: entry.cdw2_3,
            cdw10_11: entry.cdw10_11,
            cdw12_13: entry.cdw12_13,
            cdw14_15: entry.cdw14_15,
            ..Self::whole(command, entry.nsid)
        }
    }

    /// As it is, with `bytes` bytes of data in one command, perhaps described by a list.
    pub(crate) fn with_data(mut self, bytes: u32, lists: Option<Granularity>) -> Self {
        self.cut.block_bytes = bytes;
        self.cut.traits = Traits::of(0, lists);
        self
    }

    /// As it is, and it does no harm to execute it twice: after a reset it is sent again.
    pub(crate) fn with_idempotence(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// A read or write that is answered only when the data is in durable memory (FUA).
    pub fn with_fua(mut self) -> Self {
        self.cdw12_13 |= Self::FUA;
        self
    }

    /// A request whose data may be elsewhere, too: the controller is to give up early rather
    /// than to try for long (Limited Retry).
    pub fn with_limited_retry(mut self) -> Self {
        self.cdw12_13 |= Self::LIMITED_RETRY;
        self
    }

    /// A Write Zeroes that may deallocate its blocks (Deallocate, DEAC). For other commands
    /// than that, it is as it was.
    pub fn with_deallocation(mut self) -> Self {
        if self.command == Command::WriteZeroes {
            self.cdw12_13 |= Self::DEALLOCATE;
        }
        self
    }

    /// As it is, and no command of it takes more than `blocks` blocks.
    pub fn in_commands_of(mut self, blocks: u32) -> Self {
        self.cut.max_blocks = self.cut.max_blocks.min(blocks.max(1));
        self
    }

    /// What it does.
    pub fn command(&self) -> Command {
        self.command
    }

    /// Its namespace.
    pub fn namespace(&self) -> u32 {
        self.nsid
    }

    /// Bytes of data memory that it takes.
    pub fn bytes(&self) -> u64 {
        // Saturated, no list is as long.
        self.blocks.saturating_mul(u64::from(self.cut.block_bytes))
    }

    /// Bytes of separate metadata memory that it takes.
    pub fn metadata_bytes(&self) -> u64 {
        let bytes = u64::from(self.cut.traits.metadata_bytes());
        self.blocks.saturating_mul(bytes)
    }

    /// The first block, if it has blocks.
    pub(crate) fn first_block(&self) -> Option<u64> {
        match self.shape {
            Shape::Blocks | Shape::Ranges | Shape::Sources(_) => Some(self.cdw10_11),
            Shape::Whole => None,
        }
    }

    /// The command for `blocks` blocks, `offset` blocks from the first one. Without pointers.
    #[inline(always)]
    pub(crate) fn entry(&self, offset: u64, blocks: u32) -> SubmissionEntry {
        let mut entry = SubmissionEntry {
            nsid: self.nsid,
            cdw2_3: self.cdw2_3,
            cdw10_11: self.cdw10_11,
            cdw12_13: self.cdw12_13,
            cdw14_15: self.cdw14_15,
            ..self.command.entry()
        };
        match self.shape {
            Shape::Blocks => {
                entry.cdw10_11 = self.cdw10_11.wrapping_add(offset);
                entry.cdw12_13 |= u64::from(blocks.wrapping_sub(1) & 0xffff);
            }
            Shape::Sources(_) => entry.cdw10_11 = self.cdw10_11.wrapping_add(offset),
            Shape::Ranges | Shape::Whole => {}
        }
        if let Some(protection) = &self.protection
            && offset != 0
        {
            let first = self.cdw14_15 & 0xffff_ffff | (self.cdw2_3 >> 32) << 32;
            let tag = protection.reference(first, offset);
            entry.cdw2_3 = (tag >> 32) << 32;
            entry.cdw14_15 = (self.cdw14_15 >> 32) << 32 | tag & 0xffff_ffff;
        }
        entry
    }
}

/// Most ranges in a Dataset Management command.
pub(crate) const MAX_RANGES: u64 = 256;

/// Most blocks in one of them.
pub(crate) const RANGE_BLOCKS: u64 = u32::MAX as u64;

/// A request for a queue: what to do, with which memory.
#[derive(Debug)]
pub struct Request<B> {
    /// What to do.
    pub operation: Operation,
    /// The data; `None` where the command moves none.
    pub data: Option<B>,
    /// Separate metadata; `None` where the command has none.
    pub metadata: Option<B>,
}

impl<B> Request<B> {
    /// A request without memory.
    pub fn new(operation: Operation) -> Self {
        Self {
            operation,
            data: None,
            metadata: None,
        }
    }

    /// A request with data, and with metadata in memory of its own.
    pub fn with_metadata(operation: Operation, data: B, metadata: B) -> Self {
        Self {
            operation,
            data: Some(data),
            metadata: Some(metadata),
        }
    }

    /// A request with data.
    pub fn with_data(operation: Operation, data: B) -> Self {
        Self {
            operation,
            data: Some(data),
            metadata: None,
        }
    }
}

/// A request that is over: its memory is the caller's again.
#[derive(Debug)]
pub struct Done<B> {
    /// The data. It is lost, `None`, only if [`Error::Lost`](crate::Error::Lost) says so.
    pub data: Option<B>,
    /// Separate metadata.
    pub metadata: Option<B>,
    /// Dwords 0 and 1 of the last completion, or the first error, by the order of blocks.
    pub result: Result<u64, crate::Error>,
}
