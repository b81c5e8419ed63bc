//! Devices that are on no bus: the machine names them, and they have one wire each.
//!
//! What they do is judged as on PCI: by content, by canaries, and by the host.

use super::streams::Stream;
use super::transfers::{read_of_every_kind, write_and_look};
use super::virtio::{busy_and_idle, counters};
use super::virtio_trouble::resets_under_load;
use super::{disk, disk_number};
use crate::block::blocking::wait;
use crate::dma::Owner;
use crate::drivers::helpers;
use crate::drivers::virtio::Location;
use crate::drivers::virtio::entropy::SEED;
use crate::machine::machine;
use crate::memory::frames::Frames;
use crate::{cores, executor, random, storage};
use alloc::vec;
use alloc::vec::Vec;
use phyr::PhysAddr;
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: u64 = 4096;
const CANARY: u8 = 0xc5;

/// Where the device of this number is, on QEMU's board. The first window is empty.
fn window(number: u64) -> Location {
    Location::Window(PhysAddr::new(0xfeb0_0000 + 512 * (number + 1)))
}

/// Reads, and writes, and the host looks.
fn reads_and_writes() {
    let disk = disk();
    assert_eq!(disk.name(), "vda");
    read_of_every_kind(&*disk);
    for (block, len) in [(1, 512), (100, 4096), (3000, 1 << 20)] {
        write_and_look(&*disk, block, len);
    }
}

#[vm_test(machine = "microvm,virtio,size=16M", timeout = 60)]
fn a_disk_that_the_tables_name_is_read_and_written() {
    assert!(machine().pci.is_none());
    reads_and_writes();
    let disks = storage::virtio_disks();
    assert_eq!(disks[0].location(), window(0));
    assert_eq!((disks[0].disk().resets(), disks[0].disk().lost()), (0, 0));
}

/// No table says which interrupt controller there is, so the queue is polled.
#[vm_test(machine = "microvm=bare,virtio,size=16M", timeout = 60)]
fn a_disk_that_the_command_line_names_is_read_and_written() {
    assert!(machine().platform.virtio.is_empty());
    reads_and_writes();
    assert_eq!(counters().interrupts, 0);
}

#[vm_test(machine = "microvm,virtio,disks=2,size=16M", timeout = 60)]
fn disks_have_names_in_the_order_of_their_windows() {
    let mut bytes = vec![0; 1 << 20];
    for (number, name) in [(0, "vda"), (1, "vdb")] {
        let disk = disk_number(number);
        assert_eq!(disk.name(), name);
        disk.read_now(16, &mut bytes).unwrap();
        let seed = seed().wrapping_add(number as u64);
        assert_eq!(pattern::first_difference(seed, 16 * 512, &bytes), None);
        assert_eq!(
            storage::virtio_disks()[number].location(),
            window(number as u64)
        );
    }
}

#[vm_test(machine = "microvm,virtio,size=16M", timeout = 60)]
fn a_busy_queue_is_polled_and_an_idle_one_has_its_wire_raised() {
    busy_and_idle();
}

/// QEMU sees the wire fall before it rises again: where interrupts are real edges, one that does not fall
/// never interrupts twice.
#[vm_test(
    machine = "microvm,virtio,size=16M,trace=virtio_mmio_setting_irq",
    timeout = 60
)]
fn a_wire_that_was_heard_falls() {
    let disk = disk();
    let read = || drop(wait(disk.read(0, Frames::allocate(PAGE).unwrap())).unwrap());
    read();
    let before = counters().interrupts;
    control::trace_mark();
    for _ in 0..20 {
        read();
    }
    let heard = counters().interrupts - before;
    assert!(heard > 1);
    let falls = control::trace_count("virtio_mmio_setting_irq IRQ 0");
    // Who lets it fall waits for QEMU, which may raise it just then once more: that fall was for both.
    assert!(
        falls * 2 >= heard,
        "heard {heard} times, fell {falls} times"
    );
}

/// There is one queue, and one core has the wire. The others are told by that one.
#[vm_test(machine = "microvm,virtio,smp=2,size=16M", timeout = 120)]
fn two_cores_share_the_queue_of_the_wire() {
    disk();
    let tasks: Vec<_> = cores::online()
        .map(|core| {
            executor::spawn_on(core, || async {
                Stream::new(&*disk(), 8).run(500, true).await;
            })
        })
        .collect();
    assert_eq!(tasks.len(), 2);
    tasks.into_iter().for_each(wait);
}

#[vm_test(machine = "microvm,virtio,smp=2,size=16M", timeout = 120)]
fn requests_survive_resets_without_a_bus() {
    resets_under_load();
}

/// The source's bytes are those of a file of the host's.
#[vm_test(machine = "microvm,virtio,entropy,size=16M", timeout = 60)]
fn entropy_is_written_where_it_is_wanted_and_nowhere_else() {
    assert_eq!(random::origin().device, SEED as u64);
    let sources = helpers::sources();
    assert_eq!(sources.len(), 1);
    // Behind the disk.
    assert_eq!(sources[0].location(), window(1));
    let mut from = SEED as u64;
    for (start, len) in [(0, 4096), (1, 1), (77, 5000), (4097, 12_000)] {
        let mut frames = Frames::allocate(5 * PAGE).unwrap();
        frames.bytes_mut().fill(CANARY);
        let memory = frames.into_memory().part(start..start + len).unwrap();
        let (memory, filled) = wait(sources[0].fill(memory)).unwrap();
        assert_eq!(filled, len);
        let memory = memory.whole();
        let is_canary = |bytes: &[u8]| bytes.iter().all(|byte| *byte == CANARY);
        assert!(is_canary(&memory.bytes()[..start]) && is_canary(&memory.bytes()[start + len..]));
        let frames = Frames::from_memory(memory).unwrap();
        let part = frames.phyr().sub(start as u64, len as u64).unwrap();
        host::assert_pattern(part, seed(), from);
        from += len as u64;
    }
}
