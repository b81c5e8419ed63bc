//! The driver against an APIC that is an array, in both modes.

use super::*;
use core::cell::{Cell, RefCell};

/// An APIC that writes down what happens to it, and whose commands take a while.
struct Fake {
    mode: Mode,
    id: u32,
    /// Reads of the command register until the last command is on its way.
    slowness: u32,
    busy: Cell<u32>,
    writes: RefCell<Vec<(Register, u64)>>,
}

impl Fake {
    fn new(mode: Mode, id: u32, slowness: u32) -> LocalApic<Self> {
        LocalApic::new(Self {
            mode,
            id,
            slowness,
            busy: Cell::new(0),
            writes: RefCell::default(),
        })
    }
}

impl LocalApic<Fake> {
    fn take_writes(&self) -> Vec<(Register, u64)> {
        self.bus.writes.take()
    }
}

impl Bus for Fake {
    fn mode(&self) -> Mode {
        self.mode
    }

    fn read(&self, register: Register) -> u32 {
        match register {
            Register::Id if self.mode == Mode::Xapic => self.id << 24,
            Register::Id => self.id,
            Register::Command => {
                assert_eq!(self.mode, Mode::Xapic, "x2APIC has no delivery status");
                let busy = self.busy.get();
                self.busy.set(busy.saturating_sub(1));
                if busy > 0 { COMMAND_PENDING } else { 0 }
            }
            _ => 0,
        }
    }

    fn write(&self, register: Register, value: u32) {
        if self.mode == Mode::X2apic {
            let is_command = matches!(register, Register::Command | Register::CommandHigh);
            assert!(!is_command, "there is one register of 64 bits");
        }
        if register == Register::Command {
            assert_eq!(self.busy.get(), 0, "a command was lost");
            self.busy.set(self.slowness);
        }
        self.writes.borrow_mut().push((register, u64::from(value)));
    }

    fn write_wide(&self, register: Register, value: u64) {
        assert_eq!((self.mode, register), (Mode::X2apic, Register::Command));
        self.writes.borrow_mut().push((register, value));
    }
}

#[test]
fn enabling_turns_the_apic_on_before_it_fills_the_local_vectors() {
    for mode in [Mode::Xapic, Mode::X2apic] {
        let apic = Fake::new(mode, 0, 0);
        apic.enable();
        let writes = apic.take_writes();
        assert_eq!(writes[0], (Register::Spurious, 0x1ff));
        for expected in [
            (Register::TaskPriority, 0),
            (Register::Pin0Vector, 1 << 16),
            (Register::Pin1Vector, 0x400),
            (Register::ErrorVector, 0xfc),
            (Register::TimerVector, 0xfb),
            (Register::DivideConfiguration, 0b0011),
            (Register::ErrorStatus, 0),
        ] {
            assert!(writes.contains(&expected), "{expected:?} in {writes:x?}");
        }
    }
}

#[test]
fn the_upper_half_is_written_before_the_lower_one_sends() {
    let apic = Fake::new(Mode::Xapic, 0, 3);
    apic.send_fixed(7, 0xfe).unwrap();
    let sent = [
        (Register::CommandHigh, 7 << 24),
        (Register::Command, 0x40fe),
    ];
    assert_eq!(apic.take_writes(), sent);
    // The fake refuses a second command while it has the first.
    apic.send_nmi(2).unwrap();
    assert_eq!(apic.bus.busy.get(), 3, "nobody waits for an NMI");
    apic.send_init(3).unwrap();
    assert_eq!(apic.bus.busy.get(), 0, "an INIT has been sent on return");
    apic.send_startup(3, 8).unwrap();
    assert_eq!(apic.bus.busy.get(), 0);
    assert_eq!(
        apic.take_writes().last(),
        Some(&(Register::Command, 0x4608))
    );
}

#[test]
fn x2apic_sends_with_one_write_and_reaches_every_identifier() {
    let apic = Fake::new(Mode::X2apic, 70_000, 0);
    assert_eq!(apic.id(), 70_000);
    apic.send_fixed(70_001, 0x31).unwrap();
    apic.send_init(300).unwrap();
    apic.send_startup(300, 9).unwrap();
    let sent = [
        70_001 << 32 | 0x4031,
        300 << 32 | 0x4500,
        300 << 32 | 0x4609,
    ];
    assert_eq!(
        apic.take_writes(),
        sent.map(|word| (Register::Command, word))
    );
}

#[test]
fn xapic_says_which_core_it_cannot_reach() {
    let apic = Fake::new(Mode::Xapic, 5, 0);
    assert_eq!(apic.id(), 5);
    assert_eq!(apic.send_fixed(256, 0x31), Err(IpiError::Unreachable(256)));
    assert_eq!(apic.take_writes(), []);
}

#[test]
fn an_apic_that_never_sends_is_an_error_and_no_hang() {
    let apic = Fake::new(Mode::Xapic, 0, u32::MAX);
    apic.send_fixed(1, 0x31).unwrap();
    assert_eq!(apic.send_fixed(1, 0x31), Err(IpiError::Stuck));
    apic.bus.busy.set(0);
    assert_eq!(apic.send_init(1), Err(IpiError::Stuck));
}
