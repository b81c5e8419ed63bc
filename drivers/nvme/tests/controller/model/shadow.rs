//! Shadow doorbells (Doorbell Buffer Config).
//!
//! With them the model looks at the doorbell register only to be woken. While it is awake
//! it looks at the shadow. Before it falls asleep it leaves in EventIdx the value that it
//! has seen, and looks at the shadow once more. Whoever moves the shadow past EventIdx must
//! ring.
//!
//! The model makes the race of that visible. It may run between any two steps of the host,
//! so it does: right after the host loads from the page with EventIdx. A
//! driver that loads EventIdx before its new tail is in the shadow will wait for ever.

use super::Model;
use super::memory::{Claim, PAGE};
use super::{refused, status};
use nvme::Status;
use nvme::wire::SubmissionEntry;
use std::collections::BTreeSet;

#[derive(Default)]
pub(crate) struct Shadow {
    /// The page with the shadows, and the one with EventIdx.
    pages: Option<(u64, u64)>,
    /// Submission queues that are being looked at.
    awake: BTreeSet<u16>,
    /// Doorbell registers that were rung for I/O queues since there are shadows.
    pub(crate) rings: usize,
    /// The model is not quick: it runs in its turns only.
    pub(crate) is_slow: bool,
}

impl Shadow {
    pub(crate) fn is_on(&self) -> bool {
        self.pages.is_some()
    }

    /// True if it would see a new tail without being rung.
    pub(crate) fn is_awake(&self) -> bool {
        !self.awake.is_empty()
    }

    pub(crate) fn forget(&mut self) {
        *self = Self {
            is_slow: self.is_slow,
            ..Self::default()
        };
    }
}

impl Model {
    /// Doorbell Buffer Config.
    pub(crate) fn configure_shadow(&mut self, entry: &SubmissionEntry) -> Status {
        if self.config.identify.oacs & 1 << 8 == 0 {
            return refused(0, 0x01);
        }
        let (shadow, event) = (entry.prp1, entry.prp2);
        if shadow % self.page() != 0 || event % self.page() != 0 || shadow == event {
            return refused(0, 0x02);
        }
        self.memory.claim(Claim::Shadow, shadow, PAGE);
        self.memory.claim(Claim::EventIndex, event, PAGE);
        self.shadow.pages = Some((shadow, event));
        // From now on the shadows count. The driver has initialised them.
        let ids: Vec<u16> = self.submission.keys().copied().collect();
        for id in ids.into_iter().filter(|id| *id != 0) {
            self.sleep(id);
        }
        status(0, 0)
    }

    fn shadow_offset(&self, queue: u16, is_completion: bool) -> u64 {
        let stride = 4_u64 << self.config.cap.dstrd();
        (2 * u64::from(queue) + u64::from(is_completion)) * stride
    }

    fn load_shadow(&mut self, queue: u16, is_completion: bool) -> Option<u32> {
        let (shadow, _) = self.shadow.pages?;
        let mut bytes = [0; 4];
        let at = shadow + self.shadow_offset(queue, is_completion);
        self.memory.device_read(at, &mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    fn store_event(&mut self, queue: u16, is_completion: bool, value: u16) {
        if let Some((_, event)) = self.shadow.pages {
            let at = event + self.shadow_offset(queue, is_completion);
            let _ = self
                .memory
                .device_write(at, &u32::from(value).to_le_bytes());
        }
    }

    /// What the host has left: the tail and the head of a queue pair.
    pub(crate) fn shadows_of(&mut self, queue: u16) -> Option<(u32, u32)> {
        let tail = self.load_shadow(queue, false)?;
        Some((tail, self.load_shadow(queue, true)?))
    }

    /// What is true: the tail and the head that the model knows of.
    pub(crate) fn doorbells_of(&self, queue: u16) -> Option<(u32, u32)> {
        let tail = self.submission.get(&queue)?.tail;
        let head = self.completion.get(&queue)?.head;
        Some((u32::from(tail), u32::from(head)))
    }

    /// Says of a queue's tail what is not so.
    pub(crate) fn pretend_to_have_seen(&mut self, queue: u16, tail: u16) {
        self.store_event(queue, false, tail);
    }

    /// The doorbell of a submission queue was rung.
    pub(crate) fn wake(&mut self, id: u16) {
        if self.shadow.is_on() && id != 0 {
            self.shadow.rings += 1;
            self.shadow.awake.insert(id);
            self.look_at_shadow_tail(id);
        }
    }

    fn look_at_shadow_tail(&mut self, id: u16) {
        let Some(tail) = self.load_shadow(id, false) else {
            return;
        };
        let Some(queue) = self.submission.get_mut(&id) else {
            return;
        };
        match u16::try_from(tail) {
            Ok(tail) if tail < queue.entries => queue.tail = tail,
            _ => self.offence(format!("shadow tail {tail} of queue {id}")),
        }
    }

    /// Looks at the shadow of a completion queue's head, once EventIdx says what is known.
    pub(crate) fn look_at_shadow_head(&mut self, id: u16) {
        if id == 0 || !self.shadow.is_on() {
            return;
        }
        let Some(known) = self.completion.get(&id).map(|queue| queue.head) else {
            return;
        };
        self.store_event(id, true, known);
        let head = self.load_shadow(id, true);
        if let (Some(head), Some(queue)) = (head, self.completion.get_mut(&id)) {
            match u16::try_from(head) {
                Ok(head) if head < queue.entries => queue.head = head,
                _ => self.offence(format!("shadow head {head} of queue {id}")),
            }
        }
    }

    /// Leaves EventIdx, looks once more, and stays awake only if there is something.
    fn sleep(&mut self, id: u16) {
        let Some(tail) = self.submission.get(&id).map(|queue| queue.tail) else {
            return;
        };
        self.store_event(id, false, tail);
        self.look_at_shadow_tail(id);
        match self.submission.get(&id) {
            Some(queue) if queue.head != queue.tail => self.shadow.awake.insert(id),
            _ => self.shadow.awake.remove(&id),
        };
    }

    /// What the model does with shadows in a turn.
    pub(crate) fn follow_shadows(&mut self) {
        let awake: Vec<u16> = self.shadow.awake.iter().copied().collect();
        for id in awake {
            self.look_at_shadow_tail(id);
            self.fetch(id, usize::MAX);
            self.sleep(id);
            self.fetch(id, usize::MAX);
        }
    }

    /// The host has loaded shared memory. If it is EventIdx, the model is quick.
    pub(crate) fn host_loads(&mut self, bus: u64) {
        if let Some((_, event)) = self.shadow.pages
            && bus / PAGE == event / PAGE
            && !self.silent
            && !self.shadow.is_slow
        {
            self.follow_shadows();
        }
    }
}
