//! The memory of disk controllers: the buffer for data on its way, and the region that persists.

use super::super::{disk, disk_number};
use super::{
    BLOCK, KIB, MIB, PAGE, canary, check_by_cpu, check_canaries_within, provider,
    set_canaries_within,
};
use crate::block::BlockDevice;
use crate::block::blocking::wait;
use crate::dma::{Mixed, Owner};
use crate::drivers::nvme;
use crate::machine::machine;
use crate::memory::frames::Frames;
use crate::memory::regions::{Kind, Provider};
use alloc::sync::Arc;
use alloc::vec;
use vm_test::{control, host, pattern, seed, vm_test};

/// Fills a page on both sides of a part of a buffer.
fn set_canaries_by_cpu(buffer: &Arc<Provider>, at: u64, len: u64) {
    for at in [at - PAGE, at + len] {
        let mut side = buffer.claim(at, PAGE).unwrap();
        let mut bytes = vec![0; PAGE as usize];
        pattern::fill(canary(), at, &mut bytes);
        side.write(0, &bytes).unwrap();
    }
}

fn check_canaries_by_cpu(buffer: &Arc<Provider>, at: u64, len: u64) {
    for at in [at - PAGE, at + len] {
        check_by_cpu(&buffer.claim(at, PAGE).unwrap(), canary(), at);
    }
}

/// From one disk into a buffer and from there to the other, whose image the host looks at. There is no
/// file behind a buffer.
fn through_a_buffer(buffer: &str, from: &dyn BlockDevice, number: u64, to: &dyn BlockDevice) {
    let buffer = provider(buffer);
    assert_eq!(
        (buffer.kind(), buffer.phyr().len()),
        (Kind::Controller, MIB)
    );
    let blocks = from.geometry().blocks - 1000;
    for (at, len) in [
        (PAGE, BLOCK),
        (64 * KIB + 1024, PAGE),
        (200 * KIB, 600 * KIB),
    ] {
        let block = at % blocks / 8;
        set_canaries_by_cpu(&buffer, at, len);
        let region = wait(from.read(block, buffer.claim(at, len).unwrap())).unwrap();
        check_by_cpu(&region, seed(), block * BLOCK);
        let region = wait(to.write(block + 9000, region)).unwrap();
        wait(to.flush()).unwrap();
        host::assert_disk_pattern(number, (block + 9000) * BLOCK, len, seed(), block * BLOCK);
        drop(region);
        check_canaries_by_cpu(&buffer, at, len);
    }
    assert_eq!(buffer.free(), [buffer.phyr()]);
}

#[vm_test(machine = "nvme,size=16M,cmb=1M", timeout = 60)]
fn b3_the_controllers_own_buffer() {
    let disk = disk();
    through_a_buffer("nvme0cmb", &*disk, 0, &*disk);
}

#[vm_test(machine = "disks=2,size=16M,cmb=1M", timeout = 60)]
fn b3_the_buffer_of_another_controller() {
    let (first, second) = (disk_number(0), disk_number(1));
    through_a_buffer("nvme1cmb", &*first, 0, &*first);
    through_a_buffer("nvme0cmb", &*first, 1, &*second);
}

/// RAM and another controller's buffer are one command.
#[vm_test(machine = "disks=2,size=16M,cmb=1M", timeout = 60)]
fn b3_ram_and_another_controllers_buffer_in_one_command() {
    let disk = disk();
    let buffer = provider("nvme1cmb");
    let mut mixed = Mixed::new();
    mixed.push(Frames::zeroed(8 * KIB).unwrap());
    mixed.push(buffer.claim(64 * KIB, 64 * KIB).unwrap());
    mixed.push(Frames::zeroed(8 * KIB).unwrap());
    assert_eq!(read_mixed(&*disk, mixed), 1, "it is one command");
}

/// RAM and the controller's own buffer are not: it would refuse such a command.
#[vm_test(machine = "nvme,size=16M,cmb=1M,mdts=6", timeout = 60)]
fn b3_ram_and_the_own_buffer_in_one_request_are_two_commands() {
    let disk = disk();
    let buffer = provider("nvme0cmb");
    let halves = |ram: u64, own: u64| {
        let mut mixed = Mixed::new();
        mixed.push(Frames::zeroed(ram).unwrap());
        mixed.push(buffer.claim(PAGE, own).unwrap());
        mixed
    };
    assert_eq!(read_mixed(&*disk, halves(64 * KIB, 64 * KIB)), 2);
    // Longer than a command may be; and first the buffer.
    assert_eq!(read_mixed(&*disk, halves(512 * KIB, 256 * KIB)), 3);
    let mut mixed = Mixed::new();
    mixed.push(buffer.claim(0, 8 * KIB).unwrap());
    mixed.push(Frames::zeroed(8 * KIB).unwrap());
    mixed.push(buffer.claim(512 * KIB, 8 * KIB).unwrap());
    assert_eq!(read_mixed(&*disk, mixed), 3);
    assert_eq!(buffer.free(), [buffer.phyr()]);
}

/// Reads at block 33 into several pieces, and checks them. Returns how many commands that took.
fn read_mixed(disk: &dyn BlockDevice, mixed: Mixed) -> u64 {
    let counters = || crate::storage::controllers()[0].counters().unwrap();
    let before = counters();
    let memory = wait(disk.read(33, mixed)).unwrap().into_memory();
    let commands = counters().completed - before.completed;
    let mut bytes = vec![0; memory.len()];
    memory.copy_to(0, &mut bytes).unwrap();
    let wrong = pattern::first_difference(seed(), 33 * BLOCK, &bytes);
    assert_eq!(wrong, None);
    commands
}

#[vm_test(machine = "nvme,size=16M,pmr=2M", timeout = 60)]
fn b4_the_persistent_region_both_ways() {
    // There are no disks, and no memory of controllers, before somebody asks.
    let disk = disk();
    assert_eq!(disk.name(), "nvme0n1");
    assert_eq!(provider("nvme0pmr").kind(), Kind::Persistent);
    for (at, len, block) in [
        (PAGE, BLOCK, 1),
        (128 * KIB, 9 * PAGE, 100),
        (MIB, 960 * KIB, 2000),
    ] {
        set_canaries_within("pmr0", 2 * MIB, at, len);
        let region = provider("nvme0pmr").claim(at, len).unwrap();
        let region = wait(disk.read(block, region)).unwrap();
        let controller = crate::storage::controllers()[0].controller().unwrap();
        assert!(controller.persist());
        host::assert_file_pattern("pmr0", at, len, seed(), block * BLOCK);
        check_canaries_within("pmr0", 2 * MIB, at, len);
        check_by_cpu(&region, seed(), block * BLOCK);
        host::fill_file("pmr0", at, len, seed() ^ 3, 0);
        drop(wait(disk.write(block + 10_000, region)).unwrap());
        wait(disk.flush()).unwrap();
        host::assert_disk_pattern(0, (block + 10_000) * BLOCK, len, seed() ^ 3, 0);
    }
}

/// Before it is switched on, the region takes data and loses it; and QEMU reports success.
#[vm_test(machine = "disks=2,size=16M,pmr=2M", timeout = 60)]
fn b4_what_is_written_before_the_region_is_on_is_lost() {
    let disk = disk();
    // The second controller's registers, past its driver: PMRCTL.EN off, as it was after the reset.
    let hubs = crate::storage::controllers();
    let function = machine()
        .functions()
        .into_iter()
        .filter(nvme::is_controller)
        .nth(1);
    let registers = function.unwrap().bar(0).unwrap().phyr;
    // SAFETY: the driver of this controller does nothing meanwhile: nobody has asked it for anything.
    let window = unsafe { crate::mmio::RegisterWindow::map(registers) }.unwrap();
    window.write32(0xe04, 0);
    host::fill_file("pmr1", 0, 2 * MIB, canary(), 0);
    let region = provider("nvme1pmr").claim(PAGE, 64 * KIB).unwrap();
    let region = wait(disk.read(5, region)).expect("QEMU says that it is done");
    host::assert_file_pattern("pmr1", 0, 2 * MIB, canary(), 0);
    window.write32(0xe04, 1);
    assert!(hubs[1].controller().unwrap().persist());
    drop(wait(disk.read(5, region)).unwrap());
    host::assert_file_pattern("pmr1", PAGE, 64 * KIB, seed(), 5 * BLOCK);
    check_canaries_within("pmr1", 2 * MIB, PAGE, 64 * KIB);
}

/// Behind an IOMMU a controller's own buffer is where the IOMMU has it, and the controller knows.
fn the_buffer_behind_an_iommu() {
    let disk = disk();
    through_a_buffer("nvme0cmb", &*disk, 0, &*disk);
    let buffer = provider("nvme0cmb");
    let mut mixed = Mixed::new();
    mixed.push(buffer.claim(4 * PAGE, 64 * KIB).unwrap());
    mixed.push(Frames::zeroed(8 * KIB).unwrap());
    mixed.push(buffer.claim(512 * KIB, 12 * KIB).unwrap());
    assert!(read_mixed(&*disk, mixed) > 1, "in none is RAM, too");
    assert_eq!(machine().iommu.as_ref().unwrap().take_faults(), []);
}

#[vm_test(machine = "iommu,nvme,size=16M,cmb=1M", timeout = 60)]
fn b3_the_controllers_own_buffer_behind_an_iommu() {
    the_buffer_behind_an_iommu();
}

#[vm_test(
    machine = "virtio-iommu,nvme,size=16M,cmb=1M,trace=virtio_iommu_map+virtio_iommu_unmap_done",
    timeout = 60
)]
fn b3_the_controllers_own_buffer_behind_a_virtio_iommu() {
    the_buffer_behind_an_iommu();
    let disk = disk();
    let buffer = provider("nvme0cmb");
    control::trace_mark();
    for _ in 0..50 {
        let mut mixed = Mixed::new();
        mixed.push(Frames::zeroed(8 * KIB).unwrap());
        mixed.push(buffer.claim(0, 8 * KIB).unwrap());
        mixed.push(Frames::zeroed(8 * KIB).unwrap());
        assert_eq!(read_mixed(&*disk, mixed), 3);
    }
    // What is mapped beside the buffer is unmapped, and the buffer stays where it is.
    let counts = ["virtio_iommu_map", "virtio_iommu_unmap_done"].map(control::trace_count);
    assert_eq!(counts, [100, 100]);
}

#[vm_test(machine = "iommu,disks=2,size=16M,cmb=1M", timeout = 60)]
fn b3_the_buffer_of_another_controller_behind_an_iommu() {
    let (first, second) = (disk_number(0), disk_number(1));
    through_a_buffer("nvme1cmb", &*first, 0, &*first);
    through_a_buffer("nvme0cmb", &*first, 1, &*second);
}
