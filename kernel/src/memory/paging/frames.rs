//! Where the memory for tables comes from.

use phyr::Phyr;

/// Gives memory for tables, and takes it back.
///
/// # Safety
///
/// What [`allocate`](Self::allocate) returns is 4096 bytes of RAM at a multiple of 4096. The
/// window that the page tables use covers it. It belongs to the caller alone until it comes back.
pub unsafe trait FrameSource {
    /// Memory for one table, or nothing if there is none. What it contains does not matter.
    ///
    /// Called in the middle of a change, so it must not change the same tables itself.
    fn allocate(&mut self) -> Option<Phyr>;

    /// Takes back the memory of a table that is in use no more and that no CPU remembers.
    ///
    /// This gets *every* such table, also those that whoever ran before had made. What
    /// became of the memory of the latter, only the source can know; it may forget them.
    fn free(&mut self, table: Phyr);
}
