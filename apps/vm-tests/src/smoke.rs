//! The least that must work before any other test means something.

use kernel::memory::frames::Frames;
use vm_test::{host, pattern, seed, vm_test};

/// The length of the memory that the tests below use.
const LEN: u64 = 16 * 1024;

#[vm_test]
fn boots_and_returns() {}

/// Tells the host how much was executed before this. The host compares machines.
#[vm_test]
fn tells_how_long_booting_took() {
    // SAFETY: reading the time stamp has no effect.
    let ticks = unsafe { core::arch::x86_64::_rdtsc() };
    vm_test::record::note(format_args!("ticks {ticks}"));
}

#[vm_test(machine = "firmware=qboot")]
fn boots_on_the_fast_firmware() {}

#[vm_test]
fn may_return_a_result() -> Result<(), &'static str> {
    Ok(())
}

#[vm_test(should_panic = "a message of 42")]
fn a_panic_that_is_meant_passes() {
    panic!("a message of {}", 42);
}

#[vm_test]
fn the_host_gives_a_seed() {
    assert_ne!(seed(), 0, "one boot of 2^64 may fail here");
}

#[vm_test]
fn the_host_sees_what_the_guest_writes() {
    let mut frames = Frames::allocate(LEN).expect("the machine has memory");
    pattern::fill(seed(), 0, frames.bytes_mut());
    host::assert_pattern(frames.phyr(), seed(), 0);
    let sum = frames
        .bytes()
        .iter()
        .map(|&byte| u64::from(byte))
        .sum::<u64>();
    assert_eq!(host::sum(frames.phyr()), sum);
}

#[vm_test(should_panic = "the host sees byte 4097 of")]
fn the_host_sees_one_wrong_byte() {
    let mut frames = Frames::allocate(LEN).expect("the machine has memory");
    pattern::fill(seed(), 0, frames.bytes_mut());
    frames.bytes_mut()[4097] ^= 1;
    host::assert_pattern(frames.phyr(), seed(), 0);
}

#[vm_test]
fn the_guest_sees_what_the_host_writes() {
    let mut frames = Frames::zeroed(LEN).expect("the machine has memory");
    // The exclusive borrow tells the compiler that the bytes may have changed.
    core::hint::black_box(frames.bytes_mut());
    host::fill_pattern(frames.phyr(), seed(), 8);
    core::hint::black_box(frames.bytes_mut());
    assert_eq!(pattern::first_difference(seed(), 8, frames.bytes()), None);
}

#[vm_test(machine = "ram=6G")]
fn the_host_finds_memory_above_4_gib() {
    // Larger than all memory below 4 GiB together.
    let frames = Frames::allocate(3 << 30).expect("4 GiB are in one piece");
    assert!(frames.phyr().addr().get() >= 1 << 32, "{}", frames.phyr());
    let last = frames
        .phyr()
        .sub((3 << 30) - LEN, LEN)
        .expect("it is inside");
    host::fill_pattern(last, seed(), 0);
    let at = frames.bytes().len() - LEN as usize;
    let bytes = core::hint::black_box(&frames.bytes()[at..]);
    assert_eq!(pattern::first_difference(seed(), 0, bytes), None);
}

#[vm_test(machine = "disks=2")]
fn the_host_reads_disks_past_the_guest() {
    let frames = Frames::allocate(LEN).expect("the machine has memory");
    for disk in 0..2 {
        host::assert_disk_pattern(disk, 4096, 100_000, seed().wrapping_add(disk), 4096);
        host::read_disk(disk, 4096, frames.phyr());
        host::assert_pattern(frames.phyr(), seed().wrapping_add(disk), 4096);
        assert_eq!(
            host::sha256(frames.phyr()),
            host::disk_sha256(disk, 4096, LEN)
        );
    }
}

#[vm_test(should_panic = "the machine has no disk 0")]
fn the_host_says_what_it_cannot_do() {
    host::disk_sha256(0, 0, 1);
}
