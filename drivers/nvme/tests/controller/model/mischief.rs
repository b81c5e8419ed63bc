//! The ways in which the model can misbehave.

use super::Model;
use super::rings::Fetched;
use nvme::Status;
use nvme::wire::CompletionEntry;

/// What goes wrong. Unless it says otherwise, it happens to one I/O completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// The Command Identifier has some bits changed.
    WrongCid(u16),
    /// The completion is posted twice.
    Duplicate,
    /// The completion of the command before is posted again, before this one.
    Replay,
    /// The SQ Head Pointer has this value.
    SubmissionHead(u16),
    /// From now on the SQ Head Pointer stays as it is.
    StuckHead,
    /// The SQ Identifier has this value.
    WrongQueue(u16),
    /// The phase tag has the old value.
    OldPhase,
    /// Garbage with the new phase tag is in the entry so many after this one.
    EarlyPhase(u16),
    /// From now on nothing is completed.
    Silence,
    /// From now on nothing is completed, and commands still write to memory when the
    /// controller has been told to stop. It never says that it has stopped.
    Runaway,
    /// Fatal status instead of a completion.
    Fatal,
    /// The device goes, and its registers read as all ones.
    Gone,
    /// The device goes, and its registers read as zeros.
    Vanished,
    /// The controller stops being ready.
    NotReady,
    /// Every entry of the completion queue is overwritten with noise.
    Noise,
    /// The status is this word.
    Status(u16),
    /// The SQ Head Pointer goes back by one.
    HeadGoesBack,
    /// Good completions again and again, as many as this, whatever room there is.
    Storm(u16),
    /// A command that was never sent is completed: identifier and queue.
    Stranger(u16),
    /// One of the commands that it has is completed, by an identifier that was an earlier
    /// command's in the same slot: which, and how many before.
    Stale(u16),
}

impl Model {
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
            Mischief::WrongCid(bits) if !self.has(id, entry.cid ^ bits) => entry.cid ^= bits,
            Mischief::WrongCid(_) => {}
            // What is not fetched yet would be overwritten, and nobody could know.
            Mischief::SubmissionHead(_) if self.config.lazy => {}
            Mischief::SubmissionHead(head) => entry.sq_head = head,
            Mischief::WrongQueue(queue) => entry.sq_id = queue,
            Mischief::Duplicate => self.post_entry(id, entry),
            Mischief::Replay if self.has(id, self.last_cid) => {}
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
            Mischief::EarlyPhase(_) if self.has(id, !entry.cid) => {}
            Mischief::EarlyPhase(ahead) => {
                let garbage = CompletionEntry {
                    cid: !entry.cid,
                    ..entry
                };
                self.write_entry(id, ahead, true, garbage);
            }
            Mischief::Silence | Mischief::Runaway => {
                self.silent = true;
                self.never_stops |= mischief == Mischief::Runaway;
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
            Mischief::Status(word) => {
                let told = Status::from(word);
                if success.is_success() || !told.is_success() {
                    entry.status = told;
                }
            }
            Mischief::HeadGoesBack => {
                let entries = self.submission.get(&id).map_or(1, |queue| queue.entries);
                entry.sq_head = (entry.sq_head + entries - 1) % entries;
            }
            Mischief::Storm(count) => {
                for _ in 0..count {
                    self.post_entry(id, entry);
                }
            }
            Mischief::Stranger(cid) if self.has(id, cid) => {}
            Mischief::Stranger(cid) => {
                self.post_entry(id, CompletionEntry { cid, ..entry });
            }
            Mischief::Stale(which) => {
                if let Some(cid) = self.stale(id, which) {
                    self.post_entry(id, CompletionEntry { cid, ..entry });
                }
            }
            Mischief::Noise => {
                self.make_noise(id);
                return true;
            }
        }
        self.post_entry(id, entry);
        true
    }

    /// Whether the device has such a command, or may get it before the completion is seen. To
    /// complete it, and not to do it, would be a lie that no driver can find out.
    fn has(&self, queue: u16, cid: u16) -> bool {
        let mut fetched = self.fetched.iter();
        let is_known = |other: &Fetched| other.queue == queue && other.entry.cdw0.cid() == cid;
        let is_ahead = match self.is_fair {
            true => self.is_ahead(queue, cid),
            false => self.config.lazy,
        };
        is_ahead || fetched.any(is_known)
    }

    /// Whether an identifier is one of the next that the driver may use. It counts in the upper
    /// byte, for each slot, which is the lower one.
    fn is_ahead(&self, queue: u16, cid: u16) -> bool {
        // Some identifiers are used up by commands that never come.
        const FAR: u8 = 64;
        let latest = self.latest.get(&(queue, cid as u8));
        let steps = (cid >> 8).wrapping_sub(latest.map_or(0, |latest| latest >> 8));
        (1..=FAR).contains(&(steps as u8))
    }

    /// An identifier that came before the one of a command that is there.
    fn stale(&self, queue: u16, which: u16) -> Option<u16> {
        let there = self.fetched.iter().filter(|other| other.queue == queue);
        let there: Vec<u16> = there.map(|other| other.entry.cdw0.cid()).collect();
        let cid = there.get(usize::from(which >> 8) % there.len().max(1))?;
        Some(cid.wrapping_sub((1 + which % 4) << 8))
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
}
