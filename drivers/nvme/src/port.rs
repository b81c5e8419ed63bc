//! The controller's registers in use: doorbells, enable, disable, shutdown, health
//! (NVMe base specification 2.0, sections 3.5 and 3.6).
//!
//! No loop here trusts the device to answer. All ones from a status register mean that the
//! device is gone. The capabilities are read once and kept; they are also how the driver
//! knows its controller again: a register window that nothing answers may well read as
//! zeros, and zeros look like a controller that is disabled.

use crate::error::{Error, Failure, Unsupported, Waiting};
use crate::platform::{Platform, Registers};
use crate::quirks::{Quirks, SLOW_MICROSECONDS};
use crate::registers::{
    ACQ, AQA, ASQ, AdminQueueAttributes, CAP, CC, CMBLOC, CMBMSC, CMBSZ, CRTO, CSTS, Capabilities,
    Configuration, ControllerStatus, DOORBELLS, MemoryLocation, MemorySize, MemorySpace, PMRCAP,
    PMRCTL, PMRSTS, PersistentCapabilities, PersistentControl, PersistentStatus, ReadyTimeouts, VS,
    Version, completion_doorbell, submission_doorbell,
};
use crate::watch::Watch;
use crate::wire::{CompletionEntry, SubmissionEntry};

/// Microseconds in the unit of CAP.TO.
const TIMEOUT_UNIT: u64 = 500_000;

/// Longest time for CSTS.RDY to follow CC.EN, whatever the controller says about it: the
/// most that CAP.TO has room for (127.5 s). CRTO could ask for nine hours, and whoever waits
/// here has nothing else to do. A controller that is given up can be reset later.
const READY_MICROSECONDS: u64 = u8::MAX as u64 * TIMEOUT_UNIT;

/// Shortest and longest time for a shutdown, whatever the controller says about it.
const SHUTDOWN_MICROSECONDS: core::ops::RangeInclusive<u64> = 5_000_000..=60_000_000;

/// The highest queue identifier that there must be doorbells for.
const FIRST_QUEUE: u16 = 1;

/// A controller's registers, with the platform that they belong to.
#[derive(Debug)]
pub(crate) struct Port<P> {
    platform: P,
    cap: Capabilities,
    /// Registers are left alone for a while after CC.EN has changed.
    is_slow: bool,
}

/// Where the admin queues are, for the controller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdminQueues {
    /// Entries of each.
    pub(crate) entries: u16,
    /// Bus address of the submission queue.
    pub(crate) submission: u64,
    /// Bus address of the completion queue.
    pub(crate) completion: u64,
}

impl<P: Platform> Port<P> {
    /// Looks at a controller's capabilities. Changes nothing.
    pub(crate) fn open(platform: P) -> Result<Self, Error> {
        let registers = platform.registers();
        let len = registers.len();
        let too_short = |needed| Error::Unsupported(Unsupported::RegisterWindow { len, needed });
        let smallest = completion_doorbell(FIRST_QUEUE, 0) + 4;
        if len < smallest {
            return Err(too_short(smallest));
        }
        let bits = registers.read64(CAP);
        if bits == u64::MAX {
            return Err(Error::Failed(Failure::Gone));
        }
        let cap = Capabilities::from(bits);
        let needed = completion_doorbell(FIRST_QUEUE, cap.dstrd()) + 4;
        if len < needed {
            return Err(too_short(needed));
        }
        if cap.mpsmin() > 0 {
            let shift = 12 + cap.mpsmin();
            return Err(Error::Unsupported(Unsupported::PageSize { shift }));
        }
        if !cap.css_nvm() {
            return Err(Error::Unsupported(Unsupported::CommandSet));
        }
        if cap.mqes() == 0 {
            return Err(Error::Unsupported(Unsupported::QueueEntries { mqes: 0 }));
        }
        let quirks = platform.device().map(Quirks::of).unwrap_or_default();
        let is_slow = quirks.slow_to_answer();
        Ok(Self {
            platform,
            cap,
            is_slow,
        })
    }

    pub(crate) fn platform(&self) -> &P {
        &self.platform
    }

    pub(crate) fn cap(&self) -> Capabilities {
        self.cap
    }

    /// Number of I/O queue pairs that the register window has doorbells for.
    pub(crate) fn doorbell_pairs(&self) -> u16 {
        let stride = 4 << self.cap.dstrd();
        // The admin queues have the first two doorbells, and `open` has seen that there is
        // room for the next two.
        let doorbells = (self.registers().len() - DOORBELLS - 4) / stride + 1;
        u16::try_from(doorbells / 2 - 1).unwrap_or(u16::MAX)
    }

    pub(crate) fn version(&self) -> Version {
        Version::from(self.registers().read32(VS))
    }

    /// Tells the controller of new submission queue entries.
    pub(crate) fn ring_submission(&self, queue: u16, tail: u16) {
        let doorbell = submission_doorbell(queue, self.cap.dstrd());
        self.registers().write32(doorbell, u32::from(tail));
    }

    /// Gives completion queue entries back to the controller.
    pub(crate) fn ring_completion(&self, queue: u16, head: u16) {
        let doorbell = completion_doorbell(queue, self.cap.dstrd());
        self.registers().write32(doorbell, u32::from(head));
    }

    /// Bytes from the start of the registers to the end of the last doorbell in use.
    pub(crate) fn end_of_doorbells(&self, queues: u16) -> u64 {
        completion_doorbell(queues, self.cap.dstrd()) as u64 + 4
    }

    /// Where the controller's memory is. Only for a controller with CAP.CMBS.
    pub(crate) fn find_controller_memory(&self) -> (MemoryLocation, MemorySize) {
        let shown = MemorySpace::new().with_cre(true);
        self.registers().write64(CMBMSC, shown.into());
        let location = MemoryLocation::from(self.registers().read32(CMBLOC));
        (location, MemorySize::from(self.registers().read32(CMBSZ)))
    }

    /// Tells the controller at which bus address its memory is, and opens it.
    pub(crate) fn place_controller_memory(&self, base: u64) {
        let open = MemorySpace::new().with_cre(true).with_cmse(true);
        let open = open.with_cba(base >> 12);
        self.registers().write64(CMBMSC, open.into());
    }

    /// Switches the persistent memory region on. Only for a controller with CAP.PMRS.
    pub(crate) fn enable_persistent_memory(&self) -> PersistentCapabilities {
        let on = PersistentControl::new().with_en(true);
        self.registers().write32(PMRCTL, on.into());
        PersistentCapabilities::from(self.registers().read32(PMRCAP))
    }

    /// The state of the persistent memory region, when all that was written before has arrived.
    pub(crate) fn persistent_status(&self) -> PersistentStatus {
        PersistentStatus::from(self.registers().read32(PMRSTS))
    }

    /// Says whether an enabled controller can still be expected to answer.
    pub(crate) fn health(&self) -> Result<(), Failure> {
        let csts = self.status()?;
        if csts.cfs() {
            Err(Failure::Fatal)
        } else if !csts.rdy() {
            // A window that nobody answers may read as zeros.
            match self.platform.is_present() {
                true => Err(Failure::NotReady),
                false => Err(Failure::Gone),
            }
        } else {
            Ok(())
        }
    }

    /// Lets a controller that firmware has just enabled become ready.
    ///
    /// Clearing CC.EN before that has undefined results. If the controller never gets
    /// ready, undefined is what there is.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        let mut watch = Watch::new(&self.platform, Waiting::Enable, self.ready_microseconds());
        while self.configuration().en() {
            let csts = self.status()?;
            if csts.rdy() || csts.cfs() || watch.turn(&self.platform).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Disables the controller, which resets it. When this returns `Ok`, the controller has
    /// confirmed that it has stopped: no command is outstanding any more.
    pub(crate) async fn disable(&self) -> Result<(), Failure> {
        let cc = self.configuration();
        if cc.en() && u32::from(cc) != u32::MAX {
            let off = cc.with_en(false).with_shn(0);
            self.registers().write32(CC, off.into());
            self.leave_alone().await;
        }
        let mut watch = Watch::new(&self.platform, Waiting::Disable, self.ready_microseconds());
        while self.status()?.rdy() {
            watch.turn(&self.platform).await?;
        }
        if self.registers().read64(CAP) != u64::from(self.cap) {
            return Err(Failure::Gone);
        }
        Ok(())
    }

    /// Keeps the device from memory, without waiting. Returns whether that is certain.
    ///
    /// The controller is asked to stop as well, but not for its answer: the platform has the
    /// last word.
    pub(crate) fn cut_off(&self) -> bool {
        let cc = self.configuration();
        if cc.en() && u32::from(cc) != u32::MAX {
            let off = cc.with_en(false).with_shn(0);
            self.registers().write32(CC, off.into());
        }
        self.platform.stop_dma()
    }

    /// Enables a disabled controller with these admin queues, and waits until it is ready.
    pub(crate) async fn enable(&self, queues: AdminQueues) -> Result<(), Failure> {
        let registers = self.registers();
        let zero_based = (queues.entries - 1) & 0xfff;
        let aqa = AdminQueueAttributes::new()
            .with_asqs(zero_based)
            .with_acqs(zero_based);
        registers.write32(AQA, aqa.into());
        registers.write64(ASQ, queues.submission);
        registers.write64(ACQ, queues.completion);
        // The NVM command set, or all that there are; pages of 4 KiB, round robin.
        const ALL_COMMAND_SETS: u8 = 6;
        let css = match self.cap.css_selectable() {
            true => ALL_COMMAND_SETS,
            false => 0,
        };
        let cc = Configuration::new()
            .with_css(css)
            .with_iosqes(SubmissionEntry::BYTES.trailing_zeros() as u8)
            .with_iocqes(CompletionEntry::BYTES.trailing_zeros() as u8)
            .with_en(true);
        registers.write32(CC, cc.into());
        self.leave_alone().await;
        let mut watch = Watch::new(&self.platform, Waiting::Enable, self.ready_microseconds());
        loop {
            let csts = self.status()?;
            if csts.cfs() {
                return Err(Failure::Fatal);
            }
            if csts.rdy() {
                return Ok(());
            }
            watch.turn(&self.platform).await?;
        }
    }

    /// Announces a normal shutdown and waits until it is complete.
    ///
    /// `latency` is the controller's own estimate in microseconds; 0 if it has none.
    pub(crate) async fn shut_down(&self, latency: u32) -> Result<(), Failure> {
        let limit =
            u64::from(latency).clamp(*SHUTDOWN_MICROSECONDS.start(), *SHUTDOWN_MICROSECONDS.end());
        let cc = self.configuration().with_shn(1);
        self.registers().write32(CC, cc.into());
        let mut watch = Watch::new(&self.platform, Waiting::Shutdown, limit);
        loop {
            let csts = self.status()?;
            if csts.shst() == ControllerStatus::SHUTDOWN_COMPLETE {
                return Ok(());
            }
            if csts.cfs() {
                return Err(Failure::Fatal);
            }
            watch.turn(&self.platform).await?;
        }
    }

    /// Lets a controller be that would not bear to be looked at.
    async fn leave_alone(&self) {
        if self.is_slow {
            self.platform.pause(SLOW_MICROSECONDS).await;
        }
    }

    fn registers(&self) -> &P::Registers {
        self.platform.registers()
    }

    fn configuration(&self) -> Configuration {
        Configuration::from(self.registers().read32(CC))
    }

    /// The status register, unless the device is gone.
    fn status(&self) -> Result<ControllerStatus, Failure> {
        match self.registers().read32(CSTS) {
            u32::MAX => Err(Failure::Gone),
            bits => Ok(ControllerStatus::from(bits)),
        }
    }

    /// Microseconds that CSTS.RDY may take to follow CC.EN.
    fn ready_microseconds(&self) -> u64 {
        let mut units = u64::from(self.cap.to()).max(1);
        if self.cap.crms_with_media() {
            // CAP.TO has no room for long times; this register does.
            let crto = ReadyTimeouts::from(self.registers().read32(CRTO));
            units = units.max(u64::from(crto.crwmt()));
        }
        (units * TIMEOUT_UNIT).min(READY_MICROSECONDS)
    }
}
