//! Waits for a machine's end, and looks at its remains.

use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Stop;
use crate::postmortem::Registers;
use crate::qmp::{Notice, Remote, Shutdown};
use crate::records::Channel;

/// Time that the watching threads get when QEMU is gone.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// What the watching threads tell the one that waits.
pub(super) enum Sign {
    ChannelClosed(Channel, Vec<String>),
    Notice(Notice),
    /// The guest wants QEMU to be killed.
    Kill,
    MonitorClosed,
}

/// What is gathered while the machine runs.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) remote: Option<Remote>,
    pub(super) guest_start: Option<Instant>,
    pub(super) channel: Option<Channel>,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) stopped: Option<Stop>,
    pub(super) remains: Vec<u64>,
    monitor_closed: bool,
    pub(super) trouble: Vec<String>,
}

impl Watch {
    /// Waits until QEMU has closed the record channel, or must be stopped.
    pub(super) fn wait(
        &mut self,
        signs: &Receiver<Sign>,
        qemu: &mut Child,
        start: Instant,
        limit: Option<Duration>,
    ) {
        while self.channel.is_none() && self.stopped.is_none() && self.shutdown.is_none() {
            let left = match limit {
                Some(limit) => limit.saturating_sub(start.elapsed()),
                None => Duration::MAX,
            };
            match signs.recv_timeout(left) {
                Ok(sign) => self.take(sign),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    self.stopped = limit.map(Stop::TimeLimit);
                }
            }
        }
        // QEMU keeps the machine after its end, until we have seen enough.
        if self.channel.is_none() && self.stopped != Some(Stop::Asked) {
            self.look_at_the_remains();
        }
        if self.stopped.is_some() {
            let _ = qemu.kill();
        } else if let Some(remote) = &self.remote {
            let _ = remote.send("quit"); // it may be gone already
        }
    }

    /// Finds out where the CPU is.
    fn look_at_the_remains(&mut self) {
        if self.stopped.is_some() {
            self.ask("stop");
        }
        let registers = self.ask("info registers");
        if let Some(registers) = registers.and_then(|answer| Registers::parse(&answer)) {
            self.remains = registers.backtrace(|question| self.ask(question));
        }
    }

    /// Puts a question to the monitor for people.
    fn ask(&self, question: &str) -> Option<String> {
        self.remote.as_ref()?.ask(question).ok()
    }

    /// Takes what the threads still have to say. QEMU is gone, so they come to their ends.
    pub(super) fn drain(&mut self, signs: &Receiver<Sign>) {
        while self.channel.is_none() || !self.monitor_closed {
            match signs.recv_timeout(LAST_WORDS) {
                Ok(sign) => self.take(sign),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, sign: Sign) {
        match sign {
            Sign::ChannelClosed(channel, trouble) => {
                self.channel = Some(channel);
                self.trouble.extend(trouble);
            }
            // The first cause counts; our own command to quit is another.
            Sign::Notice(Notice::Shutdown(shutdown)) => {
                self.shutdown.get_or_insert(shutdown);
            }
            Sign::Notice(Notice::Stopped) => {
                if self.shutdown.is_none() {
                    self.stopped.get_or_insert(Stop::StoodStill);
                }
            }
            Sign::Kill => {
                self.stopped.get_or_insert(Stop::Asked);
            }
            Sign::MonitorClosed => self.monitor_closed = true,
        }
    }
}
