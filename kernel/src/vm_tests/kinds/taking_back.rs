//! Providers that take their memory back.

use super::super::disk;
use super::{BLOCK, KIB, MIB, PAGE, canary, check_canaries, provider};
use crate::block::BlockError;
use crate::block::blocking::wait;
use crate::dma::{BufferError, Mixed, Owner};
use crate::memory::frames::Frames;
use crate::memory::regions::{ClaimError, RegionError};
use alloc::boxed::Box;
use core::future::Future;
use vm_test::{host, pattern, seed, vm_test};

#[vm_test(machine = "nvme,size=16M,ivshmem=1M", timeout = 60)]
fn e3_taking_back_is_refused_while_a_request_is_under_way() {
    let provider = provider("ivshmem0");
    let disk = disk();
    vm_test::control::hold(0);
    let mut reading = Box::pin(disk.read(5, provider.claim(PAGE, 64 * KIB).unwrap()));
    let waker = core::task::Waker::noop();
    let mut cx = core::task::Context::from_waker(waker);
    assert!(reading.as_mut().poll(&mut cx).is_pending());
    assert_eq!(provider.uses(), 1);
    assert!(provider.try_revoke().is_err());
    // Nobody asks for it any more, and the device goes on.
    drop(reading);
    assert!(provider.try_revoke().is_err());
    vm_test::control::release(0);
    // It waits for the device, and lets nothing new begin.
    wait(async {
        let closing = provider.revoke();
        closing.await;
    });
    assert_eq!((provider.uses(), provider.is_revoked()), (0, true));
    assert_eq!(provider.free(), [provider.phyr()], "its memory came back");
    host::assert_file_pattern("ivshmem0", PAGE, 64 * KIB, seed(), 5 * BLOCK);
}

#[vm_test(machine = "nvme,size=16M,ivshmem=1M", timeout = 60)]
fn e4_nothing_reaches_what_was_taken_back() {
    let provider = provider("ivshmem0");
    host::fill_file("ivshmem0", 0, MIB, canary(), 0);
    let region = provider.claim(PAGE, 64 * KIB).unwrap();
    let region = wait(disk().read(5, region)).unwrap();
    provider.try_revoke().expect("nothing is under way");
    let failed = wait(disk().read(500, region)).unwrap_err();
    let revoked = BlockError::Buffer(BufferError::Region(RegionError::Revoked));
    assert_eq!(failed.error, revoked);
    let mut region = failed.memory.expect("the memory comes back");
    assert_eq!(region.write(0, &[1]), Err(RegionError::Revoked));
    // Also not as a piece of something larger, whose other pieces stay usable.
    let mut mixed = Mixed::new();
    mixed.push(Frames::zeroed(PAGE).unwrap());
    mixed.push(region);
    let failed = wait(disk().read(500, mixed)).unwrap_err();
    assert_eq!(failed.error, revoked);
    let pieces = failed.memory.unwrap().into_pieces();
    let frames = pieces.into_iter().next().map(Frames::from_memory);
    let frames = wait(disk().read(500, frames.unwrap().unwrap())).unwrap();
    let wrong = pattern::first_difference(seed(), 500 * BLOCK, frames.bytes());
    assert_eq!(wrong, None);
    assert_eq!(provider.claim(0, 1).unwrap_err(), ClaimError::Revoked);
    // The board has what it had before that, and nothing else.
    host::assert_file_pattern("ivshmem0", PAGE, 64 * KIB, seed(), 5 * BLOCK);
    check_canaries("ivshmem0", PAGE, 64 * KIB);
}

/// A board that is not there any more takes nothing, and the disk goes on.
#[vm_test(machine = "nvme,size=16M,ivshmem=1M", timeout = 60)]
fn e4_a_board_that_is_torn_out_takes_nothing_and_the_disk_goes_on() {
    let provider = provider("ivshmem0");
    host::fill_file("ivshmem0", 0, MIB, canary(), 0);
    let disk = disk();
    let region = wait(disk.read(5, provider.claim(PAGE, 4 * KIB).unwrap())).unwrap();
    host::assert_file_pattern("ivshmem0", PAGE, 4 * KIB, seed(), 5 * BLOCK);
    drop(region);
    vm_test::control::monitor("qom-set /machine/peripheral/ivshmem0 realized false");
    // Nobody has told the kernel. The transfers end, one way or the other, and nothing is where the board was.
    for block in [100, 200] {
        let region = provider.claim(512 * KIB, 64 * KIB).unwrap();
        match wait(disk.read(block, region)) {
            Ok(region) => {
                let mut word = [0; 8];
                region.read(0, &mut word).unwrap();
                assert_ne!(word, pattern::word(seed(), block * BLOCK / 8));
            }
            Err(failed) => drop(failed.memory),
        }
    }
    host::assert_file_pattern("ivshmem0", 512 * KIB, 64 * KIB, canary(), 512 * KIB);
    wait(provider.revoke());
    assert_eq!(provider.claim(0, 1).unwrap_err(), ClaimError::Revoked);
    let frames = wait(disk.read(500, Frames::zeroed(PAGE).unwrap())).unwrap();
    let wrong = pattern::first_difference(seed(), 500 * BLOCK, frames.bytes());
    assert_eq!(wrong, None);
}
