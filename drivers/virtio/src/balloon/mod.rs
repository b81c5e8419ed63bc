//! Memory balloons (section 5.5): memory that is given back to the hypervisor, for a while.
//!
//! There are two ways, and this driver knows both.
//!
//! - *Reporting.* Memory that is free says nothing to anybody, and a hypervisor that knows of it can use what is behind
//!   it for others. The driver [reports](Balloon::report) ranges, of any length; when the device has
//!   answered they are ordinary memory again, whose content is anything, mostly zeros. So who reports memory owns
//!   it until then, and nobody else can get it meanwhile.
//! - *The balloon.* The hypervisor says how many pages it [wants](Balloon::target), and the driver
//!   [gives](Balloon::inflate) them, or takes them [back](Balloon::deflate). What is in the balloon is not touched. Here
//!   the device takes only numbers of 4 KiB pages, 32 bits each. It is the one place where a range becomes pages, for
//!   that is what the specification says.
//!
//! Numbers of pages are physical, whatever an IOMMU says, and reported ranges are not: they are descriptors like any.
//! So memory of the balloon is vouched for by a type of its own, [`Surrendered`].
//!
//! It may also ask how much memory there is, and how much of that is free, and is [answered](Balloon::answer).
//!
//! `config` is what the device wants, `pages` are the numbers that it is told, `statistics` is what it asks, `device` is the
//! rest.

mod config;
mod device;
mod pages;
mod statistics;

pub use crate::options::Options;
pub use device::{Balloon, Refused};
pub use pages::{PAGE, Surrendered};
pub use statistics::Statistics;
