//! Memory of the controller that others may use: for data, from any device (NVMe base specification
//! 2.0, sections 3.1.3.11 to 3.1.3.24, 8.5 and 8.14).
//!
//! - The *controller memory buffer* is for data on its way. Another device that reads or writes it uses
//!   bus addresses like any others. The controller itself has to know which addresses are its own: see
//!   [`open`](Controller::open_memory_buffer).
//! - The *persistent memory region* keeps its content without power. Before it is
//!   [enabled](Controller::enable_persistent_memory) it takes whatever is written and loses it.
//!
//! This driver says where they are, and switches them on. Who gives them out is the kernel's business.

use crate::controller::Controller;
use crate::error::Unmappable;
use crate::memory::Ranges;
use crate::page::PAGE;
use crate::platform::Platform;
use crate::port::Port;
use crate::registers::{MemoryLocation, MemorySize, PersistentCapabilities, PersistentStatus};
use phyr::{DmaAddr, DmaRange, Limits};

/// Memory of a controller, as the controller describes it: nothing of this has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnMemory {
    /// The base address register that it is in.
    pub bar: u8,
    /// Bytes from the start of that.
    pub offset: u64,
    /// How many bytes; `None` for all that are left.
    pub bytes: Option<u64>,
    /// A read of blocks may have its data put there.
    pub takes_data: bool,
    /// A write of blocks may take its data from there.
    pub gives_data: bool,
}

/// How long a change of the persistent memory region may take: PMRTO, at most 255 units of a minute;
/// this driver does not wait longer than this.
const PATIENCE_MICROSECONDS: u64 = 10_000_000;

/// How often it is looked whether it has happened.
const LOOK_MICROSECONDS: u64 = 1000;

impl<P: Platform> Controller<P> {
    /// The controller memory buffer, if there is one that data may lie in, and the driver does not
    /// keep its submission queues there.
    pub fn memory_buffer(&self) -> Option<OwnMemory> {
        let shared = &self.shared;
        if shared.options.controller_memory || !shared.port.cap().cmbs() {
            return None;
        }
        let (location, size) = shared.port.find_controller_memory();
        buffer(location, size)
    }

    /// Tells the controller at which bus address its memory buffer is: from then on it takes these
    /// addresses for its own memory.
    ///
    /// A command must then not have some of its data there and some elsewhere.
    pub fn open_memory_buffer(&self, base: DmaAddr) {
        self.shared.port.place_controller_memory(base.get());
    }

    /// The persistent memory region, if there is one, enabled and ready.
    pub async fn enable_persistent_memory(&self) -> Option<OwnMemory> {
        let port = &self.shared.port;
        if !port.cap().pmrs() {
            return None;
        }
        let capabilities = port.enable_persistent_memory();
        let start = port.platform().microseconds();
        while !is_ready(port.persistent_status()) {
            let waited = port.platform().microseconds().saturating_sub(start);
            if waited > PATIENCE_MICROSECONDS {
                return None;
            }
            port.platform().pause(LOOK_MICROSECONDS).await;
        }
        Some(region(capabilities))
    }

    /// Makes what was written to the persistent memory region before this last. Returns whether the
    /// region is in order; if not, what was written may be lost.
    pub fn persist(&self) -> bool {
        is_persistent(&self.shared.port)
    }
}

/// How many blocks a command may take so that none has data both inside and outside of `own`, the
/// controller's open memory buffer. `None`: as many as it can, for nothing is mixed.
///
/// Every command of a request takes equally many blocks, but for the last. So it is a number that
/// divides the distance of every edge between two pieces, and that any command can take.
///
/// # Errors
/// If a block lies on both sides: it cannot be transferred.
pub fn blocks_at_a_time(
    ranges: Ranges<'_>,
    own: DmaRange,
    limits: &Limits,
) -> Result<Option<u32>, Unmappable> {
    let (mut inside, mut outside) = (false, false);
    let (mut offset, mut common) = (0_u64, 0_u64);
    let mut was_inside = None;
    let mut cursor = ranges.cursor();
    while let Some(piece) = cursor.next(u64::MAX) {
        let is_inside = own.overlaps(piece);
        inside |= is_inside;
        outside |= !own.contains(piece);
        let is_seam = was_inside.is_some_and(|was_inside| was_inside != is_inside);
        if is_seam && !offset.is_multiple_of(limits.block_size) {
            return Err(Unmappable::InsideBlock { offset });
        }
        common = divisor(common, offset);
        was_inside = Some(is_inside);
        offset += piece.len();
    }
    if !(inside && outside) {
        return Ok(None);
    }
    // An edge inside of a block, between memory of the same side, is up to whoever makes the command.
    let between = common / limits.block_size;
    let pages = limits.max_pages.saturating_sub(1);
    let bytes = limits.max_bytes.min(pages.saturating_mul(limits.page_size));
    let most = (bytes / limits.block_size).min(between).max(1);
    let blocks = (1..=most)
        .rev()
        .find(|blocks| between.is_multiple_of(*blocks));
    Ok(Some(
        blocks
            .and_then(|blocks| u32::try_from(blocks).ok())
            .unwrap_or(1),
    ))
}

/// The greatest number that divides both; 0 is divided by all.
fn divisor(one: u64, other: u64) -> u64 {
    match other {
        0 => one,
        _ => divisor(other, one % other),
    }
}

/// A read of the status waits for all writes before it, where the controller says so; where it does not,
/// reads of the region itself do (PMRCAP.PMRWBM), and any of these does no harm.
fn is_persistent<P: Platform>(port: &Port<P>) -> bool {
    is_ready(port.persistent_status())
}

fn is_ready(status: PersistentStatus) -> bool {
    !status.nrdy() && status.err() == 0 && status.hsts() == 0
}

/// The memory that the registers of a buffer tell of.
fn buffer(location: MemoryLocation, size: MemorySize) -> Option<OwnMemory> {
    /// Most units of CMBSZ.SZU that there are: 64 GiB.
    const MAX_UNIT: u8 = 6;
    let has_data = size.rds() || size.wds();
    if size.szu() > MAX_UNIT || size.sz() == 0 || !has_data {
        return None;
    }
    let shift = PAGE.trailing_zeros() + 4 * u32::from(size.szu());
    Some(OwnMemory {
        bar: location.bir(),
        offset: u64::from(location.ofst()) << shift,
        bytes: Some(u64::from(size.sz()) << shift),
        takes_data: size.rds(),
        gives_data: size.wds(),
    })
}

/// The memory that the register of a persistent region tells of: all of its base address register.
fn region(capabilities: PersistentCapabilities) -> OwnMemory {
    OwnMemory {
        bar: capabilities.bir(),
        offset: 0,
        bytes: None,
        takes_data: capabilities.rds(),
        gives_data: capabilities.wds(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_without_data_is_none() {
        let location = MemoryLocation::new().with_bir(2).with_ofst(3);
        // As QEMU 7.2 says it, of 1 MiB.
        let found = buffer(location, MemorySize::from(0x10_0019)).map(|found| {
            assert!(found.takes_data && found.gives_data);
            (found.bar, found.offset, found.bytes)
        });
        assert_eq!(found, Some((2, 0x3000, Some(1 << 20))));
        assert_eq!(buffer(location, MemorySize::from(0x10_0007)), None);
        assert_eq!(buffer(location, MemorySize::from(0x18)), None, "no bytes");
        assert_eq!(buffer(location, MemorySize::from(0x10_0718)), None);
    }

    const LIMITS: Limits = Limits {
        max_bytes: 1 << 20,
        max_pages: 257,
        ..Limits::of_blocks(512)
    };

    fn at_a_time(pieces: &[(u64, u64)]) -> Result<Option<u32>, Unmappable> {
        let mut list = phyr::DmaList::new();
        for (addr, len) in pieces {
            let piece = DmaRange::new(DmaAddr::new(*addr), *len).unwrap();
            list.push_apart(piece).unwrap();
        }
        let own = DmaRange::new(DmaAddr::new(0x10_0000), 0x10_0000).unwrap();
        blocks_at_a_time(Ranges::List(&list), own, &LIMITS)
    }

    #[test]
    fn what_is_not_mixed_is_not_cut() {
        assert_eq!(at_a_time(&[(0x10_0000, 0x10_0000)]), Ok(None));
        assert_eq!(at_a_time(&[(0x1000, 3), (0x9000, 0x1000)]), Ok(None));
    }

    #[test]
    fn no_command_crosses_a_seam() {
        // Both halves equally long: two commands.
        assert_eq!(
            at_a_time(&[(0x1000, 0x8000), (0x10_0000, 0x8000)]),
            Ok(Some(64))
        );
        let uneven = [(0x1000, 0x2000), (0x10_0000, 0x1_0000), (0x4000, 0x3000)];
        assert_eq!(at_a_time(&uneven), Ok(Some(16)));
        // More than a command takes, and no multiple of that: a divisor of it.
        assert_eq!(
            at_a_time(&[(0x20_0000, 2100 * 512), (0x10_0000, 0x1000)]),
            Ok(Some(1050))
        );
        assert_eq!(
            at_a_time(&[(0x20_0000, 2053 * 512), (0x10_0000, 512)]),
            Ok(Some(1))
        );
        let inside = Unmappable::InsideBlock { offset: 256 };
        assert_eq!(at_a_time(&[(0x1000, 256), (0x10_0000, 256)]), Err(inside));
        // What lies half in the buffer and half behind it is not one piece of anybody.
        assert_eq!(at_a_time(&[(0x1f_f000, 0x2000)]), Ok(Some(1)));
    }

    #[test]
    fn a_region_is_ready_when_nothing_is_said_against_it() {
        assert!(is_ready(PersistentStatus::new()));
        assert!(!is_ready(PersistentStatus::new().with_nrdy(true)));
        assert!(!is_ready(PersistentStatus::new().with_err(1)));
        assert!(!is_ready(PersistentStatus::new().with_hsts(3)));
        let found = region(PersistentCapabilities::from(0x0000_0898));
        assert_eq!((found.bar, found.bytes, found.takes_data), (4, None, true));
    }
}
