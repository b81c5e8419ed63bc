//! Namespaces that come, go and change while the system runs, and what a controller says of itself.

use super::{disk, disk_number};
use crate::block::blocking::wait;
use crate::block::{BlockError, Space};
use crate::drivers::nvme::hub::Controller;
use crate::memory::frames::Frames;
use crate::storage;
use embassy_futures::yield_now;
use nvme::admin::{Attachment, Format};
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: u64 = 4096;

pub(super) fn controller() -> Controller {
    storage::controllers()[0]
        .controller()
        .expect("nobody takes it")
}

/// Lets the core's tasks run until there are so many disks.
fn until_disks(count: usize) {
    wait(async {
        while storage::volumes_known().len() != count {
            yield_now().await;
        }
    });
}

fn frames() -> Frames {
    Frames::zeroed(PAGE).expect("there is memory")
}

#[vm_test(machine = "detached,size=16M", timeout = 60)]
fn an_attached_namespace_appears_and_a_detached_one_goes() {
    assert_eq!(storage::volumes().len(), 1);
    let controller = controller();
    wait(controller.attach(2, Attachment::Attach, &[])).unwrap();
    until_disks(2);
    let second = disk_number(1);
    assert_eq!(second.name(), "nvme0n2");
    let read = wait(second.read(8, frames())).unwrap();
    let seed_of_second = seed().wrapping_add(1);
    let wrong = pattern::first_difference(seed_of_second, PAGE, read.bytes());
    assert_eq!(wrong, None);

    wait(controller.attach(2, Attachment::Detach, &[])).unwrap();
    until_disks(1);
    let gone = wait(second.read(8, frames())).map_err(|failed| failed.error);
    assert_eq!(gone.err(), Some(BlockError::Removed));
    assert!(wait(disk().read(8, frames())).is_ok(), "the other stays");
    // And it may come again.
    wait(controller.attach(2, Attachment::Attach, &[])).unwrap();
    until_disks(2);
    assert!(wait(disk_number(1).read(8, frames())).is_ok());
    let still = wait(second.read(8, frames())).map_err(|failed| failed.error);
    assert_eq!(
        still.err(),
        Some(BlockError::Removed),
        "not by the old handle"
    );
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn a_formatted_namespace_has_new_blocks_under_a_new_handle() {
    let old = disk();
    assert_eq!(old.geometry().block_size, 512);
    let controller = controller();
    // QEMU's formats 4 to 7 have blocks of 4096 bytes, the first of them without metadata.
    wait(controller.format(1, Format::new(4))).unwrap();
    wait(async {
        while storage::volumes_known()
            .first()
            .is_none_or(|volume| volume.device.geometry().block_size != 4096)
        {
            yield_now().await;
        }
    });
    let new = disk();
    assert_eq!(new.geometry().blocks, 4096);
    let mut data = frames();
    pattern::fill(seed(), 0, data.bytes_mut());
    wait(new.write(7, data)).unwrap();
    host::assert_disk_pattern(0, 7 * PAGE, PAGE, seed(), 0);
    let gone = wait(old.read(7, frames())).map_err(|failed| failed.error);
    assert_eq!(gone.err(), Some(BlockError::Removed));
}

/// Blocks of 512 bytes as before, but with 8 bytes of metadata beside each. The old handle knows
/// nothing of these.
#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn a_namespace_with_other_metadata_is_another_one() {
    let old = disk();
    assert_eq!(old.geometry().block_size, 512);
    wait(controller().format(1, Format::new(1))).unwrap();
    until_disks(0);
    let gone = wait(old.read(7, frames())).map_err(|failed| failed.error);
    assert_eq!(gone.err(), Some(BlockError::Removed));
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn blocks_are_compared_verified_and_given_up() {
    let disk = disk();
    let limits = disk.limits();
    assert!(limits.compare && limits.verify);
    assert!(limits.discard.is_some() && limits.write_zeroes.is_some());
    let mut same = frames();
    pattern::fill(seed(), 64 * 512, same.bytes_mut());
    let mut other = wait(disk.compare(64, same)).unwrap();
    other.bytes_mut()[3000] ^= 1;
    let failed = wait(disk.compare(64, other)).unwrap_err();
    assert_eq!(failed.error, BlockError::Mismatch);
    assert!(failed.memory.is_some(), "it comes back all the same");

    assert_eq!(wait(disk.verify(0, 20_000)), Ok(()));
    control::faults(0, "read at 40960");
    assert!(matches!(
        wait(disk.verify(80, 1)),
        Err(BlockError::Device(_))
    ));
    assert_eq!(wait(disk.verify(88, 8)), Ok(()));
    control::faults(0, "");

    assert_eq!(wait(disk.write_zeroes(64, 8, Space::Release)), Ok(()));
    let zeros = wait(disk.read(64, Frames::allocate(PAGE).unwrap())).unwrap();
    assert!(zeros.bytes().iter().all(|byte| *byte == 0));
}

#[vm_test(machine = "nvme,vwc=on,size=16M", timeout = 60)]
fn a_write_cache_is_turned_off_and_on() {
    let disk = disk();
    let controller = controller();
    assert!(disk.limits().write_cache);
    wait(controller.set_write_cache(false)).unwrap();
    assert_eq!(wait(controller.write_cache()), Ok(false));
    wait(controller.set_write_cache(true)).unwrap();
    assert_eq!(wait(controller.write_cache()), Ok(true));
    wait(disk.write_durable(0, frames())).unwrap();
}
