//! The requests of a namespace: which blocks, and what is done with them.
//!
//! A request is checked here against what is known of the namespace, before it goes to a
//! queue. The controller checks again, of course; but a number of blocks that is wrong here
//! would be an amount of memory that is wrong there.
//!
//! Blocks with [protection information](crate::protection) and nothing else beside their data
//! look like blocks without: the controller makes the information when it writes, and checks
//! it and takes it away when it reads. Whoever wants to see it says so with
//! [`Namespace::protected`].

use crate::command::Command;
use crate::error::RequestError;
use crate::limits::{Limits, MAX_PAGES};
use crate::namespace::Namespace;
use crate::nvm::{CopyRange, Filter, ZoneAction, report_zones, zone_management_send};
use crate::operation::{Cut, Operation, Shape};
use crate::page::PAGE;
use crate::protection::{Checks, Guard, Protection, Tags};
use crate::wire::{ZoneDescriptor, ZoneReport};

impl Namespace {
    /// Reads `blocks` blocks from `first` on.
    #[inline(always)]
    pub fn read(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.transfer(Command::Read, first, blocks)
    }

    /// Writes `blocks` blocks from `first` on.
    ///
    /// What is written may be lost with the power until a [`flush`](Self::flush), or with
    /// [`with_fua`](Operation::with_fua).
    #[inline(always)]
    pub fn write(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.writable()?;
        self.transfer(Command::Write, first, blocks)
    }

    /// Compares `blocks` blocks from `first` on with memory.
    ///
    /// A difference is the status Compare Failure, whose meaning is
    /// [`Mismatch`](crate::Meaning::Mismatch). Of a long request, some commands may have been
    /// compared before and some after that.
    pub fn compare(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        supported(self.can.compare)?;
        self.transfer(Command::Compare, first, blocks)
    }

    /// Makes blocks read as zeros, without sending zeros.
    pub fn write_zeroes(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.writable()?;
        self.without_data(Command::WriteZeroes, first, blocks, self.can.write_zeroes)
    }

    /// Reads blocks without bringing them here: an error says that they cannot be read.
    pub fn verify(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.without_data(Command::Verify, first, blocks, self.can.verify)
    }

    /// Says that nobody needs the contents of blocks any more (Dataset Management).
    pub fn deallocate(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        supported(self.can.dataset_management)?;
        self.writable()?;
        self.check(first, blocks)?;
        let limits = self.dataset;
        let range_blocks = u64::from(limits.range_blocks).min(limits.blocks);
        // Fewer ranges, if that many full ones would be too many blocks.
        let ranges = (limits.blocks / range_blocks).min(u64::from(limits.ranges));
        let cut = Cut {
            max_blocks: range_blocks as u32,
            max_pages: ranges as u32,
            ..Cut::NO_DATA
        };
        let command = Command::DatasetManagement;
        Ok(Operation {
            shape: Shape::Ranges,
            ..Operation::of_blocks(command, self.id, first, blocks, cut)
        })
    }

    /// Copies `blocks` blocks from block `source` on to block `target` on. The two must not overlap.
    pub fn copy(&self, source: u64, target: u64, blocks: u64) -> Result<Operation, RequestError> {
        let limits = self.copy_limits.ok_or(RequestError::Unsupported)?;
        self.writable()?;
        self.check(source, blocks)?;
        self.check(target, blocks)?;
        if source.abs_diff(target) < blocks {
            return Err(RequestError::Overlap);
        }
        let guard = self.format.protection.map(|protection| protection.guard);
        let guard = guard.unwrap_or(Guard::Crc16);
        let range_blocks = limits.range_blocks.min(limits.blocks);
        // No more than there is room to describe, nor than there may be blocks.
        let room = PAGE as u32 / CopyRange::bytes(guard) as u32;
        let ranges = (limits.blocks / range_blocks).min(u32::from(limits.ranges));
        let cut = Cut {
            max_blocks: range_blocks,
            max_pages: ranges.min(room),
            ..Cut::NO_DATA
        };
        let operation = Operation::of_blocks(Command::Copy, self.id, target, blocks, cut);
        let mut operation = Operation {
            shape: Shape::Sources(guard),
            from: source,
            ..operation
        };
        // The controller takes the information away on the one side and makes it on the other.
        self.act(&mut operation, target);
        Ok(operation)
    }

    /// Makes everything durable that was written before.
    ///
    /// `None` if the controller has no volatile write cache: everything is durable then, and
    /// no command must be sent.
    pub fn flush(&self) -> Option<Operation> {
        let operation = Operation::whole(Command::Flush, self.id).with_idempotence();
        self.has_write_cache.then_some(operation)
    }

    /// Writes `blocks` blocks to where the write pointer of the zone at block `zone` is.
    ///
    /// The result of the request is the block where that was. An append is one command, and
    /// so has at most [`Zoned::append_bytes`](crate::zones::Zoned::append_bytes). It is never
    /// done twice: it is sent again only if the controller says that it could not begin.
    pub fn append(&self, zone: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.writable()?;
        let zoned = self.zone(zone)?;
        let operation = self.transfer(Command::ZoneAppend, zone, blocks)?;
        let most = zoned.append_bytes / u64::from(operation.cut.block_bytes.max(1));
        let most = most.min(u64::from(operation.cut.max_blocks));
        if blocks > most {
            return Err(RequestError::TooLong { blocks, most });
        }
        Ok(Operation {
            idempotent: false,
            is_single: true,
            ..operation
        })
    }

    /// Acts on the zone at block `zone`, or on all zones that the action is for.
    pub fn act_on_zone(
        &self,
        zone: Option<u64>,
        action: ZoneAction,
    ) -> Result<Operation, RequestError> {
        self.writable()?;
        self.zone(zone.unwrap_or(0))?;
        let entry = zone_management_send(self.id, zone, action);
        // Whatever is done to a zone, its state afterwards is the same if it is done again.
        Ok(Operation::of_entry(Command::ZoneManagementSend, &entry).with_idempotence())
    }

    /// Reports up to `zones` zones from the one with block `block` on, of those that the
    /// filter lets through.
    ///
    /// The data of the request is for [`Zoned::report`](crate::zones::Zoned::report).
    pub fn report_zones(
        &self,
        block: u64,
        filter: Filter,
        zones: u32,
    ) -> Result<Operation, RequestError> {
        // More than one can ask for at a time is no use to anybody.
        let room = self.limits.max_transfer_bytes.min(MAX_PAGES * PAGE) as usize;
        let most = (room - ZoneReport::BYTES) / ZoneDescriptor::BYTES;
        self.check(block, 1)?;
        supported(self.zoned.is_some())?;
        let zones = (zones as usize).clamp(1, most);
        let bytes = (ZoneReport::BYTES + zones * ZoneDescriptor::BYTES) as u32;
        let entry = report_zones(self.id, block, filter, bytes);
        let operation = Operation::of_entry(Command::ZoneManagementReceive, &entry);
        Ok(operation
            .with_data(bytes, self.limits.lists)
            .with_idempotence())
    }

    /// The request with its protection information in the caller's hands.
    ///
    /// Without `act` in `checks`, memory has all metadata: for an interleaved format, behind
    /// the data of each block, and else in the request's metadata. With it, the controller
    /// makes and takes away the information, and memory has the metadata only if there is more
    /// of it. Without protection, there is nothing to check, but metadata is in memory in
    /// any case.
    ///
    /// For requests on blocks.
    pub fn protected(
        &self,
        operation: Operation,
        checks: Checks,
        tags: Tags,
    ) -> Result<Operation, RequestError> {
        supported(operation.shape == Shape::Blocks)?;
        let memory = match checks.act() {
            true => self.format.acted_on(),
            false => self.format,
        };
        let cut = match operation.cut.block_bytes {
            // No data, and so nothing in memory.
            0 => operation.cut,
            _ => {
                let cut = self.cut_for(&memory);
                cut.of(operation.cdw10_11, operation.blocks)
            }
        };
        let operation = Operation { cut, ..operation };
        match self.format.protection {
            Some(protection) => Ok(with_tags(operation, protection, checks, tags)),
            None if checks == Checks::new() => Ok(operation),
            None => Err(RequestError::Unsupported),
        }
    }

    /// What one command may transfer.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What one command may transfer, as a device-independent caller sees it.
    pub fn command_limits(&self) -> phyr::Limits {
        let most = self.limits.max_transfer_bytes;
        self.limits.means().rules(u64::from(self.block_size), most)
    }

    #[inline(always)]
    fn transfer(
        &self,
        command: Command,
        first: u64,
        blocks: u64,
    ) -> Result<Operation, RequestError> {
        self.check(first, blocks)?;
        let mut operation = Operation::of_blocks(command, self.id, first, blocks, self.cut);
        self.act(&mut operation, first);
        Ok(operation)
    }

    /// A command on blocks that moves no data, with at most `most` blocks; 0 if there is none.
    fn without_data(
        &self,
        command: Command,
        first: u64,
        blocks: u64,
        most: u32,
    ) -> Result<Operation, RequestError> {
        supported(most != 0)?;
        self.check(first, blocks)?;
        let cut = Cut {
            max_blocks: most,
            ..Cut::NO_DATA
        };
        let mut operation = Operation::of_blocks(command, self.id, first, blocks, cut);
        self.act(&mut operation, first);
        Ok(operation)
    }

    /// The controller makes, checks and takes away protection information, if there is any.
    #[inline(always)]
    fn act(&self, operation: &mut Operation, first: u64) {
        if let Some(protection) = self.format.protection {
            act_by(protection, operation, first);
        }
    }

    fn writable(&self) -> Result<(), RequestError> {
        match self.write_protected {
            true => Err(RequestError::WriteProtected { nsid: self.id }),
            false => Ok(()),
        }
    }

    /// The zones, if `block` is the start of one.
    fn zone(&self, block: u64) -> Result<crate::zones::Zoned, RequestError> {
        self.check(block, 1)?;
        let zoned = self.zoned.ok_or(RequestError::Unsupported)?;
        match zoned.zone_of(block) == Some(block) {
            true => Ok(zoned),
            false => Err(RequestError::NoZone { block }),
        }
    }

    /// Whether the namespace can be used, and has these blocks.
    #[inline(always)]
    fn check(&self, first: u64, blocks: u64) -> Result<(), RequestError> {
        if let Some(reason) = self.unusable {
            let nsid = self.id;
            return Err(RequestError::UnusableNamespace { nsid, reason });
        }
        if blocks == 0 {
            return Err(RequestError::Length {
                bytes: 0,
                block_size: self.block_size,
            });
        }
        let capacity = self.blocks;
        if first.checked_add(blocks).is_none_or(|end| end > capacity) {
            return Err(RequestError::OutOfRange {
                block: first,
                blocks,
                capacity,
            });
        }
        Ok(())
    }
}

/// The controller makes, checks and takes away this protection information.
#[cold]
fn act_by(protection: Protection, operation: &mut Operation, first: u64) {
    let checks = Checks::all(protection.kind).with_application(false);
    let tags = Tags::of_block(first, protection.guard);
    // Verify has no data to take the information from.
    let checks = checks.with_act(operation.command != Command::Verify);
    *operation = with_tags(*operation, protection, checks, tags);
}

/// An operation with these protection information fields, whose tag counts as the type says.
fn with_tags(
    operation: Operation,
    protection: Protection,
    checks: Checks,
    tags: Tags,
) -> Operation {
    let entry = operation.entry(0, 1);
    let entry = entry.with_protection(protection.guard, checks, tags);
    Operation {
        cdw2_3: entry.cdw2_3,
        cdw12_13: entry.cdw12_13,
        cdw14_15: entry.cdw14_15,
        protection: Some(protection),
        ..operation
    }
}

fn supported(is_supported: bool) -> Result<(), RequestError> {
    match is_supported {
        true => Ok(()),
        false => Err(RequestError::Unsupported),
    }
}
