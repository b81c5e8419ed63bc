//! Guests: what they can do, and that they can do nothing else.
//!
//! The programs are a few bytes of 32-bit code, in the kernel's constants, and are copied into the
//! guest's memory. They run at whatever address they are put.

use super::streams::free_or_heap_bytes;
use super::{disk, scattered};
use crate::dma::Owner;
use crate::executor::block_on;
use crate::hypervisor::{Access, Exit, Guest, GuestAddr, GuestError, Ram, Reason, Unsupported};
use crate::memory::extents::Request;
use crate::memory::frames::{Frames, with_allocator};
use crate::memory::paging::LeafCount;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::global_asm;
use embassy_time::Duration;
use phyr::Phyr;
use vm_test::{control, host, pattern, seed, vm_test};

pub(super) const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Where programs are put, and where they find what they are asked: an address and a length.
pub(super) const ENTRY: u64 = 0x1000;
const QUESTION: usize = 0x800;

const PATIENCE: Duration = Duration::from_secs(20);

global_asm!(
    r#"
.section .rodata.guest_programs, "a"
.code32
.global guest_sum, guest_sum_end, guest_write, guest_write_end

// The sum of the bytes that the question names, in EDX:EAX.
guest_sum:
    mov esi, ds:[{question}]
    mov ecx, ds:[{question} + 4]
    xor eax, eax
    xor edx, edx
1:  movzx ebx, byte ptr [esi]
    add eax, ebx
    adc edx, 0
    inc esi
    dec ecx
    jnz 1b
    vmmcall
    jmp guest_sum               // once more, of what the question is then
guest_sum_end:

// Each byte that the question names becomes the low byte of its address, inverted.
guest_write:
    mov esi, ds:[{question}]
    mov ecx, ds:[{question} + 4]
2:  mov eax, esi
    not eax
    mov [esi], al
    inc esi
    dec ecx
    jnz 2b
    vmmcall
guest_write_end:
.code64
.text
"#,
    question = const QUESTION,
);

unsafe extern "C" {
    static guest_sum: u8;
    static guest_sum_end: u8;
    static guest_write: u8;
    static guest_write_end: u8;
}

/// The bytes from one symbol to another.
fn program(start: *const u8, end: *const u8) -> &'static [u8] {
    // SAFETY: both are symbols of the assembly above, in the order in which they are given; constants
    // stay for ever.
    unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

pub(super) fn sum_program() -> &'static [u8] {
    program(&raw const guest_sum, &raw const guest_sum_end)
}

pub(super) fn write_program() -> &'static [u8] {
    program(&raw const guest_write, &raw const guest_write_end)
}

fn aligned(len: u64, align: u64) -> Frames {
    let below = None;
    Frames::request(Request { len, align, below }).expect("the machine has the memory")
}

/// Makes a guest of memory, with a program at its entry.
pub(super) fn guest_of<R: Ram>(ram: R, code: &[u8]) -> Guest<R> {
    let guest = Guest::new(ram, GuestAddr::new(ENTRY));
    let Ok(mut guest) = guest else {
        panic!("the machine runs guests");
    };
    guest.ram_mut()[ENTRY as usize..][..code.len()].copy_from_slice(code);
    guest
}

/// A guest with two pages of zeros, of which the second begins with the program.
pub(super) fn small(code: &[u8]) -> Guest<Frames> {
    guest_of(Frames::zeroed(2 * PAGE).unwrap(), code)
}

pub(super) fn ask<R: Ram>(guest: &mut Guest<R>, at: u64, len: u64) {
    let question = &mut guest.ram_mut()[QUESTION..][..8];
    question[..4].copy_from_slice(&(at as u32).to_le_bytes());
    question[4..].copy_from_slice(&(len as u32).to_le_bytes());
}

pub(super) fn run<R: Ram>(guest: &mut Guest<R>) -> Exit {
    block_on(guest.run(PATIENCE)).expect("the core runs guests")
}

pub(super) fn answer<R: Ram>(guest: &mut Guest<R>) -> u64 {
    match run(guest).reason {
        Reason::Answer(value) => value,
        other => panic!("the guest does not answer: {other}"),
    }
}

fn leaves(gib_1: u64, mib_2: u64, kib_4: u64) -> LeafCount {
    LeafCount {
        gib_1,
        mib_2,
        kib_4,
    }
}

fn pattern_sum(seed: u64, position: u64, len: u64) -> u64 {
    (position..position + len)
        .map(|at| u64::from(pattern::byte(seed, at)))
        .sum()
}

/// What is free. Room is made first, because the heap must not be used under the lock.
fn free_extents() -> Vec<Phyr> {
    let mut list = Vec::with_capacity(1024);
    with_allocator(|allocator| {
        allocator.check().expect("the allocator is in order");
        for extent in allocator.extents() {
            assert!(list.len() < list.capacity(), "more extents than expected");
            list.push(extent);
        }
    });
    list
}

// ANCHOR: b6
/// Row B6: a disk reads straight into a guest's memory, and the guest sums what it finds there.
#[vm_test(machine = "nvme,size=16M,svm,trace=pci_nvme_map_addr", timeout = 60)]
fn b6_a_disk_reads_straight_into_a_guest_that_sums_it() {
    // The guest's phyr lies between two canaries, and is one itself.
    let whole = aligned(3 * 2 * MIB, 2 * MIB);
    let (mut front, rest) = whole.split_at(2 * MIB).unwrap();
    let (mut ram, mut back) = rest.split_at(2 * MIB).unwrap();
    let memory = ram.phyr();
    let mine = |number: u64| seed() ^ number;
    for (number, canary) in (1..).zip([&mut front, &mut ram, &mut back]) {
        pattern::fill(mine(number), 0, canary.bytes_mut());
    }
    let mut guest = guest_of(ram, sum_program());
    let device = disk();

    // One block at an odd place; many pages; up to the guest's last byte.
    let transfers = [(0x5200, 5, 512), (0x1_0000, 77, 64 << 10), (MIB, 4096, MIB)];
    for (at, block, len) in transfers {
        control::trace_mark();
        // All that the allocator knows is what is free. Of the guest's memory it knows nothing.
        let free = free_extents();
        let (processor, ram) = guest.split();
        let part = ram.into_memory().part(at as usize..(at + len) as usize);
        let part = block_on(device.read(block, part.unwrap())).unwrap();
        guest = processor.join(Frames::from_memory(part).unwrap()).unwrap();
        // The device was told where in the guest's memory, and not of a page to copy through.
        let target = memory.sub(at, len).unwrap();
        let told = alloc::format!("pci_nvme_map_addr addr {:#x} ", target.addr().get());
        assert_eq!(control::trace_count(&told), 1, "{told}");

        ask(&mut guest, at, len);
        let sum = answer(&mut guest);
        // The host knows it by two ways: the disk's pattern, and the file that is the machine's memory.
        let position = block * 512;
        assert_eq!(sum, pattern_sum(seed(), position, len), "{target}");
        assert_eq!(sum, host::sum(target));
        host::assert_pattern(target, seed(), position);
        assert_eq!(free_extents(), free);
    }
    let mut at = 2 * PAGE;
    for (next, _, len) in transfers {
        let between = memory.sub(at, next - at).unwrap();
        host::assert_pattern(between, mine(2), at);
        at = next + len;
    }
    host::assert_pattern(front.phyr(), mine(1), 0);
    host::assert_pattern(back.phyr(), mine(3), 0);
    assert_eq!(guest.leaves(), leaves(0, 1, 0));
}
// ANCHOR_END: b6

#[vm_test(machine = "ram=4G,svm")]
fn b6_a_guest_of_1_gib_is_one_phyr_and_one_leaf() {
    let ram = aligned(GIB, GIB);
    let before = free_or_heap_bytes();
    let mut guest = guest_of(ram, sum_program());
    assert_eq!(guest.leaves(), leaves(1, 0, 0));
    assert!(
        before - free_or_heap_bytes() < 2 * MIB,
        "tables and control blocks are a few pages"
    );
    // The leaf leads to the memory, up to its last byte.
    for at in [QUESTION as u64 + 8, GIB / 2 - 5, GIB - 64] {
        pattern::fill(seed() ^ at, 0, &mut guest.ram_mut()[at as usize..][..64]);
        ask(&mut guest, at, 64);
        assert_eq!(
            answer(&mut guest),
            pattern_sum(seed() ^ at, 0, 64),
            "at {at:#x}"
        );
    }
    ask(&mut guest, GIB - 1, 2);
    let (address, access) = (GuestAddr::new(GIB), Access::Read);
    assert_eq!(
        run(&mut guest).reason,
        Reason::NestedFault { address, access }
    );
}

#[vm_test(machine = "ram=4G,svm")]
fn b6_the_largest_leaves_that_fit_map_a_guest() {
    let of = |len, align, skip| {
        let ram = aligned(len + skip, align);
        let ram = if skip == 0 {
            ram
        } else {
            ram.split_at(skip).unwrap().1
        };
        guest_of(ram, sum_program()).leaves()
    };
    assert_eq!(of(2 * PAGE, PAGE, 0), leaves(0, 0, 2));
    assert_eq!(of(2 * MIB, 2 * MIB, 0), leaves(0, 1, 0));
    assert_eq!(of(2 * MIB, 2 * MIB, PAGE), leaves(0, 0, 512));
    assert_eq!(of(GIB + 4 * MIB + PAGE, GIB, 0), leaves(1, 2, 1));
    assert_eq!(of(GIB, GIB, 2 * MIB), leaves(0, 512, 0));
}

/// A guest sees side by side what lies anywhere, in descending order even.
#[vm_test(machine = "nvme,size=16M,svm", timeout = 60)]
fn b6_a_guest_of_scattered_pages_is_read_into_as_well() {
    let mut guest = guest_of(Box::new(scattered(40)), sum_program());
    assert_eq!(guest.leaves(), leaves(0, 0, 40));
    let (at, block, len) = (3 * PAGE + 512, 9, 30 * PAGE);
    let (processor, ram) = guest.split();
    let part = ram
        .into_memory()
        .part(at as usize..(at + len) as usize)
        .unwrap();
    let part = block_on(disk().read(block, part)).unwrap();
    guest = processor.join(Box::from_memory(part).unwrap()).unwrap();
    ask(&mut guest, at, len);
    assert_eq!(answer(&mut guest), pattern_sum(seed(), block * 512, len));
}

#[vm_test(machine = "svm")]
fn the_kernel_sees_what_a_guest_writes() {
    let (at, len) = (3 * PAGE - 100, 5000);
    let mut ram = Frames::allocate(8 * PAGE).unwrap();
    pattern::fill(seed(), 0, ram.bytes_mut());
    let mut guest = guest_of(ram, write_program());
    ask(&mut guest, at, len);
    answer(&mut guest);
    let written = |at: u64| !(at as u8);
    for (index, byte) in (at..).zip(&guest.ram().bytes()[at as usize..][..len as usize]) {
        assert_eq!(*byte, written(index), "at {index:#x}");
    }
    // And the host sees the same, and the rest as it was.
    let memory = guest.ram().phyr();
    let sum = (at..at + len).map(|at| u64::from(written(at))).sum::<u64>();
    assert_eq!(host::sum(memory.sub(at, len).unwrap()), sum);
    let before = memory.sub(2 * PAGE, at - 2 * PAGE).unwrap();
    host::assert_pattern(before, seed(), 2 * PAGE);
    let behind = memory.sub(at + len, 8 * PAGE - at - len).unwrap();
    host::assert_pattern(behind, seed(), at + len);
}

#[vm_test(machine = "svm")]
fn memory_that_a_guest_never_had_is_not_joined() {
    let (processor, ram) = small(sum_program()).split();
    let (processor, other) = processor
        .join(Frames::zeroed(2 * PAGE).unwrap())
        .unwrap_err();
    let (front, back) = ram.split_at(PAGE).unwrap();
    let (processor, front) = processor.join(front).unwrap_err();
    drop(other);
    let mut guest = processor.join(front.try_merge(back).unwrap()).unwrap();
    ask(&mut guest, 0, 16);
    assert_eq!(answer(&mut guest), 0);
}

/// A guest that is gone while a device has its memory.
#[vm_test(machine = "nvme,size=16M,svm")]
fn a_guest_may_be_dropped_while_a_device_has_its_memory() {
    let device = disk();
    let twice = || {
        let (processor, ram) = guest_of(aligned(2 * MIB, 2 * MIB), sum_program()).split();
        let mut read = Box::pin(device.read(0, ram));
        let started = embassy_futures::poll_once(read.as_mut());
        assert!(started.is_pending(), "the device takes longer than that");
        drop((read, processor));
        while device.outstanding() > 0 {
            block_on(embassy_futures::yield_now());
        }
    };
    // What is made once is made the first time.
    twice();
    let before = free_or_heap_bytes();
    twice();
    assert_eq!(free_or_heap_bytes(), before);
}

#[vm_test(machine = "ram=8G,svm")]
fn a_guest_has_no_more_memory_than_its_processor_reaches() {
    let (error, ram) = Guest::new(aligned(4 * GIB + PAGE, PAGE), GuestAddr::new(0)).unwrap_err();
    assert_eq!(error, GuestError::Unreachable);
    let (_, ram) = ram.split_at(PAGE).unwrap();
    let (error, ram) = Guest::new(ram, GuestAddr::new(4 * GIB)).unwrap_err();
    assert_eq!(error, GuestError::Unreachable);
    assert!(Guest::new(ram, GuestAddr::new(4 * GIB - 1)).is_ok());
}

fn refused() -> Unsupported {
    let memory = Frames::allocate(2 * PAGE).unwrap();
    let phyr = memory.phyr();
    let (error, back) = Guest::new(memory, GuestAddr::new(ENTRY)).unwrap_err();
    assert_eq!(back.phyr(), phyr);
    match error {
        GuestError::Unsupported(reason) => reason,
        other => panic!("{other}"),
    }
}

#[vm_test(machine = "cpu-without=svm")]
fn without_svm_there_are_no_guests_and_the_memory_comes_back() {
    let reason = refused();
    assert_eq!(reason, Unsupported::NoSvm);
    assert_eq!(
        alloc::format!("{reason}"),
        "this CPU has no SVM, so it can run no guests"
    );
}

#[vm_test(machine = "cpu-without=npt")]
fn without_nested_paging_there_are_no_guests() {
    assert_eq!(refused(), Unsupported::NoNestedPaging);
}
