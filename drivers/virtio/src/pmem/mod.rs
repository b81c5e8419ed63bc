//! Persistent memory devices (section 5.19).
//!
//! The device is memory, at an address that it names, and everybody reads and writes it there: the
//! CPU, and other devices. Behind it is a file of the hypervisor. What was written is in the
//! hypervisor's cache of that file, and lasts when the device has answered a *flush*, the only
//! request that there is.
//!
//! So a [`Module`] gives a description of its memory, and [flushes](Module::flush). Whether that memory
//! is free to be used is the platform's to find out: a device can name any.
//!
//! The way of a flush through the files: `config` is where the memory is, `flushing` is a request
//! from its slot to the device's answer, `module` is how a device gets there, and its end.
//!
//! # What a failure means
//!
//! A flush that failed says that something that was written may not last, and nobody says what. A later
//! one that goes well does not undo that: the hypervisor's system may have forgotten what it could
//! not write. A device that breaks a rule, or does not answer, is out of use from then on. Its memory is
//! as it was, and nothing in it lasts for certain.

mod config;
mod flushing;
mod module;

pub use crate::options::Options;
pub use module::Module;
