//! A small hypervisor: a phyr is a guest's memory.
//!
//! # The problem
//!
//! A hypervisor gives memory to a guest, and devices shall read and write that memory too. Where
//! memory is an array of page structures, the guest's needs them like any other; or else it has none,
//! and then no device can be sent there.
//!
//! # The idea
//!
//! Here a guest's memory is what all memory is: phyrs, and an owner. [`Guest`] owns it, nested page
//! tables map it with the largest leaves that fit, and a disk reads into it as it reads into any other
//! memory, because the owner can be taken out of the guest and given to a request. A guest without its
//! memory is a [`Processor`], which cannot run. So nobody has to remember which of the guest's pages a
//! device is using.
//!
//! Holding a [`Guest`] tells you:
//!
//! - the memory belongs to it alone, no device is using it, and the guest is not running, so you may
//!   look at it and change it ([`ram`](Guest::ram), [`ram_mut`](Guest::ram_mut));
//! - while it [runs](Guest::run), it reaches that memory, and nothing else of the machine.
//!
//! # What a guest can do
//!
//! It computes. It starts at an address of its own, in 32-bit protected mode, with flat segments and
//! without paging. What it has to say it says by VMMCALL, which is the only way to
//! [answer](Reason::Answer): every other way out of it is an [`Exit`] that says what it tried and where,
//! and ends it. There are no devices, no interrupts, no model-specific registers, no floating point.
//!
//! - `vmcb` is the control block, by which the CPU is told all that (AMD APM vol. 2, appendix B);
//! - `enter` is the way in and out, in a few lines of assembly;
//! - `exit` turns what the CPU says into an [`Exit`];
//! - `turn` is the timer that ends a guest's turn, so that no guest keeps a core;
//! - `support` finds out whether the CPU can do it, and prepares the core;
//! - `confinement` tries whether what is promised is true, before the first guest runs.

mod confinement;
mod enter;
mod exit;
mod guest;
mod ram;
mod support;
mod turn;
mod vmcb;

pub use exit::{Access, Exit, GuestAddr, Reason};
pub use guest::{Guest, GuestError, Processor};
pub use ram::Ram;
pub use support::Unsupported;
