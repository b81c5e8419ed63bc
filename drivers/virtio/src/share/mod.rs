//! Folders of the host's, by 9P (protocol 9P2000.L over virtio).
//!
//! # The problem
//!
//! A disk image is a copy: what changes on the host is not in it. 9P carries the calls of a file system instead: the
//! host's program opens and reads the files, and what is read is as it is at that moment. It is a protocol of messages
//! with replies, and a reply to a read has the data in it. Whoever takes replies as messages copies the data out of them.
//!
//! # The idea
//!
//! A message and its reply are the two halves of one chain of descriptors, and a half may be in any number of
//! pieces. So the reply to a read is in two: the eleven bytes before the data go to memory of the driver's, and the data
//! goes to the pieces of the reader's memory. Nobody copies it.
//!
//! - `room`: memory for messages and for replies that have no data, and messages as bytes;
//! - `reply`: bytes of replies as values, none of which is believed before it was checked;
//! - `fids`: the numbers by which the server knows files;
//! - `client`: a request and its reply, and the connection;
//! - `node`: what can be asked of a file;
//! - `find`: from a path to a file.
//!
//! # Rules
//!
//! 1. A tag is the number of a room, so no two messages that are under way have the same. A room is free when the device
//!    is done with it.
//! 2. A reply has the length, the tag and the kind that it must have, or it is an error. The server cannot make the
//!    driver read beyond the reply, wait for ever, or list a folder without end.
//! 3. The driver never says `..`, and never asks the server to follow a link. Both are done here, and neither leads out of
//!    the share.
//! 4. A file that nobody has any more is let go of before the next is looked for.

mod client;
mod config;
mod error;
mod fids;
mod find;
mod node;
mod reply;
mod room;

pub use client::{Options, Share};
pub use error::{Errno, PathError, ReplyError, ShareError};
pub use find::Links;
pub use node::{Node, Opened, Unread};
pub use reply::{Attributes, Entry, FileKind, Time};
