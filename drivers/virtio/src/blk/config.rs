//! What a block device is like (section 5.2.4): read once, checked, and kept.
//!
//! The configuration is the device's word, and may change while it is read. So it is read until the
//! generation stands still, and what makes no sense is an error. Sizes are in sectors of 512 bytes
//! in all of virtio, whatever the blocks of the disk are; here is where they become blocks.

use super::cache::Cache;
use super::request::{Command, Operation};
use crate::device::Kind;
use crate::error::{ConfigError, RequestError};
use crate::platform::Registers;
use crate::transport::{Accepted, Negotiation};
use virtio_spec::blk::F;

/// Bytes of a sector, virtio's unit.
pub(crate) const SECTOR: u64 = 512;

/// Offsets of the fields. A field is there if its feature was accepted.
mod field {
    pub(super) const CAPACITY: usize = 0;
    pub(super) const SIZE_MAX: usize = 8;
    pub(super) const SEG_MAX: usize = 12;
    pub(super) const BLK_SIZE: usize = 20;
    pub(super) const PHYSICAL_BLOCK_EXP: usize = 24;
    pub(super) const OPT_IO_SIZE: usize = 28;
    pub(super) const WRITEBACK: usize = 32;
    pub(super) const NUM_QUEUES: usize = 34;
    pub(super) const MAX_DISCARD_SECTORS: usize = 36;
    pub(super) const MAX_DISCARD_SEG: usize = 40;
    pub(super) const DISCARD_SECTOR_ALIGNMENT: usize = 44;
    pub(super) const MAX_WRITE_ZEROES_SECTORS: usize = 48;
    pub(super) const MAX_WRITE_ZEROES_SEG: usize = 52;
}

/// The largest blocks that are believed.
const MAX_BLOCK: u32 = 1 << 16;

/// The features that this driver implements. Nothing else is accepted, whatever is offered.
///
/// ACCESS_PLATFORM is among them because the driver tells a device nothing but bus addresses.
fn wishes() -> Negotiation<F> {
    let implemented = F::EVENT_IDX
        | F::RING_PACKED
        | F::INDIRECT_DESC
        | F::ACCESS_PLATFORM
        | F::SIZE_MAX
        | F::SEG_MAX
        | F::RO
        | F::BLK_SIZE
        | F::FLUSH
        | F::TOPOLOGY
        | F::CONFIG_WCE
        | F::MQ
        | F::DISCARD
        | F::WRITE_ZEROES;
    Negotiation::new(implemented, F::empty())
}

/// How blocks without data are dealt with: discarded, or zeroed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Most sectors in a command.
    pub max_sectors: u32,
    /// Sectors that are best dealt with together.
    pub granularity: u32,
}

/// What a block device is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Bytes of a block, a power of two and at least 512.
    pub block_size: u32,
    /// Number of blocks.
    pub blocks: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// There is a write cache, so a flush means something: what was written while it was on may be lost with the power
    /// until then.
    pub has_cache: bool,
    /// The write cache is on.
    pub writes_back: bool,
    /// It can be turned on and off.
    pub can_switch_cache: bool,
    /// Whether, and how, blocks can be discarded.
    pub discard: Option<Extent>,
    /// Whether, and how, blocks can be zeroed.
    pub write_zeroes: Option<Extent>,
    /// Bytes that are written as a whole by the device, a multiple of a block's. A hint.
    pub physical_block: u64,
    /// Bytes that it likes in a request; 0 if it does not say. A hint.
    pub optimal_transfer: u64,
    /// Most bytes in one piece of memory.
    pub(crate) size_max: u32,
    /// Most pieces of memory in a command.
    pub(crate) seg_max: u32,
    /// Queues for requests.
    pub(crate) queues: u16,
}

/// Block devices.
pub(crate) enum Block {}

impl Kind for Block {
    type Features = F;
    type Properties = Properties;
    type Standing = Cache;

    fn wishes() -> Negotiation<F> {
        wishes()
    }

    fn read_once(
        config: &impl Registers,
        accepted: &Accepted<F>,
    ) -> Result<Properties, ConfigError> {
        Properties::read_once(config, accepted)
    }

    fn with_queues(mut properties: Properties, queues: u16) -> Properties {
        properties.queues = properties.queues.min(queues);
        properties
    }

    fn continues(now: &Properties, before: &Properties) -> bool {
        let lasting = |properties: &Properties| Properties {
            blocks: 0,
            writes_back: false,
            ..*properties
        };
        lasting(now) == lasting(before)
    }

    fn renew(cache: &Cache, config: &impl Registers, properties: &mut Properties) {
        if let Some(is_on) = cache.wish().filter(|_| properties.can_switch_cache) {
            properties.writes_back = switch_cache(config, is_on);
        }
    }

    fn notice(cache: &Cache, config: &impl Registers, properties: &mut Properties) {
        if properties.can_switch_cache {
            properties.writes_back = is_cache_on(config);
        }
        cache.notice(properties.writes_back);
    }
}

/// Tells a device to turn its write cache on or off. Returns which of them it has done.
pub(super) fn switch_cache(config: &impl Registers, is_on: bool) -> bool {
    config.write8(field::WRITEBACK, u8::from(is_on));
    is_cache_on(config)
}

fn is_cache_on(config: &impl Registers) -> bool {
    config.read8(field::WRITEBACK) != 0
}

impl Properties {
    fn read_once(config: &impl Registers, accepted: &Accepted<F>) -> Result<Self, ConfigError> {
        let has = |feature| accepted.contains(feature);
        let short = ConfigError::Short { len: config.len() };
        let inside = |at: usize, bytes: usize| match at + bytes <= config.len() {
            true => Ok(()),
            false => Err(short),
        };
        let read32 = |at| inside(at, 4).map(|()| config.read32(at));
        // A field without its feature has no meaning, and may not be there.
        let optional = |feature, at, otherwise| match has(feature) {
            true => read32(at),
            false => Ok(otherwise),
        };
        let block_size = optional(F::BLK_SIZE, field::BLK_SIZE, SECTOR as u32)?;
        if !block_size.is_power_of_two() || !(SECTOR as u32..=MAX_BLOCK).contains(&block_size) {
            return Err(ConfigError::BlockSize(block_size));
        }
        let size_max = optional(F::SIZE_MAX, field::SIZE_MAX, u32::MAX)?;
        if size_max < SECTOR as u32 {
            return Err(ConfigError::SegmentSize(size_max));
        }
        let low = u64::from(read32(field::CAPACITY)?);
        let sectors = u64::from(read32(field::CAPACITY + 4)?) << 32 | low;
        let sectors_a_block = u64::from(block_size) / SECTOR;
        let extent = |feature, [sectors, segments, granularity]: [Option<usize>; 3]| {
            let value = |at: Option<usize>| at.map_or(Ok(1), read32);
            let (max, segments) = (value(sectors)?, value(segments)?);
            // Whole blocks only. One segment of those that a command may have is enough.
            let max = max - max % sectors_a_block as u32;
            let is_usable = has(feature) && max != 0 && segments != 0;
            Ok(is_usable.then_some(Extent {
                max_sectors: max,
                granularity: value(granularity)?.max(1),
            }))
        };
        let discard = match has(F::DISCARD) {
            true => extent(
                F::DISCARD,
                [
                    Some(field::MAX_DISCARD_SECTORS),
                    Some(field::MAX_DISCARD_SEG),
                    Some(field::DISCARD_SECTOR_ALIGNMENT),
                ],
            )?,
            false => None,
        };
        let write_zeroes = match has(F::WRITE_ZEROES) {
            true => extent(
                F::WRITE_ZEROES,
                [
                    Some(field::MAX_WRITE_ZEROES_SECTORS),
                    Some(field::MAX_WRITE_ZEROES_SEG),
                    None,
                ],
            )?,
            false => None,
        };
        let (mut physical_block, mut optimal_transfer) = (u64::from(block_size), 0);
        if has(F::TOPOLOGY) {
            let optimal = read32(field::OPT_IO_SIZE)?;
            let exponent = config.read8(field::PHYSICAL_BLOCK_EXP);
            physical_block <<= exponent.min(16);
            optimal_transfer = u64::from(optimal) * u64::from(block_size);
        }
        let queues = match has(F::MQ) {
            true => {
                inside(field::NUM_QUEUES, 2)?;
                config.read16(field::NUM_QUEUES).max(1)
            }
            false => 1,
        };
        let writes_back = match has(F::CONFIG_WCE) {
            true => {
                inside(field::WRITEBACK, 1)?;
                is_cache_on(config)
            }
            false => true,
        };
        Ok(Self {
            block_size,
            blocks: sectors / sectors_a_block,
            read_only: has(F::RO),
            has_cache: has(F::FLUSH),
            writes_back: has(F::FLUSH) && writes_back,
            can_switch_cache: has(F::FLUSH) && has(F::CONFIG_WCE),
            discard,
            write_zeroes,
            physical_block,
            optimal_transfer,
            size_max,
            // One at least, whatever the device says: a request without memory is of no use.
            seg_max: optional(F::SEG_MAX, field::SEG_MAX, 1)?.max(1),
            queues,
        })
    }

    /// Reads blocks.
    ///
    /// # Errors
    /// If the device does not have the blocks, or there are none.
    #[inline]
    pub fn read_blocks(&self, block: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.operation(Command::Read, block, blocks)
    }

    /// Writes blocks.
    ///
    /// # Errors
    /// As for [`read_blocks`](Self::read_blocks), and if the device is read-only.
    #[inline]
    pub fn write_blocks(&self, block: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.changing(Command::Write, block, blocks)
    }

    /// Makes all that was written durable. `None` if there is nothing that it could do: the device
    /// has no cache.
    pub fn flush(&self) -> Option<Operation> {
        self.has_cache.then(Operation::flush)
    }

    /// Says that the content of blocks does not matter any more.
    ///
    /// # Errors
    /// As for [`write_blocks`](Self::write_blocks), and if the device does not offer it.
    pub fn discard_blocks(&self, block: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.discard.ok_or(RequestError::Unsupported)?;
        self.changing(Command::Discard, block, blocks)
    }

    /// Makes blocks read as zeros. With `unmap` their space may go
    /// ([`Operation::with_unmap`]); without, it stays.
    ///
    /// # Errors
    /// As for [`discard_blocks`](Self::discard_blocks).
    pub fn zero_blocks(&self, block: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.write_zeroes.ok_or(RequestError::Unsupported)?;
        self.changing(Command::WriteZeroes, block, blocks)
    }

    #[inline]
    fn changing(
        &self,
        command: Command,
        block: u64,
        blocks: u64,
    ) -> Result<Operation, RequestError> {
        match self.read_only {
            true => Err(RequestError::ReadOnly),
            false => self.operation(command, block, blocks),
        }
    }

    #[inline]
    fn operation(
        &self,
        command: Command,
        block: u64,
        blocks: u64,
    ) -> Result<Operation, RequestError> {
        if blocks == 0 {
            return Err(RequestError::Length);
        }
        let end = block.checked_add(blocks).ok_or(RequestError::OutOfRange)?;
        if end > self.blocks {
            return Err(RequestError::OutOfRange);
        }
        // None of them overflows: the device has that many sectors.
        let sectors_a_block = u64::from(self.block_size) / SECTOR;
        let (first, sectors) = (block * sectors_a_block, blocks * sectors_a_block);
        Ok(Operation::new(command, first, sectors))
    }
}
