//! An IOMMU that is a virtio device (section 5.13).
//!
//! # The idea
//!
//! There are no page tables here. The driver says by requests which bus addresses of which *domain* are which
//! memory, and which *endpoints* (devices, by their numbers on PCI) are in the domain. The device notes it,
//! and translates.
//!
//! - A mapping is an interval and not pages: a gigabyte is one request.
//! - An endpoint that is in no domain reaches nothing: [`Iommu::start`] turns off what lets it past.
//! - When [`Iommu::execute`] returns, what it was told counts: memory that was unmapped is not reached any more.
//! - What the device was not let do is an event, [`Iommu::next_fault`].
//!
//! Whoever maps and unmaps has to wait for the answer anyway, so it is waited for here, and everything
//! that is to be said at once is said in one batch, with one notification.

mod config;
mod device;
mod events;
mod request;

pub use config::Properties;
pub use device::{Error, Iommu};
pub use events::{Fault, Reason};
pub use request::{Request, Status};
