//! What an IOMMU is told.

use crate::dma::{Access, DmaError};
use phyr::{DmaRange, Phyr};

/// The addresses of one domain, as its IOMMU knows them: page tables that it reads, or whatever it
/// has made of what it was told.
pub(super) trait Translation {
    /// Lets devices see a phyr at a range of the same length, both whole pages. It need not count before
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    /// Some pages may be mapped then; [`clear`](Self::clear) undoes that.
    fn map(&mut self, bus: DmaRange, memory: Phyr, access: Access) -> Result<(), DmaError>;

    /// Makes all count that was mapped.
    ///
    /// # Errors
    /// As for [`map`](Self::map).
    fn commit(&mut self) -> Result<(), DmaError>;

    /// Takes all in a range away, which begins and ends where mappings do, or do not begin. Whether devices
    /// go on to reach it is another matter.
    fn clear(&mut self, bus: DmaRange);
}
