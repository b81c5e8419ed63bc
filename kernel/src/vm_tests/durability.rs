//! What is to be durable: what of it is in the command, and what QEMU makes of it.
//!
//! The command is read from the controller's own memory, by QEMU's monitor. What QEMU makes of it is seen on a
//! disk that fails to flush once: whoever needs a flush hears of it, and nobody else does.

use super::controller_memory::sent;
use super::disk;
use super::namespaces::controller;
use super::streams::counters;
use crate::block::blocking::wait;
use crate::block::{Durability, Operation, Request, Space};
use crate::drivers::nvme;
use crate::memory::frames::Frames;
use crate::println;
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: u64 = 4096;
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;
const WRITE_ZEROES: u8 = 0x08;
/// Force Unit Access: bit 30 of dword 12 (NVM command set specification 1.0, section 3.2.5).
const FUA: u64 = 1 << 30;
/// Eight blocks, less one.
const BLOCKS: u64 = 7;

fn filled(seed: u64) -> Frames {
    let mut frames = Frames::allocate(PAGE).expect("there is memory");
    pattern::fill(seed, 0, frames.bytes_mut());
    frames
}

/// Writes, durably and otherwise, and looks at the commands.
fn look_at_the_commands() {
    nvme::use_controller_memory(true);
    let disk = disk();
    let mine = seed() ^ 0xf0a;
    wait(disk.write(0x100, filled(mine))).expect("it writes");
    wait(disk.write_durable(0x200, filled(mine))).expect("it writes");
    wait(disk.read(0x300, filled(mine))).expect("it reads");
    for (block, durability) in [(0x400, Durability::Flushed), (0x500, Durability::Now)] {
        let operation = Operation::WriteZeroes {
            blocks: 8,
            space: Space::Keep,
            durability,
        };
        let done = wait(disk.execute(Request { block, operation }));
        done.result.expect("it writes zeros");
    }
    assert_eq!(sent(WRITE, 0x100, 1), [BLOCKS]);
    assert_eq!(sent(WRITE, 0x200, 1), [BLOCKS | FUA]);
    assert_eq!(sent(READ, 0x300, 1), [BLOCKS]);
    assert_eq!(sent(WRITE_ZEROES, 0x400, 1), [BLOCKS]);
    assert_eq!(sent(WRITE_ZEROES, 0x500, 1), [BLOCKS | FUA]);
    for block in [0x100, 0x200] {
        host::assert_disk_pattern(0, block * 512, PAGE, mine, 0);
    }
}

#[vm_test(machine = "cmb=16M,vwc=on,size=16M", timeout = 60)]
fn what_is_to_be_durable_at_once_says_so_and_nothing_else_does() {
    look_at_the_commands();
}

/// Whether a cache is there and on does not change the command: it may be turned on by somebody else.
#[vm_test(machine = "cmb=16M,vwc=off,size=16M", timeout = 60)]
fn the_command_is_the_same_without_a_write_cache() {
    look_at_the_commands();
}

/// Which of these has QEMU flush the image: a write, a durable write, a flush after a write.
fn who_flushes() -> [bool; 3] {
    let disk = disk();
    let write = || {
        let written = wait(disk.write(0x80, filled(seed())));
        drop(written.expect("it writes"));
    };
    let write_durable = || {
        let written = wait(disk.write_durable(0x90, filled(seed())));
        drop(written.expect("it writes"));
    };
    let write_and_flush = || {
        write();
        wait(disk.flush()).expect("it flushes");
    };
    let actions: [&dyn Fn(); 3] = [&write, &write_durable, &write_and_flush];
    let who = actions.map(|action| {
        control::faults(0, "flush once");
        let before = counters().driver.errors;
        // What fails once is tried again, and goes well.
        action();
        counters().driver.errors > before
    });
    control::faults(0, "");
    who
}

/// QEMU 7.2 takes no notice of Force Unit Access: a durable write is a write to it. So nothing is said of that here.
#[vm_test(machine = "vwc=on,size=16M", timeout = 60)]
fn a_write_cache_holds_writes_back_until_a_flush_or_until_it_is_turned_off() {
    let [write, durable, flush] = who_flushes();
    println!("with a cache, a durable write is flushed: {durable}");
    assert_eq!((write, flush), (false, true));
    wait(controller().set_write_cache(false)).expect("it is told");
    assert_eq!(who_flushes(), [true, true, true]);
    wait(controller().set_write_cache(true)).expect("it is told");
    let [write, _, flush] = who_flushes();
    assert_eq!((write, flush), (false, true));
    host::assert_disk_pattern(0, 0x90 * 512, PAGE, seed(), 0);
}

#[vm_test(machine = "vwc=off,size=16M", timeout = 60)]
fn without_a_write_cache_each_write_is_durable() {
    assert_eq!(who_flushes(), [true, true, true]);
}
