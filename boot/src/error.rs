//! What can go wrong before the kernel runs, in words for the person who started the machine.

use crate::image::ImageError;
use crate::memory_map::MapError;
use crate::placement::PlacementError;
use core::fmt;

/// Why the kernel was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The virtual machine monitor passed no valid `hvm_start_info`.
    NoStartInfo,
    /// The loader was built without a kernel.
    NoKernel,
    /// The memory map is unusable, or the memory does not suffice.
    Memory(MapError),
    /// The embedded kernel is not one that can be loaded.
    Image(ImageError),
    /// The kernel's configuration asks for virtual addresses that cannot be had.
    Placement(PlacementError),
    /// Two mappings were asked for at the same virtual address.
    Overlap {
        /// The address that is mapped already.
        virt: u64,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStartInfo => write!(
                f,
                "no PVH start info: start this file with `qemu-system-x86_64 -kernel`"
            ),
            Self::NoKernel => write!(
                f,
                "no kernel is embedded in this loader: build the image with `cargo xtask run`"
            ),
            Self::Memory(error) => write!(f, "{error}"),
            Self::Image(error) => write!(f, "the embedded kernel cannot be loaded: {error}"),
            Self::Placement(error) => write!(f, "the kernel's configuration: {error}"),
            Self::Overlap { virt } => write!(
                f,
                "two mappings were asked for at {virt:#x}: check the fixed addresses of the kernel's configuration"
            ),
        }
    }
}

impl core::error::Error for LoadError {}

impl From<MapError> for LoadError {
    fn from(error: MapError) -> Self {
        Self::Memory(error)
    }
}

impl From<ImageError> for LoadError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<PlacementError> for LoadError {
    fn from(error: PlacementError) -> Self {
        Self::Placement(error)
    }
}
