//! What a card may do for a frame, and what it may say of one.
//!
//! Offsets are bytes from the first of the frame, its Ethernet header included.

/// A checksum that the card is to fill in: of all bytes from `start` to the end of the frame.
///
/// The field must hold the sum of the pseudo-header when the frame is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// Where the sum starts: at the TCP or UDP header.
    pub start: u16,
    /// Where the field is, counted from `start`: 16 for TCP, 6 for UDP.
    pub field: u16,
}

/// Which segments a frame is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segments {
    /// TCP on IPv4.
    Tcp4,
    /// TCP on IPv6.
    Tcp6,
}

/// A frame that is several on the wire: each has the same headers, but for what counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segmentation {
    /// Of which protocols.
    pub segments: Segments,
    /// Most bytes of payload in each of them.
    pub size: u16,
    /// Bytes of all headers, up to and including TCP's.
    pub headers: u16,
}

/// What the card is to do with a frame before it leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offload {
    /// Fill in a checksum. Without it, the frame goes as it is.
    pub checksum: Option<Checksum>,
    /// Cut it into segments. Only with a checksum, which is that of each segment.
    pub segmentation: Option<Segmentation>,
}

/// What a card can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offloads {
    /// It fills in checksums of frames that are sent.
    pub checksum: bool,
    /// It cuts frames of TCP on IPv4 that are sent.
    pub segment_tcp4: bool,
    /// It cuts frames of TCP on IPv6 that are sent.
    pub segment_tcp6: bool,
    /// Frames that arrive may come with a checksum that was checked, or that is still to be filled in
    /// ([`Checked`]).
    pub checked: bool,
    /// Frames that arrive may be several of TCP on IPv4 in one, longer than any on the wire.
    pub joined_tcp4: bool,
    /// The same, of TCP on IPv6.
    pub joined_tcp6: bool,
}

impl Offloads {
    /// A card that does nothing but carry frames.
    pub const NONE: Self = Self {
        checksum: false,
        segment_tcp4: false,
        segment_tcp6: false,
        checked: false,
        joined_tcp4: false,
        joined_tcp6: false,
    };

    /// A card that does everything.
    pub const ALL: Self = Self {
        checksum: true,
        segment_tcp4: true,
        segment_tcp6: true,
        checked: true,
        joined_tcp4: true,
        joined_tcp6: true,
    };

    /// Whether frames of these can be sent in one.
    pub const fn segments(&self, segments: Segments) -> bool {
        match segments {
            Segments::Tcp4 => self.segment_tcp4,
            Segments::Tcp6 => self.segment_tcp6,
        }
    }

    /// Whether a frame of a length can be given to such a card with this to do.
    pub(super) fn can(&self, offload: &Offload, len: usize) -> bool {
        let checksum_fits = offload.checksum.is_none_or(|checksum| {
            let field = usize::from(checksum.start) + usize::from(checksum.field);
            self.checksum && field + 2 <= len
        });
        let segments_fit = offload.segmentation.is_none_or(|cut| {
            let has_sum = offload.checksum.is_some();
            self.segments(cut.segments) && has_sum && cut.size > 0 && usize::from(cut.headers) < len
        });
        checksum_fits && segments_fit
    }
}

/// What the card says of the checksum of a frame that arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Checked {
    /// Nothing: whoever wants to know looks.
    #[default]
    No,
    /// It is right.
    Yes,
    /// The frame never was on a wire: the field holds the sum of the pseudo-header, and the data is as
    /// it was sent. Who hands the frame on fills it in; who reads it need not look.
    Partial(Checksum),
}
