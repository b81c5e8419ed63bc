//! Pins for reading and pins for writing.

use super::{PAGE, part};
use crate::block::blocking::wait;
use crate::block::{Durability, Operation, Request};
use crate::dma::{Buffer, Owner};
use crate::memory::address_space::{AddressSpace, PinError, SpaceError};
use crate::memory::frames::Frames;
use crate::memory::paging::Rights;
use crate::memory::pins::Access;
use crate::vm_tests::{apart, disk};
use alloc::boxed::Box;
use vm_test::{host, pattern, seed, vm_test};

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn c4_read_and_write_pins_differ() {
    let device = disk();
    let space = AddressSpace::new().unwrap();
    let mut frames = Frames::allocate(4 * PAGE).unwrap();
    pattern::fill(!seed(), 0, frames.bytes_mut());
    let mapped = space.map(frames, Rights::ReadOnly).unwrap();
    // What may not be written is not pinned to be written, and may be pinned to be read.
    for rights in [Rights::ReadOnly, Rights::ReadExecute] {
        space.protect(mapped, rights).unwrap();
        let write = space.pin(mapped, Access::Write).unwrap_err();
        assert_eq!(write, PinError::ReadOnly(mapped));
        assert_eq!(space.usage().pins, 0);
        let mut read = space.pin(mapped, Access::Read).unwrap();
        assert!(read.copy_from(0, &[1]).is_err());
    }
    // A device reads what is pinned to be read, while the program may not write it.
    space.protect(mapped, Rights::ReadOnly).unwrap();
    let read = space.pin(mapped, Access::Read).unwrap();
    let write = Operation::Write(
        Buffer::to_device(Box::new(read).into_memory()),
        Durability::Flushed,
    );
    let done = wait(device.execute(Request {
        block: 64,
        operation: write,
    }));
    done.result.unwrap();
    wait(device.flush()).unwrap();
    host::assert_disk_pattern(0, 64 * 512, 4 * PAGE, !seed(), 0);
    drop(done.memory);
    // A pin to read is content with fewer rights. One to write is not.
    space.protect(mapped, Rights::ReadWrite).unwrap();
    let read = space.pin(mapped, Access::Read).unwrap();
    let written = part(mapped, PAGE + 100, 200);
    let write = space.pin(written, Access::Write).unwrap();
    assert_eq!(
        space.protect(part(mapped, 0, PAGE), Rights::ReadOnly),
        Ok(())
    );
    let refused = space.protect(part(mapped, PAGE, PAGE), Rights::ReadOnly);
    assert_eq!(refused, Err(SpaceError::Pinned(written)));
    // A range of which one page may not be written.
    let refused = space.pin(mapped, Access::Write).unwrap_err();
    assert_eq!(refused, PinError::ReadOnly(part(mapped, 0, PAGE)));
    drop(write);
    assert_eq!(space.protect(mapped, Rights::ReadOnly), Ok(()));
    drop(read);
    space.unmap(mapped).unwrap();
}

#[vm_test(should_panic = "lent to be read")]
fn c4_a_pin_to_read_is_no_target() {
    let space = AddressSpace::new().unwrap();
    let mapped = space.map(apart(2), Rights::ReadWrite).unwrap();
    let read = space.pin(mapped, Access::Read).unwrap();
    let _ = Buffer::from_device(Box::new(read).into_memory());
}
