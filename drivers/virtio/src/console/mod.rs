//! Consoles (section 5.3): ports, which are streams of bytes between the machine and its host.
//!
//! A port is two queues. What is to be said is memory that the device reads; what is heard is written to memory that was
//! lent to the device before. Both are owned memory of any kind, in pieces, and the driver copies nothing.
//!
//! Two queues more are for messages about ports: which there are, what they are called, and whether somebody is at the
//! other end. The device has to find memory for its messages at any moment, for it drops those for which there is
//! none. Nobody is interrupted for them: whoever asks a port for anything hears all messages before. So what was
//! written before the other end has left is seen before its leaving.
//!
//! A message is copied before it is read, and all of it is checked: a device that speaks of a port which it cannot have,
//! or gives one a name that is no text or has no end, is out of use. A message about a port that is not there at this
//! moment is not heard: the device may have said it before it knew.
//!
//! `message` are messages as bytes, `letters` the memory for them, `ports` is what they say, `device` is the rest, and
//! `port` is one port.

mod config;
mod device;
mod letters;
mod message;
mod port;
mod ports;

pub use device::{Console, Options};
pub use port::{Port, PortError, Received, Refused};
pub use ports::Size;
