//! A model of an NVMe controller, with the machine around it.

mod admin;
mod bench;
mod cache;
mod cmb;
mod config;
mod events;
mod executor;
mod fates;
mod features;
mod format;
mod guard;
mod host_memory;
mod identify;
mod interrupts;
mod io;
mod logs;
mod memory;
mod mischief;
mod namespaces;
mod platform;
mod power;
mod protection;
mod prp;
mod queues;
mod ranges;
mod registers;
mod rings;
mod sgl;
mod shadow;
mod shape;
mod work;
mod zones;

pub(crate) use bench::{Bench, bring_up, bring_up_with_queue};
pub(crate) use cmb::{ControllerMemory, Regions};
pub(crate) use config::{Config, disk, protected_disk, zoned_disk};
pub(crate) use events::Event;
pub(crate) use fates::{AbortPolicy, Fate, Then};
pub(crate) use memory::{CANARY, Memory, Ours, PAGE, list};
pub(crate) use mischief::Mischief;
pub(crate) use platform::{Data, Machine};
pub(crate) use zones::State as ZoneState;

use nvme::Status;
use nvme::registers::{AdminQueueAttributes, Configuration};
use nvme::wire::SubmissionEntry;
use rings::{CompletionQueue, Fetched, Held, SubmissionQueue};
use std::collections::{BTreeMap, BTreeSet};

/// A status of type `sct` and code `sc`.
pub(crate) fn status(sct: u8, sc: u8) -> Status {
    Status::new().with_sct(sct).with_sc(sc)
}

/// The same, not to be tried again.
pub(crate) fn refused(sct: u8, sc: u8) -> Status {
    status(sct, sc).with_dnr(true)
}

/// The controller, and what belongs to it.
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) memory: Memory,
    /// Microseconds.
    pub(crate) clock: u64,

    cc: Configuration,
    aqa: AdminQueueAttributes,
    asq: u64,
    acq: u64,
    rdy: bool,
    cfs: bool,
    shst: u8,
    /// When RDY will follow EN.
    ready_at: Option<u64>,
    /// When SHST will say that the shutdown is complete.
    shut_down_at: Option<u64>,
    /// It was asked to delete a queue, and has answered with an error.
    keeps_queues: bool,

    submission: BTreeMap<u16, SubmissionQueue>,
    completion: BTreeMap<u16, CompletionQueue>,
    /// Commands that are fetched but not completed, in the order of their arrival.
    fetched: Vec<Fetched>,
    /// Blocks that were ever written, by namespace and number.
    pub(crate) blocks: BTreeMap<(u32, u64), Vec<u8>>,
    /// Their metadata.
    pub(crate) metadata: BTreeMap<(u32, u64), Vec<u8>>,
    pub(crate) deallocated: BTreeSet<(u32, u64)>,
    pub(crate) cache: cache::Cache,
    zones: BTreeMap<u32, Vec<zones::Zone>>,
    /// Write protection of namespaces, as the feature has it.
    write_protected: BTreeMap<u32, u8>,

    features: BTreeMap<u8, features::Feature>,
    large_features: BTreeMap<u8, Vec<u8>>,
    /// Vectors with coalescing switched off.
    uncoalesced: BTreeSet<u16>,
    pub(crate) interrupts: interrupts::Interrupts,
    pub(crate) shadow: shadow::Shadow,
    pub(crate) events: events::Events,
    pub(crate) logs: logs::Logs,
    pub(crate) host_memory: host_memory::HostMemory,
    pub(crate) power: power::Power,
    sanitize: format::Sanitize,
    /// A firmware image that is being downloaded, and the slot that runs next.
    image: Vec<u8>,
    pub(crate) next_firmware: u8,
    /// Processing is paused until then.
    paused_until: Option<u64>,
    kept_alive: u64,
    cmbmsc: u64,
    subsystem_was_reset: bool,
    pub(crate) power_cycles: u128,
    pub(crate) unsafe_shutdowns: u128,

    /// What will happen to commands that come.
    pub(crate) fates: Vec<Fate>,
    pub(crate) abort_policy: AbortPolicy,
    /// After so many more register accesses the device is gone.
    pub(crate) gone_after: Option<usize>,
    /// Identify data are different at each look.
    pub(crate) fickle: bool,

    /// What is to go wrong, after how many more I/O completions.
    pub(crate) mischief: Option<(usize, Mischief)>,
    /// I/O commands that cover a block complete with its status.
    pub(crate) bad_blocks: BTreeMap<u64, Status>,
    /// Admin commands with an opcode complete with its status.
    pub(crate) bad_admin: BTreeMap<u8, Status>,
    /// Admin commands with this opcode are never completed.
    pub(crate) deaf_to: Option<u8>,
    /// RDY never rises, or never falls.
    pub(crate) never_ready: bool,
    pub(crate) never_stops: bool,
    pub(crate) never_shuts_down: bool,
    /// CFS rises instead of RDY.
    pub(crate) fatal_on_enable: bool,
    /// What all registers read as.
    pub(crate) all_ones: bool,
    pub(crate) all_zeros: bool,
    /// Registers read as zeros and take no writes, but the device is there and goes on.
    pub(crate) is_out_of_reach: bool,
    silent: bool,
    /// It has misbehaved, so what the driver says of completions is not to be judged.
    misbehaved: bool,
    stuck_head: Option<u16>,
    last_cid: u16,
    /// The last identifier of each slot of each queue that has come.
    latest: BTreeMap<(u16, u8), u16>,
    /// Where the completion ring of each queue was last.
    rings_at: BTreeMap<u16, u64>,
    /// It tells no lie that nobody could find out.
    pub(crate) is_fair: bool,

    /// I/O commands in the order in which they were fetched.
    pub(crate) log: Vec<SubmissionEntry>,
    /// Opcodes of admin commands.
    pub(crate) admin_log: Vec<u8>,
    /// What the driver did that no driver may do.
    pub(crate) offences: Vec<String>,
    /// Number of register reads and of doorbell writes.
    pub(crate) reads: usize,
    pub(crate) doorbells: usize,
    /// Number of calls of `stop_dma` and of allocations.
    pub(crate) stops: usize,
    pub(crate) allocations: usize,
    /// Who waits for the clock.
    pub(crate) timers: Vec<(u64, std::task::Waker)>,
    /// A controller reset is the end of all mischief.
    pub(crate) heals_by_reset: bool,
    /// I/O commands that cover this block are never completed.
    pub(crate) deaf_to_block: Option<u64>,
    /// It was kept from memory before it had stopped.
    pub(crate) is_cut_off: bool,
    /// Whatever is on its way when the bench goes is no offence.
    pub(crate) forgives: bool,
    /// `stop_dma` cannot be confirmed, and does nothing.
    pub(crate) ignores_stop: bool,
    /// The machine cannot reach the controller's memory.
    pub(crate) hides_controller_memory: bool,
    /// Pieces of memory of requests that are somebody's.
    pub(crate) lent: usize,
    ticks: u64,
    random: u64,
}

impl Model {
    pub(crate) fn new(config: Config) -> Self {
        let enabled = config.enabled;
        let mut new = Self {
            memory: Memory::new(config.pages),
            clock: 1_000_000,
            cc: Configuration::new().with_en(enabled),
            aqa: AdminQueueAttributes::new(),
            asq: 0,
            acq: 0,
            rdy: enabled,
            cfs: false,
            shst: 0,
            ready_at: None,
            shut_down_at: None,
            keeps_queues: false,
            submission: BTreeMap::new(),
            completion: BTreeMap::new(),
            fetched: Vec::new(),
            blocks: BTreeMap::new(),
            metadata: BTreeMap::new(),
            deallocated: BTreeSet::new(),
            cache: cache::Cache::default(),
            zones: BTreeMap::new(),
            write_protected: BTreeMap::new(),
            features: BTreeMap::new(),
            large_features: BTreeMap::new(),
            uncoalesced: BTreeSet::new(),
            interrupts: interrupts::Interrupts::default(),
            shadow: shadow::Shadow::default(),
            events: events::Events::default(),
            logs: logs::Logs::default(),
            host_memory: host_memory::HostMemory::default(),
            power: power::Power::default(),
            sanitize: format::Sanitize::default(),
            image: Vec::new(),
            next_firmware: 0,
            paused_until: None,
            kept_alive: 0,
            cmbmsc: 0,
            subsystem_was_reset: false,
            power_cycles: 1,
            unsafe_shutdowns: 0,
            fates: Vec::new(),
            abort_policy: AbortPolicy::default(),
            gone_after: None,
            fickle: false,
            mischief: None,
            bad_blocks: BTreeMap::new(),
            bad_admin: BTreeMap::new(),
            deaf_to: None,
            never_ready: false,
            never_stops: false,
            never_shuts_down: false,
            fatal_on_enable: false,
            all_ones: false,
            all_zeros: false,
            is_out_of_reach: false,
            silent: false,
            misbehaved: false,
            stuck_head: None,
            last_cid: 0,
            latest: BTreeMap::new(),
            rings_at: BTreeMap::new(),
            is_fair: false,
            log: Vec::new(),
            admin_log: Vec::new(),
            offences: Vec::new(),
            reads: 0,
            doorbells: 0,
            stops: 0,
            allocations: 0,
            timers: Vec::new(),
            heals_by_reset: false,
            deaf_to_block: None,
            is_cut_off: false,
            forgives: false,
            ignores_stop: false,
            hides_controller_memory: false,
            lent: 0,
            ticks: 0,
            random: config.seed | 1,
            config,
        };
        new.default_features();
        new
    }

    /// True if the device may still touch memory on its own.
    pub(crate) fn is_busy(&self) -> bool {
        self.has_io() && self.memory.dma
    }

    /// True if it has an I/O command, whether it can do anything with it or not.
    pub(crate) fn has_io(&self) -> bool {
        self.fetched.iter().any(|fetched| fetched.queue != 0)
    }

    /// True if nothing will change unless the driver does something.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_deaf = self.all_ones || self.all_zeros || self.silent;
        let is_settling = self.ready_at.is_some() || self.shut_down_at.is_some();
        let is_stuck = |fetched: &Fetched| matches!(fetched.held, Held::Back | Held::Lost);
        let is_done = self.fetched.iter().all(is_stuck) && !self.shadow.is_awake();
        (is_done || (is_deaf && !self.never_stops)) && !is_settling
    }

    /// Heals whatever mischief has done. The controller is as after power-on.
    pub(crate) fn repair(&mut self) {
        self.all_ones = false;
        self.all_zeros = false;
        self.is_out_of_reach = false;
        self.silent = false;
        self.misbehaved = false;
        self.never_ready = false;
        self.never_stops = false;
        self.never_shuts_down = false;
        self.mischief = None;
        self.fates.clear();
        self.abort_policy = AbortPolicy::default();
        self.gone_after = None;
        self.fickle = false;
        self.logs.are_rubbish = false;
        self.cc = Configuration::new();
        self.rdy = false;
        self.ready_at = None;
        self.forget();
    }

    /// A controller reset.
    fn forget(&mut self) {
        self.audit();
        self.look_at_host_memory();
        self.submission.clear();
        self.completion.clear();
        self.fetched.clear();
        if self.heals_by_reset {
            self.silent = false;
        }
        self.cfs = false;
        self.shst = 0;
        self.shut_down_at = None;
        self.keeps_queues = false;
        self.stuck_head = None;
        self.paused_until = None;
        self.reset_features();
        self.forget_events();
        self.forget_host_memory();
        self.interrupts.forget();
        self.shadow.forget();
        self.power = power::Power::default();
        self.memory.release_all();
        // New firmware runs from here on.
        if self.next_firmware > 1 {
            self.config.identify.fr = *b"2.0     ";
        }
    }

    /// NVM Subsystem Reset.
    fn reset_subsystem(&mut self) {
        self.forget();
        self.cc = Configuration::new();
        self.ready_at = None;
        self.rdy = false;
        self.cmbmsc = 0;
        self.memory.controller = None;
        self.subsystem_was_reset = true;
    }

    /// Whether all memory of commands that are not completed is still somebody's. Whoever
    /// has given it back has done so too early.
    pub(crate) fn audit(&mut self) {
        for claim in std::mem::take(&mut self.memory.taken_away) {
            self.offence(format!("memory taken away: {claim:?}"));
        }
        if !self.memory.dma || self.misbehaved {
            return;
        }
        let mut lost = Vec::new();
        for fetched in &self.fetched {
            let entry = &fetched.entry;
            // Commands that move no data have no pointer.
            if entry.cdw0.opcode() & 3 == 0 || matches!(fetched.held, Held::Ends(_)) {
                continue;
            }
            if entry.prp1 != 0 && !self.memory.is_mapped(entry.prp1, 4) {
                lost.push(entry.prp1);
            }
        }
        for bus in lost {
            self.offence(format!("memory of a command was given back: {bus:#x}"));
        }
    }

    fn random(&mut self) -> u64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn offence(&mut self, what: impl Into<String>) {
        self.offences.push(what.into());
    }
}
