//! A screen of the hypervisor's, which shows what lies anywhere in memory.

use super::{KIB, PAGE, check_canaries, provider, set_canaries};
use crate::block::blocking::wait;
use crate::dma::{Mixed, Owner};
use crate::drivers::helpers;
use crate::drivers::virtio::gpu::{Gpu, Layout, Lines, ShowError};
use crate::memory::frames::Frames;
use crate::memory::regions::Region;
use crate::vm_tests::{apart, scattered};
use alloc::boxed::Box;
use alloc::sync::Arc;
use virtio::gpu::{GpuError, Size};
use virtio::{Error, RequestError};
use vm_test::{host, pattern, seed, vm_test};

const SIZE: Size = Size {
    width: 320,
    height: 192,
};
const PIXELS: u64 = 320 * 192;
const PAGES: u64 = PIXELS * 4 / PAGE;

/// From this byte on, from top to bottom.
const fn from(start: u64) -> Layout {
    Layout {
        size: SIZE,
        start,
        lines: Lines::Downwards,
    }
}

fn gpu() -> Arc<Gpu> {
    helpers::gpus().pop().expect("there is a screen")
}

/// How many pixels show the pattern from this byte on.
fn seen(offset: u64) -> u64 {
    host::equal_pixels(320, 192, seed(), offset)
}

/// A page of the pattern, from this byte on.
fn page(mut frames: Frames, offset: u64) -> Frames {
    pattern::fill(seed(), offset, frames.bytes_mut());
    frames
}

/// The pages of a picture lie anywhere, and are seen one after the other.
#[vm_test(machine = "gpu,ivshmem=1M", timeout = 60)]
fn a_picture_of_scattered_pages_is_seen() {
    let gpu = gpu();
    let screens = wait(gpu.handle().screens()).unwrap();
    assert!(!screens.is_empty());
    // No two pages touch, and the first pixel is not the first byte.
    for (first, skip) in [(0, 0), (77 * PAGE, 56)] {
        let mut mixed = Mixed::new();
        for (frames, number) in apart(PAGES as usize + 1).into_iter().zip(0..) {
            mixed.push(page(frames, first + number * PAGE));
        }
        let memory = wait(gpu.show(mixed, from(skip))).map_err(|(error, _)| error);
        assert_eq!(memory.unwrap().len() as u64, (PAGES + 1) * PAGE);
        assert_eq!(seen(first + skip), PIXELS);
        assert_eq!(seen(first + skip + 4), 0, "the witness looks");
    }
    // In one piece, which is one entry.
    let mut frames = Frames::allocate(PIXELS * 4).unwrap();
    pattern::fill(seed(), 4321 * PAGE, frames.bytes_mut());
    assert!(wait(gpu.show(frames, from(0))).is_ok());
    assert_eq!(seen(4321 * PAGE), PIXELS);
    // Part of it in the memory of a board, which the host has filled.
    set_canaries("ivshmem0", PAGE, 64 * KIB);
    host::fill_file("ivshmem0", PAGE, 64 * KIB, seed(), PAGE);
    let mut mixed = Mixed::new();
    mixed.push(page(Frames::allocate(PAGE).unwrap(), 0));
    mixed.push(provider("ivshmem0").claim(PAGE, 64 * KIB).unwrap());
    for (frames, number) in apart(PAGES as usize - 17).into_iter().zip(17..) {
        mixed.push(page(frames, number * PAGE));
    }
    let memory = wait(gpu.show(mixed, from(0))).map_err(|(error, _)| error);
    assert_eq!(seen(0), PIXELS);
    let mixed = Mixed::from_memory(memory.unwrap()).unwrap();
    let mut pieces = mixed.into_pieces().into_iter().skip(1);
    assert!(Region::from_memory(pieces.next().unwrap()).is_ok());
    check_canaries("ivshmem0", PAGE, 64 * KIB);
    host::assert_file_pattern("ivshmem0", PAGE, 64 * KIB, seed(), PAGE);
    // The lowest line first.
    let mut frames = Frames::allocate(PIXELS * 4).unwrap();
    let line = u64::from(SIZE.width) * 4;
    for (bytes, number) in frames.bytes_mut().chunks_exact_mut(line as usize).zip(1..) {
        pattern::fill(seed(), 99 * PAGE + PIXELS * 4 - number * line, bytes);
    }
    let upwards = Layout {
        lines: Lines::Upwards,
        ..from(0)
    };
    assert!(wait(gpu.show(frames, upwards)).is_ok());
    assert_eq!(seen(99 * PAGE), PIXELS);
    assert_eq!(
        gpu.handle().pictures(),
        2,
        "what is shown, and the one before"
    );
}

#[vm_test(machine = "gpu,iommu", timeout = 60)]
fn what_is_no_picture_is_not_shown_and_its_memory_comes_back() {
    let gpu = gpu();
    let frames = Frames::allocate(PIXELS * 4).unwrap();
    let (error, back) = wait(gpu.show(frames, from(1))).unwrap_err();
    let short = GpuError::Device(Error::Request(RequestError::Length));
    assert_eq!(error, ShowError::Driver(short));
    assert_eq!(back.map(|memory| memory.len() as u64), Some(PIXELS * 4));
    // And what is one is, through the IOMMU if the device asks it.
    let memory = Box::new(scattered(PAGES as usize));
    assert!(wait(gpu.show(memory, from(0))).is_ok());
}
