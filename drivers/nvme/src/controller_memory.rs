//! The controller memory buffer: memory of the controller, where submission queues may lie (NVMe
//! base specification 2.0, sections 3.1.3.11, 3.1.3.12 and 8.5).
//!
//! A controller fetches a command over the bus, and that takes a while. If the ring lies in the
//! controller's own memory, the processor has brought the command there already.
//!
//! - The registers that say where the memory is show zeros before the driver wants to see them,
//!   and the memory is closed before the driver says where on the bus it is.
//! - Entries are only ever written there. Nobody promises what reads would bring.
//! - They are written by accesses of 8 bytes, and a full fence comes before the doorbell: the
//!   processor may gather such writes.
//! - Each queue has its own place by its number, so nobody keeps account of them. A queue that has
//!   none, or whose platform cannot reach it, lies in the host's memory as always.
//! - Shadow doorbells do not go with this: a shadow may be seen before an entry has arrived, where
//!   a doorbell register may not.

use crate::page::PAGE;
use crate::platform::{Platform, SharedMemory};
use crate::port::Port;
use crate::registers::{MemoryLocation, MemorySize};
use crate::shared::Shared;

/// Most units of CMBSZ.SZU that there are: 64 GiB.
const MAX_UNIT: u8 = 6;

/// Where the memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControllerMemory {
    /// Base address register.
    bar: u8,
    /// Bytes from its start.
    offset: u64,
    bytes: u64,
}

impl ControllerMemory {
    /// Memory for submission queues, if these registers tell of such.
    fn new(location: MemoryLocation, size: MemorySize) -> Option<Self> {
        if size.szu() > MAX_UNIT || size.sz() == 0 || !size.sqs() {
            return None;
        }
        let shift = PAGE.trailing_zeros() + 4 * u32::from(size.szu());
        Some(Self {
            bar: location.bir(),
            offset: u64::from(location.ofst()) << shift,
            bytes: u64::from(size.sz()) << shift,
        })
    }

    /// Where the submission ring of an I/O queue goes, if all are of `bytes` bytes.
    fn place(&self, queue: u16, bytes: usize) -> Option<u64> {
        let each = (bytes as u64).next_multiple_of(PAGE);
        let start = u64::from(queue.checked_sub(1)?) * each;
        (start + each <= self.bytes).then_some(self.offset + start)
    }
}

impl<P: Platform> Shared<P> {
    /// Opens the controller's memory if it has any that is of use, and says where it is.
    pub(crate) fn open_controller_memory(&self) {
        if !self.options.controller_memory || !self.port.cap().cmbs() {
            return;
        }
        let known = self.state.lock().controller_memory;
        let queues = self.state.lock().granted;
        let memory = known.or_else(|| look(&self.port, queues));
        let Some(memory) = memory else {
            return;
        };
        let platform = self.port.platform();
        let start = platform.controller_memory(memory.bar, memory.offset, PAGE as usize);
        let base = start.map(|start| start.bus().addr().get());
        let base = base.filter(|base| base.is_multiple_of(PAGE));
        if let Some(base) = base {
            self.port.place_controller_memory(base);
        }
        self.state.lock().controller_memory = base.map(|_| memory);
    }

    /// The controller's memory for the submission ring of a queue.
    pub(crate) fn controller_memory(&self, queue: u16, bytes: usize) -> Option<P::Shared> {
        let memory = self.state.lock().controller_memory?;
        let offset = memory.place(queue, bytes)?;
        let platform = self.port.platform();
        platform.controller_memory(memory.bar, offset, bytes)
    }
}

/// Asks where the memory is.
fn look<P: Platform>(port: &Port<P>, queues: u16) -> Option<ControllerMemory> {
    let (location, size) = port.find_controller_memory();
    let memory = ControllerMemory::new(location, size)?;
    // Doorbells are no memory.
    let is_credible = memory.bar != 0 || memory.offset >= port.end_of_doorbells(queues);
    is_credible.then_some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(ofst: u32, size: u32) -> Option<ControllerMemory> {
        let location = MemoryLocation::new().with_bir(2).with_ofst(ofst);
        ControllerMemory::new(location, MemorySize::from(size))
    }

    #[test]
    fn sizes_are_in_units() {
        // As QEMU 7.2 says it: 16 units of 4 KiB, but no completion queues and no lists.
        let found = memory(3, 0x1_0019).expect("memory");
        assert_eq!(
            (found.bar, found.offset, found.bytes),
            (2, 0x3000, 0x1_0000)
        );
        let found = memory(1, 0x2_0201).expect("memory");
        assert_eq!((found.offset, found.bytes), (1 << 20, 32 << 20));
        let largest = memory(0xf_ffff, 0xffff_f601).expect("memory");
        assert_eq!(largest.bytes, 0xf_ffff << 36);
        assert_eq!(memory(0, 0), None);
        assert_eq!(memory(0, 0x1_001e), None, "no submission queues");
        assert_eq!(memory(0, 0x1_0701), None, "no such unit");
    }

    #[test]
    fn each_queue_has_its_place_while_there_is_room() {
        let memory = memory(1, 0x4001).map(|memory| {
            let places = [1, 2, 3, 4].map(|queue| memory.place(queue, 4096 + 64));
            (places, memory.place(0, 64), memory.place(4, 4096))
        });
        let places = [Some(0x1000), Some(0x3000), None, None];
        assert_eq!(memory, Some((places, None, Some(0x4000))));
    }
}
