//! Random I/O on a disk whose every block says what it is.
//!
//! # The problem
//!
//! A storage stack fails quietly: a block goes to the wrong place, comes back old, is torn in the
//! middle, or a buffer that was given up is written after all. Reading back what was just written
//! shows little of this, because the reader makes the writer's mistakes.
//!
//! # The idea
//!
//! Each block carries a [`stamp`]: its address, a generation that no two writes share, and a
//! checksum over content that follows from both. So any block can be judged alone: it is whole or
//! torn, in its place or in another's, and of a certain write.
//!
//! Whether it is of the *right* write, a [`ledger`] in memory says. A write that was cancelled
//! or that failed leaves its blocks in doubt: the old content and the new one are both right,
//! everything else is wrong, and the next read decides.
//!
//! [`work`] does it, on any [`disk`], with several operations at a time. `machine` is a whole run
//! on the kernel's disks and cores.
//!
//! What is done comes from a [`plan`]: a seed gives the same operations again. At the end the
//! ledger is written behind the blocks as a [`table`], and so the image can be checked later, by
//! another program, on another machine.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod disk;
pub mod ledger;
#[cfg(feature = "machine")]
pub mod machine;
pub mod plan;
pub mod report;
pub mod stamp;
pub mod table;
pub mod work;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod work_tests;
