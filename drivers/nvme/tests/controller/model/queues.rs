//! The model's side of the rings, and how it misbehaves there.

use super::{Mischief, Model, status};
use nvme::Status;
use nvme::wire::{CompletionEntry, SubmissionEntry};

pub(crate) struct SubmissionQueue {
    base: u64,
    entries: u16,
    head: u16,
    pub(crate) completion: u16,
}

impl SubmissionQueue {
    pub(crate) fn new(base: u64, entries: u16, completion: u16) -> Self {
        Self {
            base,
            entries,
            head: 0,
            completion,
        }
    }
}

pub(crate) struct CompletionQueue {
    base: u64,
    entries: u16,
    tail: u16,
    /// What the driver has given back.
    head: u16,
    phase: bool,
}

impl CompletionQueue {
    pub(crate) fn new(base: u64, entries: u16) -> Self {
        Self {
            base,
            entries,
            tail: 0,
            head: 0,
            phase: true,
        }
    }

    fn is_full(&self) -> bool {
        (self.tail + 1) % self.entries == self.head
    }

    /// Entries that the driver has not given back.
    fn pending(&self) -> u16 {
        (self.tail + self.entries - self.head) % self.entries
    }
}

/// A command that was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) queue: u16,
    pub(crate) entry: SubmissionEntry,
    pub(crate) latency: u32,
}

impl Model {
    /// A submission queue tail doorbell: fetches everything up to the new tail.
    pub(crate) fn new_tail(&mut self, id: u16, tail: u32) -> bool {
        let Some(queue) = self.submission.get_mut(&id) else {
            return false;
        };
        if tail >= u32::from(queue.entries) || tail == u32::from(queue.head) {
            return false;
        }
        while u32::from(queue.head) != tail {
            let bus = queue.base + u64::from(queue.head) * 64;
            let mut words = [0; 8];
            for (index, word) in words.iter_mut().enumerate() {
                match self.memory.device_read64(bus + index as u64 * 8) {
                    Ok(value) => *word = value,
                    Err(_) => return true,
                }
            }
            queue.head = (queue.head + 1) % queue.entries;
            let entry = SubmissionEntry::from_words(&words);
            let cid = entry.cdw0.cid();
            let is_same = |other: &Fetched| other.queue == id && other.entry.cdw0.cid() == cid;
            if self.fetched.iter().any(is_same) {
                self.offences.push(format!("identifier {cid:#x} twice"));
            }
            match id {
                0 => self.admin_log.push(entry.cdw0.opcode()),
                _ => self.log.push(entry),
            }
            self.fetched.push(Fetched {
                queue: id,
                entry,
                latency: self.config.latency,
            });
        }
        true
    }

    /// A completion queue head doorbell: the driver gives entries back.
    pub(crate) fn new_head(&mut self, id: u16, head: u32) -> bool {
        let Some(queue) = self.completion.get_mut(&id) else {
            return false;
        };
        if head >= u32::from(queue.entries) {
            return false;
        }
        let given = (head as u16 + queue.entries - queue.head) % queue.entries;
        let is_possible = given > 0 && given <= queue.pending();
        queue.head = head as u16;
        is_possible || self.misbehaved
    }

    /// True if the completion queue of a command has a free entry.
    pub(crate) fn has_room_to_complete(&self, fetched: &Fetched) -> bool {
        let completion = self.submission[&fetched.queue].completion;
        !self.completion[&completion].is_full()
    }

    /// Posts the completion of a command.
    pub(crate) fn post(&mut self, fetched: &Fetched, result: u64, status: Status) {
        let mut entry = self.completion_entry(fetched, status);
        entry.result = result;
        self.last_cid = entry.cid;
        self.post_entry(fetched.queue, entry);
    }

    /// A completion as it should be, but for the phase.
    fn completion_entry(&self, fetched: &Fetched, status: Status) -> CompletionEntry {
        let head = self.submission[&fetched.queue].head;
        let stuck = match fetched.queue {
            0 => self.config.stuck_admin_head.then_some(0),
            _ => self.stuck_head,
        };
        CompletionEntry {
            result: 0,
            sq_head: stuck.unwrap_or(head),
            sq_id: fetched.queue,
            cid: fetched.entry.cdw0.cid(),
            status,
        }
    }

    /// Writes an entry with the right phase and goes on to the next one.
    fn post_entry(&mut self, submission: u16, entry: CompletionEntry) {
        self.write_entry(submission, 0, true, entry);
        let completion = self.submission[&submission].completion;
        let Some(queue) = self.completion.get_mut(&completion) else {
            return;
        };
        queue.tail = (queue.tail + 1) % queue.entries;
        if queue.tail == 0 {
            queue.phase = !queue.phase;
        }
    }

    /// Writes an entry `ahead` entries from the tail.
    fn write_entry(
        &mut self,
        submission: u16,
        ahead: u16,
        is_new: bool,
        mut entry: CompletionEntry,
    ) {
        let completion = self.submission[&submission].completion;
        let queue = &self.completion[&completion];
        let index = queue.tail + ahead;
        let turned = index >= queue.entries;
        entry.status.set_phase(is_new == (queue.phase != turned));
        let bus = queue.base + u64::from(index % queue.entries) * 16;
        let [lower, upper] = entry.words();
        // The word with the phase tag is written last.
        let _ = self.memory.device_write(bus, &lower.to_le_bytes());
        let _ = self.memory.device_write(bus + 8, &upper.to_le_bytes());
    }

    /// Does mischief to an I/O completion, if it is time. Returns true if the completion
    /// is not to be posted any more.
    pub(crate) fn misbehave(&mut self, fetched: &Fetched, success: Status) -> bool {
        let mischief = match &mut self.mischief {
            None => return false,
            Some((0, mischief)) => *mischief,
            Some((left, _)) => {
                *left -= 1;
                return false;
            }
        };
        self.mischief = None;
        self.misbehaved = true;
        let id = fetched.queue;
        let mut entry = self.completion_entry(fetched, success);
        match mischief {
            Mischief::WrongCid(bits) => entry.cid ^= bits,
            Mischief::SubmissionHead(head) => entry.sq_head = head,
            Mischief::WrongQueue(queue) => entry.sq_id = queue,
            Mischief::Duplicate => self.post_entry(id, entry),
            Mischief::Replay => {
                let cid = self.last_cid;
                self.post_entry(id, CompletionEntry { cid, ..entry });
            }
            Mischief::StuckHead => {
                self.stuck_head = Some(entry.sq_head);
            }
            Mischief::OldPhase => {
                self.write_entry(id, 0, false, entry);
                self.silent = true;
                return true;
            }
            Mischief::EarlyPhase => {
                let garbage = CompletionEntry {
                    cid: !entry.cid,
                    ..entry
                };
                self.write_entry(id, 1, true, garbage);
            }
            Mischief::Silence | Mischief::Runaway => {
                self.silent = true;
                self.never_stops = mischief == Mischief::Runaway;
                self.fetched.push(fetched.clone());
                return true;
            }
            Mischief::Fatal => {
                self.cfs = true;
                self.silent = true;
                return true;
            }
            Mischief::Gone => {
                self.all_ones = true;
                return true;
            }
            Mischief::Vanished => {
                self.all_zeros = true;
                return true;
            }
            Mischief::NotReady => {
                self.rdy = false;
                self.silent = true;
                return true;
            }
            Mischief::Noise => {
                self.make_noise(id);
                return true;
            }
        }
        self.post_entry(id, entry);
        true
    }

    fn make_noise(&mut self, submission: u16) {
        let completion = self.submission[&submission].completion;
        let (base, entries) = {
            let queue = &self.completion[&completion];
            (queue.base, queue.entries)
        };
        for word in 0..u64::from(entries) * 2 {
            let noise = self.random().to_le_bytes();
            let _ = self.memory.device_write(base + word * 8, &noise);
        }
        self.silent = true;
    }

    /// Creates a queue; the command's dwords 10 and 11 say which.
    pub(crate) fn create(&mut self, entry: &SubmissionEntry, is_completion: bool) -> Status {
        const INVALID_QUEUE: u8 = 0x01;
        const INVALID_SIZE: u8 = 0x02;
        let id = entry.cdw10_11 as u16;
        let size = (entry.cdw10_11 >> 16) as u16;
        let is_contiguous = entry.cdw10_11 >> 32 & 1 != 0;
        let completion = (entry.cdw10_11 >> 48) as u16;
        let is_known = match is_completion {
            true => self.completion.contains_key(&id),
            false => self.submission.contains_key(&id),
        };
        if id == 0 || is_known {
            return status(1, INVALID_QUEUE).with_dnr(true);
        }
        if size == 0 || size > self.config.cap.mqes() {
            return status(1, INVALID_SIZE).with_dnr(true);
        }
        if !is_contiguous || !entry.prp1.is_multiple_of(4096) {
            return status(0, 0x13).with_dnr(true);
        }
        if is_completion {
            // Interrupts enabled or a vector: this driver polls.
            if completion != 0 || entry.cdw10_11 >> 33 & 1 != 0 {
                self.offence("a completion queue with interrupts");
            }
            let queue = CompletionQueue::new(entry.prp1, size + 1);
            self.completion.insert(id, queue);
        } else {
            if !self.completion.contains_key(&completion) {
                return status(1, 0x00).with_dnr(true);
            }
            let queue = SubmissionQueue::new(entry.prp1, size + 1, completion);
            self.submission.insert(id, queue);
        }
        status(0, 0)
    }

    /// Deletes a queue.
    pub(crate) fn delete(&mut self, id: u16, is_completion: bool) -> Status {
        let in_use = self.submission.values().any(|queue| queue.completion == id);
        let found = match is_completion {
            true if in_use => return status(1, 0x0c).with_dnr(true),
            true => id != 0 && self.completion.remove(&id).is_some(),
            false => id != 0 && self.submission.remove(&id).is_some(),
        };
        match found {
            true => status(0, 0),
            false => status(1, 0x01).with_dnr(true),
        }
    }
}
