//! Files over HTTP/1.1 (RFC 9110, RFC 9112).
//!
//! The way of a request through the files of this folder:
//!
//! ```text
//! bytes ─► head ─► path ─► Site::find ─► conditional ─► range ─► answer ─► Stream
//! ```
//!
//! - [`head`]: bytes become a request, or the status that refuses them;
//! - [`path`]: a target becomes names, none of which leads upwards;
//! - [`site`]: what there is to be had, as the server asks for it;
//! - [`conditional`] and [`range`]: what of it, if anything, the client wants;
//! - [`date`], [`kind`], [`listing`], [`status`]: the words of an answer;
//! - [`server`]: one connection, from its first request to its end, and `answer`, what is said to each;
//! - [`files`]: the files of an ext4 file system, and disks as they are; [`shared`]: those of a folder of the host's.
//!
//! Up to there, everything is a function over bytes.

mod answer;
pub mod conditional;
pub mod date;
pub mod files;
pub mod head;
pub mod kind;
pub mod limits;
pub mod listing;
pub mod path;
pub mod range;
pub mod server;
pub mod shared;
pub mod site;
pub mod status;

#[cfg(test)]
mod tests;

pub use limits::{Counters, Limits};
pub use server::{End, serve};
pub use site::{Entry, Found, Resource, Site, Source, Trouble};
