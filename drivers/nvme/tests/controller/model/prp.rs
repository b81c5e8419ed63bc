//! How a controller reads PRPs.

use super::memory::Memory;
use super::status;
use nvme::Status;

/// Most mappings of one command. QEMU has this limit.
const MAX_MAPPINGS: usize = 1024;

/// The memory of a command, page by page: bus address and length.
pub(crate) fn pages(
    memory: &mut Memory,
    prp1: u64,
    prp2: u64,
    len: u64,
    page: u64,
) -> Result<Vec<(u64, u64)>, Status> {
    const INVALID_OFFSET: u8 = 0x13;
    const TRANSFER_ERROR: u8 = 0x04;
    const INTERNAL_ERROR: u8 = 0x06;
    let invalid = status(0, INVALID_OFFSET).with_dnr(true);

    if prp1 & 3 != 0 {
        return Err(invalid);
    }
    let first = len.min(page - (prp1 & (page - 1)));
    let mut pages = vec![(prp1, first)];
    let mut remaining = len - first;

    if remaining == 0 {
        return Ok(pages);
    }
    if remaining <= page {
        if prp2 & (page - 1) != 0 {
            return Err(invalid);
        }
        pages.push((prp2, remaining));
        return Ok(pages);
    }

    // A list: read it a page at a time, as a controller would.
    if prp2 & 7 != 0 {
        return Err(invalid);
    }
    let mut list = prp2;
    'lists: loop {
        let entries = (page - (list & (page - 1))) / 8;
        for index in 0..entries {
            let entry = memory
                .device_read64(list + index * 8)
                .map_err(|_| status(0, TRANSFER_ERROR))?;
            if entry & (page - 1) != 0 {
                return Err(invalid);
            }
            if index == entries - 1 && remaining > page {
                list = entry;
                continue 'lists;
            }
            let now = remaining.min(page);
            pages.push((entry, now));
            if pages.len() > MAX_MAPPINGS {
                return Err(status(0, INTERNAL_ERROR).with_dnr(true));
            }
            remaining -= now;
            if remaining == 0 {
                return Ok(pages);
            }
        }
    }
}
