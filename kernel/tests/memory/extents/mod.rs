//! The extent allocator.

mod behaviour;
mod bitmap;
mod model;
mod scale;

use kernel::memory::extents::{ExtentAllocator, FreeError};
use kernel::memory::window::Window;
use phyr::Phyr;

/// Frees memory that a test has.
fn free<W: Window>(allocator: &mut ExtentAllocator<W>, range: Phyr) -> Result<(), FreeError> {
    // SAFETY: the memory is the arena's, and tests touch only what is allocated to them.
    unsafe { allocator.insert(range) }
}
