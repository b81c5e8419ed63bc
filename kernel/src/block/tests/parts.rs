//! Partitions.

use super::*;

#[test]
fn a_partition_has_a_name_and_passes_flushes_on() {
    let ram = Arc::new(disk(200));
    let extent = Extent {
        number: 2,
        first: 100,
        blocks: 50,
    };
    let partition = Partition::new(ram.clone(), extent);
    assert_eq!(partition.name(), "ram0p2");
    assert_eq!(partition.geometry().blocks, 50);
    let device: &dyn BlockDevice = &partition;
    // A flush has no place, so none is out of range.
    let flush = Request {
        block: 77,
        operation: Operation::Flush,
    };
    assert!(wait(device.execute(flush)).result.is_ok());
    assert_eq!(ram.counts().flushes, 1);
    assert!(wait(device.write_durable(0, vec![0; SIZE])).is_ok());
    assert_eq!(ram.counts().durable, 1);
}

#[test]
fn a_request_that_has_no_room_keeps_its_place_in_a_partition() {
    let limits = Limits {
        depth: 1,
        ..Limits::NONE
    };
    let ram = Arc::new(disk(16).with_limits(limits));
    let extent = Extent {
        number: 1,
        first: 4,
        blocks: 4,
    };
    let partition = Partition::new(ram.clone(), extent);
    let device: &dyn BlockDevice = &partition;
    ram.hold();
    let bell = Arc::new(Bell::default());
    let mut first = Box::pin(device.read(0, vec![0; SIZE]));
    let mut second = Box::pin(device.read(1, vec![0; SIZE]));
    assert!(poll(first.as_mut(), &bell).is_pending());
    for _ in 0..3 {
        assert!(poll(second.as_mut(), &bell).is_pending());
    }
    ram.complete(0);
    assert!(poll(first.as_mut(), &bell).is_ready());
    assert!(poll(second.as_mut(), &bell).is_pending());
    ram.complete(0);
    let Poll::Ready(Ok(bytes)) = poll(second.as_mut(), &bell) else {
        panic!("it has been completed");
    };
    assert_eq!(bytes, content(5..6));
}
