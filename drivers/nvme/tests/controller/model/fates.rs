//! What a test decides about commands before they come: delays, losses, answers, aborts.

use super::rings::{Fetched, Held};
use super::{Model, refused, status};
use nvme::Status;

/// What will happen to a command that fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    /// Of which queue; any I/O queue if `None`.
    pub(crate) queue: Option<u16>,
    /// With which opcode; any if `None`.
    pub(crate) opcode: Option<u8>,
    /// How many that fit go free before.
    pub(crate) after: usize,
    /// How many it happens to, one after the other.
    pub(crate) times: usize,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is never completed. Its memory stays the device's.
    Lose,
    /// It is completed when [`Model::let_go`] is called.
    Hold,
    /// It takes so many microseconds.
    Delay(u64),
    /// It ends with a status and does nothing.
    End(Status),
}

impl Fate {
    /// `then` for the next I/O command with `opcode`.
    pub(crate) fn of_next(opcode: u8, then: Then) -> Self {
        Self {
            queue: None,
            opcode: Some(opcode),
            after: 0,
            times: 1,
            then,
        }
    }

    /// `then` for the next admin command with `opcode`.
    pub(crate) fn of_next_admin(opcode: u8, then: Then) -> Self {
        Self {
            queue: Some(0),
            ..Self::of_next(opcode, then)
        }
    }

    fn fits(&self, fetched: &Fetched) -> bool {
        let queue = match self.queue {
            Some(queue) => queue == fetched.queue,
            None => fetched.queue != 0,
        };
        let opcode = fetched.entry.cdw0.opcode();
        queue && self.opcode.is_none_or(|wanted| wanted == opcode)
    }
}

/// What the model does when it is asked to abort a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AbortPolicy {
    /// The command ends with Command Abort Requested.
    #[default]
    Works,
    /// It always says that nothing was aborted, as QEMU does.
    Refuses,
    /// It says that the command was aborted, and never completes it.
    Lies,
    /// It says that nothing was aborted, and the command completes right after.
    TooLate,
    /// The Abort itself is never answered.
    Silent,
}

impl Model {
    /// Gives a command that has just arrived the fate that waits for it.
    pub(crate) fn decide_fate(&mut self, fetched: &mut Fetched) {
        let Some(index) = self.fates.iter().position(|fate| fate.fits(fetched)) else {
            return;
        };
        let fate = &mut self.fates[index];
        if fate.after > 0 {
            fate.after -= 1;
            return;
        }
        match fate.then {
            Then::Lose => fetched.held = Held::Lost,
            Then::Hold => fetched.held = Held::Back,
            Then::Delay(microseconds) => fetched.due = self.clock + microseconds,
            Then::End(status) => fetched.held = Held::Ends(status),
        }
        fate.times = fate.times.saturating_sub(1);
        if fate.times == 0 {
            self.fates.remove(index);
        }
    }

    /// Lets all commands go that were held back.
    pub(crate) fn let_go(&mut self) {
        for fetched in &mut self.fetched {
            if fetched.held == Held::Back {
                fetched.held = Held::No;
            }
        }
    }

    /// Commands that were fetched and are not completed, without event requests.
    pub(crate) fn outstanding(&self) -> usize {
        self.fetched.len()
    }

    /// Abort. `None` is no answer.
    pub(crate) fn abort(&mut self, sq_id: u16, cid: u16) -> Option<(u64, Status)> {
        const ABORT_REQUESTED: u8 = 0x07;
        const NOT_ABORTED: (u64, Status) = (1, Status::new());
        if !self.submission.contains_key(&sq_id) {
            return Some((1, refused(0, 0x02)));
        }
        let is_it = |other: &Fetched| other.queue == sq_id && other.entry.cdw0.cid() == cid;
        let Some(index) = self.fetched.iter().position(is_it) else {
            return Some(NOT_ABORTED);
        };
        match self.abort_policy {
            AbortPolicy::Silent => None,
            AbortPolicy::Refuses => Some(NOT_ABORTED),
            AbortPolicy::TooLate => {
                let fetched = &mut self.fetched[index];
                (fetched.held, fetched.due, fetched.latency) = (Held::No, 0, 0);
                Some(NOT_ABORTED)
            }
            AbortPolicy::Lies => {
                self.fetched[index].held = Held::Lost;
                Some((0, status(0, 0)))
            }
            AbortPolicy::Works => {
                let fetched = &mut self.fetched[index];
                (fetched.due, fetched.latency) = (0, 0);
                fetched.held = Held::Ends(status(0, ABORT_REQUESTED));
                Some((0, status(0, 0)))
            }
        }
    }
}
