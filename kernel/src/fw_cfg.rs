//! QEMU's firmware configuration device: small named items from the host to the guest.
//!
//! The host passes `-fw_cfg name=opt/phyros/exec,file=…`; the guest looks the name up in a
//! directory and reads the item byte by byte (QEMU, `docs/specs/fw_cfg`). The selector and data
//! ports exist on every PC that QEMU emulates; on any other machine the signature is missing and
//! every item is absent.

use crate::lock::Mutex;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use x86_64::instructions::port::{Port, PortWriteOnly};

const SIGNATURE: u16 = 0x0000;
const DIRECTORY: u16 = 0x0019;
/// More than any item of ours needs; a larger one is treated as absent.
const LARGEST_ITEM: usize = 16 << 20;

struct Device {
    selector: PortWriteOnly<u16>,
    data: Port<u8>,
}

static DEVICE: Mutex<Device> = Mutex::new(Device {
    selector: PortWriteOnly::new(0x510),
    data: Port::new(0x511),
});

impl Device {
    /// Makes the following reads start at the beginning of an item.
    fn select(&mut self, key: u16) {
        // SAFETY: selecting an item has no other effect; where no device listens, none at all.
        unsafe { self.selector.write(key) };
    }

    fn read(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            // SAFETY: reading the data port advances within the selected item and nothing else.
            *byte = unsafe { self.data.read() };
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(&mut bytes);
        bytes
    }

    /// The key and length of a named item.
    fn find(&mut self, name: &str) -> Option<(u16, usize)> {
        self.select(SIGNATURE);
        if self.array() != *b"QEMU" {
            return None;
        }
        self.select(DIRECTORY);
        let count = u32::from_be_bytes(self.array());
        for _ in 0..count.min(4096) {
            let len = u32::from_be_bytes(self.array());
            let key = u16::from_be_bytes(self.array());
            let _reserved: [u8; 2] = self.array();
            let padded: [u8; 56] = self.array();
            let end = padded
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(padded.len());
            if &padded[..end] == name.as_bytes() {
                return Some((key, len as usize));
            }
        }
        None
    }
}

/// Reads an item. `None` when there is no such item, or no such device.
pub fn read(name: &str) -> Option<Vec<u8>> {
    let mut device = DEVICE.lock();
    let (key, len) = device.find(name)?;
    if len > LARGEST_ITEM {
        return None;
    }
    let mut bytes = vec![0; len];
    device.select(key);
    device.read(&mut bytes);
    Some(bytes)
}

/// The command line that QEMU's `-append` gives, with what QEMU adds to it. It is an item of QEMU's, without a name.
pub fn command_line() -> Option<String> {
    const LEN: u16 = 0x0014;
    const TEXT: u16 = 0x0015;
    let mut device = DEVICE.lock();
    device.select(SIGNATURE);
    if device.array() != *b"QEMU" {
        return None;
    }
    device.select(LEN);
    let len = u32::from_le_bytes(device.array()) as usize;
    if len > LARGEST_ITEM {
        return None;
    }
    let mut bytes = vec![0; len];
    device.select(TEXT);
    device.read(&mut bytes);
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(len));
    String::from_utf8(bytes).ok()
}

/// Reads an item as text. `None` when it is absent or not UTF-8.
pub fn read_text(name: &str) -> Option<String> {
    String::from_utf8(read(name)?).ok()
}
