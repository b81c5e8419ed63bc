//! The same registers in a window of memory (section 4.2.2): where each of them is there, and what there is besides.
//!
//! The device does not know how it is reached: all that is here ends at a register of the other transport.

use super::device::Device;

/// Reads a register.
pub(crate) fn read(device: &mut Device, offset: usize) -> u32 {
    if !device.is_present {
        return device.read(0x14);
    }
    match offset {
        0x00 => u32::from_le_bytes(*b"virt"),
        0x04 => 2,
        0x08 => 1,
        0x10 => device.read(0x04),
        0x34 => {
            device.register_reads += 1;
            device.selected_queue().map_or(0, |queue| queue.most.into())
        }
        0x44 => {
            device.register_reads += 1;
            device
                .selected_queue()
                .map_or(0, |queue| queue.is_enabled.into())
        }
        0x70 => device.read(0x14),
        0xfc => device.read(0x15),
        _ => panic!("the driver reads the register {offset:#x}"),
    }
}

/// Writes a register.
pub(crate) fn write(device: &mut Device, offset: usize, value: u32) {
    match offset {
        0x14 => device.write(0x00, value),
        0x20 => device.write(0x0c, value),
        0x24 => device.write(0x08, value),
        0x30 => device.write(0x16, value),
        0x38 => device.write(0x18, value),
        0x44 => {
            // There is one wire for all, and who acknowledges it sees which of the two it was.
            device.write(0x1a, 1);
            device.write(0x10, 0);
            device.write(0x1c, value);
        }
        0x70 => device.write(0x14, value),
        0x80 | 0x84 => device.write(offset - 0x80 + 0x20, value),
        0x90 | 0x94 => device.write(offset - 0x90 + 0x28, value),
        0xa0 | 0xa4 => device.write(offset - 0xa0 + 0x30, value),
        _ => panic!("the driver writes the register {offset:#x}"),
    }
}
