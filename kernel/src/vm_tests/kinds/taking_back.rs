//! Providers that take their memory back.

use super::super::disk;
use super::{BLOCK, KIB, MIB, PAGE, canary, check_canaries, provider};
use crate::block::BlockError;
use crate::block::blocking::wait;
use crate::dma::{BufferError, Mixed, Owner};
use crate::machine::machine;
use crate::memory::frames::Frames;
use crate::memory::regions::{ClaimError, RegionError};
use crate::pci::{ConfigRead, Function, header};
use alloc::boxed::Box;
use core::future::Future;
use embassy_futures::yield_now;
use vm_test::{control, host, pattern, seed, vm_test};

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

/// Writes to the command register of the board, from outside: whether it decodes the addresses of its memory.
fn decodes(is_on: bool) {
    const IVSHMEM: u32 = 0x1110_1af4;
    let tree = machine().pci.as_ref().unwrap();
    let is_board = |function: &Function| {
        IVSHMEM == u32::from(function.device) << 16 | u32::from(function.vendor)
    };
    let board = tree.functions().into_iter().find(is_board).unwrap().address;
    let read = || tree.owners().config().read(board, header::COMMAND);
    let command = match is_on {
        true => read() | header::COMMAND_MEMORY,
        false => read() & !header::COMMAND_MEMORY,
    } as u16;
    let (bus, device, function) = (board.bus(), board.device(), board.function());
    let place = 0x8000_0000
        | u32::from(bus) << 16
        | u32::from(device) << 11
        | u32::from(function) << 8
        | u32::from(header::COMMAND);
    control::monitor(&alloc::format!("o/w 0xcf8 {place:#x}"));
    control::monitor(&alloc::format!("o/h 0xcfc {command:#x}"));
    assert_eq!(read() & header::COMMAND_MEMORY != 0, is_on);
}

/// The board does not answer at its addresses any more, and nobody has told the kernel: what is under way ends, and
/// nothing is written but where it was to go. When it answers again, all is as before.
#[vm_test(machine = "nvme,size=16M,ivshmem=1M,trace=pci_nvme_read", timeout = 60)]
fn e4_with_decoding_off_a_request_under_way_ends_and_later_ones_write_nothing() {
    let provider = provider("ivshmem0");
    host::fill_file("ivshmem0", 0, MIB, canary(), 0);
    let disk = disk();
    control::hold(0);
    control::trace_mark();
    let region = provider.claim(256 * KIB, 64 * KIB).unwrap();
    let mut reading = Box::pin(disk.read(5, region));
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    assert!(reading.as_mut().poll(&mut cx).is_pending());
    // The disk has it, and is held back behind the look at where it goes.
    while control::trace_count("pci_nvme_read") == 0 {
        wait(yield_now());
    }
    decodes(false);
    control::release(0);
    let under_way = wait(reading).is_ok();
    // What comes now goes nowhere.
    for block in [100, 200] {
        let region = provider.claim(512 * KIB, 64 * KIB).unwrap();
        match wait(disk.read(block, region)) {
            Ok(region) => {
                let mut word = [0; 8];
                region.read(0, &mut word).unwrap();
                assert_ne!(
                    word,
                    pattern::word(seed(), block * BLOCK / 8),
                    "nobody answers"
                );
            }
            Err(failed) => drop(failed.memory),
        }
    }
    host::assert_file_pattern("ivshmem0", 512 * KIB, 64 * KIB, canary(), 512 * KIB);
    decodes(true);
    // QEMU had looked already where it was to go, as a device has that has sent its writes on their way.
    assert!(under_way);
    host::assert_file_pattern("ivshmem0", 256 * KIB, 64 * KIB, seed(), 5 * BLOCK);
    check_canaries("ivshmem0", 256 * KIB, 64 * KIB);
    let region = provider.claim(512 * KIB, 64 * KIB).unwrap();
    drop(wait(disk.read(200, region)).unwrap());
    host::assert_file_pattern("ivshmem0", 512 * KIB, 64 * KIB, seed(), 200 * BLOCK);
}
