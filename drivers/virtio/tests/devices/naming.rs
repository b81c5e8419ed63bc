//! What a disk is called, by a disk that may call itself anything, or nothing.

use crate::model::{Data, Mischief, Reader};
use crate::transfers::world;
use virtio::blk::{Operation, Serial};
use virtio::{Access, DeviceError, Error, RequestError};

#[test]
fn a_disk_says_what_it_is_called() {
    for reader in Reader::ALL {
        let world = world(|device| device.reader = reader);
        let ask = |pieces: &[u64]| {
            let data = Data::new(&world.machine.ram, pieces, Access::FromDevice);
            world.run(world.execute(Operation::identify(), Some(data)))
        };
        for name in [*b"a name that fills it", *b"short\0 and not more.", [0; 20]] {
            world.device().serial = Some(name);
            let done = ask(&[20]);
            assert_eq!(done.result, Ok(()));
            let bytes = done.data.expect("it comes back").bytes();
            assert_eq!(bytes, name, "each byte as it is");
            let bytes: [u8; Serial::BYTES] = bytes.try_into().expect("that many");
            let expected = match name[0] {
                b'a' => Some("a name that fills it"),
                b's' => Some("short"),
                _ => None,
            };
            assert_eq!(Serial::new(bytes).as_ref().map(Serial::as_str), expected);
        }
        // Reads go on as before.
        world.check_read(3, &[512; 5]);
        // What is no room for a name is not sent.
        for pieces in [&[19][..], &[21], &[512]] {
            let length = Err(Error::Request(RequestError::Length));
            assert_eq!(ask(pieces).result, length);
        }
        let pieces = RequestError::Pieces { offset: 0 };
        assert_eq!(ask(&[10, 10]).result, Err(Error::Request(pieces)));
        world.end();
    }
}

#[test]
fn a_disk_that_does_not_say_what_it_is_called_costs_an_error() {
    let world = world(|_| {});
    let ask = || {
        let data = Data::new(&world.machine.ram, &[20], Access::FromDevice);
        let done = world.run(world.execute(Operation::identify(), Some(data)));
        assert!(done.data.is_some());
        done.result
    };
    let failed = |error| Err(Error::Device(error));
    assert_eq!(ask(), failed(DeviceError::Unsupported));
    world.device().serial = Some([b'x'; 20]);
    world.device().mischief = Some((Mischief::Status(1), 1));
    assert_eq!(ask(), failed(DeviceError::Io));
    // All of it, or nothing.
    world.device().mischief = Some((Mischief::Shorter, 1));
    assert!(matches!(
        ask(),
        Err(Error::Device(DeviceError::Short { .. }))
    ));
    // One that has written more than there is room for is reset, and then it answers.
    world.device().mischief = Some((Mischief::Longer(1), 1));
    assert_eq!(ask(), Ok(()));
    assert_eq!(world.disk.resets(), 1);
    world.check_read(3, &[512; 5]);
    world.end();
}
