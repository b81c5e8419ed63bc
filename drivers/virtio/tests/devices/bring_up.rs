//! From a device in whatever state to one that takes requests, or is refused.

use crate::model::world::bring_up;
use crate::model::{Device, Machine, World, bits, queue};
use virtio::transport::{FeatureError, StatusError, Transport};
use virtio::{ConfigError, Error, Failure, Platform, Waiting};

fn failure(machine: &Machine) -> Failure {
    match bring_up(machine, |_| {}) {
        Err(Error::Failed(failure)) => failure,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is refused"),
    }
}

fn device(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::new(ram, 1000);
        change(&mut device);
        device
    })
}

#[test]
fn the_steps_are_those_of_the_specification() {
    let world = World::new(|ram| {
        let mut device = Device::new(ram, 1000);
        // Firmware has left it running.
        (device.status, device.can_dma) = (0xf, true);
        device
    });
    assert_eq!(world.device().steps, [0, 1, 3, 11, 15]);
    assert_eq!(world.disk.properties().blocks, 1000);
    world.check_read(3, &[512]);
    world.end();
}

#[test]
fn a_reset_is_waited_for() {
    // The model objects to whoever goes on before.
    let world = World::new(|ram| {
        let mut device = Device::new(ram, 1000);
        device.status = 0xf;
        device.slow_reset = 20;
        device
    });
    assert!(world.machine.clock.get() > 0);
    world.check_read(3, &[512]);
    world.device().slow_reset = 0;
    world.end();
}

#[test]
fn a_device_that_does_not_confirm_a_reset_is_refused() {
    let machine = device(|device| (device.status, device.slow_reset) = (1, u32::MAX >> 12));
    assert_eq!(failure(&machine), Failure::Timeout(Waiting::Reset));
    assert!(!machine.device.borrow().can_dma);
}

#[test]
fn only_what_is_implemented_is_accepted() {
    let world = World::new(|ram| {
        let mut device = Device::new(ram, 1000);
        device.offered = !(bits::SIZE_MAX | bits::RO);
        device
    });
    let accepted = world.device().accepted;
    assert_eq!(accepted & bits::IN_ORDER, 0);
    let implemented = bits::VERSION_1
        | bits::EVENT_IDX
        | bits::INDIRECT
        | bits::RING_PACKED
        | bits::SEG_MAX
        | bits::BLK_SIZE
        | bits::FLUSH
        | bits::DISCARD
        | bits::WRITE_ZEROES
        | bits::CONFIG_WCE
        | bits::MQ
        | 1 << 10 // TOPOLOGY
        | 1 << 33; // ACCESS_PLATFORM
    assert_eq!(accepted, implemented);
    world.check_read(0, &[4096]);
    world.end();
}

#[test]
fn the_device_has_the_last_word_on_features() {
    let machine = device(|device| device.refuses_features = true);
    let refused = FeatureError::Status(StatusError::NotReached);
    assert_eq!(failure(&machine), Failure::Features(refused));
    assert_eq!(machine.device.borrow().status, 0, "it is left reset");
}

#[test]
fn a_legacy_device_is_refused() {
    let machine = device(|device| device.offered &= !bits::VERSION_1);
    assert!(matches!(
        failure(&machine),
        Failure::Features(FeatureError::Missing(_))
    ));
}

#[test]
fn a_device_that_goes_past_the_iommu_is_given_no_bus_addresses() {
    let past = |device: &mut Device| device.offered &= !(1 << 33);
    let machine = device(past);
    machine.has_iommu.set(true);
    let missing = FeatureError::Missing(virtio_spec::F::ACCESS_PLATFORM);
    assert_eq!(failure(&machine), Failure::Features(missing));
    assert_eq!(machine.device.borrow().status, 0, "it is left reset");
    // Asked on PCI only: nobody knows of an IOMMU before other devices.
    let asks = || virtio::transport::uses_bus_addresses(machine.common());
    assert!(crate::TRANSPORT == Transport::Mmio || !asks());
    // Where there is none, it is a device like any other.
    machine.has_iommu.set(false);
    assert!(bring_up(&machine, |_| {}).is_ok());
    let machine = device(|device| device.offered |= 1 << 33);
    machine.has_iommu.set(true);
    assert!(bring_up(&machine, |_| {}).is_ok());
    let asks = || virtio::transport::uses_bus_addresses(machine.common());
    assert!(crate::TRANSPORT == Transport::Mmio || asks());
}

#[test]
fn a_device_that_is_not_there_is_gone_whatever_it_reads_as() {
    for nothing in [0, 0xff] {
        let machine = device(|device| (device.is_present, device.nothing) = (false, nothing));
        assert_eq!(failure(&machine), Failure::Gone, "{nothing:#x}");
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (size, error) in [
        (0, ConfigError::BlockSize(0)),
        (256, ConfigError::BlockSize(256)),
        (513, ConfigError::BlockSize(513)),
        (1 << 17, ConfigError::BlockSize(1 << 17)),
    ] {
        let machine = device(|device| device.set32(20, size));
        assert_eq!(failure(&machine), Failure::Config(error));
    }
    let machine = device(|device| {
        device.offered |= bits::SIZE_MAX;
        device.set32(8, 511);
    });
    let error = ConfigError::SegmentSize(511);
    assert_eq!(failure(&machine), Failure::Config(error));
    let machine = device(|device| device.config.truncate(40));
    let error = ConfigError::Short { len: 40 };
    assert_eq!(failure(&machine), Failure::Config(error));
    let machine = device(|device| device.is_unsteady = true);
    assert_eq!(failure(&machine), Failure::Config(ConfigError::Unsteady));
}

#[test]
fn fields_without_a_feature_need_not_be_there() {
    let world = World::new(|ram| {
        let mut device = Device::new(ram, 1000);
        device.offered = bits::VERSION_1;
        device.config.truncate(8);
        device
    });
    let properties = world.disk.properties();
    assert_eq!((properties.block_size, properties.blocks), (512, 1000));
    assert!(!properties.has_cache && properties.discard.is_none());
    // Without SEG_MAX one piece is all that is certain.
    world.check_read(1, &[512, 512, 1024]);
    world.end();
}

#[test]
fn queues_are_as_many_and_as_large_as_the_device_says() {
    for (most, depth) in [(64, 21), (100, 21), (4, 1), (5, 1), (1024, 85)] {
        let world = World::new(|ram| {
            let mut device = Device::new(ram, 1000);
            // Not a power of two: the driver takes the next lower one.
            device.queues[0].most = most;
            device
        });
        assert_eq!(world.queue.0.borrow().depth(), depth, "{most}");
        world.check_read(1, &[512]);
        world.end();
    }
    let machine = device(|device| device.queues[0].most = 2);
    let disk = bring_up(&machine, |_| {}).expect("good so far");
    let queue = disk.queue::<crate::model::Data>(None);
    let failure = Failure::QueueSize { queue: 0, size: 2 };
    assert_eq!(queue.err(), Some(Error::Failed(failure)));
    // The device's own number of queues counts, whatever its configuration says.
    let machine = device(|device| {
        device.offered |= bits::MQ;
        device.config[34] = 9;
    });
    let disk = bring_up(&machine, |_| {}).expect("good");
    assert_eq!(disk.queues(), 1);
    assert!(disk.queue::<crate::model::Data>(None).is_ok());
    let none = disk.queue::<crate::model::Data>(None);
    assert_eq!(none.err(), Some(Error::NoQueue));
}

/// The number of queues has 16 bits.
#[test]
fn more_than_255_queues_are_counted() {
    for count in [255, 256, 300_u16] {
        let machine = device(|device| {
            device.offered |= bits::MQ;
            device.config[34..36].copy_from_slice(&count.to_le_bytes());
            device.queues = (0..count).map(|_| queue(64)).collect();
        });
        let disk = bring_up(&machine, |_| {}).expect("good");
        // Where they must be tried one by one, more than that are not counted.
        let counted = match crate::TRANSPORT {
            Transport::Pci => count,
            Transport::Mmio => count.min(256),
        };
        assert_eq!(disk.queues(), counted);
    }
}

#[test]
fn a_vector_that_is_refused_is_known() {
    if crate::TRANSPORT == Transport::Mmio {
        return; // there are none
    }
    for refuses in [false, true] {
        let world = World::new(|ram| {
            let mut device = Device::new(ram, 1000);
            device.refuses_vectors = refuses;
            device
        });
        let turn = world.queue.0.borrow_mut().turn();
        assert_eq!(turn.interrupts, !refuses);
        world.end();
    }
}

#[test]
fn a_queue_that_was_never_started_just_goes() {
    let machine = device(|_| {});
    let disk = bring_up(&machine, |_| {}).expect("good");
    let queue = disk.queue::<crate::model::Data>(None).expect("a queue");
    drop(queue);
    drop(disk);
    assert_eq!(machine.ram.live(), 0);
    assert_eq!(machine.device.borrow().status, 0);
}
