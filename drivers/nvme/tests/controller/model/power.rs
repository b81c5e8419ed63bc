//! Power states: what it costs to leave one, and the table by which the model goes to sleep
//! by itself.

use super::{Model, refused};
use nvme::Status;

#[derive(Default)]
pub(crate) struct Power {
    pub(crate) state: u8,
    /// When the last I/O command arrived.
    idle_since: u64,
    /// States that were entered, in order.
    pub(crate) history: Vec<u8>,
}

impl Model {
    fn enter_power_state(&mut self, state: u8) {
        if self.power.state != state {
            self.power.state = state;
            self.power.history.push(state);
        }
    }

    /// Set Features, power management.
    pub(crate) fn set_power_state(&mut self, state: u8) -> Result<(), Status> {
        if state > self.config.identify.npss {
            return Err(refused(0, 0x02));
        }
        self.enter_power_state(state);
        Ok(())
    }

    /// An I/O command has arrived. Microseconds until the controller can work on it: it comes
    /// out of a non-operational state first.
    pub(crate) fn power_delay(&mut self, queue: u16) -> u64 {
        if queue == 0 {
            return 0;
        }
        self.power.idle_since = self.clock;
        let states = &self.config.identify.psd;
        let psd = &states[usize::from(self.power.state) & 31];
        if !psd.flags.nops() {
            return 0;
        }
        let delay = u64::from(psd.exlat);
        self.enter_power_state(0);
        delay
    }

    /// Autonomous transitions: idle for long enough, the controller goes where the table says.
    pub(crate) fn doze(&mut self) {
        if self.feature(0x0c) & 1 == 0 || !self.fetched.is_empty() {
            return;
        }
        let Some(table) = self.large_features.get(&0x0c) else {
            return;
        };
        let at = usize::from(self.power.state) * 8;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&table[at..at + 8]);
        let entry = u64::from_le_bytes(bytes);
        // Idle Transition Power State, and Idle Time Prior to Transition in milliseconds.
        let (state, time) = ((entry >> 3 & 0x1f) as u8, (entry >> 8 & 0xff_ffff) * 1000);
        if time != 0
            && state <= self.config.identify.npss
            && self.clock.saturating_sub(self.power.idle_since) >= time
        {
            self.enter_power_state(state);
        }
    }
}
