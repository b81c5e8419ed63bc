//! Graphics devices, as far as they show pictures (section 5.7).
//!
//! # The problem
//!
//! A picture lies in the machine's memory, and the hypervisor is to show it. In many systems it has to lie in one
//! piece, or in pages. Here the memory behind a picture is ranges on the bus, of any length and in any number.
//!
//! # The idea
//!
//! The device keeps a picture of its own, a *resource*. It is told which memory is behind it, one entry for each
//! range; it copies from there when it is asked to, and shows what it has copied. So memory in one piece is one entry
//! whatever its length, and the pages of a scattered one are as many as there are.
//!
//! The memory [belongs to the driver](Gpu::attach) for as long as the device knows of it, and comes back when the device
//! has [said](Gpu::detach) that it has forgotten it. Then it can be drawn in again, while what was copied is shown
//! still. If the device says nothing, it is stopped first. If it cannot be stopped, nobody gets the memory again.
//!
//! A handle of a picture that is dropped leaves the picture to the device, until another one is made.
//!
//! Commands go one after the other. Each has a number, which the device has to repeat when it has done everything (a
//! *fence*), so an answer is taken for this command's or for none.
//!
//! `config` is what the device says of itself, `command` what it is told, `entries` the ranges of that, `reply` what it
//! answers, `pictures` whose memory the device knows of, `asking` how one command after the other is answered, and `device` the rest.

mod asking;
mod command;
mod config;
mod device;
mod entries;
mod error;
mod pictures;
mod reply;

pub use crate::options::Options;
pub use command::{Area, Size};
pub use device::{Gpu, Unattached};
pub use error::{GpuError, PictureError, Refusal, ReplyError};
pub use pictures::Picture;
pub use reply::Screen;

/// The bytes of a pixel: blue, green, red, and one that is not seen.
pub const PIXEL: u64 = 4;

/// Most screens of a device.
pub const SCREENS: usize = 16;

/// Most ranges behind a picture. QEMU takes no more.
pub const RANGES: u32 = 16384;
