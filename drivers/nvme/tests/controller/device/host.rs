//! A host of a few lines: no checks, no recovery, no cleverness.

use crate::model::{Config, Machine, PAGE};
use nvme::registers::{ACQ, AQA, ASQ, CC, Configuration, completion_doorbell, submission_doorbell};
use nvme::wire::{CompletionEntry, DwordZero, SubmissionEntry};
use nvme::{Platform, Registers, Status};
use std::collections::BTreeMap;

/// Entries of each queue, unless a test wants another number.
const ENTRIES: u16 = 8;

struct Pair {
    submission: u64,
    completion: u64,
    entries: u16,
    tail: u16,
    head: u16,
    phase: bool,
}

pub(super) struct Host {
    pub(super) machine: Machine,
    queues: BTreeMap<u16, Pair>,
    next_cid: u16,
}

/// A command with an opcode, a namespace and nothing else.
pub(super) fn entry(opcode: u8, nsid: u32) -> SubmissionEntry {
    SubmissionEntry {
        cdw0: DwordZero::new().with_opcode(opcode),
        nsid,
        ..SubmissionEntry::default()
    }
}

impl Host {
    /// Enables a controller with admin queues.
    pub(super) fn new(config: Config) -> Self {
        Self::with_css(config, 0)
    }

    /// The same with an I/O Command Set Selected.
    pub(super) fn with_css(config: Config, css: u8) -> Self {
        let mut host = Self {
            machine: Machine::new(config),
            queues: BTreeMap::new(),
            next_cid: 0x100,
        };
        host.enable(css);
        host
    }

    pub(super) fn enable(&mut self, css: u8) {
        self.queues.clear();
        self.machine.start_dma();
        let pair = self.pair(ENTRIES);
        let sizes = u32::from(ENTRIES - 1);
        self.machine.write32(AQA, sizes | sizes << 16);
        self.machine.write64(ASQ, pair.submission);
        self.machine.write64(ACQ, pair.completion);
        self.queues.insert(0, pair);
        let cc = Configuration::new()
            .with_iosqes(6)
            .with_iocqes(4)
            .with_css(css);
        self.machine.write32(CC, cc.with_en(true).into());
        self.machine.model().pass(10_000);
    }

    pub(super) fn disable(&mut self) {
        self.machine.write32(CC, 0);
        self.machine.model().pass(10_000);
    }

    fn pair(&self, entries: u16) -> Pair {
        Pair {
            submission: self.zeros((usize::from(entries) * 64).div_ceil(PAGE as usize)),
            completion: self.zeros((usize::from(entries) * 16).div_ceil(PAGE as usize)),
            entries,
            tail: 0,
            head: 0,
            phase: true,
        }
    }

    /// Pages of zeros.
    pub(super) fn zeros(&self, pages: usize) -> u64 {
        let mut model = self.machine.model();
        let bus = model.memory.map(pages).expect("memory");
        model.memory.bytes_mut(bus, pages * PAGE as usize).fill(0);
        bus
    }

    pub(super) fn put(&self, bus: u64, bytes: &[u8]) {
        let mut model = self.machine.model();
        model
            .memory
            .bytes_mut(bus, bytes.len())
            .copy_from_slice(bytes);
    }

    pub(super) fn get(&self, bus: u64, len: usize) -> Vec<u8> {
        self.machine.model().memory.bytes(bus, len).to_vec()
    }

    /// Creates a pair of queues.
    pub(super) fn create(&mut self, id: u16, vector: Option<u16>) {
        self.create_with(id, ENTRIES, vector);
    }

    pub(super) fn create_with(&mut self, id: u16, entries: u16, vector: Option<u16>) {
        let pair = self.pair(entries);
        let (submission, completion) = (pair.submission, pair.completion);
        self.queues.insert(id, pair);
        let created = self.admin(create_completion(id, entries, completion, vector));
        assert!(created.status.is_success(), "{}", created.status);
        let created = self.admin(create_submission(id, entries, submission, id));
        assert!(created.status.is_success(), "{}", created.status);
    }

    /// Puts an entry into a queue. Returns its identifier.
    pub(super) fn push(&mut self, id: u16, mut entry: SubmissionEntry) -> u16 {
        self.next_cid += 1;
        let cid = self.next_cid;
        entry.cdw0.set_cid(cid);
        let queue = self.queues.get_mut(&id).expect("a queue");
        let bus = queue.submission + u64::from(queue.tail) * 64;
        queue.tail = (queue.tail + 1) % queue.entries;
        let words = entry.words().map(u64::to_le_bytes);
        self.put(bus, words.as_flattened());
        cid
    }

    pub(super) fn tail(&self, id: u16) -> u16 {
        self.queues[&id].tail
    }

    pub(super) fn ring(&mut self, id: u16) {
        let dstrd = self.machine.model().config.cap.dstrd();
        let tail = u32::from(self.queues[&id].tail);
        self.machine.write32(submission_doorbell(id, dstrd), tail);
    }

    /// Tells the device which completions were taken.
    pub(super) fn give_back(&mut self, id: u16) {
        let dstrd = self.machine.model().config.cap.dstrd();
        let head = u32::from(self.queues[&id].head);
        self.machine.write32(completion_doorbell(id, dstrd), head);
    }

    pub(super) fn head(&self, id: u16) -> u16 {
        self.queues[&id].head
    }

    /// The next completion, if it is there. Nothing is told to the device.
    pub(super) fn take(&mut self, id: u16) -> Option<CompletionEntry> {
        let queue = &self.queues[&id];
        let bytes = self.get(queue.completion + u64::from(queue.head) * 16, 16);
        let (words, _) = bytes.as_chunks::<8>();
        let found = CompletionEntry::from_words([0, 1].map(|at| u64::from_le_bytes(words[at])));
        let queue = self.queues.get_mut(&id).expect("a queue");
        if found.status.phase() != queue.phase {
            return None;
        }
        queue.head = (queue.head + 1) % queue.entries;
        queue.phase ^= queue.head == 0;
        Some(found)
    }

    /// Waits for the next completion, for a second.
    pub(super) fn wait(&mut self, id: u16) -> Option<CompletionEntry> {
        for _ in 0..10_000 {
            if let Some(found) = self.take(id) {
                self.give_back(id);
                return Some(found);
            }
            self.machine.tick();
        }
        None
    }

    pub(super) fn submit(&mut self, id: u16, entry: SubmissionEntry) -> u16 {
        let cid = self.push(id, entry);
        self.ring(id);
        cid
    }

    /// Sends a command and waits for what becomes of it.
    pub(super) fn io(&mut self, id: u16, entry: SubmissionEntry) -> CompletionEntry {
        let cid = self.submit(id, entry);
        let found = self.wait(id).expect("a completion");
        assert_eq!((found.cid, found.sq_id), (cid, id));
        found
    }

    pub(super) fn admin(&mut self, entry: SubmissionEntry) -> CompletionEntry {
        self.io(0, entry)
    }

    /// Sends a command that is to succeed. Returns dwords 0 and 1.
    pub(super) fn done(&mut self, id: u16, entry: SubmissionEntry) -> u64 {
        let found = self.io(id, entry);
        assert!(found.status.is_success(), "{}", found.status);
        found.result
    }

    /// Sends a command that is to fail. Returns type and code.
    pub(super) fn fails(&mut self, id: u16, entry: SubmissionEntry) -> (u8, u8) {
        code(self.io(id, entry).status)
    }

    /// A log page's first `bytes` bytes.
    pub(super) fn log_page(&mut self, page: u8, bytes: usize, retain: bool) -> Vec<u8> {
        let bus = self.zeros(bytes.div_ceil(PAGE as usize));
        let dwords = (bytes / 4 - 1) as u64;
        let mut get = entry(0x02, u32::MAX);
        get.prp1 = bus;
        get.cdw10_11 = u64::from(page) | u64::from(retain) << 15 | dwords << 16;
        self.done(0, get);
        self.get(bus, bytes)
    }

    pub(super) fn identify(&mut self, cns: u8, csi: u8, nsid: u32) -> Vec<u8> {
        let bus = self.zeros(1);
        let mut identify = entry(0x06, nsid);
        identify.prp1 = bus;
        identify.cdw10_11 = u64::from(cns) | u64::from(csi) << 56;
        self.done(0, identify);
        self.get(bus, 4096)
    }

    pub(super) fn set_feature(&mut self, id: u8, value: u32) -> u64 {
        let mut set = entry(0x09, 0);
        set.cdw10_11 = u64::from(id) | u64::from(value) << 32;
        self.done(0, set)
    }

    pub(super) fn get_feature(&mut self, id: u8, select: u8) -> u64 {
        let mut get = entry(0x0a, 0);
        get.cdw10_11 = u64::from(id) | u64::from(select) << 8;
        self.done(0, get)
    }

    /// What no driver may have done; empties the list.
    pub(super) fn offences(&self) -> Vec<String> {
        let mut model = self.machine.model();
        model.audit();
        std::mem::take(&mut model.offences)
    }
}

/// Type and code of a status.
pub(super) fn code(status: Status) -> (u8, u8) {
    (status.sct(), status.sc())
}

pub(super) fn create_completion(
    id: u16,
    entries: u16,
    base: u64,
    vector: Option<u16>,
) -> SubmissionEntry {
    let mut create = entry(0x05, 0);
    create.prp1 = base;
    let interrupts = match vector {
        Some(vector) => 1 << 1 | u64::from(vector) << 16,
        None => 0,
    };
    create.cdw10_11 = u64::from(id) | u64::from(entries - 1) << 16 | (1 | interrupts) << 32;
    create
}

pub(super) fn create_submission(
    id: u16,
    entries: u16,
    base: u64,
    completion: u16,
) -> SubmissionEntry {
    let mut create = entry(0x01, 0);
    create.prp1 = base;
    let rest = 1 | u64::from(completion) << 16;
    create.cdw10_11 = u64::from(id) | u64::from(entries - 1) << 16 | rest << 32;
    create
}

/// A read (02h) or write (01h) of blocks.
pub(super) fn transfer(
    opcode: u8,
    nsid: u32,
    block: u64,
    blocks: u64,
    bus: u64,
) -> SubmissionEntry {
    let mut transfer = entry(opcode, nsid);
    transfer.prp1 = bus;
    transfer.prp2 = (bus & !(PAGE - 1)) + PAGE;
    transfer.cdw10_11 = block;
    transfer.cdw12_13 = blocks - 1;
    transfer
}

impl Drop for Host {
    /// A test that expects offences has taken them.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.offences(), [""; 0]);
            assert_eq!(self.machine.model().memory.faults, []);
        }
    }
}
