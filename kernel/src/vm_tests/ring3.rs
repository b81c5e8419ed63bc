//! Programs in ring 3: what they can do, what they cannot, and that the kernel goes on.

use super::programs::{CODE, End, Entry, Error, STACK, at, hurried, program, range, serve, space};
use super::streams::free_or_heap_bytes;
use super::{apart, disk};
use crate::arch::ring3::{Context, Event, Fault, General, enter};
use crate::arch::vectors;
use crate::block::blocking::wait;
use crate::memory::DIRECT_MAP;
use crate::memory::address_space::AddressSpace;
use crate::memory::extents::Request;
use crate::memory::frames::Frames;
use crate::memory::mapping::Mapping;
use crate::memory::paging::{Cache, LeafCount, Rights};
use crate::memory::pins::Access;
use crate::memory::virt::VirtRange;
use crate::user::Stop;
use crate::{cores, executor, interrupts};
use alloc::rc::Rc;
use core::cell::Cell;
use embassy_futures::yield_now;
use vm_test::{host, seed, vm_test};
use x86_64::registers::control::{Cr4, Cr4Flags};

const DATA: u64 = 0x10_0000_0000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Lets a program read into a buffer of its own and look at it, and lets the host look, too.
fn reads(space: AddressSpace, buffer: VirtRange, position: u64) {
    let (start, len) = (buffer.start().get(), buffer.len());
    let pinned = space.pin(buffer, Access::Read).unwrap();
    let memory = pinned.phyrs().try_clone().unwrap();
    drop(pinned);
    let arguments = [start, len, position, seed()];
    let mut program = program(space, Entry::program_read, arguments);
    let end = wait(serve(&mut program, Some(&*disk())));
    let End::Exit(0, sum) = end else {
        panic!("{len:#x} bytes at {start:#x}: {end:x?}");
    };
    let mut done = 0;
    let mut expected = 0;
    for phyr in &memory {
        host::assert_pattern(phyr, seed(), position + done);
        expected += host::sum(phyr);
        done += phyr.len();
    }
    assert_eq!((sum, done), (expected, len));
    assert_eq!(program.space().usage().pins, 0);
}

fn aligned(len: u64, align: u64) -> Frames {
    let below = None;
    let mut frames = Frames::request(Request { len, align, below }).unwrap();
    if len <= 16 * MIB {
        frames.bytes_mut().fill(0xc5);
    }
    frames
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn a_program_reads_from_the_disk_into_fragmented_pages() {
    for (offset, len) in [(0, 300 * 4096), (512, 4096), (1024, 100 * 4096 + 512)] {
        let space = space();
        space
            .map_at(at(DATA), apart(301), Rights::ReadWrite)
            .unwrap();
        reads(space, range(DATA + offset, len), 5 * 4096);
    }
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn a_program_reads_from_the_disk_into_pages_of_2_mib() {
    let space = space();
    let frames = aligned(6 * MIB, 2 * MIB);
    let mapped = space.map_at(at(DATA), frames, Rights::ReadWrite).unwrap();
    assert_eq!(space.leaves(mapped).mib_2, 3);
    reads(space, range(DATA + 4096, 5 * MIB), MIB);
}

#[vm_test(machine = "nvme,size=64M,ram=4G", timeout = 120)]
fn a_program_reads_from_the_disk_into_a_page_of_1_gib() {
    let space = space();
    let mapped = space
        .map_at(at(DATA), aligned(GIB, GIB), Rights::ReadWrite)
        .unwrap();
    let one = LeafCount {
        gib_1: 1,
        ..LeafCount::default()
    };
    assert_eq!(space.leaves(mapped), one);
    let all = space.pin(mapped, Access::Write).unwrap();
    assert_eq!(all.phyrs().len(), 1);
    drop(all);
    reads(space, range(DATA + 333 * MIB + 512, 48 * MIB), 8 * MIB);
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn read_refuses_what_is_not_the_programs_to_be_written() {
    // The first read makes the core's queues, which stay.
    disk().read_now(0, &mut [0; 512]).unwrap();
    let before = free_or_heap_bytes();
    let refused = |start: u64, len: u64| {
        let space = space();
        space.map_at(at(DATA), apart(2), Rights::ReadWrite).unwrap();
        let fixed = Frames::zeroed(4096).unwrap();
        space
            .map_at(at(DATA + 2 * 4096), fixed, Rights::ReadOnly)
            .unwrap();
        let mut program = program(space, Entry::program_only_read, [start, len, 0, 0]);
        match wait(serve(&mut program, Some(&*disk()))) {
            End::Exit(status, 0) => status as i64,
            end => panic!("{end:x?}"),
        }
    };
    let kernel = DIRECT_MAP + MIB;
    let cases = [
        (kernel, 512, Error::NotYours),
        (0xffff_ffff_8000_0000, 512, Error::NotYours),
        (0x7fff_ffff_f000, 512, Error::NotYours),
        (0x1000, 512, Error::NotYours),
        (0x8000_0000_0000, 512, Error::Invalid),
        (0x7fff_ffff_f000, 8192, Error::Invalid),
        (DATA, !511, Error::Invalid),
        (DATA, 0, Error::Invalid),
        (DATA, 511, Error::Invalid),
        (DATA - 512, 512, Error::NotMapped),
        (DATA - 512, 1024, Error::NotMapped),
        (DATA + 4096, 2 * 4096, Error::ReadOnly),
        (DATA + 2 * 4096, 512, Error::ReadOnly),
        (DATA + 2 * 4096, 8192, Error::NotMapped),
        (CODE, 512, Error::ReadOnly),
        (DATA, 32 * MIB, Error::NotMapped),
    ];
    for (start, len, error) in cases {
        assert_eq!(refused(start, len), error as i64, "{len:#x} at {start:#x}");
    }
    assert_eq!(refused(DATA, 8192), 8192);
    assert_eq!(free_or_heap_bytes(), before, "all programs have left");
}

/// Runs a program that must not come far.
fn fault_of(entry: Entry, argument: u64) -> Fault {
    let space = space();
    let data = Frames::zeroed(4096).unwrap();
    space.map_at(at(DATA), data, Rights::ReadWrite).unwrap();
    let mut program = program(space, entry, [argument, 0, 0, 0]);
    match wait(serve(&mut program, None)) {
        End::Stopped(Stop::Fault(fault)) => fault,
        end => panic!("{entry:?}: {end:x?}"),
    }
}

#[vm_test(timeout = 60)]
fn a_program_that_faults_ends_and_the_kernel_goes_on() {
    let before = free_or_heap_bytes();
    let kernel_code = (fault_of as fn(Entry, u64) -> Fault as usize) as u64;
    // Vector and error code; P is 1, W is 2, U is 4, I is 16 (Intel SDM volume 3, section 4.7).
    let cases = [
        (Entry::program_load, 0, 14, 4),
        (Entry::program_load, DIRECT_MAP + MIB, 14, 5),
        (Entry::program_load, kernel_code, 14, 5),
        (Entry::program_store, DIRECT_MAP + MIB, 14, 7),
        (Entry::program_store, CODE, 14, 7),
        (Entry::program_store_code, 0, 14, 7),
        (Entry::program_jump, DATA, 14, 0x15),
        (Entry::program_jump, STACK - 16, 14, 0x15),
        (Entry::program_jump, kernel_code, 14, 0x15),
        (Entry::program_load, 0x8000_0000_0000, 13, 0),
        (Entry::program_cli, 0, 13, 0),
        (Entry::program_cr3, 0, 13, 0),
        (Entry::program_divide, 0, 0, 0),
        (Entry::program_undefined, 0, 6, 0),
        (Entry::program_syscall, 0, 6, 0),
    ];
    for (entry, argument, vector, error) in cases {
        let fault = fault_of(entry, argument);
        let found = (fault.vector, fault.error);
        assert_eq!(
            found,
            (vector, error),
            "{entry:?} {argument:#x}: {fault:x?}"
        );
        if vector == 14 && entry != Entry::program_store_code {
            assert_eq!(fault.address, Some(argument));
        }
    }
    // QEMU 7.2 has an error code of its own for the first, and for the second it reads the program's
    // stack as the kernel would, which SMAP refuses. By the manual both are general protection.
    assert_eq!(fault_of(Entry::program_int, 0).vector, 13);
    let fault = fault_of(Entry::program_iretq, kernel_code);
    assert!(matches!(fault.vector, 13 | 14), "{fault:x?}");
    assert_eq!(free_or_heap_bytes(), before, "all programs have left");
}

#[vm_test(timeout = 60)]
fn a_program_that_loops_is_interrupted_and_ended() {
    let mut program = hurried(space(), Entry::program_loop, 200_000);
    let ended = Rc::new(Cell::new(false));
    let rounds = Rc::new(Cell::new(0));
    let task = {
        let (ended, rounds) = (ended.clone(), rounds.clone());
        executor::spawn(async move {
            while !ended.get() {
                rounds.set(rounds.get() + 1);
                yield_now().await;
            }
        })
    };
    let end = wait(serve(&mut program, None));
    ended.set(true);
    wait(task);
    assert_eq!(end, End::Stopped(Stop::OutOfTime));
    assert!(rounds.get() > 1, "tasks have their turns meanwhile");
    // It does not run again.
    assert_eq!(wait(program.run()), Stop::OutOfTime);
}

/// The timer may run out between the moment it is armed and the program's first instruction.
#[vm_test(timeout = 60)]
fn an_interrupt_that_came_too_early_is_not_lost() {
    let mut space = space();
    let mut context = Context::new(
        CODE + Entry::program_loop.offset(),
        STACK,
        General::default(),
    );
    assert!(executor::interrupt_within(1));
    while !interrupts::is_raised(vectors::TIMER) {}
    assert_eq!(enter(&mut context, &mut space), Event::Interrupt);
    interrupts::drain();
}

#[vm_test(timeout = 60)]
fn what_a_program_sets_is_its_own() {
    const RANDOM_FLAGS: u64 = 0x8d5;
    let (nested, direction, alignment) = (1 << 14, 1 << 10, 1 << 18);
    for selector in [0, 0x2b, 3] {
        for flags in [
            RANDOM_FLAGS,
            direction,
            alignment,
            nested,
            nested | alignment,
        ] {
            let arguments = [flags | 2, selector, 3_000_000, 0];
            let mut program = program(space(), Entry::program_hostile, arguments);
            let end = wait(serve(&mut program, None));
            let End::Exit(0, left) = end else {
                panic!("flags {flags:#x}, selector {selector:#x}: {end:x?}");
            };
            // What `dec` sets is other than it was; direction and alignment are not.
            let kept = direction | alignment;
            assert_eq!(left & kept, flags & kept);
            let now = x86_64::registers::rflags::read_raw();
            assert_eq!(now & (nested | direction | alignment), 0);
            assert_eq!(cores::local().id(), cores::CoreId::BOOT);
            assert_eq!(masked(), (0x1f80, 0x037f));
        }
    }
    let cr4 = Cr4::read();
    let guards = Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION
        | Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION;
    assert!(cr4.contains(guards) && !cr4.contains(Cr4Flags::FSGSBASE));
}

/// The exceptions that SSE and the x87 must not raise, as the running code has it.
fn masked() -> (u32, u16) {
    let (mut sse, mut x87) = (0_u32, 0_u16);
    // SAFETY: the two instructions store a control register to a variable each.
    unsafe {
        core::arch::asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut sse, in(reg) &raw mut x87);
    }
    (sse & 0x1f80, x87)
}

#[vm_test(machine = "smp=2", timeout = 60)]
fn a_core_that_runs_a_program_forgets_what_others_unmap() {
    let other = super::crew::others()[0];
    let running = executor::spawn_on(other, || async {
        let mut program = hurried(space(), Entry::program_loop, 300_000);
        serve(&mut program, None).await
    });
    let before = cores::local_of(other).flushes();
    let frames = Frames::zeroed(4096).unwrap();
    for _ in 0..100 {
        // SAFETY: the frames are this test's own.
        let mapped = unsafe { Mapping::map(frames.phyr(), Rights::ReadWrite, Cache::WriteBack) };
        drop(mapped.unwrap());
    }
    assert_eq!(wait(running), End::Stopped(Stop::OutOfTime));
    assert!(cores::local_of(other).flushes() >= before + 100);
}
