//! Persistent memory of the hypervisor's: a virtio device, whose memory lasts by a flush.

use super::super::disk;
use super::{BLOCK, GIB, KIB, MIB, both_ways_with, provider};
use crate::block::blocking::wait;
use crate::machine::machine;
use crate::memory::regions::{Kind, PersistError, providers};
use crate::storage;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use phyr::Phyr;
use vm_test::{control, host, pattern, seed, vm_test};

#[vm_test(machine = "nvme,size=16M,pmem=64M", timeout = 60)]
fn b5_the_hypervisors_memory_both_ways() {
    // The device is looked for together with the disks.
    let _ = disk();
    assert_eq!(provider("pmem0").kind(), Kind::Persistent);
    assert_eq!(provider("pmem0").phyr().len(), 64 * MIB);
    for (at, len, block) in [
        (8 * KIB, BLOCK, 1),
        (4 * MIB + 1536, 12 * KIB, 100),
        (32 * MIB, 2 * MIB, 1000),
        (64 * MIB - 64 * KIB, 64 * KIB, 20_000),
    ] {
        both_ways_with("pmem0", "virtio-pmem0", at, len, block);
        wait(provider("pmem0").persist()).unwrap();
    }
}

/// Memory that no map mentions, and that the kernel learns of when devices have their places already.
fn nothing_else_is_there(modules: usize) {
    let _ = disk();
    let mut all: Vec<Phyr> = providers().iter().map(|provider| provider.phyr()).collect();
    assert_eq!(all.len(), modules + 1, "and a board");
    assert!(all[..modules].iter().all(|one| one.addr().get() >= 4 * GIB));
    let functions = machine().functions();
    let bars = functions.iter().flat_map(|function| &function.bars);
    all.extend(bars.map(|bar| bar.phyr).filter(|bar| bar.len() < 8 * GIB));
    for (index, one) in all.iter().enumerate() {
        let mut others = all[..index].iter();
        assert!(!others.any(|other| other.overlaps(*one)), "{one}");
        assert!(!crate::memory::is_ram(*one), "{one} is RAM");
    }
}

#[vm_test(
    machine = "nvme,size=16M,nvdimm=64M,pmem=32M+64M,ivshmem=8G,ram=6G",
    timeout = 60
)]
fn b5_no_device_is_placed_at_the_hypervisors_memory() {
    nothing_else_is_there(3);
    // First the module, then the devices in the order of the bus.
    both_ways_with("pmem0", "nvdimm0", 8 * KIB, 64 * KIB, 7);
    both_ways_with("pmem1", "virtio-pmem0", 8 * KIB, 64 * KIB, 900);
    both_ways_with("pmem2", "virtio-pmem1", 8 * KIB, 64 * KIB, 3000);
}

#[vm_test(
    machine = "nvme,size=16M,pmem=64M,ivshmem=8G,firmware=qboot",
    timeout = 60
)]
fn b5_no_device_is_placed_at_the_hypervisors_memory_by_firmware_that_places_none() {
    nothing_else_is_there(1);
    both_ways_with("pmem0", "virtio-pmem0", 8 * KIB, 64 * KIB, 7);
}

/// A flush is a request to the device, and makes QEMU do one to the file, which goes well. Nothing else is.
#[vm_test(machine = "nvme,size=16M,pmem=64M,trace=virtio_pmem_*", timeout = 60)]
fn b5_each_flush_is_one_of_the_file() {
    let _ = disk();
    let counts = || {
        [
            "virtio_pmem_flush_request",
            "virtio_pmem_flush_done fsync return=0",
            "virtio_pmem_flush_done",
        ]
        .map(control::trace_count)
    };
    assert_eq!(counts(), [0; 3]);
    both_ways_with("pmem0", "virtio-pmem0", 8 * KIB, 64 * KIB, 7);
    assert_eq!(counts(), [0; 3], "data moves without the device");
    let provider = provider("pmem0");
    wait(provider.persist()).unwrap();
    assert_eq!(counts(), [1; 3]);
    // More at once than the queue has room for; none waits for another's turn to be asked for.
    let mut flushes: Vec<_> = (0..40)
        .map(|_| Some(Box::pin(provider.persist())))
        .collect();
    wait(poll_fn(|cx| {
        for flush in &mut flushes {
            if let Some(running) = flush
                && let Poll::Ready(result) = running.as_mut().poll(cx)
            {
                result.expect("it lasts");
                *flush = None;
            }
        }
        match flushes.iter().all(Option::is_none) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }));
    assert_eq!(counts(), [41; 3]);
    // One that nobody waits for any more is the device's all the same. (It may be done when it is asked for, if
    // the host lets this core wait for long enough.)
    let mut dropped = Box::pin(provider.persist());
    let mut cx = Context::from_waker(Waker::noop());
    let _ = Pin::new(&mut dropped).poll(&mut cx);
    drop(dropped);
    wait(provider.persist()).unwrap();
    assert_eq!(counts()[0], 43);
    // QEMU does them side by side: the one that was asked for later may have been done first.
    while counts() != [43; 3] {
        wait(embassy_futures::yield_now());
    }
}

/// After its device is out of use the memory is there, and nobody says any more that it lasts.
#[vm_test(machine = "nvme,size=16M,pmem=64M", timeout = 60)]
fn b5_without_its_device_nothing_lasts_for_certain() {
    let _ = disk();
    let provider = provider("pmem0");
    storage::modules()[0].handle().shutdown();
    let failed = wait(provider.persist()).unwrap_err();
    let why = "the device is out of use: it was shut down";
    assert_eq!(failed, PersistError::Device(why.into()));
    both_ways_with("pmem0", "virtio-pmem0", 8 * KIB, 64 * KIB, 7);
    provider.try_revoke().expect("nothing is under way");
    assert_eq!(wait(provider.persist()), Err(PersistError::Revoked));
}

#[vm_test(
    machine = "nvme,size=16M,nvdimm=4M,pmr=2M,ivshmem=1M,cmb=1M",
    timeout = 60
)]
fn what_can_be_made_to_last_and_what_cannot() {
    let _ = disk();
    for (name, expected) in [
        ("pmem0", Ok(())),
        ("nvme0pmr", Ok(())),
        ("nvme0cmb", Err(PersistError::Volatile)),
        ("ivshmem0", Err(PersistError::Volatile)),
    ] {
        assert_eq!(wait(provider(name).persist()), expected, "{name}");
    }
}

/// What the CPU writes to it, and reads of it, is what the file has.
#[vm_test(machine = "nvme,size=16M,pmem=64M")]
fn b7_what_the_cpu_writes_is_in_the_hypervisors_memory() {
    let _ = disk();
    let mut region = provider("pmem0").claim(MIB + 5, 100_000).unwrap();
    let mut bytes = vec![0; 100_000];
    pattern::fill(seed(), 0, &mut bytes);
    region.write(0, &bytes).unwrap();
    host::assert_file_pattern("virtio-pmem0", MIB + 5, 100_000, seed(), 0);
    host::fill_file("virtio-pmem0", MIB + 5, 100_000, seed() ^ 1, 0);
    region.read(0, &mut bytes).unwrap();
    let wrong = pattern::first_difference(seed() ^ 1, 0, &bytes);
    assert_eq!(wrong, None);
}
