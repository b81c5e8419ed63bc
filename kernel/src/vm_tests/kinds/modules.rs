//! Modules of persistent memory, which the firmware's tables report.

use super::super::disk;
use super::{BLOCK, KIB, MIB, both_ways_with, provider};
use crate::block::blocking::wait;
use crate::machine::machine;
use crate::memory::regions::{Kind, providers};
use alloc::vec::Vec;
use phyr::Phyr;
use vm_test::{host, seed, vm_test};

#[vm_test(machine = "nvme,size=16M,nvdimm=64M", timeout = 60)]
fn b5_a_module_both_ways() {
    assert_eq!(provider("pmem0").kind(), Kind::Persistent);
    assert_eq!(provider("pmem0").phyr().len(), 64 * MIB);
    for (at, len, block) in [
        (8 * KIB, BLOCK, 1),
        (4 * MIB + 1536, 12 * KIB, 100),
        (32 * MIB, 2 * MIB, 1000),
        (64 * MIB - 64 * KIB, 64 * KIB, 20_000),
    ] {
        both_ways_with("pmem0", "nvdimm0", at, len, block);
    }
}

#[vm_test(
    machine = "nvme,size=16M,nvdimm=64M+32M,ivshmem=8G,ram=6G",
    timeout = 60
)]
fn b5_two_modules_and_a_large_board_beside_much_ram() {
    both_ways_with("pmem1", "nvdimm1", 8 * KIB, 64 * KIB, 7);
    both_ways_with("pmem0", "nvdimm0", 8 * KIB, 64 * KIB, 900);
    // Devices were placed elsewhere, and so was everything else.
    let mut all: Vec<Phyr> = providers().iter().map(|provider| provider.phyr()).collect();
    assert_eq!(all.len(), 3);
    let functions = machine().functions();
    let bars = functions.iter().flat_map(|function| &function.bars);
    all.extend(bars.map(|bar| bar.phyr).filter(|bar| bar.len() < 8 << 30));
    for (index, one) in all.iter().enumerate() {
        assert!(
            !all[..index].iter().any(|other| other.overlaps(*one)),
            "{one}"
        );
        assert!(!crate::memory::is_ram(*one), "{one} is RAM");
    }
}

/// What the CPU has written is in the file, and so on its way to last, without anything that is flushed.
#[vm_test(machine = "nvme,nvdimm=64M")]
fn b7_what_the_cpu_writes_is_in_the_module() {
    let mut region = provider("pmem0").claim(MIB + 5, 100_000).unwrap();
    let mut bytes = alloc::vec![0; 100_000];
    vm_test::pattern::fill(seed(), 0, &mut bytes);
    region.write(0, &bytes).unwrap();
    host::assert_file_pattern("nvdimm0", MIB + 5, 100_000, seed(), 0);
    host::fill_file("nvdimm0", MIB + 5, 100_000, seed() ^ 1, 0);
    region.read(0, &mut bytes).unwrap();
    let wrong = vm_test::pattern::first_difference(seed() ^ 1, 0, &bytes);
    assert_eq!(wrong, None);
    let region = provider("pmem0").claim(8 * MIB, 4 * KIB).unwrap();
    drop(wait(disk().read(0, region)).unwrap());
    host::assert_file_pattern("nvdimm0", 8 * MIB, 4 * KIB, seed(), 0);
}
