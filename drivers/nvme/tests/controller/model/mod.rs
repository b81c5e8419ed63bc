//! A model of an NVMe controller, with the machine around it.

mod admin;
mod config;
mod io;
mod memory;
mod mischief;
mod platform;
mod prp;
mod queues;
mod registers;

pub(crate) use config::{Config, disk};
pub(crate) use memory::{CANARY, Memory, Ours, PAGE, list};
pub(crate) use mischief::Mischief;
pub(crate) use platform::{Bench, Machine};

use nvme::Status;
use nvme::registers::{AdminQueueAttributes, Configuration};
use nvme::wire::SubmissionEntry;
use queues::{CompletionQueue, Fetched, SubmissionQueue};
use std::collections::BTreeMap;

/// A status of type `sct` and code `sc`.
pub(crate) fn status(sct: u8, sc: u8) -> Status {
    Status::new().with_sct(sct).with_sc(sc)
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

    submission: BTreeMap<u16, SubmissionQueue>,
    completion: BTreeMap<u16, CompletionQueue>,
    /// Commands that are fetched but not completed, in the order of their arrival.
    fetched: Vec<Fetched>,
    /// Blocks that were ever written, by namespace and number.
    pub(crate) blocks: BTreeMap<(u32, u64), Vec<u8>>,

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
    silent: bool,
    /// It has misbehaved, so what the driver says of completions is not to be judged.
    misbehaved: bool,
    stuck_head: Option<u16>,
    last_cid: u16,

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
    ticks: u64,
    random: u64,
}

impl Model {
    pub(crate) fn new(config: Config) -> Self {
        let enabled = config.enabled;
        Self {
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
            submission: BTreeMap::new(),
            completion: BTreeMap::new(),
            fetched: Vec::new(),
            blocks: BTreeMap::new(),
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
            silent: false,
            misbehaved: false,
            stuck_head: None,
            last_cid: 0,
            log: Vec::new(),
            admin_log: Vec::new(),
            offences: Vec::new(),
            reads: 0,
            doorbells: 0,
            stops: 0,
            allocations: 0,
            ticks: 0,
            random: config.seed | 1,
            config,
        }
    }

    /// True if the device may still touch memory on its own.
    pub(crate) fn is_busy(&self) -> bool {
        !self.fetched.is_empty() && self.memory.dma
    }

    /// Heals whatever mischief has done. The controller is as after power-on.
    pub(crate) fn repair(&mut self) {
        self.all_ones = false;
        self.all_zeros = false;
        self.silent = false;
        self.misbehaved = false;
        self.never_ready = false;
        self.never_stops = false;
        self.never_shuts_down = false;
        self.mischief = None;
        self.cc = Configuration::new();
        self.rdy = false;
        self.ready_at = None;
        self.forget();
    }

    /// A controller reset.
    fn forget(&mut self) {
        self.submission.clear();
        self.completion.clear();
        self.fetched.clear();
        self.cfs = false;
        self.shst = 0;
        self.shut_down_at = None;
        self.stuck_head = None;
    }

    /// One turn of a waiting loop: time passes, and the device works.
    fn tick(&mut self) {
        self.ticks += 1;
        assert!(self.ticks < 50_000_000, "the driver waits for ever");
        self.clock += self.config.tick;
        self.follow();
        if self.all_ones || self.all_zeros {
            return;
        }
        for fetched in &mut self.fetched {
            fetched.latency = fetched.latency.saturating_sub(1);
        }
        for _ in 0..self.config.per_tick.min(self.fetched.len()) {
            let choice = match self.config.out_of_order {
                true => self.random() as usize % self.fetched.len().max(1),
                false => 0,
            };
            if self.fetched.get(choice).is_none_or(|next| next.latency > 0) {
                break;
            }
            if !self.has_room_to_complete(&self.fetched[choice]) {
                break;
            }
            if self.silent {
                self.run_silently(choice);
                break;
            }
            let fetched = self.fetched.remove(choice);
            self.execute(fetched);
        }
    }

    /// Executes a command and posts its completion.
    fn execute(&mut self, fetched: Fetched) {
        let (result, status) = match fetched.queue {
            0 if self.deaf_to == Some(fetched.entry.cdw0.opcode()) => return,
            0 => self.admin(&fetched.entry),
            _ => self.io(&fetched.entry),
        };
        if fetched.queue != 0 && self.misbehave(&fetched, status) {
            return;
        }
        self.post(&fetched, result, status);
    }

    /// A device that has gone wild moves data but says nothing.
    fn run_silently(&mut self, choice: usize) {
        // Not in every turn: the driver waits for long, and this is slow.
        if self.never_stops && self.ticks.is_multiple_of(100) {
            let fetched = self.fetched[choice].clone();
            self.io(&fetched.entry);
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
