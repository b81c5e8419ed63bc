//! Creating and deleting queues, and how many there may be.

use super::memory::Claim;
use super::rings::{CompletionQueue, Held, SubmissionQueue};
use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::SubmissionEntry;

impl Model {
    /// Where the rings of a queue pair are.
    pub(crate) fn rings_of(&self, id: u16) -> Option<(u64, u64)> {
        let submission = self.submission.get(&id)?;
        Some((submission.base, self.completion.get(&id)?.base))
    }

    /// Creates a queue; the command's dwords 10 and 11 say which.
    pub(crate) fn create(&mut self, entry: &SubmissionEntry, is_completion: bool) -> Status {
        const INVALID_QUEUE: u8 = 0x01;
        const INVALID_SIZE: u8 = 0x02;
        const INVALID_VECTOR: u8 = 0x08;
        let id = entry.cdw10_11 as u16;
        let size = (entry.cdw10_11 >> 16) as u16;
        let is_contiguous = entry.cdw10_11 >> 32 & 1 != 0;
        let has_interrupts = entry.cdw10_11 >> 33 & 1 != 0;
        // The completion queue of a submission queue, or the vector of a completion queue.
        let other = (entry.cdw10_11 >> 48) as u16;
        let (is_known, granted, entry_bytes) = match is_completion {
            true => (self.completion.contains_key(&id), self.config.granted.1, 16),
            false => (self.submission.contains_key(&id), self.config.granted.0, 64),
        };
        if id == 0 || is_known || id > granted {
            return refused(1, INVALID_QUEUE);
        }
        if size == 0 || size > self.config.cap.mqes() {
            return refused(1, INVALID_SIZE);
        }
        if !is_contiguous || !entry.prp1.is_multiple_of(self.page()) {
            return refused(0, 0x13);
        }
        let bytes = (u64::from(size) + 1) * entry_bytes;
        if !self.may_be_a_queue(entry.prp1, is_completion) {
            // Invalid Use of Controller Memory Buffer.
            return refused(0, 0x12);
        }
        if is_completion {
            if other >= self.config.vectors && (has_interrupts || other != 0) {
                return refused(1, INVALID_VECTOR);
            }
            // Rings in another place are a new queue's, with identifiers of its own.
            if self.rings_at.insert(id, entry.prp1) != Some(entry.prp1) {
                self.latest.retain(|(queue, _), _| *queue != id);
            }
            let vector = has_interrupts.then_some(other);
            self.memory.claim(Claim::Completion(id), entry.prp1, bytes);
            let queue = CompletionQueue::new(entry.prp1, size + 1, vector);
            self.completion.insert(id, queue);
        } else {
            if other == 0 || !self.completion.contains_key(&other) {
                return refused(1, 0x00);
            }
            self.memory.claim(Claim::Submission(id), entry.prp1, bytes);
            let queue = SubmissionQueue::new(entry.prp1, size + 1, other);
            self.submission.insert(id, queue);
        }
        status(0, 0)
    }

    /// Deletes a queue. Commands of a submission queue that are still there end with it.
    pub(crate) fn delete(&mut self, id: u16, is_completion: bool) -> Status {
        const ABORTED_BY_DELETION: u8 = 0x08;
        let in_use = self.submission.values().any(|queue| queue.completion == id);
        if is_completion && in_use && id != 0 {
            return refused(1, 0x0c);
        }
        let found = match is_completion {
            true => self.completion.contains_key(&id),
            false => self.submission.contains_key(&id),
        };
        if id == 0 || !found {
            return refused(1, 0x01);
        }
        if is_completion {
            self.completion.remove(&id);
            self.memory.release(Claim::Completion(id));
            return status(0, 0);
        }
        let mut index = 0;
        while index < self.fetched.len() {
            if self.fetched[index].queue != id {
                index += 1;
                continue;
            }
            let mut fetched = self.fetched.remove(index);
            fetched.held = Held::No;
            if self.has_room_to_complete(id) {
                self.post(&fetched, 0, status(0, ABORTED_BY_DELETION));
            }
        }
        self.submission.remove(&id);
        self.memory.release(Claim::Submission(id));
        status(0, 0)
    }

    /// Set Features, number of queues: the result is what is granted, zero-based, whatever
    /// was asked for.
    pub(crate) fn grant_queues(&mut self, value: u32) -> (u64, Status) {
        const SEQUENCE_ERROR: u8 = 0x0c;
        if value & 0xffff == 0xffff || value >> 16 == 0xffff {
            return (0, refused(0, 0x02));
        }
        if self.submission.len() > 1 || self.completion.len() > 1 {
            return (0, refused(0, SEQUENCE_ERROR));
        }
        let (submission, completion) = self.config.granted;
        let granted = u64::from(submission - 1) | u64::from(completion - 1) << 16;
        (granted, status(0, 0))
    }
}
