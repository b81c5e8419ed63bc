//! The Controller Memory Buffer: memory of the controller behind its registers.
//!
//! It is there only once the driver has said where on the bus it is to be (CMBMSC). What may
//! lie in it, CMBSZ says.

use super::Model;

/// Offsets of registers that the driver's own list does not have.
pub(crate) struct Regions;

impl Regions {
    /// NVM Subsystem Reset.
    pub(crate) const NSSR: usize = 0x20;
    /// Controller Memory Buffer Location, Size, and Memory Space Control.
    pub(crate) const CMBLOC: usize = 0x38;
    pub(crate) const CMBSZ: usize = 0x3c;
    pub(crate) const CMBMSC: usize = 0x50;
}

/// What the buffer is.
#[derive(Clone, Debug)]
pub(crate) struct ControllerMemory {
    /// Where in the register window, in whole pages.
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    /// SQS, CQS, LISTS, RDS and WDS, as bits 4:0 of CMBSZ have them.
    pub(crate) uses: u8,
}

impl Model {
    /// CMBLOC and CMBSZ: zeros until CMBMSC.CRE.
    pub(crate) fn controller_memory_registers(&self) -> (u32, u32) {
        match &self.config.controller_memory {
            Some(memory) if self.cmbmsc & 1 != 0 => {
                // In units of 4 KiB: SZU is 0.
                let location = (memory.offset / 4096) << 12;
                let size = (memory.bytes / 4096) << 12;
                (location as u32, size as u32 | u32::from(memory.uses))
            }
            _ => (0, 0),
        }
    }

    /// CMBMSC: CRE shows the registers, CMSE opens the memory at CBA.
    pub(crate) fn place_controller_memory(&mut self, value: u64) {
        if !self.config.cap.cmbs() {
            return self.offence("CMBMSC without CAP.CMBS");
        }
        self.cmbmsc = value;
        let held = self.memory.controller.take();
        let Some(memory) = &self.config.controller_memory else {
            return;
        };
        if value & 3 == 3 {
            let bytes = held.map_or(vec![0; memory.bytes], |(_, bytes)| bytes);
            self.memory.controller = Some((value & !0xfff, bytes));
        }
    }

    pub(crate) fn in_controller_memory(&self, offset: usize, width: usize) -> Option<usize> {
        let memory = self.config.controller_memory.as_ref()?;
        let at = offset.checked_sub(memory.offset)?;
        (at + width <= memory.bytes).then_some(at)
    }

    pub(crate) fn write_controller_memory(&mut self, at: usize, value: &[u8]) {
        match &mut self.memory.controller {
            Some((_, bytes)) => bytes[at..at + value.len()].copy_from_slice(value),
            None => self.offence("controller memory written while it is closed"),
        }
    }

    pub(crate) fn read_controller_memory(&mut self, at: usize) -> u32 {
        let reads = self
            .config
            .controller_memory
            .as_ref()
            .map(|memory| memory.uses >> 3 & 1);
        match &self.memory.controller {
            // Without RDS nobody promises what is read.
            Some((_, bytes)) if reads == Some(1) => {
                let mut word = [0; 4];
                word.copy_from_slice(&bytes[at..at + 4]);
                u32::from_le_bytes(word)
            }
            _ => 0,
        }
    }

    /// Whether a queue may be at a bus address: in the host's memory, or in the controller's
    /// if that may hold such queues.
    pub(crate) fn may_be_a_queue(&self, bus: u64, is_completion: bool) -> bool {
        let Some((base, bytes)) = &self.memory.controller else {
            return true;
        };
        let is_inside = bus >= *base && bus - *base < bytes.len() as u64;
        let uses = self
            .config
            .controller_memory
            .as_ref()
            .map_or(0, |memory| memory.uses);
        !is_inside || uses >> u8::from(is_completion) & 1 != 0
    }
}
