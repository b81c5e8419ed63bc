//! Several kinds in one request.

use super::super::{disk, scattered};
use super::{BLOCK, KIB, PAGE, canary, check_canaries, provider, set_canaries};
use crate::block::blocking::wait;
use crate::dma::{Mixed, Owner, Phyrs};
use crate::memory::frames::Frames;
use crate::memory::regions::Region;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use vm_test::{host, pattern, seed, vm_test};

/// The kind is beside the phyr and not in it: two boards, whose memory comes in turn, in one request.
#[vm_test(machine = "nvme,size=16M,ivshmem=1M+1M", timeout = 60)]
fn d20_two_providers_keep_their_order() {
    const PIECE: u64 = 8 * KIB;
    let files = ["ivshmem0", "ivshmem1"];
    for file in files {
        host::fill_file(file, 0, 256 * KIB, canary(), 0);
    }
    let mut mixed = Mixed::new();
    let mut places = Vec::new();
    for number in 0..10_u64 {
        let file = files[(number % 2) as usize];
        let at = PAGE + number * (PIECE + PAGE);
        mixed.push(provider(file).claim(at, PIECE).unwrap());
        places.push((file, at));
    }
    let memory = mixed.into_memory();
    let Ok(Phyrs::List(list)) = memory.phyrs() else {
        panic!("there are ten pieces");
    };
    assert_eq!(list.phyrs().len(), 10);
    let memory = wait(disk().read(3, memory)).unwrap();
    for (number, (file, at)) in places.iter().enumerate() {
        let offset = 3 * BLOCK + number as u64 * PIECE;
        host::assert_file_pattern(file, *at, PIECE, seed(), offset);
        host::assert_file_pattern(file, at - PAGE, PAGE, canary(), at - PAGE);
        host::assert_file_pattern(file, at + PIECE, PAGE, canary(), at + PIECE);
    }
    // Each piece is still what it was.
    let pieces = Box::<Mixed>::from_memory(memory).unwrap().into_pieces();
    for (piece, (file, at)) in pieces.into_iter().zip(places) {
        let region = Region::from_memory(piece).unwrap();
        assert_eq!(region.provider().name(), file);
        assert_eq!(region.phyr(), provider(file).phyr().sub(at, PIECE).unwrap());
    }
}

/// Scattered RAM, memory on a board, and RAM again, cut where no page ends.
#[vm_test(machine = "nvme,size=16M,ivshmem=1M,mdts=3", timeout = 60)]
fn d17_ram_and_a_board_in_one_request() {
    let at = 100 * KIB;
    set_canaries("ivshmem0", at, 40 * KIB);
    let mut mixed = Mixed::new();
    mixed.push(Box::new(scattered(5)));
    mixed.push(provider("ivshmem0").claim(at, 40 * KIB).unwrap());
    mixed.push(Frames::zeroed(16 * KIB).unwrap());
    let memory = wait(disk().read(11, mixed)).unwrap().into_memory();
    assert!(!memory.is_ram());
    let mut bytes = vec![0; memory.len()];
    memory.copy_to(0, &mut bytes).unwrap();
    assert_eq!(pattern::first_difference(seed(), 11 * BLOCK, &bytes), None);
    let offset = 11 * BLOCK + 5 * PAGE;
    host::assert_file_pattern("ivshmem0", at, 40 * KIB, seed(), offset);
    check_canaries("ivshmem0", at, 40 * KIB);
    // Another content, and back to the disk; of the first and the last piece only a part.
    let mut memory = memory.part(PAGE as usize..72 << 10).unwrap();
    pattern::fill(seed() ^ 5, 0, &mut bytes);
    memory.copy_from(0, &bytes[..memory.len()]).unwrap();
    let len = memory.len() as u64;
    host::assert_file_pattern("ivshmem0", at, 40 * KIB, seed() ^ 5, 4 * PAGE);
    let memory = wait(disk().write(1000, memory)).unwrap();
    wait(disk().flush()).unwrap();
    host::assert_disk_pattern(0, 1000 * BLOCK, len, seed() ^ 5, 0);
    for block in [999, 1000 + len / BLOCK] {
        host::assert_disk_pattern(0, block * BLOCK, BLOCK, seed(), block * BLOCK);
    }
    drop(memory);
    assert_eq!(provider("ivshmem0").free().len(), 1, "all of it came back");
}
