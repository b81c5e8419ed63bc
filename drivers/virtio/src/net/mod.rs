//! Network cards (section 5.1).
//!
//! A [`Card`] is the device: it agrees with it on features, makes its queues known to it, and gets it back
//! after a failure. A [`Receiver`] and a [`Sender`] are one core's, and carry frames; [`Control`] tells the
//! card which frames to let through.
//!
//! A frame is memory in any number of pieces, and a header of 12 bytes that says what the other side is to
//! do with it: fill in a checksum, cut it into segments. On the way out the header is the driver's and the
//! frame is described where it lies. On the way in, header and frame arrive together in memory that was
//! supplied before, in one piece of it or, if the card may, in several.
//!
//! The way of a frame through the files: `header` is what the two sides say of it, `sending` and `receiving`
//! are the queues, `desk` is what all queues have in common. `config` is what a card is like, `card` how it
//! gets there, `control` and `filter` which frames it lets through, and `spread` where they arrive.

mod card;
mod config;
mod control;
mod desk;
mod filter;
mod header;
mod receiving;
mod sending;
mod spread;

pub use crate::device::Options;
pub use card::{Card, Pair};
pub use config::Properties;
pub use control::{Commands, Control};
pub use desk::{Counters, Reach, Turn, Works, attend};
pub use filter::Filter;
pub use header::{Checked, Checksum, Content, HEADER, Joined, Malformed, Offload, Segments};
pub use receiving::{Frame, Landing, Piece, Receiver};
pub use sending::{Refused, Sender, Sending, Sent};
pub use spread::{ENTRIES, KEY, Spread};
