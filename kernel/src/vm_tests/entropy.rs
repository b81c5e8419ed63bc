//! Entropy devices: random bytes into memory of any kind. What the device gives is a file of the host's with a known
//! content, so each byte can be looked at.

use crate::block::blocking::wait;
use crate::dma::{Memory, Mixed, Owner};
use crate::drivers::helpers;
use crate::drivers::virtio::AskError;
use crate::drivers::virtio::entropy::{Entropy, SEED};
use crate::memory::address_space::AddressSpace;
use crate::memory::frames::Frames;
use crate::memory::paging::Rights;
use crate::memory::pins::Access;
use crate::memory::regions::{self, Provider};
use crate::random;
use crate::vm_tests::streams::free_or_heap_bytes;
use crate::vm_tests::{apart, scattered};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use vm_test::{host, pattern, seed, vm_test};

const PAGE: u64 = 4096;
const CANARY: u8 = 0xc5;

fn source() -> Arc<Entropy> {
    let mut sources = helpers::sources();
    assert_eq!(sources.len(), 1, "the machine has one source");
    sources.remove(0)
}

fn board(name: &str) -> Arc<Provider> {
    regions::find(name).expect("the machine has such memory")
}

/// Lets the device fill all of the memory, and looks whether that are the bytes of the file from `position` on.
/// QEMU gives all that is asked for, up to 64 KiB.
fn fill(source: &Entropy, memory: impl Owner, position: &mut u64) -> Memory {
    let memory = memory.into_memory();
    let len = memory.len();
    let (memory, filled) = wait(source.fill(memory)).unwrap();
    assert_eq!(filled, len);
    let mut bytes = vec![0; len];
    memory.copy_to(0, &mut bytes).unwrap();
    let different = pattern::first_difference(seed(), *position, &bytes);
    assert_eq!(different, None, "{len} bytes from {position} on");
    *position += len as u64;
    memory
}

/// Frames of which all is canary.
fn frames(pages: u64) -> Frames {
    let mut frames = Frames::allocate(pages * PAGE).unwrap();
    frames.bytes_mut().fill(CANARY);
    frames
}

fn assert_canary(bytes: &[u8]) {
    assert!(bytes.iter().all(|byte| *byte == CANARY));
}

#[vm_test(machine = "entropy,ivshmem=1M", timeout = 60)]
fn e11_entropy_is_written_into_memory_of_every_kind() {
    let source = source();
    // What the kernel's pool was given at boot.
    let mut at = SEED as u64;
    assert_eq!(random::origin().device, at);
    // RAM, at any byte, with canaries on both sides.
    for (start, len) in [(0, 4096), (1, 1), (4095, 2), (77, 5000), (4097, 12_000)] {
        let first = at;
        let memory = frames(5).into_memory().part(start..start + len).unwrap();
        let memory = fill(&source, memory, &mut at).whole();
        assert_canary(&memory.bytes()[..start]);
        assert_canary(&memory.bytes()[start + len..]);
        let frames = Frames::from_memory(memory).unwrap();
        let part = frames.phyr().sub(start as u64, len as u64).unwrap();
        host::assert_pattern(part, seed(), first);
    }
    // RAM in pieces that do not touch.
    let memory = Box::new(scattered(4)).into_memory();
    drop(fill(&source, memory, &mut at));
    // A board's memory, as the host sees it.
    let board = board("ivshmem0");
    host::fill_file("ivshmem0", 0, 1 << 20, !seed(), 0);
    let first = at;
    let region = board.claim(3 * PAGE, PAGE).unwrap();
    drop(fill(&source, region, &mut at));
    host::assert_file_pattern("ivshmem0", 3 * PAGE, PAGE, seed(), first);
    host::assert_file_pattern("ivshmem0", 0, 3 * PAGE, !seed(), 0);
    let behind = 4 * PAGE;
    host::assert_file_pattern("ivshmem0", behind, (1 << 20) - behind, !seed(), behind);
    // Both in one request, and RAM again.
    let first = at;
    let mut mixed = Mixed::new();
    mixed.push(frames(1).into_memory().part(100..300).unwrap());
    mixed.push(board.claim(8 * PAGE, PAGE).unwrap());
    mixed.push(frames(1).into_memory().part(5..6).unwrap());
    drop(fill(&source, mixed, &mut at));
    host::assert_file_pattern("ivshmem0", 8 * PAGE, PAGE, seed(), first + 200);
    // A program's, which is pinned.
    let space = AddressSpace::new().unwrap();
    let mapped = space.map(apart(3), Rights::ReadWrite).unwrap();
    let part = mapped.without_prefix(PAGE - 9).unwrap().prefix(PAGE + 20);
    let pinned = space.pin(part.unwrap(), Access::Write).unwrap();
    drop(fill(&source, Box::new(pinned), &mut at));
    assert_eq!(space.usage().pins, 0);
    // The heap's.
    drop(fill(&source, vec![0_u8; 1000], &mut at));
}

#[vm_test(machine = "entropy,iommu", timeout = 60)]
fn e11_memory_that_does_not_suit_comes_back() {
    let source = source();
    let before = free_or_heap_bytes();
    for pieces in [5, 9] {
        let memory = Box::new(scattered(pieces)).into_memory();
        let failed = wait(source.fill(memory)).unwrap_err();
        let AskError::Driver(virtio::Error::Request(error)) = failed.0 else {
            panic!("{failed:?}");
        };
        let offset = 4 * PAGE;
        assert_eq!(error, virtio::RequestError::Pieces { offset });
        assert!(failed.1.is_some());
    }
    let nothing = alloc::vec::Vec::<u8>::new();
    assert!(wait(source.fill(nothing)).is_err());
    assert_eq!(free_or_heap_bytes(), before);
    // None of that has used any of the file.
    let mut at = SEED as u64;
    drop(fill(&source, frames(1), &mut at));
    assert_eq!(source.handle().failure(), None);
}

#[vm_test(machine = "entropy", timeout = 60)]
fn the_kernels_random_bytes_say_what_they_come_from() {
    let origin = random::origin();
    assert_eq!((origin.device, origin.has_source()), (SEED as u64, true));
    assert!(origin.jitter > 0);
    let mut all = alloc::collections::BTreeSet::new();
    for _ in 0..1000 {
        assert!(all.insert(random::number()));
    }
    // The file's bytes are not handed on as they are.
    let mut bytes = [0; SEED];
    random::fill(&mut bytes);
    assert!(pattern::first_difference(seed(), 0, &bytes).is_some_and(|at| at < 8));
    let source = source();
    wait(source.seed(10_000)).unwrap();
    assert_eq!(random::origin().device, SEED as u64 + 10_000);
    // As many of the file as were mixed in.
    let mut at = SEED as u64 + 10_000;
    drop(fill(&source, frames(1), &mut at));
}

#[vm_test(machine = "cpu-without=rdrand+rdseed", timeout = 60)]
fn without_any_source_the_kernel_says_so() {
    let origin = random::origin();
    let none = (origin.device, origin.rdseed, origin.rdrand);
    assert_eq!(none, (0, 0, 0));
    assert!(!origin.has_source() && origin.jitter > 0);
    assert!(helpers::sources().is_empty());
    assert_ne!(random::number(), random::number());
}
