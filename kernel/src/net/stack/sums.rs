//! Checksums of what IP carries: left to the card, or summed up here.

use super::segment::{Carried, carried};
use crate::dma::Memory;
use crate::memory::regions::RegionError;
use crate::net::{Checked, Checksum, Offloads};
use smoltcp::wire::{IpAddress, IpProtocol, checksum};

/// Where the checksum of a protocol is in its header.
fn field(protocol: IpProtocol) -> Option<u16> {
    match protocol {
        IpProtocol::Tcp => Some(16),
        IpProtocol::Udp => Some(6),
        _ => None,
    }
}

fn pseudo(carried: &Carried) -> u16 {
    let len = carried.payload.len() as u32;
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
    checksum::combine(&[pseudo(carried), checksum::data(bytes)]) == !0
}

/// Sees to it that a frame that leaves has its checksum: gives what the card is to do, or fills it in.
///
/// # Errors
/// If the body lies in memory that cannot be read here, and the card cannot do it.
pub(super) fn prepare(
    head: &mut [u8],
    body: Option<&Memory>,
    offloads: &Offloads,
) -> Result<Option<Checksum>, RegionError> {
    let behind = body.map_or(0, Memory::len);
    let Some(mut carried) = carried_with(head, behind) else {
        return Ok(None);
    };
    let Some(offset) = field(carried.protocol) else {
        return Ok(None);
    };
    let start = carried.payload.start;
    let at = start + usize::from(offset);
    if at + 2 > head.len() {
        return Ok(None);
    }
    // Padding of short frames is no part of it.
    carried.payload.end = carried.payload.end.min(head.len() + behind);
    let pseudo = pseudo(&carried);
    if offloads.checksum {
        head[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        return Ok(Some(Checksum {
            start: start as u16,
            field: offset,
        }));
    }
    head[at..at + 2].fill(0);
    let here = &head[start..carried.payload.end.min(head.len())];
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
        0 if carried.protocol == IpProtocol::Udp => !0,
        sum => sum,
    };
    head[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(None)
}

/// What a frame carries of which only the first bytes are here.
fn carried_with(head: &[u8], behind: usize) -> Option<Carried> {
    if behind == 0 {
        return carried(head);
    }
    // Our own headers, without options.
    let v4 = head.get(14)? >> 4 == 4;
    let address = |at: usize| -> Option<IpAddress> {
        Some(match v4 {
            true => IpAddress::from(core::net::IpAddr::from(
                *head.get(at..)?.first_chunk::<4>()?,
            )),
            false => IpAddress::from(core::net::IpAddr::from(
                *head.get(at..)?.first_chunk::<16>()?,
            )),
        })
    };
    let (source, target, protocol, start) = match v4 {
        true => (address(26)?, address(30)?, *head.get(23)?, 34),
        false => (address(22)?, address(38)?, *head.get(20)?, 54),
    };
    Some(Carried {
        source,
        target,
        protocol: protocol.into(),
        payload: start..head.len() + behind,
    })
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
