//! Namespaces (NVM command set specification 1.0, section 4.1.5.1).
//!
//! A namespace is a disk of its own behind the controller. What it is like, and whether this
//! driver can use it, is decided here, from the identify data alone. A namespace that cannot be
//! used is still listed, with the reason, so that nobody wonders where it went.

use crate::abilities::Abilities;
use crate::admin::CommandSet;
use crate::format::BlockFormat;
use crate::limits::Limits;
use crate::nvm::{CopyLimits, DatasetLimits, MAX_BLOCKS};
use crate::operation::{Cut, Traits};
use crate::protection::Guard;
use crate::status::Status;
use crate::wire::{
    Descriptors, IdentifyNamespace, NvmController, NvmNamespace, ZonedController, ZonedNamespace,
};
use crate::zones::Zoned;
use core::fmt;

/// A namespace of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Namespace {
    /// Namespace Identifier (NSID).
    pub id: u32,
    /// Number of logical blocks (NSZE).
    pub blocks: u64,
    /// Bytes of data in a logical block, a power of two; 0 if the namespace has no known
    /// format.
    pub block_size: u32,
    /// What blocks look like, with their metadata.
    pub format: BlockFormat,
    /// The commands that the namespace takes.
    pub set: CommandSet,
    /// What identifies the namespace wherever it is attached.
    pub identifiers: Descriptors,
    /// Its zones, if it has some.
    pub zoned: Option<Zoned>,
    /// What a Copy command may have; `None` if there is no such command.
    pub copy_limits: Option<CopyLimits>,
    /// Other controllers may have the namespace, too (NMIC bit 0).
    pub is_shared: bool,
    /// The controller refuses to write to the namespace.
    pub write_protected: bool,
    /// Blocks of a piece whose end commands had better not cross (NOIOB), and do not; 0 is none.
    pub optimal_boundary: u16,
    /// Why the namespace cannot be used; `None` if it can be used.
    pub unusable: Option<Unusable>,
    /// The controller has a volatile write cache (VWC), so flushes mean something.
    pub(crate) has_write_cache: bool,
    /// Optional commands that the controller has.
    pub(crate) can: Optional,
    /// What one command of the namespace may transfer.
    pub(crate) limits: Limits,
    /// How plain reads and writes are cut into commands.
    pub(crate) cut: Cut,
    pub(crate) dataset: DatasetLimits,
}

/// Optional commands, and how many blocks one of them may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Optional {
    pub(crate) compare: bool,
    pub(crate) dataset_management: bool,
    /// 0 if there is no Write Zeroes.
    pub(crate) write_zeroes: u32,
    /// 0 if there is no Verify.
    pub(crate) verify: u32,
}

/// What is known of a namespace and its controller before the namespace is put together.
#[derive(Debug, Default)]
pub(crate) struct Description {
    pub(crate) identify: IdentifyNamespace,
    pub(crate) descriptors: Descriptors,
    /// What the NVM command set adds.
    pub(crate) extended: Option<NvmNamespace>,
    /// What the zoned command set adds.
    pub(crate) zoned: Option<(ZonedNamespace, ZonedController)>,
}

/// Why a namespace cannot be used by this driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusable {
    /// The controller would not describe the namespace.
    NotIdentified(Status),
    /// The namespace has no blocks.
    Empty,
    /// The LBA format in use is not in the table of formats.
    Format {
        /// Index of the format.
        index: u8,
    },
    /// Blocks are smaller than 512 bytes, or do not fit into one command.
    BlockSize {
        /// The block size as a power of two (LBADS).
        shift: u8,
    },
    /// Blocks have metadata of a length that is no multiple of 4, so that memory cannot be
    /// cut between them.
    Metadata {
        /// Bytes of metadata in a block (MS).
        bytes: u16,
    },
    /// It takes other commands than those on blocks.
    CommandSet {
        /// Command Set Identifier (CSI).
        csi: u8,
    },
    /// It is zoned, and what it says of its zones makes no sense.
    Zones,
    /// Blocks are protected end to end by a type that does not exist, or have too little
    /// metadata for it.
    Protection {
        /// The protection information type (DPS).
        kind: u8,
    },
    /// The guard of the protection information has 32 bits or an unknown format.
    Guard {
        /// The Protection Information Format (PIF).
        format: u8,
    },
    /// The protection information has a storage tag.
    StorageTag {
        /// Its size (STS).
        bits: u8,
    },
    /// The size in bytes is no 64-bit number.
    TooLarge,
}

impl Namespace {
    /// Puts namespace `id` together from what is known of it, for a controller with these
    /// limits.
    pub(crate) fn new(id: u32, description: &Description, controller: Limits) -> Self {
        let identify = &description.identify;
        let set = CommandSet::new(description.descriptors.csi.unwrap_or(0));
        let mut namespace = Self {
            blocks: identify.nsze,
            set,
            identifiers: identifiers(description),
            is_shared: identify.nmic & 1 != 0,
            write_protected: identify.nsattr & 1 != 0,
            optimal_boundary: identify.noiob,
            unusable: None,
            ..Self::not_identified(id, Status::new(), controller)
        };
        namespace.unusable = namespace.complete(description).err();
        namespace
    }

    /// Decides whether the namespace can be used, and how.
    fn complete(&mut self, description: &Description) -> Result<(), Unusable> {
        let identify = &description.identify;
        let index = identify.format_index();
        let plain = BlockFormat::new(identify.lbaf[index]);
        self.block_size = plain.map_or(0, |format| format.data);
        if identify.nsze == 0 {
            return Err(Unusable::Empty);
        }
        match self.set {
            CommandSet::Nvm | CommandSet::Zoned => {}
            set => return Err(Unusable::CommandSet { csi: set.csi() }),
        }
        let format = BlockFormat::of(identify, description.extended.as_ref())?;
        if !format.metadata.is_multiple_of(4) {
            let bytes = format.metadata;
            return Err(Unusable::Metadata { bytes });
        }
        let too_large = Unusable::BlockSize {
            shift: format.data.trailing_zeros() as u8,
        };
        let memory = format.acted_on();
        // Whatever a caller does with metadata, a block fits into a command.
        let largest = self.limits.for_blocks(format.memory_block_bytes() as u32);
        largest.ok_or(too_large)?;
        let bytes = memory.memory_block_bytes() as u32;
        self.limits = self.limits.for_blocks(bytes).ok_or(too_large)?;
        self.format = format;
        self.cut = self.cut_for(&memory);
        let size = u64::from(format.data) + u64::from(format.metadata);
        if identify.nsze.checked_mul(size).is_none() {
            return Err(Unusable::TooLarge);
        }
        if self.set == CommandSet::Zoned {
            let (zoned, controller) = description.zoned.as_ref().ok_or(Unusable::Zones)?;
            let zoned = Zoned::new(identify, zoned, controller, &self.limits);
            self.zoned = Some(zoned.ok_or(Unusable::Zones)?);
        }
        Ok(())
    }

    /// How commands over blocks that look like this in memory are cut.
    pub(crate) fn cut_for(&self, memory: &BlockFormat) -> Cut {
        let block = memory.memory_block_bytes();
        let most = self.limits.max_transfer_bytes / block.max(1);
        Cut {
            block_bytes: block as u32,
            traits: Traits::of(memory.metadata_block_bytes() as u16, self.limits.lists),
            max_blocks: most.min(u64::from(MAX_BLOCKS)) as u32,
            max_pages: self.limits.max_pages as u32,
            boundary: self.optimal_boundary,
            may_be_short: true,
        }
    }

    /// Adds what the controller can do with its namespaces.
    pub(crate) fn with_controller(
        mut self,
        identify: &IdentifyNamespace,
        controller: Option<&NvmController>,
        abilities: &Abilities,
        has_write_cache: bool,
    ) -> Self {
        // Limits are powers of two of a page; 0, or one that does not fit, is none.
        let limit = |shift: Option<u8>| match shift {
            Some(shift @ 1..52) => {
                let blocks = (4096_u64 << shift) / u64::from(self.block_size.max(1));
                blocks.clamp(1, u64::from(MAX_BLOCKS)) as u32
            }
            _ => MAX_BLOCKS,
        };
        let io = abilities.io;
        let zeroes = limit(controller.map(|controller| controller.wzsl));
        let verify = limit(controller.map(|controller| controller.vsl));
        self.can = Optional {
            compare: io.compare(),
            dataset_management: io.dataset_management(),
            write_zeroes: if io.write_zeroes() { zeroes } else { 0 },
            verify: if io.verify() { verify } else { 0 },
        };
        self.dataset = DatasetLimits::new(controller);
        let format = match self.format.protection.map(|protection| protection.guard) {
            Some(Guard::Crc64) => 1,
            Some(Guard::Crc16) | None => 0,
        };
        if abilities.can_copy(format) && self.zoned.is_none() {
            self.copy_limits = CopyLimits::new(identify);
        }
        self.has_write_cache = has_write_cache;
        self
    }

    /// True if the controller compares data with the namespace's.
    pub const fn can_compare(&self) -> bool {
        self.can.compare
    }

    /// Most blocks in one Dataset Management command; `None` if there is no such command.
    pub fn deallocate_blocks(&self) -> Option<u64> {
        let ranges = u64::from(self.dataset.ranges) * u64::from(self.dataset.range_blocks);
        let most = ranges.min(self.dataset.blocks);
        self.can.dataset_management.then_some(most)
    }

    /// Most blocks in one Write Zeroes command; `None` if there is no such command.
    pub fn write_zeroes_blocks(&self) -> Option<u32> {
        (self.can.write_zeroes != 0).then_some(self.can.write_zeroes)
    }

    /// Most blocks in one Verify command; `None` if there is no such command.
    pub fn verify_blocks(&self) -> Option<u32> {
        (self.can.verify != 0).then_some(self.can.verify)
    }

    /// True if a plain read or write moves data only, and nothing of the blocks is lost by
    /// that: there is no metadata, or all of it is protection information, which the
    /// controller makes and checks.
    pub const fn is_plain(&self) -> bool {
        self.format.acted_on().metadata == 0
    }

    /// A namespace that the controller lists but would not describe.
    pub(crate) fn not_identified(id: u32, status: Status, controller: Limits) -> Self {
        Self {
            id,
            blocks: 0,
            block_size: 0,
            format: BlockFormat::plain(9),
            set: CommandSet::Nvm,
            identifiers: Descriptors::default(),
            zoned: None,
            copy_limits: None,
            is_shared: false,
            write_protected: false,
            optimal_boundary: 0,
            unusable: Some(Unusable::NotIdentified(status)),
            has_write_cache: false,
            can: Optional::default(),
            limits: controller,
            cut: Cut::NO_DATA,
            dataset: DatasetLimits::new(None),
        }
    }

    /// True if the controller said nothing of the namespace that is not zero.
    pub(crate) fn looks_inactive(&self) -> bool {
        self.blocks == 0 && self.unusable == Some(Unusable::Empty)
    }
}

/// Blocks in 128 KiB, by which some controllers lay out their blocks and do not say so.
pub(crate) fn stripe(identify: &IdentifyNamespace) -> u16 {
    const STRIPE: u32 = 128 << 10;
    match BlockFormat::new(identify.lbaf[identify.format_index()]) {
        Ok(format) => (STRIPE / format.data) as u16,
        Err(_) => 0,
    }
}

/// What identifies the namespace: its descriptors, or else what Identify Namespace has.
fn identifiers(description: &Description) -> Descriptors {
    let found = description.descriptors;
    let identify = &description.identify;
    let nguid = identify.nguid.iter().any(|byte| *byte != 0);
    let eui64 = identify.eui64.iter().any(|byte| *byte != 0);
    Descriptors {
        nguid: found.nguid.or(nguid.then_some(identify.nguid)),
        eui64: found.eui64.or(eui64.then_some(identify.eui64)),
        ..found
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIdentified(status) => write!(f, "not identified: {status}"),
            Self::Empty => f.write_str("it has no blocks"),
            Self::Format { index } => write!(f, "its LBA format {index} is not described"),
            Self::BlockSize { shift } => write!(f, "blocks of 2^{shift} bytes"),
            Self::Metadata { bytes } => write!(f, "{bytes} bytes of metadata in each block"),
            Self::CommandSet { csi } => write!(f, "its command set is {csi:#04x}"),
            Self::Zones => f.write_str("its zones make no sense"),
            Self::Protection { kind } => write!(f, "protection information of type {kind}"),
            Self::Guard { format } => write!(f, "protection information of format {format}"),
            Self::StorageTag { bits } => {
                write!(
                    f,
                    "a storage tag of {bits} bits in the protection information"
                )
            }
            Self::TooLarge => f.write_str("more bytes than 64 bits can count"),
        }
    }
}
