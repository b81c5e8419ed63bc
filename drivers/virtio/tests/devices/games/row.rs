//! A row of bytes, taken for moves.

use crate::model::{Device, Mischief};

/// Bytes that are left. There is always one more, and in the end they are zeros.
pub(crate) struct Row<'a>(pub(crate) &'a [u8]);

impl Row<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }
    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }
    pub(crate) fn half(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Nothing but zeros is left.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// Something that a device of any kind does wrong.
pub(crate) fn mischief(row: &mut Row<'_>) -> Mischief {
    match row.below(11) {
        0 => Mischief::UsedId(row.byte().into()),
        1 => Mischief::UsedId(u32::MAX - u32::from(row.byte())),
        2 => Mischief::Twice,
        3 => Mischief::Longer(row.half().into()),
        4 => Mischief::Shorter,
        5 => Mischief::Nothing,
        6 => Mischief::Index(row.half()),
        7 => Mischief::Status(row.byte()),
        8 => Mischief::Silent,
        9 => Mischief::Deaf,
        _ => Mischief::Mute,
    }
}

/// Lets a device do something wrong, now or later. Whether it is there still.
pub(crate) fn upset(device: &mut Device, row: &mut Row<'_>) {
    match row.below(16) {
        0..8 => {
            let what = mischief(row);
            device.mischief = Some((what, u32::from(row.below(3)) + 1));
        }
        8..11 => {
            let queue = usize::from(row.byte()) % device.queues.len();
            let (at, value) = (row.half(), row.half());
            device.poke(queue, at, value);
        }
        11 => {
            device.note("needs a reset");
            device.status |= 0x40;
        }
        12 if !device.config.is_empty() => {
            let at = usize::from(row.byte()) % device.config.len();
            device.note("has another configuration");
            device.config[at] = row.byte();
            device.change();
        }
        12 | 13 => {
            device.note("takes its time to be reset");
            device.slow_reset = u32::from(row.byte()) / 8;
        }
        14 if row.below(4) == 0 => {
            device.note("goes");
            (device.is_present, device.can_dma) = (false, false);
        }
        15 if row.below(4) == 0 => {
            device.note("cannot be stopped");
            (device.slow_reset, device.is_unstoppable) = (u32::MAX >> 12, true);
        }
        _ => {}
    }
}
