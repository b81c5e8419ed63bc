//! For tests: a terminal that is an array, and a machine that is made of values.

mod disks;
mod folder;
mod machine;
mod terminal;

pub(crate) use disks::{ram_disk, shown_disk};
pub(crate) use folder::HostFolder;
pub(crate) use machine::{Fake, GIB, phyr, provider};
pub(crate) use terminal::{Glass, Wire};
