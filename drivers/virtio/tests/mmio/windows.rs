//! Windows of registers that are not what they should be.

use crate::model::{Device, Machine, World};
use phyr::{Phyr, PhysAddr};
use std::cell::RefCell;
use virtio::transport::mmio::{self, MmioError, Window};
use virtio::transport::{DeviceKind, FeatureError, StatusError};
use virtio::{ConfigError, Error, Failure, Platform, Registers};

/// A window of words, and what was written to it.
struct Words {
    words: RefCell<Vec<u32>>,
    writes: RefCell<Vec<(usize, u32)>>,
}

impl Words {
    fn new(words: &[(usize, u32)]) -> Self {
        let mut all = vec![0; 64];
        for (at, word) in words {
            all[at / 4] = *word;
        }
        Self {
            words: RefCell::new(all),
            writes: RefCell::default(),
        }
    }

    /// The first registers of a device.
    fn device(magic: u32, version: u32, kind: u32) -> Self {
        Self::new(&[(0, magic), (4, version), (8, kind)])
    }
}

impl Registers for Words {
    fn len(&self) -> usize {
        self.words.borrow().len() * 4
    }
    fn read8(&self, offset: usize) -> u8 {
        panic!("a byte is read at {offset:#x}")
    }
    fn read16(&self, offset: usize) -> u16 {
        panic!("two bytes are read at {offset:#x}")
    }
    fn read32(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4));
        self.words.borrow()[offset / 4]
    }
    fn write8(&self, offset: usize, _value: u8) {
        panic!("a byte is written at {offset:#x}")
    }
    fn write16(&self, offset: usize, _value: u16) {
        panic!("two bytes are written at {offset:#x}")
    }
    fn write32(&self, offset: usize, value: u32) {
        self.writes.borrow_mut().push((offset, value));
    }
}

const VIRT: u32 = 0x7472_6976;

#[test]
fn a_device_says_what_it_is_before_anything_is_written() {
    for (words, expected) in [
        ([VIRT, 2, 2], Ok(Some(DeviceKind::BLOCK))),
        ([VIRT, 2, 1], Ok(Some(DeviceKind::NET))),
        ([VIRT, 2, 4], Ok(Some(DeviceKind::ENTROPY))),
        // A place without a device is no error, not even one for legacy devices.
        ([VIRT, 2, 0], Ok(None)),
        ([VIRT, 1, 0], Ok(None)),
        ([VIRT, 1, 2], Err(MmioError::Legacy)),
        ([VIRT, 0, 2], Err(MmioError::Version(0))),
        ([VIRT, 3, 2], Err(MmioError::Version(3))),
        ([0, 2, 2], Err(MmioError::Magic(0))),
        ([u32::MAX; 3], Err(MmioError::Magic(u32::MAX))),
        (
            [VIRT.swap_bytes(), 2, 2],
            Err(MmioError::Magic(0x7669_7274)),
        ),
        // Its lower bits are those of a disk.
        ([VIRT, 2, 0x1_0002], Ok(Some(DeviceKind(u16::MAX)))),
    ] {
        let window = Words::device(words[0], words[1], words[2]);
        assert_eq!(mmio::identify(&window), expected, "{words:x?}");
        assert!(window.writes.borrow().is_empty());
    }
    let legacy = MmioError::Legacy.to_string();
    assert!(legacy.contains("force-legacy=off"), "it says what to do");
}

#[test]
fn a_window_is_large_enough_or_none() {
    let window = |start, len| Window::new(Phyr::new(PhysAddr::new(start), len).expect("a range"));
    let good = window(0xfeb0_0e00, 512).expect("QEMU has such ones");
    let part = |start, len| Phyr::new(PhysAddr::new(start), len).expect("a range");
    assert_eq!(good.common(), part(0xfeb0_0e00, 256));
    assert_eq!(good.config(), part(0xfeb0_0f00, 256));
    assert_eq!(good.notify().block(), part(0xfeb0_0e50, 4));
    assert_eq!(good.wire(), part(0xfeb0_0e60, 8));
    for (start, len) in [
        (0xfeb0_0e00, 256),
        (0xfeb0_0e04, 512),
        (0xfeb0_0e00, 1),
        (0, 1 << 21),
    ] {
        assert!(matches!(window(start, len), Err(MmioError::Window(_))));
    }
}

#[test]
fn what_is_acknowledged_is_what_was_seen() {
    for (status, written) in [(0, vec![]), (1, vec![(4, 1)]), (3, vec![(4, 3)])] {
        let wire = Words::new(&[(0, status)]);
        assert_eq!(mmio::acknowledge(&wire), status);
        assert_eq!(*wire.writes.borrow(), written);
    }
}

#[test]
fn a_device_is_stopped_when_it_says_so() {
    let stopped = Words::new(&[]);
    assert!(mmio::stop(&stopped));
    assert_eq!(*stopped.writes.borrow(), [(0x70, 0)]);
    // More bits than a status has are no status, though the lower ones are zeros.
    for status in [1, 0xf, u32::MAX, 0x100] {
        assert!(!mmio::stop(&Words::new(&[(0x70, status)])));
    }
}

fn failure(change: impl FnOnce(&mut Device)) -> (Machine, Failure) {
    let machine = Machine::new(|ram| {
        let mut device = Device::new(ram, 1000);
        change(&mut device);
        device
    });
    let failure = match crate::model::world::bring_up(&machine, |_| {}) {
        Err(Error::Failed(failure)) => failure,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is refused"),
    };
    (machine, failure)
}

#[test]
fn a_configuration_that_never_settles_is_refused() {
    let (machine, failure) = failure(|device| device.is_unsteady = true);
    assert_eq!(failure, Failure::Config(ConfigError::Unsteady));
    assert_eq!(machine.device.borrow().status, 0, "it is left reset");
}

#[test]
fn features_are_those_that_were_read_back() {
    let (_, failure) = failure(|device| device.refuses_features = true);
    let refused = FeatureError::Status(StatusError::NotReached);
    assert_eq!(failure, Failure::Features(refused));
}

#[test]
fn a_queue_of_no_entries_is_none() {
    let machine = Machine::new(|ram| {
        let mut device = Device::new(ram, 1000);
        device.queues[0] = crate::model::queue(0);
        device
    });
    let disk = crate::model::world::bring_up(&machine, |_| {}).expect("it has features");
    assert_eq!(disk.queues(), 0);
    let queue = disk.queue::<crate::model::Data>(None);
    assert!(matches!(queue, Err(Error::NoQueue)));
}

#[test]
fn a_queue_that_is_ready_before_it_was_told_of_is_a_lie() {
    let machine = Machine::new(|ram| Device::new(ram, 1000));
    let disk = crate::model::world::bring_up(&machine, |_| {}).expect("a good device");
    let queue = disk.queue::<crate::model::Data>(Some(1)).expect("a queue");
    machine.device.borrow_mut().queues[0].is_enabled = true;
    let started = crate::model::world::run_alone(&machine, disk.start());
    let lie = Failure::QueueReady { queue: 0 };
    assert_eq!(started, Err(Error::Failed(lie)));
    assert!(machine.stop_dma());
    drop(queue);
}

#[test]
fn a_wire_is_enough_to_be_told() {
    let mut world = World::new(|ram| Device::new(ram, 1000));
    world.sleeps = true;
    world.check_read(3, &[512]);
    world.check_read(900, &[4096, 512]);
    world.end();
}
