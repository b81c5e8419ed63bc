//! What an in-VM test sees.
//!
//! A test is an ordinary function in the kernel or in a driver, marked with [`vm_test`](macro@vm_test):
//!
//! ```
//! use vm_test::vm_test;
//!
//! #[vm_test(machine = "nvme,lba=4096", timeout = 20)]
//! fn reads_the_last_block() {
//!     // …
//! }
//!
//! # fn main() {
//! let listed = vm_test::TESTS.iter().any(|test| test.name().ends_with("::reads_the_last_block"));
//! assert!(listed);
//! # }
//! ```
//!
//! It runs alone, in a virtual machine of its own, booted for it and thrown away after it.
//! A panic, an exception, a hang or a reset fails it, and the host says which one it was.
//!
//! Three parts make that work, and each is one module:
//!
//! 1. [`Test`]: the mark becomes a plain record in a section of the kernel's ELF file.
//!    The host reads the list from the file, without booting anything.
//! 2. [`record`]: what the test has come to is told on a channel beside the serial console.
//!    Success is never read from text that the kernel prints for people.
//! 3. [`host`]: the test may ask the host, which sees guest memory and disk images as files.
//!    So a DMA result is judged by somebody who did not take part in it.
//!    And it may have its machine changed ([`control`]): devices come and go, disks fail.
//!
//! The same crate is linked by the host, so that formats and patterns exist once.

#![cfg_attr(not(test), no_std)]

extern crate self as vm_test;

pub mod control;
pub mod host;
pub mod mailbox;
pub mod outlet;
pub mod pattern;
mod port;
pub mod record;
mod run;
pub mod sequence;
mod test;
mod text;
pub mod wire;

#[doc(hidden)]
pub use linkme;
pub use run::{Outcome, kills, run, seed};
pub use test::{Description, SECTION, TESTS, Test};
pub use text::Text;
pub use vm_test_macros::vm_test;
