//! Checksums of what IP carries: left to the card, or summed up here.

use super::segment::{Carried, carried};
use crate::dma::Memory;
use crate::memory::regions::RegionError;
use crate::net::{Checked, Checksum, Offloads};
use smoltcp::wire::{IpAddress, IpProtocol, checksum};

/// Where the checksum is in the header of TCP.
pub(super) const TCP: u16 = 16;

/// Where it is in that of UDP.
pub(super) const UDP: u16 = 6;

/// Where the checksum of a protocol is in its header.
fn field(protocol: IpProtocol) -> Option<u16> {
    match protocol {
        IpProtocol::Tcp => Some(TCP),
        IpProtocol::Udp => Some(UDP),
        _ => None,
    }
}

fn pseudo(carried: &Carried, len: usize) -> u16 {
    let len = len as u32;
    checksum::pseudo_header(&carried.source, &carried.target, carried.protocol, len)
}

/// Whether a frame that arrived is as it was sent, as far as TCP and UDP are concerned. The engine looks at
/// everything else.
pub(super) fn is_right(frame: &[u8], carried: &Carried, checked: Checked) -> bool {
    let Some(field) = field(carried.protocol).map(usize::from) else {
        return true;
    };
    if checked != Checked::No {
        return true;
    }
    let Some(bytes) = frame.get(carried.payload.clone()) else {
        return false;
    };
    let Some(&[high, low]) = bytes.get(field..field + 2) else {
        return false;
    };
    if (high, low) == (0, 0) && carried.protocol == IpProtocol::Udp {
        // On IPv4 it may be left out.
        return matches!(carried.source, IpAddress::Ipv4(_));
    }
    // A datagram may end before its packet does.
    let said = bytes
        .get(4..6)
        .filter(|_| carried.protocol == IpProtocol::Udp);
    let said = said.map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])));
    let bytes = match said.and_then(|len| bytes.get(..len)) {
        Some(datagram) => datagram,
        None => bytes,
    };
    checksum::combine(&[pseudo(carried, bytes.len()), checksum::data(bytes)]) == !0
}

/// A sum of words, to be [folded]. Headers are whole groups of four bytes, and what is behind the last is left out.
#[inline]
pub(super) fn sum(bytes: &[u8]) -> u32 {
    let mut sum = 0;
    for &[a, b, c, d] in bytes.as_chunks().0 {
        sum += u64::from(u32::from_be_bytes([a, b, c, d]));
    }
    // Of the two halves of each group, the sum is the same.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    (sum >> 32) as u32 + (sum as u32 >> 16) + (sum as u32 & 0xffff)
}

/// Whether the sum of a header comes out as it should. In which order its bytes are summed up makes no difference.
#[inline]
pub(super) fn is_whole(header: &[u8; 20]) -> bool {
    let mut sum = 0;
    for group in header.as_chunks().0 {
        sum += u64::from(u32::from_ne_bytes(*group));
    }
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    folded((sum >> 16) as u32 + (sum as u32 & 0xffff)) == !0
}

/// A sum in 16 bits, as all these sums are.
#[inline]
pub(super) fn folded(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + sum) as u16
}

/// Sees to it that a frame that leaves has its checksum: gives what the card is to do, or fills it in.
pub(super) fn prepare(head: &mut [u8], offloads: &Offloads) -> Option<Checksum> {
    let mut carried = carried(head)?;
    let field = field(carried.protocol)?;
    let start = carried.payload.start;
    if start + usize::from(field) + 2 > head.len() {
        return None;
    }
    // Padding of short frames is no part of it.
    carried.payload.end = carried.payload.end.min(head.len());
    let place = Checksum {
        start: start as u16,
        field,
    };
    let head = &mut head[..carried.payload.end];
    fill(
        head,
        None,
        place,
        pseudo(&carried, carried.payload.len()),
        offloads,
    )
    .unwrap_or(None)
}

/// The same for a frame of which everything is known: where the sum is, and that of its pseudo-header.
///
/// # Errors
/// If the body lies in memory that cannot be read here, and the card cannot do it.
pub(super) fn fill(
    head: &mut [u8],
    body: Option<&Memory>,
    place: Checksum,
    pseudo: u16,
    offloads: &Offloads,
) -> Result<Option<Checksum>, RegionError> {
    let start = usize::from(place.start);
    let at = start + usize::from(place.field);
    if offloads.checksum {
        head[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        return Ok(Some(place));
    }
    head[at..at + 2].fill(0);
    let here = &head[start..];
    let mut sum = checksum::combine(&[pseudo, checksum::data(here)]);
    if let Some(body) = body {
        let rest = sum_of(body)?;
        let rest = match here.len() % 2 {
            0 => rest,
            _ => rest.swap_bytes(),
        };
        sum = checksum::combine(&[sum, rest]);
    }
    let sum = match !sum {
        // In UDP, nothing means that there is no sum. In TCP, it says the same.
        0 if place.field == UDP => !0,
        sum => sum,
    };
    head[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(None)
}

fn sum_of(memory: &Memory) -> Result<u16, RegionError> {
    if memory.is_ram() {
        return Ok(checksum::data(memory.bytes()));
    }
    let (mut sum, mut at, mut chunk) = (0, 0, [0; 512]);
    while at < memory.len() {
        let len = chunk.len().min(memory.len() - at);
        memory.copy_to(at, &mut chunk[..len])?;
        sum = checksum::combine(&[sum, checksum::data(&chunk[..len])]);
        at += len;
    }
    Ok(sum)
}
