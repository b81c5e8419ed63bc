//! What the controller does as time passes: it fetches, executes and completes.

use super::Model;
use super::rings::{Fetched, Held};
use nvme::wire::SubmissionEntry;

impl Model {
    /// Time passes without a turn of a waiting loop: as much as `microseconds`.
    pub(crate) fn pass(&mut self, microseconds: u64) {
        let end = self.clock + microseconds;
        while self.clock < end {
            self.tick();
        }
    }

    /// One turn of a waiting loop: time passes, and the device works.
    pub(crate) fn tick(&mut self) {
        self.ticks += 1;
        assert!(self.ticks < 50_000_000, "the driver waits for ever");
        self.clock += self.config.tick;
        self.follow();
        if self.all_ones || self.all_zeros {
            return;
        }
        self.follow_time();
        for fetched in &mut self.fetched {
            fetched.latency = fetched.latency.saturating_sub(1);
        }
        if self.paused_until.is_some() {
            return;
        }
        self.work();
    }

    /// What happens by itself as time passes.
    fn follow_time(&mut self) {
        if self.paused_until.is_some_and(|until| self.clock >= until) {
            self.paused_until = None;
        }
        self.stop_gathering();
        self.doze();
        self.follow_sanitize();
        if self.ticks.is_multiple_of(64) {
            self.audit();
        }
        let timeout = u64::from(self.feature(0x0f)) * 1000;
        if timeout != 0 && self.rdy && self.clock - self.kept_alive > timeout {
            self.cfs = true;
            self.silent = true;
        }
        if self.silent {
            return;
        }
        self.report_events();
        self.follow_shadows();
        if self.config.lazy {
            let ids: Vec<u16> = self.submission.keys().copied().collect();
            for id in ids {
                self.fetch(id, self.config.per_tick);
            }
        }
    }

    /// Completes some commands.
    fn work(&mut self) {
        for _ in 0..self.config.per_tick.min(self.fetched.len()) {
            let mut able = Vec::new();
            for index in 0..self.fetched.len() {
                let fetched = &self.fetched[index];
                let is_free = matches!(fetched.held, Held::No | Held::Ends(_));
                let is_time = fetched.latency == 0 && fetched.due <= self.clock;
                let queue = fetched.queue;
                if is_free && is_time && self.has_room_to_complete(queue) {
                    able.push(index);
                    if !self.config.out_of_order {
                        break;
                    }
                }
            }
            if able.is_empty() {
                break;
            }
            let choice = match self.config.out_of_order {
                true => able[self.random() as usize % able.len()],
                false => able[0],
            };
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
        let answer = match fetched.queue {
            _ if matches!(fetched.held, Held::Ends(_)) => fetched.held.status(),
            0 if self.deaf_to == Some(fetched.entry.cdw0.opcode()) => return,
            _ if fetched.queue != 0 && self.is_deaf_to(&fetched.entry) => return,
            0 => self.admin(&fetched),
            _ => Some(self.io(&fetched.entry)),
        };
        let Some((result, status)) = answer else {
            return;
        };
        if !status.is_success() {
            self.log_error(&fetched, status);
            let is_deletion = matches!(fetched.entry.cdw0.opcode(), 0x00 | 0x04);
            self.keeps_queues |= fetched.queue == 0 && is_deletion;
        }
        if fetched.queue != 0 && self.misbehave(&fetched, status) {
            return;
        }
        self.post(&fetched, result, status);
    }

    /// Commands that are fetched and forgotten.
    fn is_deaf_to(&self, entry: &SubmissionEntry) -> bool {
        let blocks = entry.cdw10_11..=entry.cdw10_11 + (entry.cdw12_13 & 0xffff);
        self.deaf_to_block
            .is_some_and(|block| blocks.contains(&block))
    }

    /// A device that has gone wild moves data but says nothing.
    fn run_silently(&mut self, choice: usize) {
        // Not in every turn: the driver waits for long, and this is slow.
        if self.never_stops && self.ticks.is_multiple_of(100) {
            let fetched = self.fetched[choice].clone();
            self.io(&fetched.entry);
        }
    }
}
