//! MSI-X tables of devices that are arrays: sound, small and hostile.

use super::*;
use crate::cores;
use crate::lock::Mutex;
use crate::pci::device::{Device, DeviceError, Owners};
use crate::pci::fake::{Fake, Machine};
use crate::pci::{Bar, header};
use alloc::rc::Rc;
use core::cell::RefCell;
use phyr::PhysAddr;

/// Where the capability lies in configuration space, and in the fake's words.
const CAPABILITY: u16 = 0x70;
const WORD: usize = CAPABILITY as usize / 4;

const ENABLED: u32 = 1 << 31;
const FUNCTION_MASKED: u32 = 1 << 30;

const BAR: u64 = 0xfe00_0000;
const BAR_BYTES: u64 = 0x4000;

/// A function with one BAR and a capability of these words.
fn device(entries: u32, table: u32, pending: u32) -> Device<Machine> {
    let mut fake = Fake::memory64(0x1b36, 0, BAR_BYTES, false);
    fake.words[1] |= header::STATUS_CAPABILITIES;
    fake.words[13] = u32::from(CAPABILITY);
    fake.words[WORD] = 0x11 | (entries - 1) << 16;
    fake.words[WORD + 1] = table;
    fake.words[WORD + 2] = pending;
    claim(fake)
}

fn claim(fake: Fake) -> Device<Machine> {
    let machine = Machine(Mutex::new(vec![(0, 0, fake)]));
    let bar = Bar {
        index: 0,
        phyr: Phyr::new(PhysAddr::new(BAR), BAR_BYTES).unwrap(),
        prefetchable: false,
    };
    let function = Function::read(&machine, PciAddress::new(0, 0, 0, 0), vec![bar]);
    Arc::new(Owners::new(machine)).claim(&function).unwrap()
}

fn control(device: &Device<Machine>) -> u32 {
    let config = device.claim().owners.config();
    config.read(PciAddress::new(0, 0, 0, 0), CAPABILITY)
}

/// Everything that was mapped, and what was written there.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Vec<(usize, u32)>>>);

impl Memory {
    fn take(&self) -> Vec<(usize, u32)> {
        self.0.take()
    }
}

impl Words for Memory {
    fn read(&self, offset: usize) -> u32 {
        // As pending bits: the fifth and the thirty-third.
        [1 << 4, 1 << 0, 0][offset / 4 % 3]
    }

    fn write(&self, offset: usize, value: u32) {
        self.0.borrow_mut().push((offset, value));
    }
}

fn start(device: &Device<Machine>, memory: &Memory) -> Result<Msix<Machine, Memory>, MsixError> {
    Msix::start(device.claim(), |_| Ok(memory.clone()))
}

#[test]
fn table_and_pending_bits_are_where_the_capability_says() {
    let device = device(65, 0x2000, 0x3000);
    let layout = Layout::read(device.claim().owners.config(), device.function()).unwrap();
    let at = |offset, len| Phyr::new(PhysAddr::new(BAR + offset), len).unwrap();
    assert_eq!(layout.table, at(0x2000, 65 * 16));
    assert_eq!(layout.pending, at(0x3000, 16));
}

#[test]
fn every_entry_is_masked_before_the_function_is_not() {
    let device = device(3, 0x2000, 0x3000);
    let memory = Memory::default();
    let msix = start(&device, &memory).unwrap();
    assert_eq!(memory.take(), [(12, 1), (28, 1), (44, 1)]);
    assert_eq!(control(&device) & (ENABLED | FUNCTION_MASKED), ENABLED);
    drop(msix);
    let off = control(&device) & (ENABLED | FUNCTION_MASKED);
    assert_eq!(off, FUNCTION_MASKED);
}

/// From when messages are on until all entries are masked, nothing is sent.
#[test]
fn the_function_is_masked_before_messages_are_on() {
    let device = device(3, 0x2000, 0x3000);
    let _msix = start(&device, &Memory::default()).unwrap();
    let nodes = device.claim().owners.config.0.lock();
    let written = nodes[0].2.written.iter();
    let written = written.filter(|(word, _)| *word == WORD);
    let written: Vec<u32> = written
        .map(|(_, control)| control & (ENABLED | FUNCTION_MASKED))
        .collect();
    let expected = [FUNCTION_MASKED, ENABLED | FUNCTION_MASKED, ENABLED];
    assert_eq!(written, expected);
    drop(nodes);
}

#[test]
fn an_entry_is_masked_while_it_changes() {
    let device = device(4, 0x2000, 0x3000);
    let memory = Memory::default();
    let msix = start(&device, &memory).unwrap();
    memory.take();
    let interrupt = Interrupt::allocate(cores::current());
    let message = interrupt.message().unwrap();
    msix.route(2, &interrupt).unwrap();
    let address = message.address().get() as u32;
    let expected = [
        (44, 1),
        (32, address),
        (36, 0),
        (40, message.data()),
        (44, 0),
    ];
    assert_eq!(memory.take(), expected);
    msix.mask(2).unwrap();
    msix.unmask(2).unwrap();
    assert_eq!(memory.take(), [(44, 1), (44, 0)]);
}

#[test]
fn a_table_with_fewer_entries_than_wanted_is_shared() {
    let device = device(3, 0x2000, 0x3000);
    let msix = start(&device, &Memory::default()).unwrap();
    let entries: Vec<u16> = (0..7).map(|wanted| msix.entry_for(wanted)).collect();
    assert_eq!(entries, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn entries_that_the_table_has_not_are_refused() {
    let device = device(3, 0x2000, 0x3000);
    let memory = Memory::default();
    let msix = start(&device, &memory).unwrap();
    memory.take();
    let interrupt = Interrupt::allocate(cores::current());
    for entry in [3, u16::MAX] {
        assert_eq!(msix.mask(entry), Err(MsixError::NoEntry(entry)));
        assert_eq!(msix.unmask(entry), Err(MsixError::NoEntry(entry)));
        assert_eq!(
            msix.route(entry, &interrupt),
            Err(MsixError::NoEntry(entry))
        );
        assert!(!msix.is_pending(entry));
    }
    assert_eq!(memory.take(), []);
}

#[test]
fn pending_bits_are_found() {
    let device = device(40, 0x2000, 0x3000);
    let msix = start(&device, &Memory::default()).unwrap();
    let pending: Vec<u16> = (0..40).filter(|entry| msix.is_pending(*entry)).collect();
    assert_eq!(pending, [4, 32]);
}

#[test]
fn a_table_that_does_not_fit_its_bar_is_refused() {
    let last = BAR_BYTES as u32 - 16;
    let outside = MsixError::Outside(0);
    for (entries, table, pending, expected) in [
        (1, last, 0, None),
        (2, last, 0, Some(outside)),
        (1, 0, BAR_BYTES as u32 - 8, None),
        (65, 0, BAR_BYTES as u32 - 8, Some(outside)),
        (1, BAR_BYTES as u32, 0, Some(outside)),
        // As large as can be said, as far up as can be said.
        (2048, 0, 0, Some(outside)),
        (2048, 0xffff_fff8, 0, Some(outside)),
        (1, 0, 0xffff_fff8, Some(outside)),
        // Other BARs, among them two that do not exist.
        (1, 2, 0, Some(MsixError::NoBar(2))),
        (1, 0, 6, Some(MsixError::NoBar(6))),
        (1, 7, 0, Some(MsixError::NoBar(7))),
    ] {
        let device = device(entries, table, pending);
        let before = control(&device);
        let memory = Memory::default();
        let started = start(&device, &memory);
        assert_eq!(
            started.as_ref().err(),
            expected.as_ref(),
            "{entries} at {table:#x}"
        );
        if expected.is_some() {
            assert_eq!((memory.take(), control(&device)), (vec![], before));
        }
    }
}

#[test]
fn a_device_without_the_capability_or_with_a_list_that_loops_has_none() {
    let absent = claim(Fake::memory64(0x1b36, 0, BAR_BYTES, false));
    let absent = start(&absent, &Memory::default()).err();
    assert_eq!(absent, Some(MsixError::Absent));
    let mut fake = Fake::memory64(0x1b36, 0, BAR_BYTES, false);
    fake.words[1] |= header::STATUS_CAPABILITIES;
    fake.words[13] = 0x40;
    fake.words[16] = 0x4005;
    let looping = start(&claim(fake), &Memory::default()).err();
    assert_eq!(looping, Some(MsixError::Absent));
}

#[test]
fn a_capability_at_the_end_of_configuration_space_reads_as_nothing() {
    let mut fake = Fake::memory64(0x1b36, 0, BAR_BYTES, false);
    fake.words[1] |= header::STATUS_CAPABILITIES;
    fake.words[13] = 0xfc;
    fake.words[63] = 0x07ff_0011;
    let started = start(&claim(fake), &Memory::default()).err();
    assert_eq!(started, Some(MsixError::NoBar(7)));
}

#[test]
fn the_messages_of_a_device_have_one_owner() {
    let device = device(3, 0x2000, 0x3000);
    let memory = Memory::default();
    let msix = start(&device, &memory).unwrap();
    assert_eq!(start(&device, &memory).err(), Some(MsixError::Taken));
    assert_ne!(control(&device) & ENABLED, 0, "and keep being on");
    let (function, owners) = (device.function().clone(), device.claim().owners.clone());
    drop(device);
    let again = owners.claim(&function);
    assert_eq!(
        again.err(),
        Some(DeviceError::Taken),
        "a part of the driver is left"
    );
    drop(msix);
    assert!(owners.claim(&function).is_ok());
}
