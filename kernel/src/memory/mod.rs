//! Memory: from the boot map to mapped ranges, in phyrs all the way.
//!
//! ```text
//! boot map ─► extents ─► Frames ─► page tables ─► Mapping, heap
//! ```
//!
//! - [`extents`] keeps free memory, in the free memory itself;
//! - [`frames`] hands it out to owners;
//! - [`paging`] maps phyrs with the largest leaves that fit, and says which phyrs lie behind an address;
//! - [`mapping`] is a phyr at a virtual range, for as long as it is held;
//! - [`address_space`] is mappings that keep an owner, of a program or of the kernel, and what of them is
//!   pinned ([`pins`]);
//! - [`heap`] is `alloc` on top of frames;
//! - [`regions`] is memory that is no RAM, and who gives it out.
//!
//! Addresses, from the top: the kernel image at -2 GiB; the loader's stack and boot information;
//! the kernel's own mappings ([`mapping`]); all RAM ([`DIRECT_MAP`]). The lower half is a program's,
//! while one runs, and otherwise empty.

pub mod address_space;
pub mod extents;
pub mod frames;
pub mod heap;
#[cfg(phyros)]
pub(crate) mod identity;
pub mod mapping;
#[cfg(phyros)]
pub(crate) mod modules;
pub mod paging;
pub mod pins;
pub mod regions;
pub mod scattered;
mod space;
pub mod virt;
pub mod window;

pub use mapping::{Mapping, translate};

#[cfg(phyros)]
mod init;
#[cfg(phyros)]
pub(crate) use init::usable_below_1_mib;
#[cfg(phyros)]
pub use init::{boot_regions, init, is_ram, ram_bytes, ram_end};

/// Where the loader maps all RAM.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
