//! What a driver of a network card implements.

use super::frame::{ETHERNET, Outgoing, Received, Refused, Sent};
use super::offload::Offloads;
use crate::cores::CoreId;
use crate::dma::{DmaError, Memory};
use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll};

/// An address of Ethernet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// Whether there is anybody at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// There is a wire, as far as the card can tell.
    Up,
    /// Nothing that is sent now arrives.
    Down,
}

/// What an interface is like. Only the address changes, when [`Interface::set_reception`] changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties {
    /// Its address.
    pub address: MacAddress,
    /// Most bytes of an IP packet in a frame on the wire.
    pub mtu: u16,
    /// What it can do besides.
    pub offloads: Offloads,
    /// Most bytes of a frame that is to be segmented, headers included.
    pub longest: usize,
    /// Most ranges of memory in a frame, head and body together. Ranges of one piece that touch are one.
    pub pieces: usize,
    /// Most frames to be sent that a core's queue has at once.
    pub transmit_depth: usize,
    /// Most pieces of memory to receive in that a core's queue has at once.
    pub receive_depth: usize,
    /// Fewest bytes of such a piece: what [`Interface::supply`] refuses is shorter.
    pub least: usize,
    /// Bytes of such a piece in which any frame is in one piece.
    pub ample: usize,
}

impl Properties {
    /// Most bytes of a frame that goes as it is: the header, and a tag of a VLAN.
    #[inline]
    pub const fn longest_unsegmented(&self) -> usize {
        self.mtu as usize + ETHERNET + 4
    }
}

/// Which frames are to arrive. At first these are those for the card, and all that are for several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reception {
    /// The address from now on; `None` is that of the card.
    pub address: Option<MacAddress>,
    /// All frames, whoever they are for.
    pub everything: bool,
    /// All that are for several.
    pub all_multicast: bool,
    /// Those for these groups.
    pub multicast: Vec<MacAddress>,
    /// Those with a tag of these VLANs. Those without a tag arrive in any case.
    pub vlans: Vec<u16>,
}

/// What the queues of a core have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames that arrived and were not handed on: what the card said of them made no sense, or, if the
    /// interface can tell, there was no memory for them.
    pub dropped: u64,
    /// Times that the card was told of new frames to send.
    pub kicks: u64,
}

/// Why something is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room: [`Interface::poll_room`] tells when.
    Full,
    /// Too long, or too short to be what it is meant for.
    Length,
    /// What the card is to do with it makes no sense, or is beyond it.
    Offload,
    /// The memory cannot be given to the card.
    Memory(DmaError),
    /// This core has no queue.
    NoQueue,
    /// The interface is gone.
    Removed,
}

/// Why a frame was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetError {
    /// The interface went while it had the frame.
    Removed,
    /// The card failed while it had the frame. It may have been sent.
    Device(Cow<'static, str>),
}

// ANCHOR: Interface
/// A network interface. See [the module](super) for the rules.
pub trait Interface: Send + Sync {
    /// A name without spaces, unique in the system for as long as anybody holds the interface.
    fn name(&self) -> &str;

    /// What it is like.
    fn properties(&self) -> Properties;

    /// Whether there is anybody at the other end.
    fn link(&self) -> Link;

    /// The cores that have queues, at least one. A card that has queues for several decides by itself
    /// where a frame arrives.
    fn cores(&self) -> Vec<CoreId>;

    /// Gives memory to this core's queue, for a frame to arrive in. RAM or any other kind; all of the
    /// part that is meant.
    fn supply(&self, memory: Memory) -> Result<(), Refused<Memory>>;

    /// The next frame that arrived on this core; `None` if the interface is gone. If there is none yet,
    /// the waker is woken when there may be. One waker for each core: the last one counts.
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Received>>;

    /// Takes a frame to be sent by this core's queue. The card hears of it at the end of the executor's
    /// turn, or by [`flush`](Self::flush).
    #[expect(
        clippy::result_large_err,
        reason = "a frame that is refused comes back by value"
    )]
    fn transmit(&self, frame: Outgoing) -> Result<(), Refused<Outgoing>>;

    /// The next frame with a tag that the card is done with, of those sent by this core; `None` if there
    /// is none and none will be, since the interface is gone. As with
    /// [`poll_receive`](Self::poll_receive), the last waker counts.
    ///
    /// A frame with a tag keeps its place in the queue until it is asked for here.
    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<Option<Sent>>;

    /// Ready when this core's queue may take a frame, or there is no use in waiting. The last waker counts.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Tells the card of everything that was supplied and transmitted so far. Tasks need not call it.
    fn flush(&self);

    /// Says which frames are to arrive. Takes effect soon; a card that cannot choose lets more through.
    fn set_reception(&self, reception: Reception);

    /// How often the network was to be told where the interface is: it may be at another place now, under the same
    /// address. Whoever has addresses of the network says so to everybody.
    fn announcements(&self) -> u64 {
        0
    }

    /// Ready when the link, the address, the number of announcements, or whether it is there at all has changed since
    /// `seen`, which is the last result, or 0.
    fn poll_changed(&self, seen: u64, cx: &mut Context<'_>) -> Poll<u64>;

    /// What this core's queues have done.
    fn counters(&self) -> Counters;
}
// ANCHOR_END: Interface

impl NetError {
    /// The card failed, and says this.
    #[cold]
    pub fn device(reason: &impl fmt::Display) -> Self {
        Self::Device(format!("{reason}").into())
    }
}

impl MacAddress {
    /// Everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it is for several.
    pub const fn is_multicast(&self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::Length => f.write_str("too long or too short"),
            Self::Offload => f.write_str("the card cannot do that with a frame"),
            Self::Memory(error) => write!(f, "{error}"),
            Self::NoQueue => f.write_str("this core has no queue"),
            Self::Removed => f.write_str("the interface is gone"),
        }
    }
}

impl core::error::Error for Refusal {}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => f.write_str("the interface is gone"),
            Self::Device(reason) => write!(f, "the card failed: {reason}"),
        }
    }
}

impl core::error::Error for NetError {}
