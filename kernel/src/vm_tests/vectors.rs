//! Queues that share interrupt vectors, because there are fewer of them.

use super::{disk, streams};
use crate::block::blocking::wait;
use crate::cores::{self, CoreId};
use crate::executor::{self, activity};
use crate::memory::frames::Frames;
use crate::storage;
use alloc::format;
use alloc::vec::Vec;
use embassy_time::{Duration, Timer};
use vm_test::{control, pattern, seed, vm_test};

const PAGE: u64 = 4096;

/// Turns of a core that sleeps, while others look at it. One that polls makes thousands.
const FEW: u64 = 60;

/// Reads a page, and says how often the core's queue was interrupted so far.
async fn read(page: u64) -> u64 {
    let frames = Frames::zeroed(PAGE).expect("there is memory");
    let read = disk().read(page * 8, frames).await.expect("it reads");
    let wrong = pattern::first_difference(seed(), page * PAGE, read.bytes());
    assert_eq!(wrong, None, "page {page}");
    let counters = storage::controllers()[0].counters();
    counters.expect("the core has a queue").interrupts
}

/// Reads that each core makes for [`interrupts_of_each_core`].
const READS: u64 = 5;

/// Interrupts of each core's queue for [`READS`] reads, one after the other. The disk answers none before all cores
/// wait for theirs and have gone to sleep: who is still awake looks into the queue, and needs no interrupt.
fn interrupts_of_each_core() -> Vec<u64> {
    let interrupts = |page: u64| -> Vec<u64> {
        control::hold(0);
        let reader = |core: CoreId| {
            let page = 100 * core.index() as u64 + page;
            executor::spawn_on(core, move || read(page))
        };
        let halts = cores::online().map(|core| activity(core).halts);
        let halts: Vec<_> = halts.collect();
        let tasks: Vec<_> = cores::online().map(reader).collect();
        wait(async {
            for (core, halts) in cores::online().zip(halts) {
                sleeps(core, halts).await;
            }
        });
        control::release(0);
        tasks.into_iter().map(wait).collect()
    };
    let before = interrupts(0);
    let mut after = before.clone();
    for page in 1..=READS {
        after = interrupts(page);
    }
    after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect()
}

/// Waits until a core has halted twice since it had halted so often: for the first time it may be on its way
/// already, before it has a task.
async fn sleeps(core: CoreId, halts: u64) {
    while activity(core).halts < halts + 2 {
        Timer::after(Duration::from_millis(1)).await;
    }
}

/// Whether a core sleeps that waits for a read, and is woken when it is there.
fn is_woken(core: CoreId) {
    control::hold(0);
    let halts = activity(core).halts;
    let task = executor::spawn_on(core, || read(77));
    wait(sleeps(core, halts));
    let before = activity(core).turns;
    wait(Timer::after(Duration::from_millis(300)));
    let turns = activity(core).turns - before;
    assert!(turns < FEW, "{core} has made {turns} turns while it waits");
    control::release(0);
    wait(task);
}

/// What QEMU was told: the vector of each completion queue, which interrupts.
fn vectors_are(expected: &[u64]) {
    for (queue, vector) in (1..).zip(expected) {
        let created = format!("pci_nvme_create_cq cqid={queue}, vector={vector},");
        assert_eq!(control::trace_count(&created), 1, "`{created}`");
    }
    for vector in expected {
        let raised = format!("pci_nvme_irq_msix vector {vector}");
        assert!(control::trace_count(&raised) > 0, "{raised}");
    }
}

fn queues_share(expected: &[u64]) {
    // Firmware has had a queue, too.
    control::trace_mark();
    disk();
    let home = cores::current();
    let wakes = activity(home).remote_wakes;
    let counts = interrupts_of_each_core();
    assert_eq!(counts.len(), expected.len());
    let wakes = activity(home).remote_wakes - wakes;
    // This core has the first queue. What it hears for the others, it passes on.
    let guests = expected[1..]
        .iter()
        .filter(|vector| **vector == expected[0]);
    let guests = guests.count() as u64;
    assert!(
        wakes >= guests * 3,
        "{wakes} wakes for {guests} other queues"
    );
    for (core, interrupts) in counts.iter().enumerate() {
        // One that finds a queue empty is nobody's.
        assert!(
            *interrupts >= 3,
            "core {core}: {interrupts} for {READS} reads"
        );
    }
    for core in cores::online().filter(|core| *core != cores::current()) {
        is_woken(core);
    }
    // Under load each is polled now and then, and comes back to interrupts.
    streams::each_core_reads(expected.len());
    let after = interrupts_of_each_core();
    assert!(after.iter().all(|interrupts| *interrupts >= 3), "{after:?}");
    vectors_are(expected);
}

#[vm_test(
    machine = "smp=4,vectors=2,trace=pci_nvme_create_cq+pci_nvme_irq_msix,size=16M",
    timeout = 120
)]
fn four_queues_share_a_vector_and_their_cores_sleep() {
    queues_share(&[1, 1, 1, 1]);
}

#[vm_test(
    machine = "smp=4,vectors=4,trace=pci_nvme_create_cq+pci_nvme_irq_msix,size=16M",
    timeout = 120
)]
fn two_of_four_queues_share_a_vector() {
    queues_share(&[1, 2, 3, 1]);
}

#[vm_test(
    machine = "smp=2,vectors=1,trace=pci_nvme_create_cq+pci_nvme_irq_msix,size=16M",
    timeout = 120
)]
fn queues_share_the_only_vector_with_the_admin_queue() {
    queues_share(&[0, 0]);
}
