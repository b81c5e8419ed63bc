//! Power states (NVMe base specification 2.0, sections 5.27.1.2, 5.27.1.9 and 8.15).
//!
//! A controller has up to 32 power states. State 0 has the most power. Some of the others do
//! not work while they last: a command wakes the controller, and that takes time. With a table
//! of the host, the controller goes to such states by itself after some idle time, and
//! [`transitions`] makes that table from the longest delay that the host can bear.

use crate::wire::IdentifyController;

/// Most power states.
const STATES: usize = 32;

/// The power states of a controller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PowerStates {
    states: [State; STATES],
    count: u8,
    /// The controller can change to other states by itself (APSTA).
    pub autonomous: bool,
}

/// One power state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Most power that it takes, in units of 0.1 mW; 0 is unsaid.
    pub tenth_milliwatts: u32,
    /// Commands are executed in this state.
    pub is_operational: bool,
    /// Microseconds to get there.
    pub entry: u32,
    /// Microseconds to get out of it.
    pub exit: u32,
}

impl PowerStates {
    pub(crate) fn new(identify: &IdentifyController) -> Self {
        let count = identify.npss.saturating_add(1).min(STATES as u8);
        let mut states = [State::default(); STATES];
        for (state, descriptor) in states.iter_mut().zip(&identify.psd) {
            *state = State {
                tenth_milliwatts: descriptor.tenth_milliwatts(),
                is_operational: !descriptor.flags.nops(),
                entry: descriptor.enlat,
                exit: descriptor.exlat,
            };
        }
        Self {
            states,
            count,
            autonomous: identify.apsta & 1 != 0,
        }
    }

    /// The states, from the one with most power on. There is always one.
    pub fn states(&self) -> &[State] {
        &self.states[..usize::from(self.count)]
    }

    /// Without the last state, for a controller that does not come back from it.
    pub fn without_deepest(self) -> Self {
        Self {
            count: self.count.saturating_sub(1).max(1),
            ..self
        }
    }
}

impl core::fmt::Debug for PowerStates {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PowerStates")
            .field("states", &self.states())
            .field("autonomous", &self.autonomous)
            .finish()
    }
}

/// A table of autonomous power state transitions, an entry for each state that it starts from.
///
/// It comes as it lies in the memory of Set Features: 32 entries of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transitions(pub [Transition; STATES]);

/// Where to go from a state, and after which idle time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transition {
    /// Idle Transition Power State (ITPS).
    pub state: u8,
    /// Idle Time Prior to Transition (ITPT) in milliseconds, 24 bits; 0 is never.
    pub milliseconds: u32,
}

impl Transitions {
    /// Bytes in memory.
    pub const BYTES: usize = 256;

    /// True if no state has a transition.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|entry| entry.milliseconds == 0)
    }

    /// The table as it lies in memory.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (places, _) = bytes.as_chunks_mut::<8>();
        for (place, entry) in places.iter_mut().zip(&self.0) {
            let state = u64::from(entry.state & 0x1f) << 3;
            let time = u64::from(entry.milliseconds & 0xff_ffff) << 8;
            *place = (state | time).to_le_bytes();
        }
        bytes
    }
}

/// The table for a host that can wait `microseconds` for the first command after idle time.
///
/// Only states that do not work are goals, since all others are for the host to choose. A state
/// is a goal if getting there and back takes no longer than the budget. The idle time before it
/// is 50 times as long, so that the trips cost no more than about 2 % of the time. A state leads
/// to the nearest goal below it, and that one to the next: a short pause never takes the longest
/// trip.
pub fn transitions(power: &PowerStates, microseconds: u32) -> Transitions {
    const TIMES: u64 = 50;
    const MOST_MILLISECONDS: u64 = 0xff_ffff;
    let mut table = Transitions([Transition::default(); STATES]);
    if !power.autonomous {
        return table;
    }
    let mut goal = Transition::default();
    for (index, state) in power.states().iter().enumerate().rev() {
        table.0[index] = goal;
        let trip = u64::from(state.entry) + u64::from(state.exit);
        if !state.is_operational && trip <= u64::from(microseconds) {
            goal = Transition {
                state: index as u8,
                milliseconds: (trip * TIMES).div_ceil(1000).clamp(1, MOST_MILLISECONDS) as u32,
            };
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{PowerFlags, PowerState};
    use proptest::prelude::*;

    fn state(nops: bool, enlat: u32, exlat: u32) -> PowerState {
        PowerState {
            mp: 100,
            flags: PowerFlags::new().with_nops(nops),
            enlat,
            exlat,
            ..PowerState::default()
        }
    }

    fn power(states: &[PowerState]) -> PowerStates {
        let mut identify = IdentifyController {
            npss: states.len() as u8 - 1,
            apsta: 1,
            ..IdentifyController::default()
        };
        for (place, state) in identify.psd.iter_mut().zip(states) {
            *place = state.clone();
        }
        PowerStates::new(&identify)
    }

    /// The states of a common disk: three that work, two that do not.
    fn disk() -> PowerStates {
        power(&[
            state(false, 0, 0),
            state(false, 0, 200),
            state(false, 0, 1000),
            state(true, 2000, 1200),
            state(true, 500, 9500),
        ])
    }

    fn goals(power: &PowerStates, microseconds: u32) -> Vec<(u8, u32)> {
        let table = transitions(power, microseconds);
        let entries = table.0.iter().take(power.states().len());
        entries
            .map(|entry| (entry.state, entry.milliseconds))
            .collect()
    }

    #[test]
    fn the_budget_chooses_the_depth() {
        let disk = disk();
        assert_eq!(
            goals(&disk, 100_000),
            [(3, 160), (3, 160), (3, 160), (4, 500), (0, 0)]
        );
        assert_eq!(
            goals(&disk, 10_000),
            [(3, 160), (3, 160), (3, 160), (4, 500), (0, 0)]
        );
        assert_eq!(
            goals(&disk, 9_999),
            [(3, 160), (3, 160), (3, 160), (0, 0), (0, 0)]
        );
        assert_eq!(goals(&disk, 3_199), [(0, 0); 5]);
        assert!(transitions(&disk, 0).is_empty());
    }

    #[test]
    fn a_controller_that_cannot_gets_an_empty_table() {
        let mut disk = disk();
        disk.autonomous = false;
        assert!(transitions(&disk, u32::MAX).is_empty());
    }

    #[test]
    fn a_state_of_no_return_is_left_out() {
        let disk = disk().without_deepest();
        assert_eq!(
            goals(&disk, 100_000),
            [(3, 160), (3, 160), (3, 160), (0, 0)]
        );
        let one = power(&[state(false, 0, 0)]).without_deepest();
        assert_eq!(one.states().len(), 1);
    }

    #[test]
    fn entries_are_laid_out_as_specified() {
        let bytes = transitions(&disk(), 100_000).encode();
        assert_eq!(bytes[..8], [3 << 3, 160, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[24..32], [4 << 3, 0xf4, 1, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[32..], [0; 224]);
    }

    #[test]
    fn absurd_counts_of_states_are_cut() {
        let identify = IdentifyController {
            npss: 255,
            ..IdentifyController::default()
        };
        assert_eq!(PowerStates::new(&identify).states().len(), 32);
    }

    proptest! {
        /// Whatever a controller says of itself, a transition leads down, to a state that does
        /// not work, within the budget.
        #[test]
        fn transitions_lead_down(
            states in proptest::collection::vec((any::<bool>(), any::<u32>(), any::<u32>()), 1..=32),
            budget: u32,
        ) {
            let states: Vec<_> = states.iter().map(|(n, i, o)| state(*n, *i, *o)).collect();
            let power = power(&states);
            for (from, entry) in transitions(&power, budget).0.iter().enumerate() {
                if entry.milliseconds == 0 {
                    continue;
                }
                let goal = power.states()[usize::from(entry.state)];
                prop_assert!(usize::from(entry.state) > from && !goal.is_operational);
                prop_assert!(u64::from(goal.entry) + u64::from(goal.exit) <= u64::from(budget));
                prop_assert!(entry.milliseconds <= 0xff_ffff);
            }
        }
    }
}
