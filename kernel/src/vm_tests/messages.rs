//! Interrupts from devices: MSI-X of a controller, and the UART's line.
//!
//! An NVMe controller interrupts when it completes a command, even one that it does not know. So a
//! test needs no more of a driver than a queue and a doorbell.

use super::crew;
use super::interrupts::{is_raised, wait_for};
use super::shared;
use crate::cores::CoreId;
use crate::dma::DmaMemory;
use crate::drivers::nvme;
use crate::interrupts::{Interrupt, LegacyError, counters, drain, legacy};
use crate::machine::machine;
use crate::mmio::RegisterWindow;
use crate::pci::device::Device;
use crate::pci::ecam::Ecam;
use crate::pci::msix::{Msix, MsixError};
use core::sync::atomic::{AtomicUsize, Ordering};
use vm_test::vm_test;
use x86_64::instructions::port::Port;

/// A controller of which only the admin queues work.
struct Controller {
    // Dropped before what it reaches.
    device: Device<Ecam>,
    registers: RegisterWindow,
    submissions: DmaMemory,
    completions: DmaMemory,
    sent: u32,
}

impl Controller {
    const ENTRIES: u32 = 16;

    /// NVM Express base specification 2.0, section 3.5.1. Messages are on before the controller is:
    /// QEMU decides whether a queue interrupts when the queue is made.
    fn start() -> (Self, Msix<Ecam>) {
        let mut functions = machine().functions().into_iter();
        let function = functions.find(nvme::is_controller).unwrap();
        let device = machine().owners.as_ref().unwrap().claim(&function).unwrap();
        let messages = device.messages().unwrap();
        let registers = device.registers(0).unwrap();
        let domain = device.domain().unwrap();
        let submissions = shared(&domain);
        let completions = shared(&domain);
        registers.write32(0x14, 0);
        while registers.read32(0x1c) & 1 != 0 {}
        registers.write32(0x24, (Self::ENTRIES - 1) << 16 | (Self::ENTRIES - 1));
        registers.write64(0x28, submissions.bus().addr().get());
        registers.write64(0x30, completions.bus().addr().get());
        // SAFETY: the controller is told of the two queues only, and commands without data follow.
        unsafe { device.enable_bus_master() };
        registers.write32(0x14, 4 << 20 | 6 << 16 | 1);
        while registers.read32(0x1c) & 1 == 0 {}
        let controller = Self {
            device,
            registers,
            submissions,
            completions,
            sent: 0,
        };
        (controller, messages)
    }

    /// Gives it a command that it does not know, and waits for the completion.
    fn complete_one(&mut self) {
        const UNKNOWN: u64 = 0x7f;
        let slot = self.sent % Self::ENTRIES;
        self.submissions.store64(slot as usize * 64, UNKNOWN);
        let phase = u64::from((self.sent / Self::ENTRIES).is_multiple_of(2));
        self.sent += 1;
        let next = self.sent % Self::ENTRIES;
        self.registers.write32(0x1000, next);
        while self.completions.load64(slot as usize * 16 + 8) >> 48 & 1 != phase {}
        self.registers.write32(0x1004, next);
    }
}

#[vm_test(machine = "nvme")]
fn a_controllers_message_raises_the_interrupt_it_was_routed_to() {
    let (mut controller, messages) = Controller::start();
    assert!(messages.len() > 1);
    let [one, other] = [(); 2].map(|()| Interrupt::allocate(CoreId::BOOT));
    messages.route(0, &one).unwrap();
    for _ in 0..40 {
        controller.complete_one();
        wait_for(&one);
        assert!(!other.take_raised());
    }
    messages.route(0, &other).unwrap();
    controller.complete_one();
    wait_for(&other);
    assert!(!one.take_raised());
    assert_eq!(counters().stray, 0);
}

#[vm_test(machine = "nvme")]
fn a_masked_message_waits_until_it_is_unmasked() {
    let (mut controller, mut messages) = Controller::start();
    let interrupt = Interrupt::allocate(CoreId::BOOT);
    messages.route(0, &interrupt).unwrap();
    for by_function in [false, true] {
        if by_function {
            messages.set_function_mask(true);
        } else {
            messages.mask(0).unwrap();
        }
        assert!(!messages.is_pending(0));
        controller.complete_one();
        while !messages.is_pending(0) {}
        assert!(!is_raised(interrupt.vector()));
        if by_function {
            messages.set_function_mask(false);
        } else {
            messages.unmask(0).unwrap();
        }
        wait_for(&interrupt);
        assert!(!messages.is_pending(0));
    }
}

#[vm_test(machine = "nvme")]
fn a_controller_sends_nothing_before_and_after_its_messages() {
    let (mut controller, messages) = Controller::start();
    let interrupt = Interrupt::allocate(CoreId::BOOT);
    assert_eq!(controller.device.messages().err(), Some(MsixError::Taken));
    // Every entry is masked at first.
    controller.complete_one();
    while !messages.is_pending(0) {}
    assert!(!drain());
    messages.route(0, &interrupt).unwrap();
    wait_for(&interrupt);
    drop(messages);
    for _ in 0..4 {
        controller.complete_one();
    }
    assert!(!drain());
}

#[vm_test(machine = "nvme,smp=4", timeout = 60)]
fn a_message_finds_the_core_it_was_routed_to() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let (mut controller, messages) = Controller::start();
    let others = crew::others();
    assert_eq!(others.len(), 3);
    for (number, core) in others.into_iter().enumerate() {
        let mine = Interrupt::allocate(CoreId::BOOT);
        let interrupt = Interrupt::allocate(core);
        messages.route(0, &interrupt).unwrap();
        crew::send(core, move || {
            wait_for(&interrupt);
            SEEN.fetch_add(1, Ordering::SeqCst);
        });
        controller.complete_one();
        crew::wait_until(|| SEEN.load(Ordering::SeqCst) > number);
        drain();
        assert!(!mine.take_raised());
    }
    assert_eq!(counters().stray, 0);
}

/// COM1, and what these tests need of it: data, interrupt enable, modem control, line status.
const COM1: u16 = 0x3f8;
const IRQ: u8 = 4;

fn read(register: u16) -> u8 {
    // SAFETY: reading the UART's registers loses input at most, and this test has none.
    unsafe { Port::new(COM1 + register).read() }
}

fn write(register: u16, value: u8) {
    // SAFETY: the test prints nothing while the UART is not as the console left it.
    unsafe { Port::new(COM1 + register).write(value) }
}

#[vm_test]
fn the_uart_interrupts_through_the_io_apic() {
    check_uart();
}

#[vm_test(machine = "firmware=qboot")]
fn the_uart_interrupts_where_firmware_prepared_no_controller() {
    check_uart();
}

fn check_uart() {
    const LOOPBACK: u8 = 1 << 4;
    const READY: u8 = 1;
    let before = [read(1), read(4)];
    let interrupt = legacy(IRQ).unwrap();
    assert_eq!(interrupt.core(), CoreId::BOOT);
    assert_eq!(legacy(IRQ).err(), Some(LegacyError::Taken));
    write(1, 1);
    write(4, before[1] | LOOPBACK);
    let mut echoed = [0; 8];
    for (index, byte) in echoed.iter_mut().enumerate() {
        write(0, b'a' + index as u8);
        wait_for(&interrupt);
        while read(5) & READY == 0 {}
        *byte = read(0);
    }
    // Given back, the line is masked.
    drop(interrupt);
    write(0, b'z');
    while read(5) & READY == 0 || read(2) & 1 != 0 {}
    let quiet = !drain();
    let last = read(0);
    write(1, before[0]);
    write(4, before[1]);
    assert_eq!(&echoed, b"abcdefgh");
    assert_eq!(last, b'z');
    assert!(quiet);
    assert!(legacy(IRQ).is_ok(), "free again");
}

#[vm_test]
fn lines_that_cannot_be_waited_for_are_refused() {
    // As all firmware has it: the interrupt of ACPI, for as long as it asks.
    assert_eq!(legacy(9).err(), Some(LegacyError::Level));
    assert_eq!(legacy(200).err(), Some(LegacyError::NoInput));
}
