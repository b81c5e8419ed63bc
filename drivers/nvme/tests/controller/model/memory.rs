//! Memory as the device sees it: by bus address, and only where something is mapped.
//!
//! Every allocation is surrounded by unmapped pages, and every byte that nobody has set is
//! a canary. What a device does to unmapped memory is recorded as a fault.

use phyr::{DmaAddr, DmaList, DmaRange};
use std::ops::Deref;

pub(crate) const PAGE: u64 = 4096;

/// Bus address of the first byte. No host pointer looks like this.
const BASE: u64 = 0x12_3456_0000;

/// Value of bytes that nobody has set.
pub(crate) const CANARY: u8 = 0xc5;

/// The device asked for memory that is not its business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) bus: u64,
    pub(crate) len: usize,
}

/// All memory of the machine.
pub(crate) struct Memory {
    bytes: Vec<u8>,
    /// For each page: whether anybody owns it.
    mapped: Vec<bool>,
    /// Whether the device may reach memory at all.
    pub(crate) dma: bool,
    /// Accesses to unmapped memory.
    pub(crate) faults: Vec<Fault>,
    /// Accesses while the device was kept from memory.
    pub(crate) refused: usize,
    /// What the device keeps for itself beyond single commands: first and last byte.
    claims: Vec<(Claim, u64, u64)>,
    /// Memory that was given back while it was the device's.
    pub(crate) taken_away: Vec<Claim>,
    /// Where the next search for free pages starts: what was given back is not given out
    /// again soon, so that whoever still uses it is found out.
    next: usize,
    /// The controller's own memory, and where it is on the bus.
    pub(crate) controller: Option<(u64, Vec<u8>)>,
}

/// What memory the device keeps for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Queues, by identifier.
    Submission(u16),
    Completion(u16),
    /// The pages of shadow doorbells and of EventIdx.
    Shadow,
    EventIndex,
    HostMemory,
}

impl Memory {
    pub(crate) fn new(pages: usize) -> Self {
        Self {
            bytes: vec![CANARY; pages * PAGE as usize],
            mapped: vec![false; pages],
            dma: false,
            faults: Vec::new(),
            refused: 0,
            claims: Vec::new(),
            taken_away: Vec::new(),
            next: 0,
            controller: None,
        }
    }

    /// Maps `pages` pages with unmapped ones around. Returns the bus address.
    pub(crate) fn map(&mut self, pages: usize) -> Option<u64> {
        let needed = pages + 2;
        let places = self.mapped.len().checked_sub(needed)? + 1;
        let first = self.next % places;
        let start = (first..places)
            .chain(0..first)
            .find(|start| !self.mapped[*start..start + needed].contains(&true))?;
        self.next = start + needed - 1;
        self.mapped[start + 1..=start + pages].fill(true);
        Some(BASE + (start as u64 + 1) * PAGE)
    }

    /// Gives pages back. Whoever still uses them will see canaries, or be a fault.
    pub(crate) fn unmap(&mut self, bus: u64, pages: usize) {
        let end = bus + pages as u64 * PAGE;
        for (claim, first, last) in &self.claims {
            if self.dma && *first < end && *last >= bus {
                self.taken_away.push(*claim);
            }
        }
        let start = (bus - BASE) as usize;
        self.bytes[start..start + pages * PAGE as usize].fill(CANARY);
        let page = start / PAGE as usize;
        self.mapped[page..page + pages].fill(false);
    }

    /// The device keeps `len` bytes from `bus` on for itself.
    pub(crate) fn claim(&mut self, claim: Claim, bus: u64, len: u64) {
        self.claims.push((claim, bus, bus.saturating_add(len - 1)));
    }

    /// The device does not need what it has claimed any more.
    pub(crate) fn release(&mut self, claim: Claim) {
        self.claims.retain(|(other, _, _)| *other != claim);
    }

    pub(crate) fn release_all(&mut self) {
        self.claims.clear();
    }

    /// Whether these bytes are somebody's, without a look at them.
    pub(crate) fn is_mapped(&self, bus: u64, len: u64) -> bool {
        let last = bus.saturating_add(len.max(1) - 1);
        (bus / PAGE..=last / PAGE).all(|page| {
            let page = (page * PAGE).checked_sub(BASE).map(|offset| offset / PAGE);
            page.is_some_and(|page| self.mapped.get(page as usize) == Some(&true))
        })
    }

    /// Number of pages that somebody owns.
    pub(crate) fn mapped_pages(&self) -> usize {
        self.mapped.iter().filter(|mapped| **mapped).count()
    }

    /// Reads as the host.
    pub(crate) fn bytes(&self, bus: u64, len: usize) -> &[u8] {
        let start = (bus - BASE) as usize;
        &self.bytes[start..start + len]
    }

    /// Writes as the host.
    pub(crate) fn bytes_mut(&mut self, bus: u64, len: usize) -> &mut [u8] {
        let start = (bus - BASE) as usize;
        &mut self.bytes[start..start + len]
    }

    /// Reads as the device.
    pub(crate) fn device_read(&mut self, bus: u64, into: &mut [u8]) -> Result<(), Fault> {
        if let Some(own) = self.own(bus, into.len()) {
            into.copy_from_slice(own);
            return Ok(());
        }
        self.device(bus, into.len())?;
        into.copy_from_slice(self.bytes(bus, into.len()));
        Ok(())
    }

    /// Writes as the device.
    pub(crate) fn device_write(&mut self, bus: u64, from: &[u8]) -> Result<(), Fault> {
        if let Some(own) = self.own(bus, from.len()) {
            own.copy_from_slice(from);
            return Ok(());
        }
        self.device(bus, from.len())?;
        self.bytes_mut(bus, from.len()).copy_from_slice(from);
        Ok(())
    }

    /// Reads a 64-bit value as the device.
    pub(crate) fn device_read64(&mut self, bus: u64) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.device_read(bus, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// These bytes of the controller's own memory, if that is where they are.
    fn own(&mut self, bus: u64, len: usize) -> Option<&mut [u8]> {
        let (base, bytes) = self.controller.as_mut()?;
        let start = usize::try_from(bus.checked_sub(*base)?).ok()?;
        bytes.get_mut(start..start.checked_add(len)?)
    }

    /// Whether the device may touch these bytes.
    fn device(&mut self, bus: u64, len: usize) -> Result<(), Fault> {
        let fault = Fault { bus, len };
        if !self.dma {
            self.refused += 1;
            return Err(fault);
        }
        if !self.is_mapped(bus, len as u64) {
            self.faults.push(fault);
            return Err(fault);
        }
        Ok(())
    }

    /// The bytes of a list, in its order.
    pub(crate) fn contents(&self, list: &DmaList) -> Vec<u8> {
        let mut contents = Vec::new();
        for piece in list.iter() {
            contents.extend_from_slice(self.bytes(piece.addr().get(), piece.len() as usize));
        }
        contents
    }

    /// Sets the bytes of a list, in its order.
    pub(crate) fn set_contents(&mut self, list: &DmaList, mut contents: &[u8]) {
        for piece in list.iter() {
            let (now, later) = contents.split_at(piece.len() as usize);
            self.bytes_mut(piece.addr().get(), now.len())
                .copy_from_slice(now);
            contents = later;
        }
        assert!(contents.is_empty());
    }
}

/// Ranges of the model's memory, to be read and written by its device.
pub(crate) struct Ours(DmaList);

impl Deref for Ours {
    type Target = DmaList;

    fn deref(&self) -> &DmaList {
        &self.0
    }
}

/// A list of (bus address, length).
pub(crate) fn list(pieces: &[(u64, u64)]) -> Ours {
    let mut list = DmaList::new();
    for (bus, len) in pieces {
        let range = DmaRange::new(DmaAddr::new(*bus), *len).expect("a range");
        list.push(range).expect("memory for the list");
    }
    Ours(list)
}
