//! A controller goes while every core reads from it, and comes back.

use super::disk;
use super::streams::free_or_heap_bytes;
use crate::block::blocking::wait;
use crate::block::{BlockDevice, BlockError};
use crate::cores;
use crate::drivers::{nvme, virtio};
use crate::executor::{self, Task};
use crate::machine::machine;
use crate::memory::frames::Frames;
use crate::pci::{Function, intx};
use crate::storage::{self, volumes};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use embassy_futures::yield_now;
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: u64 = 4096;

/// Reads at a time on each core.
const DEPTH: usize = 16;

/// Lets everybody else run until something is so.
fn until(mut is_so: impl FnMut() -> bool) {
    wait(async {
        while !is_so() {
            yield_now().await;
        }
    });
}

/// Reads that have gone well.
static READS: AtomicU64 = AtomicU64::new(0);

/// Reads one page after another until the disk has been removed.
async fn read_until_removed(disk: Arc<dyn BlockDevice>, mut page: u64) {
    let geometry = disk.geometry();
    let (pages, blocks) = (
        geometry.bytes() / PAGE,
        PAGE / u64::from(geometry.block_size),
    );
    let mut frames = Frames::allocate(PAGE).unwrap();
    loop {
        page = page.wrapping_mul(5).wrapping_add(7) % pages;
        frames = match disk.read(page * blocks, frames).await {
            Ok(frames) => frames,
            Err(failed) => {
                assert_eq!(failed.error, BlockError::Removed);
                assert!(failed.memory.is_some(), "the memory comes back");
                return;
            }
        };
        let wrong = pattern::first_difference(seed(), page * PAGE, frames.bytes());
        assert_eq!(wrong, None, "in page {page}");
        READS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Has all cores read.
fn load(disk: &Arc<dyn BlockDevice>) -> Vec<Task<()>> {
    let on_core = |core: cores::CoreId| {
        let disk = disk.clone();
        executor::spawn_on(core, move || async move {
            let lane = |lane| executor::spawn(read_until_removed(disk.clone(), (lane * 97) as u64));
            let lanes: Vec<_> = (0..DEPTH).map(lane).collect();
            for lane in lanes {
                lane.await;
            }
        })
    };
    cores::online().map(on_core).collect()
}

/// Writes and reads; the host looks at the memory and at the image.
fn check_with_the_host(disk: &dyn BlockDevice, round: u64) {
    let len = 1 << 20;
    let frames = wait(disk.read(0, Frames::zeroed(len).unwrap())).unwrap();
    assert_eq!(pattern::first_difference(seed(), 0, frames.bytes()), None);
    host::assert_pattern(frames.phyr(), seed(), 0);
    let mut frames = Frames::allocate(PAGE).unwrap();
    let mine = seed() ^ (round + 1);
    pattern::fill(mine, 0, frames.bytes_mut());
    wait(async {
        disk.write(0, frames).await.unwrap();
        disk.flush().await.unwrap();
    });
    host::assert_disk_pattern(0, 0, PAGE, mine, 0);
    // As it was, for the readers.
    control::fill_disk(0, 0, PAGE, seed(), 0);
}

/// Takes the controller out while it is read from, and plugs it in again, several times.
fn take_out_and_bring_back(take_out: impl Fn()) {
    let mut free_before = None;
    for round in 0..3 {
        let disk = disk();
        check_with_the_host(&*disk, round);
        let free_now = free_or_heap_bytes();
        assert_eq!(
            *free_before.get_or_insert(free_now),
            free_now,
            "memory is missing"
        );
        let before = READS.load(Ordering::Relaxed);
        let readers = load(&disk);
        // And some are under way on this core at that moment, however fast the device is.
        until(|| READS.load(Ordering::Relaxed) > before + 200 && disk.outstanding() > 0);
        take_out();
        for reader in readers {
            wait(reader);
        }
        let refused = wait(disk.read(0, Frames::allocate(PAGE).unwrap()));
        assert_eq!(
            refused.map_err(|failed| failed.error).err(),
            Some(BlockError::Removed)
        );
        until(|| volumes().is_empty());
        drop(disk);
        until(|| {
            let is_used = !storage::controllers().is_empty() || !storage::virtio_disks().is_empty();
            control::is_gone(0) && !is_used
        });
        control::plug(0);
        until(|| volumes().len() == 1);
    }
    let is_disk = |function: &Function| nvme::is_controller(function) || virtio::is_disk(function);
    assert!(machine().functions().iter().any(is_disk));
}

/// QEMU refuses to resize a namespace under its controller. So it changes while the controller is not there.
#[vm_test(machine = "hotplug,size=8M", timeout = 60)]
fn a_disk_comes_back_with_another_size() {
    let blocks = |mib: u64| (mib << 20) / 512;
    let mut before = 8;
    for mib in [12, 4, 6] {
        let old = disk();
        assert_eq!(old.geometry().blocks, blocks(before));
        control::unplug(0);
        until(|| volumes().is_empty());
        let page = || Frames::zeroed(PAGE).unwrap();
        let refused = wait(old.read(0, page())).map_err(|failed| failed.error);
        assert_eq!(refused.err(), Some(BlockError::Removed));
        drop(old);
        until(|| control::is_gone(0) && storage::controllers().is_empty());
        control::resize(0, mib << 20);
        control::plug(0);
        until(|| volumes().len() == 1);

        let disk = disk();
        assert_eq!(disk.geometry().blocks, blocks(mib));
        let end = blocks(mib) - PAGE / 512;
        let mut last = page();
        let mine = seed() ^ mib;
        pattern::fill(mine, 0, last.bytes_mut());
        let last = wait(disk.write(end, last)).unwrap();
        wait(disk.flush()).unwrap();
        host::assert_disk_pattern(0, (mib << 20) - PAGE, PAGE, mine, 0);
        let beyond = wait(disk.read(end + 1, last)).map_err(|failed| failed.error);
        assert_eq!(beyond.err(), Some(BlockError::OutOfRange));
        // What was there is still there, and what is new is empty.
        let first = wait(disk.read(0, page())).unwrap();
        assert_eq!(pattern::first_difference(seed(), 0, first.bytes()), None);
        if mib > before {
            let new = wait(disk.read(blocks(before), page())).unwrap();
            assert!(new.bytes().iter().all(|byte| *byte == 0));
        }
        before = mib;
    }
}

#[vm_test(machine = "smp=2,hotplug,size=8M", timeout = 120)]
fn a_controller_is_unplugged_under_load_and_the_next_one_works() {
    take_out_and_bring_back(|| control::unplug(0));
}

#[vm_test(machine = "virtio=modern,smp=2,hotplug,size=8M", timeout = 120)]
fn a_virtio_disk_is_unplugged_under_load_and_the_next_one_works() {
    take_out_and_bring_back(|| control::unplug(0));
}

/// Its line goes with it, whatever it has asked for.
#[vm_test(
    machine = "virtio=modern,vectors=0,smp=2,hotplug,size=8M",
    timeout = 120
)]
fn a_disk_with_a_line_is_unplugged_under_load_and_the_next_one_works() {
    take_out_and_bring_back(|| control::unplug(0));
    lines_were_heard();
}

#[vm_test(
    machine = "virtio=modern,vectors=0,smp=2,hotplug,size=8M",
    timeout = 120
)]
fn a_disk_with_a_line_is_torn_out_under_load_and_the_next_one_works() {
    take_out_and_bring_back(|| control::tear_out(0));
    lines_were_heard();
}

fn lines_were_heard() {
    let lines = intx::counters();
    assert!(
        lines.edges > 0 && lines.unannounced <= lines.edges / 5,
        "{lines:?}"
    );
}

/// As below, for a device that lets all of its requests end before it is taken out.
#[vm_test(machine = "virtio=modern,smp=2,hotplug,size=8M", timeout = 120)]
fn a_virtio_disk_is_torn_out_under_load_and_the_next_one_works() {
    take_out_and_bring_back(|| control::tear_out(0));
}

#[vm_test(
    machine = "smp=2,hotplug,size=8M",
    timeout = 120,
    ignore = "QEMU 7.2 crashes now and then when a busy controller is torn out"
)]
fn a_controller_is_torn_out_under_load_and_the_next_one_works() {
    take_out_and_bring_back(|| control::tear_out(0));
}

/// All that can be outstanding is, and nothing is answered any more before the controller goes.
#[vm_test(machine = "smp=2,hotplug,size=8M", timeout = 120)]
fn requests_that_wait_for_a_disk_end_when_it_is_torn_out() {
    take_out_and_bring_back(|| {
        control::hold(0);
        control::tear_out(0);
    });
}
