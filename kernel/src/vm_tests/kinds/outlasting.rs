//! What was made to last outlasts QEMU, which is killed without a word.
//!
//! The data never goes through the CPU: a disk's device writes it into the memory. When QEMU is no more, the
//! host looks into the file. Then the machine is booted again with the same files, finds the data in its
//! memory, and writes it to a disk.

use super::super::disk;
use super::{BLOCK, KIB, PAGE, canary, check_by_cpu, provider};
use crate::block::blocking::wait;
use vm_test::{control, host, kills, seed, vm_test};

/// Where the data goes, and from where.
const AT: u64 = 128 * KIB + 512;
const LEN: u64 = 300 * KIB;
const BLOCK_NUMBER: u64 = 77;
/// Where the second boot writes it to.
const AGAIN: u64 = 20_000;

/// What is found in the file, from the page before the data to the page behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The data, and what was beside it.
    Data,
    /// Only what was there before.
    Nothing,
}

/// The first boot, which ends here; or what the second one finds.
fn outlasts(name: &str, file: &str, found: Found) {
    let disk = disk();
    let provider = provider(name);
    let before = [AT - PAGE, AT + LEN];
    if kills() == 0 {
        host::fill_file(file, AT - PAGE, LEN + 2 * PAGE, canary(), AT - PAGE);
        let region = provider.claim(AT, LEN).unwrap();
        let region = wait(disk.read(BLOCK_NUMBER, region)).unwrap();
        wait(provider.persist()).expect("it lasts");
        check_by_cpu(&region, seed(), BLOCK_NUMBER * BLOCK);
        match found {
            Found::Data => host::outlasts(file, AT, LEN, seed(), BLOCK_NUMBER * BLOCK),
            Found::Nothing => host::outlasts(file, AT, LEN, canary(), AT),
        }
        for at in before {
            host::outlasts(file, at, PAGE, canary(), at);
        }
        control::kill();
    }
    assert_eq!(kills(), 1);
    let (seed, offset) = match found {
        Found::Data => (seed(), BLOCK_NUMBER * BLOCK),
        Found::Nothing => (canary(), AT),
    };
    let region = provider.claim(AT, LEN).unwrap();
    check_by_cpu(&region, seed, offset);
    for at in before {
        check_by_cpu(&provider.claim(at, PAGE).unwrap(), canary(), at);
    }
    drop(wait(disk.write(AGAIN, region)).unwrap());
    wait(disk.flush()).unwrap();
    host::assert_disk_pattern(0, AGAIN * BLOCK, LEN, seed, offset);
}

#[vm_test(machine = "nvme,size=16M,pmem=8M", timeout = 60)]
fn b5_what_was_flushed_outlasts_qemu() {
    outlasts("pmem0", "virtio-pmem0", Found::Data);
}

#[vm_test(machine = "virtio,size=16M,pmem=8M", timeout = 60)]
fn b5_what_a_virtio_disk_brought_and_was_flushed_outlasts_qemu() {
    outlasts("pmem0", "virtio-pmem0", Found::Data);
}

#[vm_test(machine = "nvme,size=16M,nvdimm=8M", timeout = 60)]
fn b5_what_is_in_a_module_outlasts_qemu() {
    outlasts("pmem0", "nvdimm0", Found::Data);
}

#[vm_test(machine = "nvme,size=16M,pmr=2M", timeout = 60)]
fn b4_what_is_in_a_persistent_region_outlasts_qemu() {
    outlasts("nvme0pmr", "pmr0", Found::Data);
}

/// The same where QEMU does not write to the file: the host must find nothing, or it looks at something else
/// than the file.
#[vm_test(machine = "nvme,size=16M,pmem=8M,unshared", timeout = 60)]
fn b5_what_never_reaches_the_file_does_not_outlast_qemu() {
    outlasts("pmem0", "virtio-pmem0", Found::Nothing);
}

#[vm_test(machine = "nvme,size=16M,nvdimm=8M,unshared", timeout = 60)]
fn b5_a_module_that_never_reaches_its_file_does_not_outlast_qemu() {
    outlasts("pmem0", "nvdimm0", Found::Nothing);
}

#[vm_test(machine = "nvme,size=16M,pmr=2M,unshared", timeout = 60)]
fn b4_a_region_that_never_reaches_its_file_does_not_outlast_qemu() {
    outlasts("nvme0pmr", "pmr0", Found::Nothing);
}
