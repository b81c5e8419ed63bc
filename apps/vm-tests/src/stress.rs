//! Whole machines under stress: random I/O on all cores, with everything going wrong that can.
//!
//! The guest checks each block that it reads. The host judges the image afterwards, without a line
//! of the kernel's code.

use alloc::format;
use alloc::string::String;
use core::ops::ControlFlow;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use iostress::machine::{Area, Outcome, Setup, run};
use kernel::{cores, executor, storage};
use vm_test::{control, host, seed, vm_test};

/// What happens meanwhile.
#[derive(Clone, Copy)]
struct Ordeal {
    seconds: u64,
    /// The controller is reset again and again.
    resets: bool,
    /// In every other round, reads, writes and flushes fail in places.
    faults: bool,
    block_size: u32,
}

/// So much is done at least, however slow the host is.
const LEAST: u64 = 300;

/// Byte offsets whose reads or writes fail, another set for each round.
fn faults(round: u64) -> String {
    let place =
        |n: u64| (seed().rotate_left(n as u32) ^ round).wrapping_mul(0x9e37_79b9) % (8 << 20);
    format!(
        "read at {}, write at {}, write 28 at {}, flush once",
        place(1),
        place(2),
        place(3)
    )
}

fn stress(ordeal: Ordeal) -> Outcome {
    let volume = storage::volumes().into_iter().next();
    let device = volume.expect("the machine has a disk").device;
    let hub = storage::controllers().into_iter().next();
    let controller = hub.and_then(|hub| hub.controller());
    let controller = controller.expect("the disk has a controller");
    let blocks = device.geometry().blocks;
    assert_eq!(device.geometry().block_size, ordeal.block_size);
    let setup = Setup {
        seed: seed(),
        depth: 8,
        length: Duration::from_secs(ordeal.seconds),
        least: LEAST,
        most_bytes: 1 << 20,
        cancel_one_in: 8,
        may_fail: ordeal.faults || ordeal.resets,
    };
    let end = Instant::now() + setup.length;
    let work = run(Area::new(device, blocks), setup, |rounds, counts| {
        let is_over = Instant::now() >= end && counts.operations() >= LEAST;
        if ordeal.faults {
            let fails = rounds % 2 == 1 && !is_over;
            let rules = if fails { faults(rounds) } else { String::new() };
            control::faults(0, &rules);
        }
        ControlFlow::Continue(())
    });
    let resets = async {
        loop {
            Timer::after(Duration::from_millis(300)).await;
            if ordeal.resets {
                controller.reset().await.expect("the controller comes back");
            }
        }
    };
    let before = controller.resets();
    let outcome = match executor::block_on(select(work, resets)) {
        Either::First(outcome) => outcome,
        Either::Second(never) => never,
    };
    vm_test::record::note(format_args!(
        "{} cores, {} rounds, {} resets: {}",
        cores::online().count(),
        outcome.rounds,
        controller.resets() - before,
        outcome.counts
    ));
    if let Some(trouble) = &outcome.trouble {
        panic!("seed {}: {trouble}", seed());
    }
    assert_eq!(outcome.missing, 0, "bytes of memory that did not come back");
    assert!(outcome.counts.operations() >= LEAST);
    assert!(outcome.counts.cancelled > 0);
    if ordeal.resets {
        assert!(controller.resets() > before);
    }
    let checked = host::assert_stressed(0, ordeal.block_size);
    assert_eq!(checked, outcome.blocks);
    outcome
}

#[vm_test(machine = "smp=4,disk=empty,size=16M", timeout = 240)]
fn stress_loses_nothing() {
    stress(Ordeal {
        seconds: 3,
        resets: false,
        faults: false,
        block_size: 512,
    });
}

#[vm_test(
    machine = "smp=4,disk=empty,size=16M,lba=4096,queues=2,vectors=2",
    timeout = 240
)]
fn stress_with_fewer_queues_and_vectors_than_cores_loses_nothing() {
    stress(Ordeal {
        seconds: 3,
        resets: false,
        faults: false,
        block_size: 4096,
    });
}

#[vm_test(machine = "smp=4,disk=empty,size=16M", timeout = 240)]
fn stress_with_resets_and_faults_loses_nothing() {
    let outcome = stress(Ordeal {
        seconds: 4,
        resets: true,
        faults: true,
        block_size: 512,
    });
    assert!(outcome.rounds >= 2);
}

#[vm_test(
    machine = "smp=4,disk=empty,size=64M",
    timeout = 900,
    ignore = "takes minutes: cargo xtask test --only vm a_minute --ignored"
)]
fn a_minute_of_stress_with_resets_and_faults_loses_nothing() {
    stress(Ordeal {
        seconds: 60,
        resets: true,
        faults: true,
        block_size: 512,
    });
}
