//! The model's registers.

use super::Model;
use super::queues::{CompletionQueue, SubmissionQueue};
use nvme::registers::{
    ACQ, AQA, ASQ, AdminQueueAttributes, CAP, CC, CRTO, CSTS, Configuration, ControllerStatus,
    DOORBELLS, ReadyTimeouts, VS,
};

impl Model {
    pub(crate) fn window(&self) -> usize {
        let stride = 4 << self.config.cap.dstrd();
        self.config.window.unwrap_or(DOORBELLS + 8 * stride)
    }

    pub(crate) fn read32(&mut self, offset: usize) -> u32 {
        self.check_access(offset, 4);
        self.reads += 1;
        if self.all_ones || self.all_zeros {
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
                .into(),
            AQA => self.aqa.into(),
            CRTO => ReadyTimeouts::new().with_crwmt(self.config.crwmt).into(),
            _ => 0,
        }
    }

    pub(crate) fn read64(&mut self, offset: usize) -> u64 {
        self.check_access(offset, 8);
        u64::from(self.read32(offset)) | u64::from(self.read32(offset + 4)) << 32
    }

    pub(crate) fn write32(&mut self, offset: usize, value: u32) {
        self.check_access(offset, 4);
        if self.all_ones || self.all_zeros {
            return;
        }
        match offset {
            CC => self.configure(Configuration::from(value)),
            AQA => self.aqa = AdminQueueAttributes::from(value),
            DOORBELLS.. => self.doorbell(offset - DOORBELLS, value),
            _ => self.offence(format!("write to register {offset:#x}")),
        }
    }

    pub(crate) fn write64(&mut self, offset: usize, value: u64) {
        self.check_access(offset, 8);
        if self.all_ones || self.all_zeros {
            return;
        }
        if self.cc.en() {
            self.offence("admin queue moved while enabled");
        }
        match offset {
            ASQ => self.asq = value,
            ACQ => self.acq = value,
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
            if !self.never_stops {
                self.forget();
            }
            self.ready_at = Some(self.clock + self.config.ready_delay);
        }
        if new.shn() != 0 && old.shn() == 0 {
            if self.submission.len() > 1 {
                self.offence("shut down with I/O queues");
            }
            self.shst = 1;
            self.shut_down_at = Some(self.clock + self.config.ready_delay);
        }
    }

    fn enable(&mut self) {
        let sizes = self.cc.iosqes() == 6 && self.cc.iocqes() == 4;
        let modes = self.cc.css() == 0 && self.cc.mps() == 0 && self.cc.ams() == 0;
        let queues = self.aqa.asqs() > 0 && self.aqa.acqs() > 0;
        let aligned = self.asq.is_multiple_of(4096) && self.acq.is_multiple_of(4096);
        if !(sizes && modes && queues && aligned) || self.fatal_on_enable {
            self.cfs = true;
            return;
        }
        let admin = SubmissionQueue::new(self.asq, self.aqa.asqs() + 1, 0);
        self.submission.insert(0, admin);
        let admin = CompletionQueue::new(self.acq, self.aqa.acqs() + 1);
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
        if !offset.is_multiple_of(stride) || !self.rdy {
            self.offence(format!("doorbell {offset:#x}, ready {}", self.rdy));
            return;
        }
        let queue = (offset / stride / 2) as u16;
        let is_known = match offset / stride % 2 {
            0 => self.new_tail(queue, value),
            _ => self.new_head(queue, value),
        };
        if !is_known {
            self.offence(format!("doorbell {offset:#x}: {value}"));
        }
    }
}
