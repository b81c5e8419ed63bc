//! The power button that is wired to fixed registers.

use super::Flaw;
use super::table::Table;

/// The power button (section 4.8.3.1). It does nothing by itself: it sets a bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerButton {
    /// The I/O port of the event register, 16 bits wide. The register that enables events is behind it.
    pub events: u16,
}

/// `None` when the FADT is sound but says that there is no such button.
pub(super) fn read(table: &Table) -> Result<Option<PowerButton>, Flaw> {
    const FLAGS: usize = 112;
    /// The button is a device of its own, or there is none.
    const NOT_FIXED: u32 = 1 << 4;
    const BLOCK: usize = 56;
    const BLOCK_LENGTH: usize = 88;
    let fields = table.fields();
    if fields.u32(FLAGS)? & NOT_FIXED != 0 || fields.u8(BLOCK_LENGTH)? != 4 {
        return Ok(None);
    }
    // Register blocks of fixed events are I/O ports on every PC; what is beyond them is none.
    let events = u16::try_from(fields.u32(BLOCK)?).ok();
    Ok(events
        .filter(|port| *port != 0)
        .map(|events| PowerButton { events }))
}
