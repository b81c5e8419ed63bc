//! Asynchronous events: requests that wait, events that wait, and masks.

use super::rings::Fetched;
use super::{Model, refused, status};
use std::collections::{BTreeSet, VecDeque};

/// An event: its type, its information, and the log page that says more and clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: u8,
    pub(crate) info: u8,
    pub(crate) page: u8,
}

impl Event {
    pub(crate) const ERROR: u8 = 0;
    pub(crate) const HEALTH: u8 = 1;
    pub(crate) const NOTICE: u8 = 2;

    /// A doorbell that is no queue's (0), or with a value that cannot be (1).
    pub(crate) const fn doorbell(info: u8) -> Self {
        Self::new(Self::ERROR, info, 0x01)
    }
    /// An error that is over, and one that stays until a reset.
    pub(crate) const TRANSIENT: Self = Self::new(Self::ERROR, 4, 0x01);
    pub(crate) const PERSISTENT: Self = Self::new(Self::ERROR, 3, 0x01);
    /// The temperature is beyond a threshold.
    pub(crate) const TEMPERATURE: Self = Self::new(Self::HEALTH, 1, 0x02);
    /// A namespace has changed, come or gone.
    pub(crate) const NAMESPACES: Self = Self::new(Self::NOTICE, 0, 0x04);
    /// New firmware is being activated.
    pub(crate) const FIRMWARE: Self = Self::new(Self::NOTICE, 1, 0x03);
    /// A sanitize operation is over.
    pub(crate) const SANITIZED: Self = Self::new(6, 1, 0x81);

    const fn new(kind: u8, info: u8, page: u8) -> Self {
        Self { kind, info, page }
    }

    /// Dword 0 of the completion.
    pub(crate) fn result(self) -> u64 {
        u64::from(self.kind) | u64::from(self.info) << 8 | u64::from(self.page) << 16
    }
}

#[derive(Default)]
pub(crate) struct Events {
    /// Asynchronous Event Requests that are not answered yet.
    pub(crate) waiting: Vec<Fetched>,
    /// Events that nobody has asked for yet.
    queued: VecDeque<Event>,
    /// Types that are reported once and not again before their log page is read.
    masked: BTreeSet<u8>,
    /// Namespaces for the Changed Namespace List.
    pub(crate) changed: BTreeSet<u32>,
}

impl Model {
    /// Something has happened that the driver may want to know.
    pub(crate) fn event(&mut self, event: Event) {
        if self.wants(event) && !self.events.queued.contains(&event) {
            self.events.queued.push_back(event);
        }
        self.report_events();
    }

    /// Whether Asynchronous Event Configuration (0Bh) has the event enabled.
    fn wants(&self, event: Event) -> bool {
        let enabled = self.feature(0x0b);
        match (event.kind, event.info) {
            (Event::HEALTH, _) => enabled & 0xff != 0,
            (Event::NOTICE, info @ 0..=7) => enabled >> (8 + info) & 1 != 0,
            _ => true,
        }
    }

    /// An Asynchronous Event Request: it waits.
    pub(crate) fn request_event(&mut self, fetched: Fetched) {
        const LIMIT_EXCEEDED: u8 = 0x05;
        if self.events.waiting.len() > usize::from(self.config.identify.aerl) {
            return self.post(&fetched, 0, refused(1, LIMIT_EXCEEDED));
        }
        self.events.waiting.push(fetched);
        self.report_events();
    }

    /// Answers requests as far as there are events that are not masked.
    pub(crate) fn report_events(&mut self) {
        while !self.events.waiting.is_empty() && self.has_room_to_complete(0) {
            let masked = &self.events.masked;
            let is_free = |event: &Event| !masked.contains(&event.kind);
            let Some(index) = self.events.queued.iter().position(is_free) else {
                return;
            };
            let Some(event) = self.events.queued.remove(index) else {
                return;
            };
            self.events.masked.insert(event.kind);
            let fetched = self.events.waiting.remove(0);
            self.post(&fetched, event.result(), status(0, 0));
        }
    }

    /// A log page was read, and not with Retain Asynchronous Event.
    pub(crate) fn page_was_read(&mut self, page: u8) {
        let kind = match page {
            0x01 => Event::ERROR,
            0x02 => Event::HEALTH,
            0x03 | 0x04 => Event::NOTICE,
            0x81 => 6,
            _ => return,
        };
        if page == 0x04 {
            self.events.changed.clear();
        }
        self.events.masked.remove(&kind);
        self.report_events();
    }

    /// Whatever the device wants to say, as often as it is asked: a storm.
    pub(crate) fn storm_of_events(&mut self, result: u64) {
        while !self.events.waiting.is_empty() && self.has_room_to_complete(0) {
            let fetched = self.events.waiting.remove(0);
            self.post(&fetched, result, status(0, 0));
        }
    }

    pub(crate) fn forget_events(&mut self) {
        self.events.waiting.clear();
        self.events.queued.clear();
        self.events.masked.clear();
    }
}
