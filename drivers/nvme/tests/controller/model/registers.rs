//! The model's registers.

use super::events::Event;
use super::memory::Claim;
use super::rings::{CompletionQueue, SubmissionQueue};
use super::{Model, Regions};
use nvme::registers::{
    ACQ, AQA, ASQ, AdminQueueAttributes, CAP, CC, CRTO, CSTS, Configuration, ControllerStatus,
    DOORBELLS, ReadyTimeouts, VS,
};

impl Model {
    pub(crate) fn window(&self) -> usize {
        let stride = 4 << self.config.cap.dstrd();
        let pairs = usize::from(self.config.granted.0.max(self.config.granted.1)) + 1;
        let doorbells = DOORBELLS + 2 * pairs * stride;
        let end = match &self.config.controller_memory {
            Some(memory) => memory.offset + memory.bytes,
            None => doorbells,
        };
        self.config.window.unwrap_or(end.max(doorbells))
    }

    pub(crate) fn cc(&self) -> Configuration {
        self.cc
    }

    /// Bytes of a memory page, as the driver has chosen.
    pub(crate) fn page(&self) -> u64 {
        4096 << self.cc.mps()
    }

    /// Bytes of the smallest page that the driver could have chosen: the unit of MDTS.
    pub(crate) fn smallest_page(&self) -> u64 {
        4096 << self.config.cap.mpsmin()
    }

    /// A register is touched: the moment may be the device's last.
    fn touch(&mut self) -> bool {
        if let Some(left) = &mut self.gone_after {
            match *left {
                0 => self.all_ones = true,
                _ => *left -= 1,
            }
        }
        self.all_ones || self.all_zeros || self.is_out_of_reach
    }

    pub(crate) fn read32(&mut self, offset: usize) -> u32 {
        self.check_access(offset, 4);
        self.reads += 1;
        if self.touch() {
            return if self.all_ones { u32::MAX } else { 0 };
        }
        self.follow();
        match offset {
            CAP | 0x04 => {
                let cap = u64::from(self.config.cap);
                (cap >> (offset * 8)) as u32
            }
            VS => self.config.version,
            CC => self.cc.into(),
            CSTS => ControllerStatus::new()
                .with_rdy(self.rdy)
                .with_cfs(self.cfs)
                .with_shst(self.shst)
                .with_nssro(self.subsystem_was_reset)
                .with_pp(self.paused_until.is_some())
                .into(),
            AQA => self.aqa.into(),
            CRTO => ReadyTimeouts::new().with_crwmt(self.config.crwmt).into(),
            Regions::CMBLOC => self.controller_memory_registers().0,
            Regions::CMBSZ => self.controller_memory_registers().1,
            _ => match self.in_controller_memory(offset, 4) {
                Some(at) => self.read_controller_memory(at),
                None => 0,
            },
        }
    }

    pub(crate) fn read64(&mut self, offset: usize) -> u64 {
        self.check_access(offset, 8);
        u64::from(self.read32(offset)) | u64::from(self.read32(offset + 4)) << 32
    }

    pub(crate) fn write32(&mut self, offset: usize, value: u32) {
        self.check_access(offset, 4);
        if self.touch() {
            return;
        }
        if let Some(at) = self.in_controller_memory(offset, 4) {
            return self.write_controller_memory(at, &value.to_le_bytes());
        }
        match offset {
            CC => self.configure(Configuration::from(value)),
            AQA => self.aqa = AdminQueueAttributes::from(value),
            CSTS => self.subsystem_was_reset &= value & 1 << 4 == 0,
            Regions::NSSR if self.config.cap.nssrs() && value == 0x4e56_4d65 => {
                self.reset_subsystem();
            }
            DOORBELLS.. => self.doorbell(offset - DOORBELLS, value),
            _ => self.offence(format!("write to register {offset:#x}")),
        }
    }

    pub(crate) fn write64(&mut self, offset: usize, value: u64) {
        self.check_access(offset, 8);
        if self.touch() {
            return;
        }
        if let Some(at) = self.in_controller_memory(offset, 8) {
            return self.write_controller_memory(at, &value.to_le_bytes());
        }
        if matches!(offset, ASQ | ACQ) && self.cc.en() {
            self.offence("admin queue moved while enabled");
        }
        match offset {
            ASQ => self.asq = value,
            ACQ => self.acq = value,
            Regions::CMBMSC => self.place_controller_memory(value),
            _ => self.offence(format!("64-bit write to register {offset:#x}")),
        }
    }

    fn check_access(&self, offset: usize, width: usize) {
        assert_eq!(offset % width, 0, "misaligned register access");
        assert!(offset + width <= self.window(), "no such register");
    }

    /// Lets status bits follow the configuration when their time has come.
    pub(crate) fn follow(&mut self) {
        if self.ready_at.is_some_and(|at| self.clock >= at) {
            let is_stuck = match self.cc.en() {
                true => self.never_ready,
                false => self.never_stops,
            };
            if !is_stuck {
                if !self.cc.en() && !self.submission.is_empty() {
                    // It would not stop, and does so now.
                    self.forget();
                }
                self.rdy = self.cc.en();
                self.ready_at = None;
            }
        }
        if self.shut_down_at.is_some_and(|at| self.clock >= at) && !self.never_shuts_down {
            self.shst = ControllerStatus::SHUTDOWN_COMPLETE;
            self.shut_down_at = None;
        }
    }

    fn configure(&mut self, new: Configuration) {
        let old = self.cc;
        self.cc = new;
        if new.en() && !old.en() {
            if self.rdy {
                self.offence("enabled before it had stopped");
            }
            self.enable();
        }
        if !new.en() && old.en() {
            // One that goes on shows that by RDY. Where that has fallen by itself, nobody could find
            // out, and whatever the controller had is forgotten.
            if !self.never_stops || !self.rdy {
                self.forget();
            }
            self.ready_at = Some(self.clock + self.config.ready_delay);
        }
        if new.shn() != 0 && old.shn() == 0 {
            if self.submission.len() > 1 && !self.keeps_queues {
                self.offence("shut down with I/O queues");
            }
            self.shst = 1;
            self.unsafe_shutdowns += u128::from(new.shn() == 2 && self.cache.dirty() > 0);
            self.cache.flush_all();
            self.shut_down_at = Some(self.clock + self.config.ready_delay);
        }
    }

    fn enable(&mut self) {
        self.is_cut_off = false;
        let sizes = self.cc.iosqes() == 6 && self.cc.iocqes() == 4;
        let cap = self.config.cap;
        let pages = (cap.mpsmin()..=cap.mpsmax().max(cap.mpsmin())).contains(&self.cc.mps());
        let sets = match self.cc.css() {
            0 => cap.css_nvm(),
            6 => cap.css_selectable(),
            7 => cap.css_none(),
            _ => false,
        };
        let modes = sets && pages && self.cc.ams() == 0;
        let queues = self.aqa.asqs() > 0 && self.aqa.acqs() > 0;
        let aligned = self.asq.is_multiple_of(self.page()) && self.acq.is_multiple_of(self.page());
        if !(sizes && modes && queues && aligned) || self.fatal_on_enable {
            self.cfs = true;
            return;
        }
        let admin = SubmissionQueue::new(self.asq, self.aqa.asqs() + 1, 0);
        let bytes = u64::from(admin.entries) * 64;
        self.memory.claim(Claim::Submission(0), self.asq, bytes);
        self.submission.insert(0, admin);
        let admin = CompletionQueue::new(self.acq, self.aqa.acqs() + 1, Some(0));
        let bytes = u64::from(admin.entries) * 16;
        self.memory.claim(Claim::Completion(0), self.acq, bytes);
        self.completion.insert(0, admin);
        self.ready_at = Some(self.clock + self.config.ready_delay);
    }

    fn doorbell(&mut self, offset: usize, value: u32) {
        self.doorbells += 1;
        let stride = 4 << self.config.cap.dstrd();
        if self.silent && !self.rdy {
            // It stopped being ready by itself. The driver cannot know.
            return;
        }
        if self.is_cut_off {
            // Somebody could not wait. The others do not know it yet, and it does no harm.
            return;
        }
        if !offset.is_multiple_of(stride) || !self.rdy {
            self.offence(format!("doorbell {offset:#x}, ready {}", self.rdy));
            return;
        }
        let queue = (offset / stride / 2) as u16;
        let done = match offset / stride % 2 {
            0 => self.new_tail(queue, value),
            _ => self.new_head(queue, value),
        };
        if let Err(info) = done {
            self.offence(format!("doorbell {offset:#x}: {value}"));
            self.event(Event::doorbell(info));
        }
    }
}
