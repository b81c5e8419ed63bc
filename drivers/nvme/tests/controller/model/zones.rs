//! Zones: their states, write pointers and limits (Zoned Namespace command set
//! specification 1.1).

use super::io::Action;
use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::{SubmissionEntry, ZoneAttributes, ZoneDescriptor, ZoneReport, ZonedNamespace};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty = 1,
    ImplicitlyOpen = 2,
    ExplicitlyOpen = 3,
    Closed = 4,
    ReadOnly = 0xd,
    Full = 0xe,
    Offline = 0xf,
}

impl State {
    fn is_open(self) -> bool {
        matches!(self, Self::ImplicitlyOpen | Self::ExplicitlyOpen)
    }
    fn is_active(self) -> bool {
        self.is_open() || self == Self::Closed
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) state: State,
    pub(crate) start: u64,
    pub(crate) capacity: u64,
    pub(crate) pointer: u64,
}

const BOUNDARY: u8 = 0xb8;
const FULL: u8 = 0xb9;
const READ_ONLY: u8 = 0xba;
const OFFLINE: u8 = 0xbb;
const INVALID_WRITE: u8 = 0xbc;
const TOO_MANY_ACTIVE: u8 = 0xbd;
const TOO_MANY_OPEN: u8 = 0xbe;
const INVALID_TRANSITION: u8 = 0xbf;

impl Model {
    pub(crate) fn zoned(&self, nsid: u32) -> Option<&ZonedNamespace> {
        self.config.extras.get(&nsid)?.zoned.as_ref()
    }

    pub(crate) fn is_zoned(&self, nsid: u32) -> bool {
        self.zoned(nsid).is_some()
    }

    fn zone_size(&self, nsid: u32) -> Option<u64> {
        let index = self.namespace(nsid)?.format_index();
        let size = self.zoned(nsid)?.lbafe[index].zsze;
        (size != 0).then_some(size)
    }

    /// The zones of a namespace, made when they are asked for the first time.
    pub(crate) fn zones(&mut self, nsid: u32) -> &mut Vec<Zone> {
        let (size, capacity, blocks) = match (self.zone_size(nsid), self.namespace(nsid)) {
            (Some(size), Some(namespace)) => {
                let capacity = self.config.extras[&nsid].zone_capacity;
                (size, capacity.unwrap_or(size), namespace.nsze)
            }
            _ => (1, 1, 0),
        };
        self.zones.entry(nsid).or_insert_with(|| {
            let starts = (0..blocks / size).map(|index| index * size);
            let zone = |start| Zone {
                state: State::Empty,
                start,
                capacity,
                pointer: start,
            };
            starts.map(zone).collect()
        })
    }

    fn zone_of(&mut self, nsid: u32, block: u64) -> Option<usize> {
        let size = self.zone_size(nsid)?;
        let index = (block / size) as usize;
        (index < self.zones(nsid).len()).then_some(index)
    }

    /// Whether one more zone may become active, and open.
    fn check_limits(&mut self, nsid: u32, from: State, opens: bool) -> Result<(), Status> {
        let Some(zoned) = self.zoned(nsid) else {
            return Ok(());
        };
        let (active, open) = (zoned.mar, zoned.mor);
        let zones = self.zones(nsid);
        let count = |test: fn(State) -> bool| zones.iter().filter(|zone| test(zone.state)).count();
        if !from.is_active() && count(State::is_active) as u64 > u64::from(active) {
            return Err(status(1, TOO_MANY_ACTIVE));
        }
        if opens && !from.is_open() && count(State::is_open) as u64 > u64::from(open) {
            // The controller closes a zone that it has opened itself, if there is one.
            let implicit = zones
                .iter_mut()
                .find(|zone| zone.state == State::ImplicitlyOpen);
            match implicit {
                Some(zone) => zone.state = State::Closed,
                None => return Err(status(1, TOO_MANY_OPEN)),
            }
        }
        Ok(())
    }

    /// Whether these blocks can be written now.
    pub(crate) fn check_zone_write(
        &mut self,
        nsid: u32,
        first: u64,
        count: u64,
    ) -> Result<(), Status> {
        let Some(index) = self.zone_of(nsid, first) else {
            return Ok(());
        };
        let zone = self.zones(nsid)[index].clone();
        match zone.state {
            State::Full => return Err(refused(1, FULL)),
            State::ReadOnly => return Err(refused(1, READ_ONLY)),
            State::Offline => return Err(refused(1, OFFLINE)),
            _ => {}
        }
        if first + count > zone.start + zone.capacity {
            return Err(refused(1, BOUNDARY));
        }
        if first != zone.pointer {
            return Err(refused(1, INVALID_WRITE));
        }
        self.check_limits_of_write(nsid, zone.state)
    }

    fn check_limits_of_write(&mut self, nsid: u32, from: State) -> Result<(), Status> {
        // The limits are zero-based: one more is allowed while the count is not above.
        let Some(zoned) = self.zoned(nsid) else {
            return Ok(());
        };
        let unlimited = (zoned.mar, zoned.mor) == (u32::MAX, u32::MAX);
        if unlimited {
            Ok(())
        } else {
            self.check_limits(nsid, from, true)
        }
    }

    /// Blocks of a zone were written: the write pointer moves.
    pub(crate) fn zone_was_written(&mut self, nsid: u32, first: u64, count: u64) {
        let Some(index) = self.zone_of(nsid, first) else {
            return;
        };
        let zone = &mut self.zones(nsid)[index];
        zone.pointer = first + count;
        zone.state = match zone.state {
            _ if zone.pointer == zone.start + zone.capacity => State::Full,
            State::ExplicitlyOpen => State::ExplicitlyOpen,
            _ => State::ImplicitlyOpen,
        };
    }

    /// Whether these blocks can be read.
    pub(crate) fn check_zone_read(
        &mut self,
        nsid: u32,
        first: u64,
        count: u64,
    ) -> Result<(), Status> {
        let Some(from) = self.zone_of(nsid, first) else {
            return Ok(());
        };
        let crosses = self.zoned(nsid).is_some_and(|zoned| zoned.ozcs & 1 != 0);
        let to = self.zone_of(nsid, first + count - 1).unwrap_or(from);
        if from != to && !crosses {
            return Err(refused(1, BOUNDARY));
        }
        match self.zones(nsid)[from..=to]
            .iter()
            .any(|zone| zone.state == State::Offline)
        {
            true => Err(refused(1, OFFLINE)),
            false => Ok(()),
        }
    }

    /// Zone Append: writes where the zone has come to, and says where that was.
    pub(crate) fn zone_append(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        match self.try_append(entry) {
            Ok(block) => (block, status(0, 0)),
            Err(status) => (0, status),
        }
    }

    fn try_append(&mut self, entry: &SubmissionEntry) -> Result<u64, Status> {
        let shape = self.shape(entry.nsid)?;
        let start = entry.cdw10_11;
        let count = (entry.cdw12_13 & 0xffff) + 1;
        let limit = self.config.zoned.zasl;
        if limit != 0 && count << shape.shift > self.smallest_page() << limit.min(40) {
            return Err(refused(0, 0x02));
        }
        let index = self.zone_of(entry.nsid, start).ok_or(refused(0, 0x80))?;
        let zone = self.zones(entry.nsid)[index].clone();
        if zone.start != start {
            return Err(refused(0, 0x02));
        }
        let full = zone.state == State::Full;
        if full {
            return Err(refused(1, FULL));
        }
        let at = zone.pointer;
        let write = SubmissionEntry {
            cdw10_11: at,
            ..*entry
        };
        self.transfer(&write, Action::Write)?;
        Ok(at)
    }

    /// Zone Management Send: an action on a zone, or on all.
    pub(crate) fn zone_send(&mut self, entry: &SubmissionEntry) -> Result<Status, Status> {
        let action = (entry.cdw12_13 >> 32) as u8;
        let all = entry.cdw12_13 >> 40 & 1 != 0;
        let nsid = entry.nsid;
        if all {
            for index in 0..self.zones(nsid).len() {
                let state = self.zones(nsid)[index].state;
                // An action on all passes over the zones that it does not suit.
                let suits = match action {
                    1 => state.is_open(),
                    2 => state.is_active(),
                    3 => state == State::Closed,
                    4 => state.is_active() || state == State::Full,
                    5 => state == State::ReadOnly,
                    _ => return Err(refused(0, 0x02)),
                };
                if suits {
                    self.change_zone(nsid, index, action)?;
                }
            }
            return Ok(status(0, 0));
        }
        let block = entry.cdw10_11;
        let index = self.zone_of(nsid, block).ok_or(refused(0, 0x80))?;
        if self.zones(nsid)[index].start != block {
            return Err(refused(0, 0x02));
        }
        self.change_zone(nsid, index, action)?;
        Ok(status(0, 0))
    }

    fn change_zone(&mut self, nsid: u32, index: usize, action: u8) -> Result<(), Status> {
        let state = self.zones(nsid)[index].state;
        let invalid = refused(1, INVALID_TRANSITION);
        let next = match (action, state) {
            // Close, Finish, Open, Reset, Offline.
            (1, State::Closed) => State::Closed,
            (1, state) if state.is_open() => State::Closed,
            (2, State::Full) => State::Full,
            (2, State::Empty) => State::Full,
            (2, state) if state.is_active() => State::Full,
            (3, State::ExplicitlyOpen) => State::ExplicitlyOpen,
            (3, State::Empty | State::Closed | State::ImplicitlyOpen) => {
                self.check_limits(nsid, state, true)?;
                State::ExplicitlyOpen
            }
            (4, State::Empty) => State::Empty,
            (4, State::Full) => State::Empty,
            (4, state) if state.is_active() => State::Empty,
            (5, State::ReadOnly | State::Offline) => State::Offline,
            (1..=5, _) => return Err(invalid),
            _ => return Err(refused(0, 0x02)),
        };
        let zone = &mut self.zones(nsid)[index];
        zone.state = next;
        match next {
            State::Empty => zone.pointer = zone.start,
            // An empty zone cannot be closed and open without having been written: it keeps
            // its pointer. A full one has none.
            State::Full => zone.pointer = zone.start + zone.capacity,
            _ => {}
        }
        let (start, end) = (zone.start, zone.start + zone.capacity);
        if next == State::Empty {
            let written: Vec<u64> = self
                .blocks
                .range((nsid, start)..(nsid, end))
                .map(|((_, block), _)| *block)
                .collect();
            for block in written {
                self.store(nsid, block, super::cache::Content::Gone, true);
            }
        }
        Ok(())
    }

    /// Zone Management Receive: Report Zones.
    pub(crate) fn zone_receive(&mut self, entry: &SubmissionEntry) -> Result<Status, Status> {
        let bytes = ((entry.cdw12_13 & 0xffff_ffff) + 1) * 4;
        let (action, wanted) = ((entry.cdw12_13 >> 32) as u8, (entry.cdw12_13 >> 40) as u8);
        let is_partial = entry.cdw12_13 >> 48 & 1 != 0;
        if action != 0 {
            return Err(refused(0, 0x02));
        }
        let from = self
            .zone_of(entry.nsid, entry.cdw10_11)
            .ok_or(refused(0, 0x80))?;
        let wants = |state: State| match wanted {
            0 => true,
            1 => state == State::Empty,
            2 => state == State::ImplicitlyOpen,
            3 => state == State::ExplicitlyOpen,
            4 => state == State::Closed,
            5 => state == State::Full,
            6 => state == State::ReadOnly,
            7 => state == State::Offline,
            _ => false,
        };
        let zones = self.zones(entry.nsid)[from..].iter();
        let zones: Vec<Zone> = zones.filter(|zone| wants(zone.state)).cloned().collect();
        let room = (bytes as usize).saturating_sub(ZoneReport::BYTES) / ZoneDescriptor::BYTES;
        let count = if is_partial {
            zones.len().min(room)
        } else {
            zones.len()
        };
        let mut report = [0; ZoneReport::BYTES];
        ZoneReport {
            zones: count as u64,
        }
        .encode(&mut report);
        let mut data = report.to_vec();
        for zone in zones.iter().take(room) {
            let mut bytes = [0; ZoneDescriptor::BYTES];
            let is_pointed = zone.state.is_active() || zone.state == State::Empty;
            let descriptor = ZoneDescriptor {
                zt: 2,
                zs: (zone.state as u8) << 4,
                za: ZoneAttributes::new(),
                zcap: zone.capacity,
                zslba: zone.start,
                wp: if is_pointed { zone.pointer } else { u64::MAX },
            };
            descriptor.encode(&mut bytes);
            data.extend_from_slice(&bytes);
        }
        data.resize(bytes as usize, 0);
        self.send_data(entry, &data)?;
        Ok(status(0, 0))
    }
}
