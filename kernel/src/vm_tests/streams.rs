//! Requests by the dozen: streams, drops, several cores, both modes of a queue.

use super::{disk, disk_number};
use crate::block::blocking::wait;
use crate::block::partition::{Extent, Partition};
use crate::block::{BlockDevice, BlockError, Failed, Space};
use crate::cores;
use crate::drivers::nvme::queue::QueueCounters;
use crate::executor;
use crate::memory::frames::{Frames, with_allocator};
use crate::memory::heap;
use crate::storage;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: usize = 4096;
pub(super) const DEPTH: usize = 32;

pub(super) fn free_bytes() -> u64 {
    with_allocator(|allocator| allocator.free_bytes())
}

/// Bytes of memory that nobody has but the heap: the same again when everybody has given back what he had.
pub(super) fn free_or_heap_bytes() -> u64 {
    free_bytes() + heap::taken()
}

pub(super) fn counters() -> QueueCounters {
    storage::controllers()[0]
        .counters()
        .expect("the core has a queue")
}

pub(super) fn frames() -> Frames {
    Frames::zeroed(PAGE as u64).unwrap()
}

/// The block of the `number`th read of a stream: all over the disk, and no two the same for long.
fn place(number: u64, pages: u64, blocks_a_page: u64) -> u64 {
    number.wrapping_mul(2_654_435_761) % pages * blocks_a_page
}

type Read<'d> = Pin<Box<crate::block::Transferring<'d, Frames>>>;

/// A stream of reads of a page, always so many at once. What it needs is made before it runs.
pub(super) struct Stream<'d> {
    device: &'d dyn BlockDevice,
    /// A future, and which read it is.
    reads: Vec<(Read<'d>, u64)>,
    next: u64,
    pages: u64,
    blocks_a_page: u64,
}

impl<'d> Stream<'d> {
    pub(super) fn new(device: &'d dyn BlockDevice, depth: usize) -> Self {
        let geometry = device.geometry();
        let mut stream = Self {
            device,
            reads: Vec::with_capacity(depth),
            next: 0,
            pages: geometry.bytes() / PAGE as u64,
            blocks_a_page: (PAGE as u64) / u64::from(geometry.block_size),
        };
        for _ in 0..depth {
            let block = stream.place(stream.next);
            let read = Box::pin(device.read(block, frames()));
            stream.reads.push((read, stream.next));
            stream.next += 1;
        }
        stream
    }

    fn place(&self, number: u64) -> u64 {
        place(number, self.pages, self.blocks_a_page)
    }

    /// Looks at every read. Of those that are over, the content is checked by `check`, and the memory
    /// goes into the next one, which is submitted at once.
    pub(super) fn poll(&mut self, until: u64, cx: &mut Context<'_>, check: bool) -> usize {
        let mut running = 0;
        for index in 0..self.reads.len() {
            loop {
                let (read, number) = &mut self.reads[index];
                let number = *number;
                if number == u64::MAX {
                    break;
                }
                let Poll::Ready(result) = read.as_mut().poll(cx) else {
                    running += 1;
                    break;
                };
                let frames = result.expect("the disk is sound");
                if check {
                    let position = self.place(number) * PAGE as u64 / self.blocks_a_page;
                    let wrong = pattern::first_difference(seed(), position, frames.bytes());
                    assert_eq!(wrong, None, "read {number}");
                }
                let read = self.device.read(self.place(self.next), frames);
                let next = match self.next < until {
                    true => self.next,
                    false => u64::MAX,
                };
                self.next += 1;
                self.reads[index].0.set(read);
                self.reads[index].1 = next;
            }
        }
        running
    }

    /// Runs until so many reads were started, and all are over.
    pub(super) async fn run(&mut self, until: u64, check: bool) {
        poll_fn(|cx| match self.poll(until, cx, check) {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        })
        .await;
    }
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn a_deep_stream_reads_what_is_there() {
    let disk = disk();
    let before = free_or_heap_bytes();
    let mut stream = Stream::new(&*disk, DEPTH);
    wait(stream.run(2000, true));
    drop(stream);
    assert_eq!(free_or_heap_bytes(), before);
    assert_eq!(disk.outstanding(), 0);
}

/// More reads than the queue has room for. It refuses them, and each waits with its memory.
#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn reads_that_a_full_queue_refuses_keep_their_memory() {
    refused_reads_keep_their_memory(300);
}

pub(super) fn refused_reads_keep_their_memory(depth: usize) {
    let disk = disk();
    wait(disk.read(0, frames())).unwrap();
    let most = usize::from(disk.limits().depth);
    assert!(depth > most, "{most} requests have room");
    let before = free_or_heap_bytes();
    let mut stream = Stream::new(&*disk, depth);
    wait(stream.run(3 * depth as u64, true));
    drop(stream);
    assert_eq!(free_or_heap_bytes(), before);
}

#[vm_test(machine = "nvme,size=16M,lba=4096", timeout = 60)]
fn many_reads_of_all_lengths_at_once_are_seen_by_the_host() {
    let disk = disk();
    let mut reads = Vec::new();
    for number in 0..24_u64 {
        let len = (1 + number * 7 % 60) * PAGE as u64;
        let block = number * 100;
        let read = disk.read(block, Frames::zeroed(len).unwrap());
        reads.push((block, Box::pin(read)));
    }
    // All of them go out before the first is waited for.
    let mut cx = Context::from_waker(Waker::noop());
    for (_, read) in &mut reads {
        assert!(read.as_mut().poll(&mut cx).is_pending());
    }
    for (block, read) in reads.into_iter().rev() {
        let frames = wait(read).unwrap();
        let position = block * PAGE as u64;
        assert_eq!(
            pattern::first_difference(seed(), position, frames.bytes()),
            None
        );
        host::assert_pattern(frames.phyr(), seed(), position);
    }
}

/// The trouble of every asynchronous driver: a future that is dropped while the device writes.
#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn memory_of_dropped_reads_comes_back_when_the_device_is_done() {
    let disk = disk();
    wait(disk.read(0, frames())).unwrap();
    let before = free_or_heap_bytes();
    control::hold(0);
    let mut cx = Context::from_waker(Waker::noop());
    for number in 0..DEPTH as u64 {
        let mut read = Box::pin(disk.read(number * 8, frames()));
        assert!(read.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(disk.outstanding(), DEPTH, "the device has them all");
    assert_eq!(free_or_heap_bytes(), before - (DEPTH * PAGE) as u64);
    control::release(0);
    wait(until(|| disk.outstanding() == 0));
    assert_eq!(free_or_heap_bytes(), before);
    // The queue has all its slots again.
    let mut stream = Stream::new(&*disk, DEPTH);
    wait(stream.run(200, true));
}

/// Lets others run until something is so.
pub(super) async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        embassy_futures::yield_now().await;
    }
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn what_was_never_submitted_or_never_awaited_does_no_harm() {
    let disk = disk();
    wait(disk.read(0, frames())).unwrap();
    let before = free_or_heap_bytes();
    drop(disk.read(0, frames()));
    // Polled once, complete long since, and dropped without a look.
    let mut read = Box::pin(disk.read(0, frames()));
    assert!(
        read.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let others = counters().completed;
    wait(until(|| counters().completed > others));
    drop(read);
    assert_eq!((free_or_heap_bytes(), disk.outstanding()), (before, 0));
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn flush_discard_and_zeroes_do_what_the_host_sees() {
    let disk = disk();
    let mine = seed() ^ 0x77;
    wait(async {
        let mut frames = Frames::allocate(8 * PAGE as u64).unwrap();
        pattern::fill(mine, 0, frames.bytes_mut());
        let frames = disk.write(1000, frames).await.unwrap();
        disk.flush().await.unwrap();
        host::assert_disk_pattern(0, 1000 * 512, 8 * PAGE as u64, mine, 0);
        disk.write_durable(2000, frames).await.unwrap();
        host::assert_disk_pattern(0, 2000 * 512, 8 * PAGE as u64, mine, 0);
        disk.write_zeroes(1001, 2, Space::Keep).await.unwrap();
        disk.flush().await.unwrap();
        let zeros = disk
            .read(1001, Frames::allocate(PAGE as u64).unwrap())
            .await
            .unwrap();
        assert!(zeros.bytes()[..1024].iter().all(|byte| *byte == 0));
        assert_eq!(
            pattern::first_difference(mine, 1536, &zeros.bytes()[1024..]),
            None
        );
        disk.discard(2000, 64).await.unwrap();
        assert_eq!(
            disk.discard(disk.geometry().blocks, 1).await,
            Err(BlockError::OutOfRange)
        );
    });
    host::assert_disk_pattern(0, 1000 * 512, 512, mine, 0);
    host::assert_disk_pattern(0, 1003 * 512, 512, mine, 3 * 512);
    let untouched = (2000 + 64) * 512;
    host::assert_disk_pattern(0, untouched, 512, seed(), untouched);
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn a_partition_is_as_asynchronous_as_its_disk() {
    let disk = disk();
    let extent = Extent {
        number: 1,
        first: 4096,
        blocks: 8192,
    };
    let partition = Partition::new(disk.clone(), extent);
    let device: &dyn BlockDevice = &partition;
    let mut reads: Vec<_> = (0..DEPTH as u64)
        .map(|number| Box::pin(device.read(number * 8, frames())))
        .collect();
    let mut cx = Context::from_waker(Waker::noop());
    for read in &mut reads {
        assert!(read.as_mut().poll(&mut cx).is_pending());
    }
    for (number, read) in reads.into_iter().enumerate() {
        let position = (4096 + number as u64 * 8) * 512;
        let frames = wait(read).unwrap();
        assert_eq!(
            pattern::first_difference(seed(), position, frames.bytes()),
            None
        );
    }
    let beyond = wait(device.read(8192, frames())).map_err(Failed::into);
    assert_eq!(beyond, Err(BlockError::OutOfRange));
}

#[vm_test(machine = "namespaces=3,size=16M", timeout = 60)]
fn namespaces_share_a_queue_and_keep_their_data_apart() {
    let disks = [disk_number(0), disk_number(1), disk_number(2)];
    let mut reads = Vec::new();
    for number in 0..30_u64 {
        let disk = &disks[number as usize % 3];
        reads.push(Box::pin(disk.read(number * 8, frames())));
    }
    let mut cx = Context::from_waker(Waker::noop());
    for read in &mut reads {
        assert!(read.as_mut().poll(&mut cx).is_pending());
    }
    for (number, read) in (0_u64..).zip(reads) {
        let frames = wait(read).unwrap();
        let seed = seed().wrapping_add(number % 3);
        assert_eq!(
            pattern::first_difference(seed, number * PAGE as u64, frames.bytes()),
            None
        );
    }
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn a_busy_queue_is_polled_and_an_idle_one_interrupts() {
    let disk = disk();
    for _ in 0..5 {
        wait(disk.read(0, frames())).unwrap();
    }
    let idle = counters();
    assert!(
        idle.interrupts > 0,
        "one read at a time is waited for asleep"
    );
    let mut stream = Stream::new(&*disk, DEPTH);
    wait(stream.run(3000, false));
    drop(stream);
    let busy = counters();
    let interrupts = busy.interrupts - idle.interrupts;
    // A device that answers whole batches at a time leaves nothing to poll for.
    let is_rare = interrupts < 3000 / DEPTH as u64 * 2;
    assert!(busy.to_polled > idle.to_polled || is_rare, "{busy:?}");
    assert!(interrupts < 1000, "{interrupts} interrupts for 3000 reads");
    // It goes back in a turn in which nothing is outstanding.
    wait(embassy_futures::yield_now());
    for _ in 0..5 {
        wait(disk.read(0, frames())).unwrap();
    }
    let after = counters();
    assert_eq!(after.to_interrupt, after.to_polled);
    assert!(after.interrupts > busy.interrupts);
}

#[vm_test(machine = "vectors=1,nvme,size=16M", timeout = 60)]
fn one_vector_serves_the_only_queue() {
    let disk = disk();
    let mut stream = Stream::new(&*disk, 4);
    wait(stream.run(100, true));
}

#[vm_test(machine = "smp=4,nvme,size=16M", timeout = 120)]
fn four_cores_read_through_queues_of_their_own() {
    each_core_reads(4);
}

#[vm_test(machine = "smp=4,queues=2,nvme,size=16M", timeout = 120)]
fn four_cores_share_two_queues() {
    each_core_reads(4);
}

/// All cores read at the same time, and compare.
pub(super) fn each_core_reads(count: usize) {
    // Found before the others use it.
    let before = {
        disk();
        free_or_heap_bytes()
    };
    let tasks: Vec<_> = cores::online()
        .map(|core| {
            executor::spawn_on(core, || async {
                let disk = disk();
                let mut stream = Stream::new(&*disk, 8);
                stream.run(500, true).await;
                counters().submitted
            })
        })
        .collect();
    assert_eq!(tasks.len(), count);
    for task in tasks {
        assert!(wait(task) >= 500);
    }
    assert_eq!(free_or_heap_bytes(), before);
}
