//! Machines that are trees of register arrays, for tests.
//!
//! A fake routes configuration accesses by the bridges' bus numbers and decodes memory by the
//! bridges' windows, so a wrong number or window makes a device unreachable, as on hardware.

use super::{ConfigRead, ConfigSpace, PciAddress, header};
use crate::lock::Mutex;

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) words: [u32; 64],
    /// The writable bits of each BAR; the rest are the kind bits, or zero.
    pub(super) masks: [u32; 6],
    pub(super) behind: Vec<(u8, u8, Fake)>,
    /// The function is a port with a slot.
    pub(super) has_slot: bool,
    /// What was written, in order: which word, and what.
    pub(super) written: Vec<(usize, u32)>,
}

/// The words of a port's slot registers: what it can, and control with status.
pub(super) const SLOT_CAPABILITIES: usize = 0x54 / 4;
pub(super) const SLOT: usize = 0x58 / 4;
const POWER_OFF: u32 = 1 << 10;
const INDICATOR_OFF: u32 = 0b11 << 8;
pub(super) const PRESENT: u32 = 1 << 22;
pub(super) const PRESENCE_CHANGED: u32 = 1 << 19;
pub(super) const BUTTON: u32 = 1 << 16;
/// What a slot has: power controller, indicator, hot plug.
pub(super) const POWER_CONTROLLER: u32 = 1 << 1;
pub(super) const INDICATOR: u32 = 1 << 4;
pub(super) const HOT_PLUG: u32 = 1 << 6;

impl Fake {
    fn empty() -> Self {
        Self {
            words: [0; 64],
            masks: [0; 6],
            behind: Vec::new(),
            has_slot: false,
            written: Vec::new(),
        }
    }

    pub(super) fn device(vendor: u16, masks: &[(usize, u32, u32)]) -> Self {
        let mut fake = Self::empty();
        fake.words[0] = u32::from(vendor) | 0x1234 << 16;
        fake.words[2] = 0x0108_0200;
        // Firmware left bus mastering on.
        fake.words[1] = header::COMMAND_BUS_MASTER;
        for &(index, mask, kind) in masks {
            fake.masks[index] = mask;
            fake.words[4 + index] = kind;
        }
        fake
    }

    /// A 64-bit BAR of `len` bytes at registers `index` and `index + 1`.
    pub(super) fn memory64(vendor: u16, index: usize, len: u64, prefetchable: bool) -> Self {
        let mask = !(len - 1);
        let kind = if prefetchable { 0xc } else { 0x4 };
        Self::device(
            vendor,
            &[
                (index, mask as u32, kind),
                (index + 1, (mask >> 32) as u32, 0),
            ],
        )
    }

    pub(super) fn bridge(behind: Vec<(u8, u8, Fake)>) -> Self {
        let mut fake = Self::empty();
        fake.words[0] = 0x1b36 | 0x000c << 16;
        fake.words[2] = 0x0604_0000;
        fake.words[3] = 1 << 16;
        fake.behind = behind;
        fake
    }

    /// A port with a slot that can all of this.
    pub(super) fn port(abilities: u32, behind: Vec<(u8, u8, Fake)>) -> Self {
        let mut fake = Self::bridge(behind);
        fake.has_slot = true;
        fake.words[1] |= header::STATUS_CAPABILITIES;
        fake.words[0x34 / 4] = 0x40;
        fake.words[0x40 / 4] = 0x10 | 1 << 24;
        fake.words[SLOT_CAPABILITIES] = abilities | HOT_PLUG;
        if !fake.behind.is_empty() {
            fake.words[SLOT] |= PRESENT;
        }
        fake
    }

    /// Puts something into the slot, as a person does: it is seen, and the button is pressed.
    pub(super) fn plug(&mut self, device: Fake) {
        self.behind = vec![(0, 0, device)];
        self.words[SLOT] |= PRESENT | PRESENCE_CHANGED | BUTTON;
    }

    /// Takes out what is there. The slot notices.
    pub(super) fn pull(&mut self) {
        self.behind.clear();
        self.words[SLOT] = self.words[SLOT] & !PRESENT | PRESENCE_CHANGED;
    }

    pub(super) fn press_button(&mut self) {
        self.words[SLOT] |= BUTTON;
    }

    /// Whether the slot has no power, and says so.
    pub(super) fn is_dark(&self) -> bool {
        let off = POWER_OFF | INDICATOR_OFF;
        self.words[SLOT] & off == off
    }

    fn has_power(&self) -> bool {
        let has_controller = self.words[SLOT_CAPABILITIES] & POWER_CONTROLLER != 0;
        !(self.has_slot && has_controller && self.words[SLOT] & POWER_OFF != 0)
    }

    fn numbers(&self) -> (u8, u8) {
        let word = self.words[6];
        ((word >> 8) as u8, (word >> 16) as u8)
    }

    fn is_bridge(&self) -> bool {
        self.words[3] >> 16 & 0x7f == 1
    }

    fn access(&mut self, offset: u16, value: Option<u32>) -> u32 {
        let word = usize::from(offset / 4);
        if word >= self.words.len() {
            return u32::MAX;
        }
        let bars = if self.is_bridge() { 4..6 } else { 4..10 };
        if let Some(value) = value {
            self.written.push((word, value));
            self.words[word] = if bars.contains(&word) {
                let mask = self.masks[word - 4];
                value & mask | self.words[word] & !mask & 0xf
            } else if word == SLOT && self.has_slot {
                // Events are forgotten by ones; presence is as it is.
                let kept = self.words[word] & !(value & 0x11f << 16);
                value & 0xffff | kept & 0xffff << 16
            } else if word == 1 {
                // Status bits are read-only, or cleared by ones.
                value & header::COMMAND_MASK | self.words[word] & !header::COMMAND_MASK
            } else {
                value
            };
        }
        self.words[word]
    }
}

pub(super) struct Machine(pub(super) Mutex<Vec<(u8, u8, Fake)>>);

fn route(
    nodes: &mut [(u8, u8, Fake)],
    bus: u8,
    here: u8,
    address: PciAddress,
    offset: u16,
    value: Option<u32>,
) -> u32 {
    if bus == here {
        let found = nodes.iter_mut().find(|(device, function, _)| {
            (*device, *function) == (address.device(), address.function())
        });
        return found.map_or(u32::MAX, |(_, _, fake)| fake.access(offset, value));
    }
    // Of two bridges that claim a bus, some machine picks the last.
    for (_, _, fake) in nodes
        .iter_mut()
        .rev()
        .filter(|(_, _, fake)| fake.is_bridge())
    {
        let (secondary, subordinate) = fake.numbers();
        if secondary != 0 && (secondary..=subordinate).contains(&bus) {
            if !fake.has_power() {
                return u32::MAX;
            }
            return route(&mut fake.behind, bus, secondary, address, offset, value);
        }
    }
    u32::MAX
}

impl ConfigRead for Machine {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        route(&mut self.0.lock(), address.bus(), 0, address, offset, None)
    }
}

impl ConfigSpace for Machine {
    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        route(
            &mut self.0.lock(),
            address.bus(),
            0,
            address,
            offset,
            Some(value),
        );
    }
}

/// Whether a memory access at `addr` gets through the windows of the bridges to a device's BAR.
pub(super) fn decoded_by(nodes: &[(u8, u8, Fake)], addr: u64) -> Option<u16> {
    for (_, _, fake) in nodes {
        if fake.words[1] & header::COMMAND_MEMORY == 0 {
            continue;
        }
        if fake.is_bridge() {
            let low = fake.words[8];
            let (low_first, low_last) = (
                u64::from(low & 0xfff0) << 16,
                u64::from(low & 0xfff0_0000) | 0xf_ffff,
            );
            let high = fake.words[9];
            let high_first = u64::from(high & 0xfff0) << 16 | u64::from(fake.words[10]) << 32;
            let high_last =
                u64::from(high & 0xfff0_0000) | 0xf_ffff | u64::from(fake.words[11]) << 32;
            let forwards =
                (low_first..=low_last).contains(&addr) || (high_first..=high_last).contains(&addr);
            if let Some(found) = forwards.then(|| decoded_by(&fake.behind, addr)).flatten() {
                return Some(found);
            }
            continue;
        }
        let mut index = 0;
        while index < 6 {
            let (kind, mask) = (fake.words[4 + index] & 0xf, fake.masks[index]);
            let mut start = u64::from(fake.words[4 + index] & !0xf);
            let mut wide = u64::from(mask) | 0xffff_ffff << 32;
            if kind & 0x6 == 0x4 {
                start |= u64::from(fake.words[5 + index]) << 32;
                wide = u64::from(mask) | u64::from(fake.masks[index + 1]) << 32;
                index += 1;
            }
            index += 1;
            let len = (!wide).wrapping_add(1);
            if wide & !(0xffff_ffff << 32) | u64::from(kind & 0x4) != 0
                && addr >= start
                && addr - start < len
            {
                return Some(fake.words[0] as u16);
            }
        }
    }
    None
}
