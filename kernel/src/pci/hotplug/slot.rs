//! One slot: what its registers say, and what follows (PCI Express Base specification, sections 7.5.3.9 to
//! 7.5.3.11, and 6.7 for the order of things).
//!
//! ```text
//!             present              answers                button
//!    Empty ───────────► Starting ───────────► Occupied ───────────► Leaving
//!      ▲                   │ silent              │ gone                │ nobody drives it
//!      │                   ▼                     │                     ▼
//!      ├──────────────── Dark ◄──────────────────┼──────────────── (power off)
//!      │      gone                               │
//!      └─────────────────────────────────────────┘
//! ```
//!
//! - A slot is looked at, and never waited for: each look is a handful of register accesses and takes at most
//!   one step. What takes time is a state with a deadline.
//! - Registers may lie. That something is present means nothing until it has answered, and what stops answering
//!   is gone, whatever the slot says.
//! - Presence that has *changed* since the last look, with something present both times, is a replacement: the
//!   old one is announced gone before the new one is looked at.
//! - A message is sent when the first event is set, and no other while one is. So a slot counts as looked at only
//!   when no event was set any more.
//! - What is switched counts as switched at once. That is so in virtual machines; hardware would say when it is done.
//! - A new arrival is not touched while a driver of the last one still holds its addresses.

use super::super::function::find_capability;
use super::super::{ConfigRead, ConfigSpace, PciAddress, header};
use core::time::Duration;
use phyr::Phyr;

/// Offsets in the PCI Express capability, and bits of its registers.
mod express {
    pub(super) const ID: u8 = 0x10;
    /// The capability's own register, in the upper half of its first word.
    pub(super) const SLOT_IMPLEMENTED: u32 = 1 << 24;
    pub(super) const MESSAGE_SHIFT: u32 = 25;
    pub(super) const SLOT_CAPABILITIES: u16 = 0x14;
    pub(super) const HAS_POWER_CONTROLLER: u32 = 1 << 1;
    pub(super) const HAS_POWER_INDICATOR: u32 = 1 << 4;
    pub(super) const HOT_PLUG_CAPABLE: u32 = 1 << 6;
    /// Control in the lower half, status in the upper.
    pub(super) const SLOT_CONTROL: u16 = 0x18;
    /// Button, presence, link state, and the interrupt for them.
    pub(super) const INTERRUPTS: u32 = 1 << 0 | 1 << 3 | 1 << 5 | 1 << 12;
    pub(super) const INDICATOR: u32 = 0b11 << 8;
    pub(super) const INDICATOR_ON: u32 = 0b01 << 8;
    pub(super) const INDICATOR_BLINKS: u32 = 0b10 << 8;
    pub(super) const INDICATOR_OFF: u32 = 0b11 << 8;
    pub(super) const POWER_OFF: u32 = 1 << 10;
    pub(super) const BUTTON_PRESSED: u32 = 1 << 16;
    pub(super) const PRESENCE_CHANGED: u32 = 1 << 19;
    pub(super) const PRESENT: u32 = 1 << 22;
    /// A write to the control register was carried out, and so was one of the status beside it.
    pub(super) const COMMAND_COMPLETED: u32 = 1 << 20;
    /// What stays set until it is written: button, power fault, latch, presence, command completed, link.
    pub(super) const LATCHED: u32 = (0b1_1111 | 1 << 8) << 16;
}

/// A device has this long to answer after it has got power (section 6.6.1: at most a second).
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// Drivers have this long to let a device go whose button was pressed. A person waits.
const TIME_TO_LEAVE: Duration = Duration::from_secs(5);

/// The word where an identification is expected, while the device is not ready (section 2.3.2).
const NOT_READY: u16 = 0x0001;

/// A port whose device can come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The port's own address.
    pub address: PciAddress,
    /// The bus behind it.
    pub bus: u8,
    /// The last bus behind it. Only where there was a switch at boot is it another.
    pub last_bus: u8,
    /// What it forwards below 4 GiB.
    pub low: Option<Phyr>,
    /// What it forwards of prefetchable memory.
    pub high: Option<Phyr>,
    /// The number of the message that it sends when something happens.
    pub message: u16,
    /// Where its PCI Express capability is.
    pub(in crate::pci) capability: u16,
}

/// Where the capability of a port with a slot for hot plug is; `None` for any other function.
pub(in crate::pci) fn find(config: &impl ConfigRead, address: PciAddress) -> Option<u16> {
    let at = find_capability(config, address, express::ID)?;
    let has_slot = config.read(address, at) & express::SLOT_IMPLEMENTED != 0;
    let slot = config.read(address, at + express::SLOT_CAPABILITIES);
    // All ones is a port that is gone.
    (has_slot && slot & express::HOT_PLUG_CAPABLE != 0 && slot != u32::MAX).then_some(at)
}

/// The number of the message for events of the slot.
pub(in crate::pci) fn message(config: &impl ConfigRead, port: PciAddress, capability: u16) -> u16 {
    (config.read(port, capability) >> express::MESSAGE_SHIFT) as u16 & 0x1f
}

/// What a look has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until something changes or time passes.
    Nothing,
    /// To another state: look again.
    Again,
    /// Something new answers behind the port.
    Arrived,
    /// Somebody wants to take out what is there.
    Leaving,
    /// What was there is gone or without power.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    /// Something is present, and has not answered yet.
    Starting {
        until: Duration,
    },
    /// Something answers, and was announced.
    Occupied,
    /// It is wanted back; drivers may hold it until then.
    Leaving {
        until: Duration,
    },
    /// Something may be present, and has no power.
    Dark,
}

/// A port's slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) port: Port,
    state: State,
    has_power_controller: bool,
    has_indicator: bool,
}

impl Slot {
    /// The slot of a port, with its events forgotten. `occupied`: functions were found behind it.
    pub(super) fn new(config: &impl ConfigSpace, port: Port, occupied: bool) -> Self {
        let slot = config.read(port.address, port.capability + express::SLOT_CAPABILITIES);
        let state = if occupied {
            State::Occupied
        } else {
            State::Empty
        };
        let slot = Self {
            port,
            state,
            has_power_controller: slot & express::HAS_POWER_CONTROLLER != 0,
            has_indicator: slot & express::HAS_POWER_INDICATOR != 0,
        };
        let word = slot.read(config);
        slot.forget_events(config, word);
        slot
    }

    /// Lets the port raise its interrupt when something happens.
    pub(super) fn enable_interrupts(&self, config: &impl ConfigSpace) {
        let control = self.read(config) & 0xffff;
        self.write(config, control | express::INTERRUPTS);
    }

    /// Looks at the slot, and takes the next step. `driven`: somebody drives a function behind it.
    pub(super) fn look(&mut self, config: &impl ConfigSpace, now: Duration, driven: bool) -> Step {
        let word = self.read(config);
        let is_here = word != u32::MAX;
        if is_here && word & express::LATCHED != 0 {
            self.forget_events(config, word);
        }
        let present = is_here && word & express::PRESENT != 0;
        let pressed = is_here && word & express::BUTTON_PRESSED != 0;
        let replaced = is_here && word & express::PRESENCE_CHANGED != 0;
        let (state, step) = match self.state {
            State::Empty if present => {
                self.power_on(config);
                let until = now + TIME_TO_ANSWER;
                (State::Starting { until }, Step::Again)
            }
            State::Starting { .. } if !present => {
                self.power_off(config);
                (State::Empty, Step::Nothing)
            }
            State::Starting { .. } if self.answers(config) && !driven => {
                self.indicate(config, express::INDICATOR_ON);
                (State::Occupied, Step::Arrived)
            }
            State::Starting { until } if now >= until && !driven => {
                self.power_off(config);
                (State::Dark, Step::Nothing)
            }
            State::Occupied | State::Leaving { .. }
                if !present || replaced || !self.answers(config) =>
            {
                if !present {
                    self.power_off(config);
                    (State::Empty, Step::Gone)
                } else if replaced {
                    (State::Empty, Step::Gone)
                } else {
                    self.power_off(config);
                    (State::Dark, Step::Gone)
                }
            }
            State::Occupied if pressed => {
                self.indicate(config, express::INDICATOR_BLINKS);
                let until = now + TIME_TO_LEAVE;
                (State::Leaving { until }, Step::Leaving)
            }
            State::Leaving { until } if !driven || now >= until => {
                self.power_off(config);
                (State::Dark, Step::Gone)
            }
            State::Dark if !present => (State::Empty, Step::Nothing),
            // Whoever presses the button of a dark slot wants it back; what has changed is new.
            State::Dark if pressed || replaced => (State::Empty, Step::Again),
            state => (state, Step::Nothing),
        };
        self.state = state;
        let has_events = is_here && word & express::LATCHED & !express::COMMAND_COMPLETED != 0;
        if step == Step::Nothing && has_events {
            return Step::Again;
        }
        step
    }

    /// Whether the slot waits for something that raises no interrupt.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Leaving { .. })
    }

    /// Whether the first function behind the port says who it is.
    fn answers(&self, config: &impl ConfigRead) -> bool {
        let first = PciAddress::new(self.port.address.segment(), self.port.bus, 0, 0);
        !matches!(
            config.read(first, header::ID) as u16,
            0 | NOT_READY | 0xffff
        )
    }

    fn power_on(&self, config: &impl ConfigSpace) {
        self.control(config, 0, express::INDICATOR_BLINKS);
    }

    /// Both at once: then nobody may take out the device before it has lost its power.
    fn power_off(&self, config: &impl ConfigSpace) {
        self.control(config, express::POWER_OFF, express::INDICATOR_OFF);
    }

    fn indicate(&self, config: &impl ConfigSpace, indicator: u32) {
        let power = self.read(config) & express::POWER_OFF;
        self.control(config, power, indicator);
    }

    fn control(&self, config: &impl ConfigSpace, power: u32, indicator: u32) {
        let mut control = self.read(config) & 0xffff;
        if self.has_power_controller {
            control = control & !express::POWER_OFF | power;
        }
        if self.has_indicator {
            control = control & !express::INDICATOR | indicator;
        }
        self.write(config, control);
    }

    fn read(&self, config: &impl ConfigRead) -> u32 {
        config.read(
            self.port.address,
            self.port.capability + express::SLOT_CONTROL,
        )
    }

    /// Forgets the events that are set in this word, and leaves the control bits as they are in it.
    ///
    /// QEMU takes the lower half of such a word for the events, and keeps them all if an interrupt is enabled whose
    /// event is not set. So interrupts are off meanwhile. Turning them on sends a message for what has come since.
    fn forget_events(&self, config: &impl ConfigSpace, word: u32) {
        self.write(config, word & !express::INTERRUPTS);
        if word & express::INTERRUPTS != 0 {
            self.write(config, word & 0xffff);
        }
    }

    /// Writes the control bits, and forgets the events whose bits are set.
    fn write(&self, config: &impl ConfigSpace, word: u32) {
        let word = word & (0xffff | express::LATCHED);
        let at = self.port.capability + express::SLOT_CONTROL;
        config.write(self.port.address, at, word);
    }
}
