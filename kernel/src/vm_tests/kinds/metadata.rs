//! Metadata of blocks in another kind of memory than their data.

use super::super::bare::{Bare, bare};
use super::{BLOCK, KIB, MIB, PAGE, check_canaries, provider, set_canaries};
use crate::block::blocking::wait;
use crate::dma::{self, Buffer, Owner, Transfer};
use crate::drivers::nvme::namespace::LIMITS;
use crate::memory::frames::Frames;
use nvme::{Operation, Request};
use vm_test::{host, seed, vm_test};

const FIRST: u64 = 1000;
const BLOCKS: u64 = 8;
const DATA: u64 = BLOCKS * BLOCK;
const METADATA: u64 = BLOCKS * 8;

/// What a command reads or writes.
fn execute(disk: &Bare, operation: Operation, data: Transfer, metadata: Transfer) -> [Transfer; 2] {
    let done = wait(disk.hub.execute(Request {
        operation,
        data: Some(data),
        metadata: Some(metadata),
    }));
    done.result.expect("it goes well");
    [done.data, done.metadata].map(|transfer| transfer.expect("it comes back"))
}

fn from_device(disk: &Bare, memory: impl Owner) -> Transfer {
    let buffer = Buffer::from_device(memory.into_memory());
    let mapped = dma::map(buffer, disk.hub.domain(), &LIMITS);
    mapped.expect("it can be reached").into()
}

fn to_device(disk: &Bare, memory: impl Owner) -> Transfer {
    let buffer = Buffer::to_device(memory.into_memory());
    let mapped = dma::map(buffer, disk.hub.domain(), &LIMITS);
    mapped.expect("it can be reached").into()
}

/// The metadata pointer leads to a board, the data pointer to RAM: both are right for the host. And from there
/// to the disk again.
#[vm_test(machine = "ms=8,size=16M,ivshmem=1M", timeout = 60)]
fn e8_data_in_ram_and_metadata_on_a_board() {
    let disk = bare(0, 1);
    let image = disk.namespace.blocks * BLOCK + FIRST * 8;
    // Neither at the start of a page, nor in the first.
    let at = 100 * KIB + 24;
    set_canaries("ivshmem0", at, METADATA);
    let read = disk.namespace.read(FIRST, BLOCKS).expect("a read");
    let frames = Frames::zeroed(PAGE).unwrap();
    let region = provider("ivshmem0").claim(at, METADATA).unwrap();
    let (data, metadata) = (from_device(&disk, frames), from_device(&disk, region));
    let [data, metadata] = execute(&disk, read, data, metadata).map(Transfer::into_memory);
    let frames = Frames::from_memory(data).unwrap();
    host::assert_pattern(frames.phyr(), seed(), FIRST * BLOCK);
    host::assert_file_pattern("ivshmem0", at, METADATA, seed(), image);
    check_canaries("ivshmem0", at, METADATA);

    host::fill_pattern(frames.phyr(), seed() ^ 1, 0);
    host::fill_file("ivshmem0", at, METADATA, seed() ^ 2, 0);
    let write = disk.namespace.write(FIRST, BLOCKS).expect("a write");
    let (data, metadata) = (to_device(&disk, frames), to_device(&disk, metadata));
    drop(execute(&disk, write, data, metadata));
    host::assert_disk_pattern(0, FIRST * BLOCK, DATA, seed() ^ 1, 0);
    host::assert_disk_pattern(0, image, METADATA, seed() ^ 2, 0);
    // The metadata of the blocks on both sides is as it was.
    for beside in [image - 8, image + METADATA] {
        host::assert_disk_pattern(0, beside, 8, seed(), beside);
    }
    check_canaries("ivshmem0", at, METADATA);
}

/// The other way round, and neither in RAM: data on a board, metadata in video memory.
#[vm_test(machine = "ms=8,size=16M,ivshmem=1M,display", timeout = 60)]
fn e8_data_on_a_board_and_metadata_in_video_memory() {
    let disk = bare(0, 1);
    let image = disk.namespace.blocks * BLOCK + FIRST * 8;
    set_canaries("ivshmem0", PAGE, DATA);
    let read = disk.namespace.read(FIRST, BLOCKS).expect("a read");
    let region = provider("ivshmem0").claim(PAGE, DATA).unwrap();
    let video = provider("vram0").claim(5 * MIB + 40, METADATA).unwrap();
    let place = video.phyr();
    let (data, metadata) = (from_device(&disk, region), from_device(&disk, video));
    drop(execute(&disk, read, data, metadata));
    host::assert_file_pattern("ivshmem0", PAGE, DATA, seed(), FIRST * BLOCK);
    check_canaries("ivshmem0", PAGE, DATA);
    host::assert_physical(place, seed(), image);
}
