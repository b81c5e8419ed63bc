//! Several kinds in one request.

use super::super::{disk, scattered};
use super::{BLOCK, KIB, PAGE, canary, check_canaries, provider, set_canaries};
use crate::block::blocking::wait;
use crate::dma::{Mixed, Owner, Phyrs};
use crate::memory::frames::Frames;
use crate::memory::regions::Region;
use crate::storage;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use phyr::Phyr;
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

/// What the queue of the only virtio disk has counted.
fn counted() -> virtio::blk::Counters {
    let drive = &storage::virtio_disks()[0];
    drive.counters().expect("the core has a queue").driver
}

/// RAM, a board, the screen and RAM again are one chain of descriptors; and a page on each side of every piece is as
/// it was.
#[vm_test(machine = "virtio,size=16M,display,ivshmem=1M", timeout = 60)]
fn d17_ram_a_board_and_video_memory_in_one_chain() {
    const LENGTHS: [u64; 4] = [8 * KIB, 64 * KIB, 40 * KIB, 3 * BLOCK];
    let disk = disk();
    let vram = provider("vram0");
    let video = PAGE + 5 * BLOCK;
    set_canaries("ivshmem0", PAGE, LENGTHS[1]);
    let ram = [LENGTHS[0], LENGTHS[3]].map(|len| {
        let frames = Frames::allocate(2 * PAGE + len.next_multiple_of(PAGE)).unwrap();
        host::fill_pattern(frames.phyr(), canary(), 0);
        let part = PAGE as usize..(PAGE + len) as usize;
        (frames.phyr(), len, frames.into_memory().part(part).unwrap())
    });
    let [(first, first_len, front), (last, last_len, back)] = ram;
    let mut sides = [video - PAGE, video + LENGTHS[2]].map(|at| vram.claim(at, PAGE).unwrap());
    for side in &mut sides {
        side.fill(0, PAGE, 0x5c).unwrap();
    }
    let mut mixed = Mixed::new();
    mixed.push(front);
    mixed.push(provider("ivshmem0").claim(PAGE, LENGTHS[1]).unwrap());
    mixed.push(vram.claim(video, LENGTHS[2]).unwrap());
    mixed.push(back);

    let before = counted();
    let mixed = wait(disk.read(3, mixed)).unwrap();
    let after = counted();
    assert_eq!(after.commands - before.commands, 1, "it is one command");
    assert_eq!(
        after.indirect - before.indirect,
        1,
        "of several descriptors"
    );
    let starts = LENGTHS.iter().scan(3 * BLOCK, |next, len| {
        let start = *next;
        *next += len;
        Some(start)
    });
    let starts: Vec<u64> = starts.collect();
    let beside_ram = |whole: Phyr, len: u64| {
        for at in [0, PAGE + len] {
            host::assert_pattern(whole.sub(at, PAGE).unwrap(), canary(), at);
        }
    };
    let check = |seed: u64, starts: &[u64]| {
        let inside = |whole: Phyr, len| whole.sub(PAGE, len).unwrap();
        host::assert_pattern(inside(first, first_len), seed, starts[0]);
        host::assert_file_pattern("ivshmem0", PAGE, LENGTHS[1], seed, starts[1]);
        let shown = vram.phyr().sub(video, LENGTHS[2]).unwrap();
        host::assert_physical(shown, seed, starts[2]);
        host::assert_pattern(inside(last, last_len), seed, starts[3]);
        beside_ram(first, first_len);
        beside_ram(last, last_len);
        check_canaries("ivshmem0", PAGE, LENGTHS[1]);
        for side in &sides {
            let mut bytes = vec![0; PAGE as usize];
            side.read(0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0x5c));
        }
    };
    check(seed(), &starts);
    // And as one chain to the disk, elsewhere.
    let len = mixed.len() as u64;
    let mixed = wait(disk.write(9000, mixed)).unwrap();
    wait(disk.flush()).unwrap();
    host::assert_disk_pattern(0, 9000 * BLOCK, len, seed(), 3 * BLOCK);
    assert_eq!(counted().commands - after.commands, 2, "and a flush");
    check(seed(), &starts);
    drop(mixed);
}

/// 16 MiB of a board are one descriptor, whichever way they go.
#[vm_test(machine = "virtio,size=64M,ivshmem=32M", timeout = 60)]
fn e11_16_mib_of_a_board_are_one_descriptor() {
    const LEN: u64 = 16 << 20;
    let disk = disk();
    let at = 5 * 1024 * KIB + 512;
    set_canaries("ivshmem0", at, LEN);
    let before = counted();
    let region = provider("ivshmem0").claim(at, LEN).unwrap();
    let region = wait(disk.read(9, region)).unwrap();
    host::assert_file_pattern("ivshmem0", at, LEN, seed(), 9 * BLOCK);
    check_canaries("ivshmem0", at, LEN);
    host::fill_file("ivshmem0", at, LEN, seed() ^ 11, 0);
    drop(wait(disk.write(70_000, region)).unwrap());
    let after = counted();
    assert_eq!(after.commands - before.commands, 2);
    assert_eq!(after.indirect, before.indirect, "no table is needed");
    wait(disk.flush()).unwrap();
    host::assert_disk_pattern(0, 70_000 * BLOCK, LEN, seed() ^ 11, 0);
    for block in [69_999, 70_000 + LEN / BLOCK] {
        host::assert_disk_pattern(0, block * BLOCK, BLOCK, seed(), block * BLOCK);
    }
}
