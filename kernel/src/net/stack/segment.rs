//! Segments of TCP in frames: read, and changed.
//!
//! Only what is whole is read here, and behind no other extension of IPv6 than that for all hops. Everything else is the
//! engine's, which looks at it once more in any case.

use super::sums::{self, folded, sum};
use core::ops::Range;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpProtocol, Ipv4Packet, Ipv6Packet,
    TcpPacket, TcpSeqNumber,
};

/// Bytes of an Ethernet header.
pub(super) const ETHERNET: usize = 14;

/// Bytes of a TCP header without options.
pub(super) const TCP: usize = 20;

/// Its number in IP.
const PROTOCOL: u32 = 6;

/// Both ends of a connection, as this machine sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ends {
    pub(super) local: IpEndpoint,
    pub(super) remote: IpEndpoint,
}

/// What the header of a segment says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    /// As it is in the header.
    pub(super) window: u16,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// Bytes of data.
    pub(super) len: usize,
    /// Where its TCP header starts in the frame.
    pub(super) tcp: usize,
}

/// What a SYN says besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct SynOptions {
    pub(super) mss: Option<u16>,
    /// By how many bits windows are shifted, if they are.
    pub(super) shift: Option<u8>,
}

/// IP, as far as what it carries is concerned.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    pub(super) source: IpAddress,
    pub(super) target: IpAddress,
    pub(super) protocol: IpProtocol,
    /// Where what it carries lies in the frame.
    pub(super) payload: Range<usize>,
}

/// What the IP packet in a frame carries. `None` for anything else, and for fragments.
#[inline]
pub(super) fn carried(frame: &[u8]) -> Option<Carried> {
    let (ethernet, packet) = frame.split_first_chunk::<ETHERNET>()?;
    match ethernet {
        [.., 0x08, 0x00] => carried4(packet),
        [.., 0x86, 0xdd] => carried6(packet),
        _ => None,
    }
}

/// The same for a packet of IPv4 (RFC 791, section 3.1).
#[inline]
fn carried4(packet: &[u8]) -> Option<Carried> {
    let header = packet.first_chunk::<20>()?;
    let start = usize::from(header[0] & 0x0f) * 4;
    let end = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let is_sound = header[0] >> 4 == 4 && (20..=end).contains(&start) && end <= packet.len();
    // Neither are there more fragments, nor is it one that is not the first.
    let is_whole = u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0;
    let [.., a, b, c, d, e, f, g, h] = *header;
    (is_sound && is_whole).then(|| Carried {
        source: IpAddress::v4(a, b, c, d),
        target: IpAddress::v4(e, f, g, h),
        protocol: header[9].into(),
        payload: ETHERNET + start..ETHERNET + end,
    })
}

/// The same for a packet of IPv6.
fn carried6(packet: &[u8]) -> Option<Carried> {
    let packet = Ipv6Packet::new_checked(packet).ok()?;
    let (start, end) = (packet.header_len(), packet.total_len());
    let (protocol, behind) = match packet.next_header() {
        IpProtocol::HopByHop => behind_hops(packet.payload()).unwrap_or((IpProtocol::HopByHop, 0)),
        protocol => (protocol, 0),
    };
    (packet.version() == 6).then(|| Carried {
        source: packet.src_addr().into(),
        target: packet.dst_addr().into(),
        protocol,
        payload: ETHERNET + start + behind..ETHERNET + end,
    })
}

/// What is behind the extension for all hops, and how far (RFC 8200, section 4.3), if its options are of those that may be
/// passed over. What is to be done with others, the engine knows.
fn behind_hops(payload: &[u8]) -> Option<(IpProtocol, usize)> {
    let (&[next, words], _) = payload.split_first_chunk()?;
    let len = (usize::from(words) + 1) * 8;
    let mut options = payload.get(2..len)?;
    while let [kind, rest @ ..] = options {
        options = match (kind, rest) {
            (0, _) => rest,
            (0..0x40, [len, rest @ ..]) => rest.get(usize::from(*len)..)?,
            _ => return None,
        };
    }
    Some((next.into(), len))
}

/// Whether the header of the packet in a frame is as it was sent. That of IPv6 has no checksum.
pub(super) fn is_header_right(frame: &[u8], carried: &Carried) -> bool {
    if matches!(carried.source, IpAddress::Ipv6(_)) {
        return true;
    }
    let header = frame.get(ETHERNET..carried.payload.start).unwrap_or(&[]);
    match header.try_into() {
        Ok(header) => sums::is_whole(header),
        // It has options.
        Err(_) => folded(sum(header)) == !0,
    }
}

/// Whether a frame that carries nothing, such as a fragment, has the header of an IPv4 packet that was damaged.
pub(super) fn is_damaged(frame: &[u8]) -> bool {
    match EthernetFrame::new_checked(frame) {
        Ok(ethernet) if ethernet.ethertype() == EthernetProtocol::Ipv4 => {
            Ipv4Packet::new_checked(ethernet.payload())
                .is_ok_and(|packet| !packet.verify_checksum())
        }
        _ => false,
    }
}

impl Segment {
    /// The segment in a frame, and where it comes from and goes to (RFC 9293, section 3.1).
    #[inline]
    pub(super) fn read(frame: &[u8], carried: &Carried) -> Option<(Self, IpEndpoint, IpEndpoint)> {
        if carried.protocol != IpProtocol::Tcp {
            return None;
        }
        let packet = frame.get(carried.payload.clone())?;
        let header = packet.first_chunk::<TCP>()?;
        let len = packet.len().checked_sub(usize::from(header[12] >> 4) * 4)?;
        if header[12] >> 4 < 5 {
            return None;
        }
        let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let long = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
        let flag = |bit: u8| header[13] >> bit & 1 == 1;
        let segment = Self {
            seq: long(4),
            ack: flag(4).then(|| long(8)),
            window: short(14),
            syn: flag(1),
            fin: flag(0),
            rst: flag(2),
            len,
            tcp: carried.payload.start,
        };
        let source = IpEndpoint::new(carried.source, short(0));
        let target = IpEndpoint::new(carried.target, short(2));
        Some((segment, source, target))
    }

    /// Whether it says nothing but what has arrived.
    pub(super) fn is_pure_ack(&self) -> bool {
        self.ack.is_some() && self.len == 0 && !self.syn && !self.fin && !self.rst
    }

    /// The options of a SYN in a frame.
    pub(super) fn options(&self, frame: &[u8]) -> SynOptions {
        let summary = TcpPacket::new_checked(&frame[self.tcp..])
            .ok()
            .and_then(|packet| packet.options_summary().ok());
        let (mss, shift) = summary.map_or((None, None), |options| {
            (options.max_segment_size, options.window_scale)
        });
        SynOptions {
            mss,
            // More makes no sense (RFC 7323, 2.3).
            shift: shift.map(|shift| shift.min(14)),
        }
    }

    /// Puts another sequence number into the frame.
    pub(super) fn set_seq(&self, frame: &mut [u8], seq: u32) {
        put(frame, self.tcp + 4, seq);
    }

    /// Puts another acknowledgement into the frame.
    pub(super) fn set_ack(&self, frame: &mut [u8], ack: u32) {
        put(frame, self.tcp + 8, ack);
    }
}

fn put(frame: &mut [u8], at: usize, number: u32) {
    if let Some(field) = frame.get_mut(at..at + 4) {
        field.copy_from_slice(&number.to_be_bytes());
    }
}

/// The headers of a connection's segments, as they were in the last one.
#[derive(Debug, Clone)]
pub(super) struct Template {
    bytes: [u8; ETHERNET + 40 + TCP],
    /// Where the TCP header starts.
    tcp: usize,
    /// Which packet of IPv4 is the next.
    ident: u16,
    /// Sums of what is the same in each: of the header of IPv4, and of the pseudo-header.
    header: u32,
    pseudo: u32,
}

/// What is different from segment to segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    /// Whoever reads should be told of it: there is no more behind it at this moment.
    pub(super) push: bool,
    pub(super) len: usize,
}

impl Template {
    /// The headers of a segment that leaves. Nothing that is longer than usual is one.
    pub(super) fn of(frame: &[u8], segment: &Segment) -> Option<Self> {
        let mut bytes = [0; ETHERNET + 40 + TCP];
        let len = segment.tcp + TCP;
        bytes.get_mut(..len)?.copy_from_slice(frame.get(..len)?);
        let tcp = segment.tcp;
        let is_ipv4 = bytes[ETHERNET] >> 4 == 4;
        if is_ipv4 {
            // Its length, its number, and its sum.
            for at in [2, 4, 10] {
                bytes[ETHERNET + at..ETHERNET + at + 2].fill(0);
            }
        }
        let addresses = if is_ipv4 { 12..20 } else { 8..40 };
        let header = sum(&bytes[ETHERNET..tcp]);
        let pseudo = sum(&bytes[ETHERNET..][addresses]) + PROTOCOL;
        Some(Self {
            bytes,
            tcp,
            ident: 0,
            header,
            pseudo,
        })
    }

    /// Goes on counting packets where another left off.
    pub(super) fn follow(&mut self, other: &Self) {
        self.ident = other.ident;
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.bytes[ETHERNET] >> 4 == 4
    }

    /// Bytes of all headers.
    pub(super) fn len(&self) -> usize {
        self.tcp + TCP
    }

    /// The sum of the pseudo-header of a segment with so many bytes of data.
    pub(super) fn pseudo(&self, len: usize) -> u16 {
        folded(self.pseudo + (TCP + len) as u32)
    }

    /// Writes the headers of a segment. Its checksum is still to be filled in.
    pub(super) fn write(&mut self, into: &mut [u8], fields: &Fields) {
        let all = self.len();
        into[..all].copy_from_slice(&self.bytes[..all]);
        let len = (TCP + fields.len) as u16;
        let ip = &mut into[ETHERNET..];
        if self.is_ipv4() {
            self.ident = self.ident.wrapping_add(1);
            let all = len.wrapping_add((self.tcp - ETHERNET) as u16);
            let sum = !folded(self.header + u32::from(all) + u32::from(self.ident));
            ip[2..4].copy_from_slice(&all.to_be_bytes());
            ip[4..6].copy_from_slice(&self.ident.to_be_bytes());
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            ip[4..6].copy_from_slice(&len.to_be_bytes());
        }
        let mut tcp = TcpPacket::new_unchecked(&mut into[self.tcp..]);
        tcp.set_seq_number(TcpSeqNumber(fields.seq as i32));
        tcp.set_ack_number(TcpSeqNumber(fields.ack as i32));
        tcp.clear_flags();
        tcp.set_header_len(TCP as u8);
        tcp.set_ack(true);
        tcp.set_psh(fields.push);
        tcp.set_window_len(fields.window);
        tcp.set_urgent_at(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{EthernetFrame, EthernetProtocol};

    /// The same by another's eyes.
    fn other(frame: &[u8]) -> Option<(IpAddress, IpAddress, IpProtocol, &[u8])> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        let is_ipv4 = ethernet.ethertype() == EthernetProtocol::Ipv4 && packet.version() == 4;
        let is_whole = !packet.more_frags() && packet.frag_offset() == 0;
        let (source, target) = (packet.src_addr().into(), packet.dst_addr().into());
        let read = (source, target, packet.next_header(), packet.payload());
        (is_ipv4 && is_whole).then_some(read)
    }

    proptest! {
        #[test]
        fn headers_are_read_as_another_reads_them(
            mut frame in prop::collection::vec(any::<u8>(), 34 + 60..34 + 80),
            words in (5..9u8, 4..9u8),
            flags in prop::sample::select(&[0, 0x40, 0x20, 1][..]),
            damage in prop::collection::vec((12..54usize, any::<u8>()), 0..3),
            len in prop_oneof![Just(usize::MAX), 0..80usize],
        ) {
            frame[12..15].copy_from_slice(&[8, 0, 0x40 | words.0]);
            let total = (frame.len() - ETHERNET) as u16;
            frame[16..18].copy_from_slice(&total.to_be_bytes());
            (frame[20], frame[21], frame[23]) = (flags, 0, 6);
            frame[ETHERNET + 4 * usize::from(words.0) + 12] = words.1 << 4;
            for (at, byte) in damage {
                frame[at] = byte;
            }
            frame.truncate(len);
            let carried = carried(&frame);
            let read = carried.as_ref().map(|carried| {
                let payload = &frame[carried.payload.clone()];
                (carried.source, carried.target, carried.protocol, payload)
            });
            if frame.get(12..14) != Some(&[0x86, 0xdd]) {
                prop_assert_eq!(read, other(&frame));
            }
            let Some(carried) = carried.filter(|carried| carried.protocol == IpProtocol::Tcp) else {
                return Ok(());
            };
            let segment = Segment::read(&frame, &carried);
            let packet = TcpPacket::new_checked(&frame[carried.payload.clone()]).ok();
            prop_assert_eq!(segment.is_some(), packet.is_some());
            let (Some((segment, source, target)), Some(packet)) = (segment, packet) else {
                return Ok(());
            };
            prop_assert_eq!([source.port, target.port], [packet.src_port(), packet.dst_port()]);
            prop_assert_eq!(segment.seq, packet.seq_number().0 as u32);
            let ack = packet.ack().then(|| packet.ack_number().0 as u32);
            prop_assert_eq!(segment.ack, ack);
            prop_assert_eq!(segment.window, packet.window_len());
            let flags = [segment.syn, segment.fin, segment.rst];
            prop_assert_eq!(flags, [packet.syn(), packet.fin(), packet.rst()]);
            prop_assert_eq!(segment.len, packet.payload().len());
        }
    }
}
