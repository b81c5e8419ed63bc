//! Memory that the hypervisor gets back: what is free is reported, and what it wants goes into the balloon. The host
//! looks at the machine's memory from outside, and at how much of it there is.

use crate::block::blocking::wait;
use crate::drivers::helpers;
use crate::drivers::virtio::balloon::{Balloon, LEAST};
use crate::memory::frames::{Frames, with_allocator};
use crate::vm_tests::streams::free_or_heap_bytes;
use alloc::sync::Arc;
use alloc::vec::Vec;
use embassy_futures::yield_now;
use phyr::Phyr;
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

fn balloon() -> Arc<Balloon> {
    let mut balloons = helpers::balloons();
    assert_eq!(balloons.len(), 1, "the machine has one balloon");
    balloons.remove(0)
}

/// Frames with a pattern that the host has looked at.
fn patterned(len: u64) -> Frames {
    let mut frames = Frames::allocate(len).unwrap();
    pattern::fill(!seed(), 0, frames.bytes_mut());
    host::assert_pattern(frames.phyr(), !seed(), 0);
    frames
}

/// What of a free extent nobody needs: in its first page is what the allocator knows of it.
fn unneeded(phyr: Phyr) -> Phyr {
    phyr.sub(PAGE, phyr.len() - PAGE).unwrap()
}

fn split(frames: Frames, at: u64) -> (Frames, Frames) {
    frames.split_at(at).unwrap()
}

#[vm_test(machine = "balloon,ram=256M", timeout = 60)]
fn e14_what_is_free_is_reported_as_it_is_and_gone() {
    const LEN: u64 = 17 * MIB + 5 * PAGE;
    let balloon = balloon();
    assert!(balloon.handle().can_report());
    let before = free_or_heap_bytes();
    // What is free and was touched already is reported first, so that only this counts.
    wait(balloon.report_free()).unwrap();
    let frames = patterned(8 * MIB + LEN + 8 * MIB);
    let (front, rest) = split(frames, 8 * MIB);
    let (middle, back) = split(rest, LEN);
    let gone = middle.phyr();
    // Between two that stay, and too short for a report.
    let frames = patterned(MIB + LEAST - PAGE + MIB);
    let (before_it, rest) = split(frames, MIB);
    let (short, behind_it) = split(rest, LEAST - PAGE);
    let short_one = short.phyr();
    drop(short);
    let (with_all, backed) = (free_or_heap_bytes(), host::backed());
    drop(middle);
    // Freed is not gone: the host still has it.
    host::assert_pattern(unneeded(gone), !seed(), 8 * MIB + PAGE);
    let reported = wait(balloon.report_free()).unwrap();
    assert!(reported.bytes >= LEN && reported.messages <= reported.phyrs);
    assert_eq!(
        free_or_heap_bytes(),
        with_all + LEN,
        "all of it is back in the allocator"
    );
    // From outside: zeros, and the host has as much memory more.
    assert_eq!(host::sum(unneeded(gone)), 0);
    let less = backed - host::backed();
    assert!(less.abs_diff(LEN) < MIB, "{less:#x} bytes");
    // What is in use beside it, on both sides, is untouched.
    host::assert_pattern(front.phyr(), !seed(), 0);
    host::assert_pattern(back.phyr(), !seed(), 8 * MIB + LEN);
    host::assert_pattern(unneeded(short_one), !seed(), MIB + PAGE);
    // It is ordinary memory: it reads as zeros, and holds what is written.
    let mut again = Frames::take(gone).unwrap();
    assert!(again.bytes()[PAGE as usize..].iter().all(|byte| *byte == 0));
    pattern::fill(seed(), 0, again.bytes_mut());
    host::assert_pattern(gone, seed(), 0);
    assert!(backed.abs_diff(host::backed()) < MIB);
    // In use, it is not reported.
    wait(balloon.report_free()).unwrap();
    host::assert_pattern(gone, seed(), 0);
    drop((front, back, again, before_it, behind_it));
    assert_eq!(free_or_heap_bytes(), before);
}

/// A gigabyte is one descriptor, however many of them there are side by side.
#[vm_test(machine = "balloon,ram=6G", timeout = 60)]
fn e14_gigabytes_are_reported_in_few_phyrs() {
    let balloon = balloon();
    let before = free_or_heap_bytes();
    let largest = with_allocator(|allocator| allocator.largest()).unwrap();
    assert!(largest.len() > 3 << 30);
    let reported = wait(balloon.report_free()).unwrap();
    assert!(
        before - reported.bytes < 8 * MIB,
        "{reported:?} of {before:#x}"
    );
    assert!(
        reported.phyrs < 16 && reported.messages < 16,
        "{reported:?}"
    );
    assert!(reported.messages >= reported.bytes >> 30);
    let after = with_allocator(|allocator| allocator.largest());
    assert_eq!((free_or_heap_bytes(), after), (before, Some(largest)));
    assert!(host::backed() < 64 * MIB);
}

/// The balloon, by what QEMU's monitor says of it.
fn actual_mib() -> u64 {
    let answer = control::monitor("info balloon");
    let text = core::str::from_utf8(answer.text()).unwrap();
    let number = text.trim().strip_prefix("balloon: actual=");
    number.and_then(|number| number.parse().ok()).unwrap()
}

#[vm_test(machine = "balloon,ram=256M", timeout = 60)]
fn e14_what_the_hypervisor_wants_goes_into_the_balloon_and_comes_back() {
    let balloon = balloon();
    // All memory is touched first.
    let before = free_or_heap_bytes();
    let mut all = Vec::with_capacity(4096);
    while let Some(largest) = with_allocator(|allocator| allocator.largest()) {
        let mut frames = Frames::allocate(largest.len()).unwrap();
        frames.bytes_mut().fill(0xa5);
        all.push(frames);
    }
    let kept = patterned_from(&mut all, 3 * MIB);
    drop(all);
    let (start, backed) = (free_or_heap_bytes(), host::backed());
    assert_eq!((actual_mib(), wait(balloon.adjust())), (256, Ok(0)));
    for wanted in [96, 100, 33, 0, 64, 0] {
        control::monitor(&alloc::format!("balloon {}", 256 - wanted));
        let pages = wait(balloon.adjust()).unwrap();
        assert_eq!(u64::from(pages) * PAGE, wanted * MIB);
        assert_eq!(balloon.handle().pages(), pages);
        assert_eq!(actual_mib(), 256 - wanted);
        assert_eq!(free_or_heap_bytes(), start - wanted * MIB);
        host::assert_pattern(kept.phyr(), !seed(), 0);
        if wanted == 96 {
            let less = backed - host::backed();
            assert!(less >= 96 * MIB, "{less:#x} bytes");
        }
    }
    // More than there is: what the kernel needs, it keeps.
    control::monitor("balloon 1");
    let pages = wait(balloon.adjust()).unwrap();
    assert!(u64::from(pages) * PAGE > 150 * MIB);
    let left = with_allocator(|allocator| allocator.free_bytes());
    assert!((15 * MIB..17 * MIB).contains(&left), "{left:#x} bytes");
    host::assert_pattern(kept.phyr(), !seed(), 0);
    wait(balloon.leave());
    drop(kept);
    assert_eq!(free_or_heap_bytes(), before);
}

/// Some of the memory that was taken, with a pattern.
fn patterned_from(all: &mut Vec<Frames>, len: u64) -> Frames {
    let at = all.iter().position(|frames| frames.phyr().len() > 2 * len);
    let (front, rest) = split(all.swap_remove(at.unwrap()), MIB);
    let (mut middle, back) = split(rest, len);
    all.extend([front, back]);
    pattern::fill(!seed(), 0, middle.bytes_mut());
    middle
}

/// What QEMU knows of the guest's memory: free, total, available.
fn known(balloon: &str) -> [u64; 3] {
    let answer = control::monitor(&alloc::format!("qom-get {balloon} guest-stats"));
    let text = core::str::from_utf8(answer.text()).unwrap();
    ["free", "total", "available"].map(|what| {
        let name = alloc::format!("\"stat-{what}-memory\": ");
        let (_, behind) = text.split_once(&*name).unwrap();
        let digits = behind.split(|other: char| !other.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    })
}

/// Where QEMU has the balloon among its objects.
fn object() -> alloc::string::String {
    let all = control::monitor("qom-list /machine/peripheral-anon");
    let text = core::str::from_utf8(all.text()).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("virtio-balloon-pci"))
        .unwrap();
    let name = line.split(' ').next().unwrap();
    alloc::format!("/machine/peripheral-anon/{name}")
}

/// It asks, and what it is told then is what the allocator says.
#[vm_test(machine = "balloon,ram=256M", timeout = 60)]
fn the_hypervisor_is_told_how_much_memory_there_is() {
    let (balloon, object) = (balloon(), object());
    control::monitor(&alloc::format!(
        "qom-set {object} guest-stats-polling-interval 1"
    ));
    let mut taken: Vec<Frames> = Vec::with_capacity(4);
    let mut before = None;
    for _ in 0..3 {
        let earlier = known(&object);
        let said = wait(async {
            loop {
                if let Some(said) = balloon.answer().unwrap() {
                    return said;
                }
                yield_now().await;
            }
        });
        let free = with_allocator(|allocator| allocator.free_bytes());
        assert!(said.free.abs_diff(free) < MIB, "{said:?} of {free:#x}");
        assert!((240 * MIB..=256 * MIB).contains(&said.total) && said.free < said.total);
        while known(&object) == earlier {
            wait(yield_now());
        }
        let all = [said.free, said.total, said.available];
        assert_eq!(known(&object), all);
        if let Some(before) = before {
            let less: u64 = before - said.free;
            assert!((32 * MIB..33 * MIB).contains(&less), "{less:#x} bytes");
        }
        before = Some(said.free);
        taken.push(Frames::allocate(32 * MIB).unwrap());
    }
}
