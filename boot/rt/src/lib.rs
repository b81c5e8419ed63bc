//! What compiled Rust expects of a machine without an operating system.
//!
//! Phyros is built for the host's own target with the host's precompiled `core` and `alloc`.
//! Those refer to six symbols that a C library and an unwinder would otherwise provide.
//! The loader and the kernel both link this crate, so each symbol is written once:
//!
//! - [`memory`]: `memcpy`, `memmove`, `memset`, `memcmp`, and LLVM's `bcmp`;
//! - [`unwind`]: `rust_eh_personality` and `_Unwind_Resume`, which nothing reaches, because a
//!   panic aborts;
//! - [`exit`]: how a virtual machine tells its host that it has ended, and how.
//!
//! On the host (without `--cfg phyros`) the symbols are absent and only [`exit`]'s types remain.

#![no_std]

pub mod exit;
#[cfg(phyros)]
mod memory;
#[cfg(phyros)]
mod unwind;
