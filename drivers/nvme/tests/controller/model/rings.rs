//! The model's side of the rings: it fetches entries and posts completions.

use super::Model;
use nvme::Status;
use nvme::wire::{CompletionEntry, SubmissionEntry};

pub(crate) struct SubmissionQueue {
    pub(crate) base: u64,
    pub(crate) entries: u16,
    pub(crate) head: u16,
    /// What the driver has rung, or has left in the shadow doorbell.
    pub(crate) tail: u16,
    pub(crate) completion: u16,
}

impl SubmissionQueue {
    pub(crate) fn new(base: u64, entries: u16, completion: u16) -> Self {
        Self {
            base,
            entries,
            head: 0,
            tail: 0,
            completion,
        }
    }

    /// Entries from the head to `tail`.
    pub(crate) fn distance(&self, tail: u16) -> u16 {
        let (tail, entries) = (u32::from(tail), u32::from(self.entries));
        ((tail + entries - u32::from(self.head)) % entries) as u16
    }
}

pub(crate) struct CompletionQueue {
    pub(crate) base: u64,
    pub(crate) entries: u16,
    pub(crate) tail: u16,
    /// What the driver has given back.
    pub(crate) head: u16,
    pub(crate) phase: bool,
    /// Interrupt vector, if the queue has interrupts.
    pub(crate) vector: Option<u16>,
}

impl CompletionQueue {
    pub(crate) fn new(base: u64, entries: u16, vector: Option<u16>) -> Self {
        Self {
            base,
            entries,
            tail: 0,
            head: 0,
            phase: true,
            vector,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        (self.tail + 1) % self.entries == self.head
    }

    /// Entries that the driver has not given back.
    fn pending(&self) -> u16 {
        let (tail, entries) = (u32::from(self.tail), u32::from(self.entries));
        ((tail + entries - u32::from(self.head)) % entries) as u16
    }
}

/// A command that was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) queue: u16,
    pub(crate) entry: SubmissionEntry,
    pub(crate) latency: u32,
    /// Not completed before this moment.
    pub(crate) due: u64,
    /// What a test has decided about it.
    pub(crate) held: Held,
}

/// Whether a command goes its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    No,
    /// Until the test lets it go.
    Back,
    /// For ever. Abort can still end it.
    Lost,
    /// It will end with this status and do nothing.
    Ends(Status),
}

impl Held {
    /// The answer to a command that ends as a test wants it.
    pub(crate) fn status(self) -> Option<(u64, Status)> {
        match self {
            Self::Ends(status) => Some((0, status)),
            _ => None,
        }
    }
}

impl Model {
    /// A submission queue tail doorbell. `Err` is the information of an error event.
    pub(crate) fn new_tail(&mut self, id: u16, tail: u32) -> Result<(), u8> {
        let is_free_to_err = self.misbehaved;
        let queue = self.submission.get_mut(&id).ok_or(0)?;
        if tail >= u32::from(queue.entries) {
            return Err(1);
        }
        let tail = tail as u16;
        let goes_on = queue.distance(tail) > queue.distance(queue.tail);
        if !goes_on && !is_free_to_err && !self.shadow.is_on() {
            return Err(1);
        }
        queue.tail = tail;
        self.wake(id);
        if !self.config.lazy {
            self.fetch(id, usize::MAX);
        }
        Ok(())
    }

    /// Fetches up to `most` commands of a queue.
    pub(crate) fn fetch(&mut self, id: u16, most: usize) {
        for _ in 0..most {
            let Some(queue) = self.submission.get_mut(&id) else {
                return;
            };
            if queue.head == queue.tail {
                return;
            }
            let bus = queue.base + u64::from(queue.head) * 64;
            let mut words = [0; 8];
            for (index, word) in words.iter_mut().enumerate() {
                match self.memory.device_read64(bus + index as u64 * 8) {
                    Ok(value) => *word = value,
                    Err(_) => return,
                }
            }
            queue.head = (queue.head + 1) % queue.entries;
            self.arrived(id, SubmissionEntry::from_words(&words));
        }
    }

    fn arrived(&mut self, id: u16, entry: SubmissionEntry) {
        let cid = entry.cdw0.cid();
        self.latest.insert((id, cid as u8), cid);
        let is_same = |other: &Fetched| other.queue == id && other.entry.cdw0.cid() == cid;
        if self.fetched.iter().any(is_same) || self.events.waiting.iter().any(is_same) {
            self.offence(format!("identifier {cid:#x} twice"));
        }
        match id {
            0 => self.admin_log.push(entry.cdw0.opcode()),
            _ => self.log.push(entry),
        }
        let mut fetched = Fetched {
            queue: id,
            entry,
            latency: self.config.latency,
            due: self.clock + self.power_delay(id),
            held: Held::No,
        };
        self.decide_fate(&mut fetched);
        self.fetched.push(fetched);
    }

    /// A completion queue head doorbell: the driver gives entries back.
    pub(crate) fn new_head(&mut self, id: u16, head: u32) -> Result<(), u8> {
        let queue = self.completion.get_mut(&id).ok_or(0)?;
        if head >= u32::from(queue.entries) {
            return Err(1);
        }
        let entries = u32::from(queue.entries);
        let given = (head + entries - u32::from(queue.head)) % entries;
        let is_possible = given > 0 && given <= u32::from(queue.pending());
        queue.head = head as u16;
        match is_possible || self.misbehaved || self.shadow.is_on() {
            true => Ok(()),
            false => Err(1),
        }
    }

    /// True if the completion queue of a command has a free entry.
    pub(crate) fn has_room_to_complete(&mut self, queue: u16) -> bool {
        let Some(submission) = self.submission.get(&queue) else {
            return false;
        };
        let completion = submission.completion;
        let is_full = |model: &Self| {
            let queue = model.completion.get(&completion);
            queue.is_none_or(CompletionQueue::is_full)
        };
        // The shadow of the head may say more than the last ring of the doorbell.
        !is_full(self) || {
            self.look_at_shadow_head(completion);
            !is_full(self)
        }
    }

    /// Posts the completion of a command.
    pub(crate) fn post(&mut self, fetched: &Fetched, result: u64, status: Status) {
        let mut entry = self.completion_entry(fetched, status);
        entry.result = result;
        self.last_cid = entry.cid;
        self.post_entry(fetched.queue, entry);
    }

    /// A completion as it should be, but for the phase.
    pub(crate) fn completion_entry(&self, fetched: &Fetched, status: Status) -> CompletionEntry {
        let head = self.submission.get(&fetched.queue).map(|queue| queue.head);
        let stuck = match fetched.queue {
            0 => self.config.stuck_admin_head.then_some(0),
            _ => self.stuck_head,
        };
        CompletionEntry {
            result: 0,
            sq_head: stuck.or(head).unwrap_or(0),
            sq_id: fetched.queue,
            cid: fetched.entry.cdw0.cid(),
            status,
        }
    }

    /// Writes an entry with the right phase and goes on to the next one.
    pub(crate) fn post_entry(&mut self, submission: u16, entry: CompletionEntry) {
        self.write_entry(submission, 0, true, entry);
        let Some(submission) = self.submission.get(&submission) else {
            return;
        };
        let Some(queue) = self.completion.get_mut(&submission.completion) else {
            return;
        };
        queue.tail = (queue.tail + 1) % queue.entries;
        if queue.tail == 0 {
            queue.phase = !queue.phase;
        }
        if let Some(vector) = queue.vector {
            let is_admin = submission.completion == 0;
            self.interrupt(vector, is_admin);
        }
    }

    /// Writes an entry `ahead` entries from the tail.
    pub(crate) fn write_entry(
        &mut self,
        submission: u16,
        ahead: u16,
        is_new: bool,
        mut entry: CompletionEntry,
    ) {
        let Some(submission) = self.submission.get(&submission) else {
            return;
        };
        let Some(queue) = self.completion.get(&submission.completion) else {
            return;
        };
        let index = u32::from(queue.tail) + u32::from(ahead);
        let turned = index >= u32::from(queue.entries);
        entry.status.set_phase(is_new == (queue.phase != turned));
        let bus = queue.base + u64::from(index % u32::from(queue.entries)) * 16;
        let [lower, upper] = entry.words();
        // The word with the phase tag is written last.
        let _ = self.memory.device_write(bus, &lower.to_le_bytes());
        let _ = self.memory.device_write(bus + 8, &upper.to_le_bytes());
    }
}
