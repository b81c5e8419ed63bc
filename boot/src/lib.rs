//! The loader: from the PVH entry to a `bootloader_api` kernel.
//!
//! `qemu -kernel` (and Firecracker, and Cloud Hypervisor) start a file that has a PVH note.
//! They start it in 32-bit protected mode, without paging, without a stack.
//! A `bootloader_api` kernel wants long mode, its segments mapped with their own rights, a stack
//! with a guard page, and a [`BootInfo`](bootloader_api::BootInfo).
//! This crate is the way from the one to the other:
//!
//! 1. `entry`: 32-bit entry, long mode, SSE, the loader's own stack; `faults` report errors;
//! 2. `start_info` and [`memory_map`]: the monitor's map, sorted, page-aligned, without overlaps; memory that the
//!    loader takes is taken out of it, as a [`Phyr`](phyr::Phyr);
//! 3. [`image`]: the embedded kernel ELF, checked, with the kernel's own configuration;
//! 4. [`placement`]: virtual addresses for what the kernel leaves to the loader;
//! 5. `tables`: the kernel's page tables; `handover`: what the kernel is told;
//! 6. `load` ties these together, and `entry` again: the jump, from a page that both address spaces map at one address.
//!
//! Everything that can go wrong is a [`LoadError`](error::LoadError), printed on the serial port,
//! and the machine ends with a failure. Nothing hangs silently.
//!
//! Differences from the `bootloader` crate, whose contract this loader honours:
//! only fixed-address (`ET_EXEC`) kernels are loaded, `aslr` has no effect, there is no framebuffer,
//! and the physical-memory mapping covers the RAM of the memory map and not the holes between it.

#![cfg_attr(not(test), no_std)]

#[cfg(phyros)]
pub mod entry;
pub mod error;
#[cfg(phyros)]
pub mod faults;
#[cfg(phyros)]
pub mod handover;
pub mod image;
#[cfg(phyros)]
pub mod load;
pub mod memory_map;
pub mod placement;
#[cfg(phyros)]
pub mod serial;
#[cfg(phyros)]
pub mod start_info;
#[cfg(phyros)]
pub mod tables;

/// The page size in which the loader maps segments and hands out memory, in bytes.
pub const PAGE: u64 = 4096;
