//! How a controller reads scatter gather lists (NVMe base specification 2.0, section 4.1.2).

use super::memory::Memory;
use super::{refused, status};
use nvme::Status;

/// Most data blocks of one command. QEMU has this limit.
const MAX_MAPPINGS: usize = 1024;

/// Most segments of one command: a list that leads to itself has an end, too.
const MAX_SEGMENTS: usize = 1100;

/// What a controller takes of lists (SGLS).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Support(pub(crate) u32);

impl Support {
    pub(crate) fn has_lists(self) -> bool {
        matches!(self.0 & 3, 1 | 2)
    }

    /// A list may be longer than the data (bit 18).
    fn may_be_longer(self) -> bool {
        self.0 >> 18 & 1 != 0
    }
}

/// A descriptor: 16 bytes, of which the last one says what it is.
struct Descriptor {
    address: u64,
    length: u32,
    identifier: u8,
}

impl Descriptor {
    fn new(bytes: &[u8; 16]) -> Result<Self, Status> {
        const INVALID_FIELD: u8 = 0x02;
        let [address, rest] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        });
        if bytes[12..15] != [0; 3] {
            return Err(refused(0, INVALID_FIELD));
        }
        Ok(Self {
            address,
            length: rest as u32,
            identifier: bytes[15],
        })
    }
}

/// The memory of a command, data block by data block: bus address and length.
pub(crate) fn blocks(
    memory: &mut Memory,
    support: Support,
    sgl1: [u64; 2],
    len: u64,
) -> Result<Vec<(u64, u64)>, Status> {
    const INTERNAL_ERROR: u8 = 0x06;
    const TRANSFER_ERROR: u8 = 0x04;
    const INVALID_SEGMENT: u8 = 0x0d;
    const LENGTH_INVALID: u8 = 0x0f;
    const TYPE_INVALID: u8 = 0x11;
    const GRANULARITY: u8 = 0x1e;

    let mut first = [0; 16];
    first[..8].copy_from_slice(&sgl1[0].to_le_bytes());
    first[8..].copy_from_slice(&sgl1[1].to_le_bytes());
    let mut found = Vec::new();
    let mut list = vec![first];
    // The command is a list of one descriptor, which may be any.
    let (mut is_last, mut is_command) = (false, true);
    let mut segments = 0;
    loop {
        let mut next = None;
        let end = list.len();
        for (index, bytes) in list.iter().enumerate() {
            let descriptor = Descriptor::new(bytes)?;
            match descriptor.identifier {
                0x00 => {
                    let (address, length) = (descriptor.address, u64::from(descriptor.length));
                    if support.0 & 3 == 2 && (address | length) % 4 != 0 {
                        return Err(refused(0, GRANULARITY));
                    }
                    if length != 0 {
                        found.push((address, length));
                    }
                }
                0x20 | 0x30 if index + 1 == end && !is_last => next = Some(descriptor),
                0x20 | 0x30 => return Err(refused(0, INVALID_SEGMENT)),
                _ => return Err(refused(0, TYPE_INVALID)),
            }
        }
        if found.len() > MAX_MAPPINGS || segments > MAX_SEGMENTS {
            return Err(refused(0, INTERNAL_ERROR));
        }
        let Some(segment) = next else {
            if !is_last && !is_command {
                // A segment that goes on nowhere.
                return Err(refused(0, INVALID_SEGMENT));
            }
            break;
        };
        let is_sound = segment.length != 0 && segment.length % 16 == 0 && segment.address % 8 == 0;
        if !is_sound {
            return Err(refused(0, INVALID_SEGMENT));
        }
        let mut bytes = vec![0; segment.length as usize];
        let read = memory.device_read(segment.address, &mut bytes);
        read.map_err(|_| status(0, TRANSFER_ERROR))?;
        list = bytes.as_chunks::<16>().0.to_vec();
        is_last = segment.identifier == 0x30;
        is_command = false;
        segments += 1;
    }

    let total = found.iter().map(|(_, length)| length).sum::<u64>();
    if total < len || total > len && !support.may_be_longer() {
        return Err(refused(0, LENGTH_INVALID));
    }
    // Of a longer list, the end is not used.
    let mut left = len;
    for (_, length) in &mut found {
        *length = left.min(*length);
        left -= *length;
    }
    found.retain(|(_, length)| *length != 0);
    Ok(found)
}
