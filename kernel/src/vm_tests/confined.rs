//! Guests that try what they may not: each is stopped, and where and why is known.

use super::guest::{ENTRY, PAGE, answer, ask, guest_of, run, small, sum_program, write_program};
use crate::cores;
use crate::executor::{block_on, spawn, spawn_on};
use crate::hypervisor::{Access, Exit, GuestAddr, Reason};
use crate::memory::frames::{Frames, with_allocator};
use crate::memory::mapping::Mapping;
use crate::memory::paging::{Cache, Rights};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use embassy_time::{Duration, Instant, Timer};
use vm_test::{host, pattern, seed, vm_test};

use Access::{Execute, Read, Write};

/// Where a guest comes to, and why it stops there. It has two pages.
fn end_of(code: &[u8]) -> (u64, Reason) {
    let exit = run(&mut small(code));
    (exit.at.get() - ENTRY, exit.reason)
}

const fn fault(address: u64, access: Access) -> Reason {
    let address = GuestAddr::new(address);
    Reason::NestedFault { address, access }
}

#[vm_test(machine = "svm")]
fn memory_outside_is_a_fault_at_the_exact_address() {
    let end = 2 * PAGE;
    let cases: [(&str, &[u8], Reason); 6] = [
        (
            "mov eax, [0x2000]",
            &[0xa1, 0x00, 0x20, 0, 0],
            fault(end, Read),
        ),
        // The first byte outside of an access that begins inside.
        (
            "mov eax, [0x1ffe]",
            &[0xa1, 0xfe, 0x1f, 0, 0],
            fault(end, Read),
        ),
        (
            "mov [0x2007], al",
            &[0xa2, 0x07, 0x20, 0, 0],
            fault(end + 7, Write),
        ),
        // The interrupt controller, the last byte of the address space, the direct map's first.
        (
            "mov [0xfee000b0], eax",
            &[0xa3, 0xb0, 0, 0xe0, 0xfe],
            fault(0xfee0_00b0, Write),
        ),
        (
            "mov al, [0xffffffff]",
            &[0xa0, 0xff, 0xff, 0xff, 0xff],
            fault(0xffff_ffff, Read),
        ),
        // The stack begins at 0.
        ("push eax", &[0x50], fault(0xffff_fffc, Write)),
    ];
    for (name, code, reason) in cases {
        assert_eq!(end_of(code), (0, reason), "{name}");
    }
    // jmp 0x50001234, which is reached.
    let exit = run(&mut small(&[0xb8, 0x34, 0x12, 0, 0x50, 0xff, 0xe0]));
    let at = GuestAddr::new(0x5000_1234);
    assert_eq!(
        exit,
        Exit {
            at,
            reason: fault(0x5000_1234, Execute)
        }
    );
    // A loop that runs off the end of the memory, and one that comes to the end of the addresses.
    for (start, len, first) in [
        (end - 16, 17, end),
        (end - 1, 2, end),
        (4 << 20, 1, 4 << 20),
    ] {
        let mut guest = small(sum_program());
        ask(&mut guest, start, len);
        assert_eq!(run(&mut guest).reason, fault(first, Read));
    }
}

/// What has an exit of its own.
const INSTRUCTIONS: [(&str, &[u8]); 28] = [
    ("CPUID", &[0x0f, 0xa2]),
    ("HLT", &[0xf4]),
    ("RDTSC", &[0x0f, 0x31]),
    ("RDPMC", &[0x0f, 0x33]),
    ("RDTSCP", &[0x0f, 0x01, 0xf9]),
    ("LGDT", &[0x0f, 0x01, 0x15, 0, 0, 0, 0]),
    ("LIDT", &[0x0f, 0x01, 0x1d, 0, 0, 0, 0]),
    ("SGDT", &[0x0f, 0x01, 0x05, 0, 0, 0, 0]),
    ("SIDT", &[0x0f, 0x01, 0x0d, 0, 0, 0, 0]),
    ("LLDT", &[0x0f, 0x00, 0xd0]),
    ("LTR", &[0x0f, 0x00, 0xd8]),
    ("SLDT", &[0x0f, 0x00, 0xc0]),
    ("STR", &[0x0f, 0x00, 0xc8]),
    ("INT", &[0xcd, 0x80]),
    ("IRET", &[0xcf]),
    ("INVD", &[0x0f, 0x08]),
    ("WBINVD", &[0x0f, 0x09]),
    ("INVLPG", &[0x0f, 0x01, 0x3d, 0, 0, 0, 0]),
    ("INVLPGA", &[0x0f, 0x01, 0xdf]),
    ("VMRUN", &[0x0f, 0x01, 0xd8]),
    ("VMLOAD", &[0x0f, 0x01, 0xda]),
    ("VMSAVE", &[0x0f, 0x01, 0xdb]),
    ("STGI", &[0x0f, 0x01, 0xdc]),
    ("CLGI", &[0x0f, 0x01, 0xdd]),
    ("SKINIT", &[0x0f, 0x01, 0xde]),
    ("MONITOR", &[0x0f, 0x01, 0xc8]),
    ("MWAIT", &[0x0f, 0x01, 0xc9]),
    ("RSM", &[0x0f, 0xaa]),
];

#[vm_test(machine = "svm")]
fn instructions_that_a_guest_may_not_use_end_it() {
    for (name, code) in INSTRUCTIONS {
        let (at, reason) = end_of(code);
        // QEMU's translator takes some for their older relatives.
        let relative = match name {
            "RDTSCP" => "RDTSC",
            "INVD" => "WBINVD",
            _ => name,
        };
        let expected = [name, relative].map(Reason::Instruction);
        assert!(
            at == 0 && expected.contains(&reason),
            "{name}: {reason} at {at}"
        );
    }
}

#[vm_test(machine = "svm")]
fn ports_and_registers_of_the_machine_are_out_of_reach() {
    let port = |port, access| Reason::Port { port, access };
    let model_specific = |register, access| Reason::ModelSpecific { register, access };
    let control = |register, access| Reason::Control { register, access };
    let debug = |register, access| Reason::Debug { register, access };
    let cases: [(&str, &[u8], u64, Reason); 16] = [
        ("in al, 0x80", &[0xe4, 0x80], 0, port(0x80, Read)),
        ("out 0xf4, al", &[0xe6, 0xf4], 0, port(0xf4, Write)),
        (
            "out dx, eax",
            &[0x66, 0xba, 0xf8, 0x0c, 0xef],
            4,
            port(0xcf8, Write),
        ),
        ("rdmsr", &[0x0f, 0x32], 0, model_specific(0, Read)),
        // Where the core keeps the host's state.
        (
            "wrmsr",
            &[0xb9, 0x17, 0x01, 0x01, 0xc0, 0x0f, 0x30],
            5,
            model_specific(0xc001_0117, Write),
        ),
        (
            "wrmsr",
            &[0xb9, 0, 0, 0, 0x40, 0x0f, 0x30],
            5,
            model_specific(0x4000_0000, Write),
        ),
        ("mov eax, cr0", &[0x0f, 0x20, 0xc0], 0, control(0, Read)),
        ("mov cr0, eax", &[0x0f, 0x22, 0xc0], 0, control(0, Write)),
        ("mov eax, cr2", &[0x0f, 0x20, 0xd0], 0, control(2, Read)),
        ("mov cr3, eax", &[0x0f, 0x22, 0xd8], 0, control(3, Write)),
        ("mov cr4, eax", &[0x0f, 0x22, 0xe0], 0, control(4, Write)),
        ("clts", &[0x0f, 0x06], 0, control(0, Write)),
        ("lmsw ax", &[0x0f, 0x01, 0xf0], 0, control(0, Write)),
        ("smsw ax", &[0x0f, 0x01, 0xe0], 0, control(0, Read)),
        ("mov eax, dr7", &[0x0f, 0x21, 0xf8], 0, debug(7, Read)),
        ("mov dr0, eax", &[0x0f, 0x23, 0xc0], 0, debug(0, Write)),
    ];
    for (name, code, at, reason) in cases {
        assert_eq!(end_of(code), (at, reason), "{name}");
    }
}

#[vm_test(machine = "svm")]
fn exceptions_end_a_guest() {
    let exception = |vector, error| Reason::Exception { vector, error };
    let cases: [(&str, &[u8], u64, Reason); 11] = [
        ("div ecx, which is 0", &[0xf7, 0xf1], 0, exception(0, 0)),
        ("ud2", &[0x0f, 0x0b], 0, exception(6, 0)),
        ("xsetbv", &[0x0f, 0x01, 0xd1], 0, exception(6, 0)),
        // Floating point in any form: the registers hold what the host was computing.
        ("fninit", &[0xdb, 0xe3], 0, exception(7, 0)),
        ("movaps xmm0, xmm1", &[0x0f, 0x28, 0xc1], 0, exception(6, 0)),
        (
            "movups [0], xmm0",
            &[0x0f, 0x11, 0x05, 0, 0, 0, 0],
            0,
            exception(6, 0),
        ),
        (
            "fxsave [0]",
            &[0x0f, 0xae, 0x05, 0, 0, 0, 0],
            0,
            exception(7, 0),
        ),
        (
            "stmxcsr [0]",
            &[0x0f, 0xae, 0x1d, 0, 0, 0, 0],
            0,
            exception(6, 0),
        ),
        // There are no descriptors to load, and no system calls.
        (
            "mov ds, 8",
            &[0x66, 0xb8, 8, 0, 0x8e, 0xd8],
            4,
            exception(13, 8),
        ),
        ("sysenter", &[0x0f, 0x34], 0, exception(13, 0)),
        (
            "jmp far 8:0x1000",
            &[0xea, 0, 0x10, 0, 0, 8, 0],
            0,
            exception(13, 8),
        ),
    ];
    for (name, code, at, reason) in cases {
        assert_eq!(end_of(code), (at, reason), "{name}");
    }
}

#[vm_test(machine = "svm")]
fn a_guest_starts_with_nothing_in_its_registers_and_keeps_them() {
    // or eax, …: all eight, then a call; then each gets another value, and the call again.
    let code = [
        0x09, 0xd8, 0x09, 0xc8, 0x09, 0xd0, 0x09, 0xf0, 0x09, 0xf8, 0x09, 0xe8, 0x09,
        0xe0, // or
        0x0f, 0x01, 0xd9, // vmmcall
        0xbb, 1, 0, 0, 0, 0xb9, 2, 0, 0, 0, 0xbe, 4, 0, 0, 0, // ebx, ecx, esi
        0xbf, 8, 0, 0, 0, 0xbd, 16, 0, 0, 0, 0xbc, 32, 0, 0, 0, // edi, ebp, esp
        0xb8, 64, 0, 0, 0, 0xba, 7, 0, 0, 0, // eax, edx
        0x0f, 0x01, 0xd9, // vmmcall
        0x01, 0xd8, 0x01, 0xc8, 0x01, 0xf0, 0x01, 0xf8, 0x01, 0xe8, 0x01, 0xe0, // add
        0x0f, 0x01, 0xd9, // vmmcall
    ];
    let mut guest = small(&code);
    assert_eq!(answer(&mut guest), 0);
    assert_eq!(answer(&mut guest), 7 << 32 | 64);
    assert_eq!(answer(&mut guest), 7 << 32 | 127);
}

/// How far a task comes that wakes each millisecond.
fn metronome() -> Rc<Cell<u64>> {
    let beats = Rc::new(Cell::new(0));
    let counted = beats.clone();
    spawn(async move {
        loop {
            Timer::after(Duration::from_millis(1)).await;
            counted.set(counted.get() + 1);
        }
    })
    .detach();
    beats
}

#[vm_test(machine = "svm,icount", timeout = 60)]
fn an_endless_loop_is_ended_and_keeps_nobody_waiting() {
    let beats = metronome();
    // With its interrupts disabled, it is as endless and no more.
    for (code, at) in [([0xeb, 0xfe, 0x90], ENTRY), ([0xfa, 0xeb, 0xfe], ENTRY + 1)] {
        let (mut guest, before) = (small(&code), beats.get());
        let start = Instant::now();
        let exit = block_on(guest.run(Duration::from_millis(100))).unwrap();
        let at = GuestAddr::new(at);
        assert_eq!(
            exit,
            Exit {
                at,
                reason: Reason::OutOfTime
            }
        );
        assert!(start.elapsed() >= Duration::from_millis(100));
        assert!(
            beats.get() >= before + 5,
            "the other task goes on: {}",
            beats.get()
        );
        // It was its end.
        assert_eq!(run(&mut guest), exit);
    }
}

#[vm_test(machine = "smp=2,svm", timeout = 60)]
fn a_guest_leaves_the_executors_timer_as_it_was() {
    let mut guest = small(sum_program());
    ask(&mut guest, 0, 16);
    let sleeper = spawn(Timer::after(Duration::from_millis(60)));
    let other = cores::online().last().unwrap();
    block_on(async {
        // The core sleeps, with its timer armed for the sleeper, until the other core wakes it.
        let awake = || async {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(20) {
                core::hint::spin_loop();
            }
        };
        spawn_on(other, awake).await;
        assert!(matches!(
            guest.run(Duration::from_secs(1)).await.unwrap().reason,
            Reason::Answer(_)
        ));
        sleeper.await;
    });
}

#[vm_test(machine = "smp=4,svm", timeout = 60)]
fn every_core_runs_guests_and_forgets_mappings_meanwhile() {
    let sums: Vec<_> = cores::online()
        .map(|core| {
            spawn_on(core, move || async move {
                let mut guest = guest_of(Frames::zeroed(16 * PAGE).unwrap(), sum_program());
                let mine = seed() ^ core.index() as u64;
                pattern::fill(mine, 0, &mut guest.ram_mut()[2 * PAGE as usize..]);
                ask(&mut guest, 2 * PAGE, 14 * PAGE);
                let expected = guest.ram().bytes()[2 * PAGE as usize..].iter();
                let expected: u64 = expected.map(|byte| u64::from(*byte)).sum();
                for _ in 0..20 {
                    let exit = guest.run(Duration::from_secs(20)).await.unwrap();
                    assert_eq!(exit.reason, Reason::Answer(expected));
                }
                let mut endless = small(&[0xeb, 0xfe]);
                endless
                    .run(Duration::from_millis(200))
                    .await
                    .unwrap()
                    .reason
            })
        })
        .collect();
    block_on(async {
        for sum in sums {
            // A core in a guest must forget a mapping like any other.
            let frames = Frames::allocate(PAGE).unwrap();
            // SAFETY: the frames are this test's own.
            let mapping =
                unsafe { Mapping::map(frames.phyr(), Rights::ReadWrite, Cache::WriteBack) };
            drop(mapping.unwrap());
            assert_eq!(sum.await, Reason::OutOfTime);
        }
    });
}

/// All memory that is not the guests' holds a pattern, and still does when each has done its worst.
#[vm_test(machine = "ram=64M,svm", timeout = 60)]
fn nothing_outside_of_a_guest_changes() {
    let mut guests = Vec::with_capacity(INSTRUCTIONS.len() + 5);
    let mut taken: Vec<Frames> = Vec::with_capacity(1024);
    // The pages on both sides of a guest are among those that are looked at.
    let mut alone = |code| {
        let (front, rest) = Frames::zeroed(4 * PAGE).unwrap().split_at(PAGE).unwrap();
        let (ram, back) = rest.split_at(2 * PAGE).unwrap();
        taken.extend([front, back]);
        guest_of(ram, code)
    };
    for (_, code) in INSTRUCTIONS {
        guests.push(alone(code));
    }
    // Over its own program; across the end; other memory; the interrupt controller; the last byte.
    for start in [0, 2 * PAGE - 8, 0x20_0000, 0xfee0_0000, 0xffff_ffff_u64] {
        let mut guest = alone(write_program());
        ask(&mut guest, start, 0xffff_ffff);
        guests.push(guest);
    }
    while let Some(largest) = with_allocator(|allocator| allocator.largest()) {
        taken.push(Frames::allocate(largest.len()).expect("the largest extent can be had"));
    }
    for (number, frames) in taken.iter_mut().enumerate() {
        pattern::fill(seed() ^ number as u64, 0, frames.bytes_mut());
    }
    for guest in &mut guests {
        let exit = run(guest);
        let is_end = !matches!(exit.reason, Reason::Answer(_) | Reason::OutOfTime);
        assert!(is_end, "{exit}");
    }
    for (number, frames) in taken.iter().enumerate() {
        host::assert_pattern(frames.phyr(), seed() ^ number as u64, 0);
    }
}
