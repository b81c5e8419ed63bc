//! Frames that are right, and changes to them.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

/// Who is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) mac: [u8; 6],
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) ipv6: Ipv6Addr,
    /// A port that somebody listens to.
    pub(crate) port: u16,
}

#[cfg(test)]
impl Target {
    /// The second end of a [wire](crate::net::Wire).
    pub(crate) const EXAMPLE: Self = Self {
        mac: [2, 0, 0, 0, 0, 3],
        ipv4: Ipv4Addr::new(10, 0, 0, 2),
        ipv6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 3),
        port: 80,
    };
}

/// Who sends: nobody whom the target needs.
pub(super) const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 0x66];
pub(super) const SENDER4: [u8; 4] = [10, 0, 0, 0x66];
pub(super) const SENDER6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66];

/// Where things lie in the frames below.
pub(super) const IP: usize = 14;
pub(super) const L4: usize = IP + 20;
pub(super) const L4_V6: usize = IP + 40;

/// Protocols that IP carries.
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP6: u8 = 58;

/// A frame of Ethernet.
pub(super) fn ethernet(target: &Target, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&target.mac, &SENDER, &kind.to_be_bytes()[..], payload].concat()
}

/// A frame with a packet of IPv4, sums included.
pub(super) fn ipv4(target: &Target, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 64, protocol, 0, 0];
    let len = (20 + payload.len()) as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet.extend(SENDER4);
    packet.extend(target.ipv4.octets());
    packet.extend(payload);
    summed(ethernet(target, 0x0800, &packet))
}

/// A frame with a packet of IPv6, sums included.
pub(super) fn ipv6(target: &Target, next: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], next, 255];
    packet.extend(SENDER6);
    packet.extend(target.ipv6.octets());
    packet.extend(payload);
    summed(ethernet(target, 0x86dd, &packet))
}

/// The header of a SYN, with the usual options in 20 bytes, and data.
pub(super) fn syn(target: &Target, data: &[u8]) -> Vec<u8> {
    let port = target.port.to_be_bytes();
    let mut bytes = vec![
        0x90, 1, port[0], port[1], 0, 0, 9, 0, 0, 0, 0, 0, 0xa0, 2, 4, 0, 0, 0, 0, 0,
    ];
    bytes.extend([
        2, 4, 5, 0xb4, 3, 3, 7, 1, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0,
    ]);
    bytes.extend(data);
    bytes
}

/// A datagram of UDP.
pub(super) fn udp(target: &Target, data: &[u8]) -> Vec<u8> {
    let (port, len) = (
        target.port.to_be_bytes(),
        (8 + data.len() as u16).to_be_bytes(),
    );
    let mut bytes = vec![0x90, 2, port[0], port[1], len[0], len[1], 0, 0];
    bytes.extend(data);
    bytes
}

/// A message of ICMP, or of ICMPv6.
pub(super) fn icmp(kind: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0], &rest[..], data].concat()
}

/// A question of ARP for the target.
pub(super) fn arp(target: &Target) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend(SENDER);
    packet.extend(SENDER4);
    packet.extend([0; 6]);
    packet.extend(target.ipv4.octets());
    ethernet(target, 0x0806, &packet)
}

/// The frame with other bytes at some places, and right sums.
pub(super) fn changed(frame: &[u8], changes: &[(usize, &[u8])]) -> Vec<u8> {
    summed(damaged(frame, changes))
}

/// The frame with other bytes at some places, and the sums that it had.
pub(super) fn damaged(frame: &[u8], changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for (at, bytes) in changes {
        frame[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    frame
}

/// The frame with right sums, as far as its lengths make sense.
pub(super) fn summed(mut frame: Vec<u8>) -> Vec<u8> {
    let kind = frame.get(12..14).unwrap_or(&[]);
    let carried = match kind {
        [8, 0] => sum_header(&mut frame),
        [0x86, 0xdd] => frame.get(20).copied().map(|next| (next, IP + 40)),
        _ => None,
    };
    let Some((protocol, start)) = carried else {
        return frame;
    };
    let field = match protocol {
        ICMP | ICMP6 => 2,
        TCP => 16,
        UDP => 6,
        _ => return frame,
    };
    let (end, addresses) = match kind_of(&frame) {
        4 => (IP + usize::from(word(&frame, IP + 2)), 26..34),
        _ => (start + usize::from(word(&frame, IP + 4)), 22..54),
    };
    // What is behind it is padding.
    let end = if (start..=frame.len()).contains(&end) {
        end
    } else {
        frame.len()
    };
    if start + field + 2 > end {
        return frame;
    }
    frame[start + field..start + field + 2].fill(0);
    let mut bytes = Vec::new();
    if protocol != ICMP {
        bytes.extend(&frame[addresses]);
        bytes.extend([0, protocol]);
        bytes.extend(((end - start) as u16).to_be_bytes());
    }
    bytes.extend(&frame[start..end]);
    let sum = sum(&bytes);
    frame[start + field..start + field + 2].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn kind_of(frame: &[u8]) -> u8 {
    if frame[12] == 8 { 4 } else { 6 }
}

/// The sum of an IPv4 header. Returns what it carries, and where that starts.
pub(super) fn sum_header(frame: &mut [u8]) -> Option<(u8, usize)> {
    let header = usize::from(frame.get(IP)? & 15) * 4;
    if header < 20 || IP + header > frame.len() {
        return None;
    }
    frame[IP + 10..IP + 12].fill(0);
    let sum = sum(&frame[IP..IP + header]);
    frame[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    Some((frame[IP + 9], IP + header))
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// The checksum of the Internet (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|two| match two {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        [high] => u64::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
