//! Futures, partitions and errors, on a disk that does as it is told.

use super::blocking::wait;
use super::partition::{Extent, Partition};
use super::*;
use crate::dma::{Memory, Owner};
use crate::memory::frames::{Frames, host};
use alloc::sync::Arc;
use proptest::prelude::*;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

const SIZE: usize = 512;

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}

/// The byte at every place of a fresh disk.
fn byte_at(index: usize) -> u8 {
    (index * 7 + index / SIZE) as u8
}

fn disk(blocks: usize) -> RamDisk {
    RamDisk::new(
        "ram0",
        SIZE as u32,
        (0..blocks * SIZE).map(byte_at).collect(),
    )
}

fn content(blocks: core::ops::Range<usize>) -> Vec<u8> {
    (blocks.start * SIZE..blocks.end * SIZE)
        .map(byte_at)
        .collect()
}

#[test]
fn requests_complete_in_any_order_and_wake_who_waits_for_them() {
    let ram = disk(16);
    let device: &dyn BlockDevice = &ram;
    ram.hold();
    let bells: Vec<_> = (0..3).map(|_| Arc::new(Bell::default())).collect();
    let mut reads: Vec<_> = (0..3)
        .map(|block| Box::pin(device.read(block, vec![0; SIZE])))
        .collect();
    for (read, bell) in reads.iter_mut().zip(&bells) {
        assert!(poll(read.as_mut(), bell).is_pending());
    }
    assert_eq!((ram.waiting(), ram.in_use()), (3, 3));
    // The one in the middle first; then the last.
    for (number, done) in [(1, 1), (1, 2), (0, 0)] {
        ram.complete(number);
        assert_eq!(bells[done].rung(), 1);
        let Poll::Ready(Ok(bytes)) = poll(reads[done].as_mut(), &bells[done]) else {
            panic!("the request is complete");
        };
        assert_eq!(bytes, content(done..done + 1));
    }
    assert_eq!((ram.waiting(), ram.in_use()), (0, 0));
}

#[test]
fn each_operation_does_what_it_says() {
    let ram = disk(8);
    let device: &dyn BlockDevice = &ram;
    wait(async {
        let bytes = device.write(1, vec![1; 2 * SIZE]).await.unwrap();
        let bytes = device.write_durable(3, bytes).await.unwrap();
        let bytes = device.compare(1, bytes).await.unwrap();
        let differs = device.compare(2, bytes).await.map(drop);
        assert!(differs.is_ok(), "blocks 2 and 3 hold the same");
        let differs = device.compare(4, vec![1; 2 * SIZE]).await.unwrap_err();
        assert_eq!(differs.error, BlockError::Mismatch);
        assert_eq!(differs.memory, Some(vec![1; 2 * SIZE]));
        device.write_zeroes(2, 2, Space::Keep).await.unwrap();
        device.discard(6, 1).await.unwrap();
        device.verify(0, 8).await.unwrap();
        device.flush().await.unwrap();
    });
    let bytes = ram.content();
    let block = |number: usize| &bytes[number * SIZE..][..SIZE];
    assert_eq!(block(0), content(0..1));
    for (number, byte) in [(1, 1), (2, 0), (3, 0), (4, 1), (6, 0xdd)] {
        assert_eq!(block(number), [byte; SIZE], "block {number}");
    }
    assert_eq!(block(5), content(5..6));
    let counts = Counts {
        writes: 2,
        durable: 1,
        flushes: 1,
        discarded: 1,
        zeroed: 2,
        verified: 8,
        ..Counts::default()
    };
    assert_eq!(ram.counts(), counts);
}

#[test]
fn what_is_not_possible_is_refused_and_the_memory_comes_back() {
    let limits = Limits {
        depth: 4,
        write_cache: true,
        ..Limits::NONE
    };
    let ram = disk(8).with_limits(limits);
    let device: &dyn BlockDevice = &ram;
    let buffer = |blocks: usize| vec![9; blocks * SIZE];
    let refused = |error: Failed<Vec<u8>>| {
        assert!(
            error
                .memory
                .is_some_and(|bytes| bytes.iter().all(|byte| *byte == 9))
        );
        error.error
    };
    wait(async {
        for (block, blocks) in [(8, 1), (7, 2), (u64::MAX, 1), (u64::MAX, 2)] {
            let read = device.read(block, buffer(blocks)).await.map_err(refused);
            assert_eq!(read, Err(BlockError::OutOfRange), "{blocks} at {block}");
            let write = device.write(block, buffer(blocks)).await.map_err(refused);
            assert_eq!(write, Err(BlockError::OutOfRange), "{blocks} at {block}");
        }
        for len in [0, 1, SIZE - 1, SIZE + 1] {
            let read = device.read(0, vec![9; len]).await.map_err(refused);
            assert_eq!(read, Err(BlockError::Length), "{len} bytes");
        }
        let durable = device.write_durable(0, buffer(1)).await.map_err(refused);
        assert_eq!(durable, Err(BlockError::Unsupported));
        let compare = device.compare(0, buffer(1)).await.map_err(refused);
        assert_eq!(compare, Err(BlockError::Unsupported));
        for other in [
            device.discard(0, 1).await,
            device.write_zeroes(0, 1, Space::Release).await,
            device.verify(0, 1).await,
        ] {
            assert_eq!(other, Err(BlockError::Unsupported));
        }
    });
    let ram = disk(8).read_only();
    let device: &dyn BlockDevice = &ram;
    wait(async {
        let write = device.write(0, buffer(1)).await.map_err(refused);
        assert_eq!(write, Err(BlockError::ReadOnly));
        assert_eq!(device.discard(0, 1).await, Err(BlockError::ReadOnly));
        assert!(device.read(0, buffer(1)).await.is_ok());
    });
    assert_eq!(ram.content(), content(0..8));
    assert_eq!(ram.in_use(), 0);
}

#[test]
fn without_a_cache_every_write_is_durable() {
    let ram = disk(4).with_limits(Limits {
        depth: 4,
        ..Limits::NONE
    });
    let device: &dyn BlockDevice = &ram;
    assert!(wait(device.write_durable(0, vec![0; SIZE])).is_ok());
}

#[test]
fn requests_wait_for_room_and_are_told_of_it() {
    let limits = Limits {
        depth: 2,
        ..Limits::NONE
    };
    let ram = disk(8).with_limits(limits);
    let device: &dyn BlockDevice = &ram;
    ram.hold();
    let bells: Vec<_> = (0..3).map(|_| Arc::new(Bell::default())).collect();
    let mut reads: Vec<_> = (0..3)
        .map(|block| Box::pin(device.read(block, vec![0; SIZE])))
        .collect();
    for (read, bell) in reads.iter_mut().zip(&bells) {
        assert!(poll(read.as_mut(), bell).is_pending());
    }
    assert_eq!(ram.waiting(), 2, "the third has no room");
    ram.complete(0);
    assert_eq!(bells[2].rung(), 0, "the result still lies in its slot");
    assert!(poll(reads[0].as_mut(), &bells[0]).is_ready());
    assert_eq!(bells[2].rung(), 1);
    assert!(poll(reads[2].as_mut(), &bells[2]).is_pending());
    assert_eq!(ram.waiting(), 2);
    // An abandoned request makes room when the device is done with it, not earlier.
    let mut fourth = Box::pin(device.read(3, vec![0; SIZE]));
    assert!(poll(fourth.as_mut(), &bells[0]).is_pending());
    drop(reads.remove(1));
    assert!(poll(fourth.as_mut(), &bells[0]).is_pending());
    assert_eq!((ram.waiting(), ram.in_use()), (2, 2));
    assert_eq!(device.outstanding(), 2, "also the abandoned one");
    ram.complete(0);
    assert!(poll(fourth.as_mut(), &bells[0]).is_pending());
    assert_eq!((ram.waiting(), ram.in_use()), (2, 2));
    ram.release();
    assert!(poll(fourth.as_mut(), &bells[0]).is_ready());
}

/// A device that says that there is room and refuses all the same.
struct Tease;

impl BlockDevice for Tease {
    fn name(&self) -> &str {
        "tease"
    }
    fn geometry(&self) -> Geometry {
        disk(1).geometry()
    }
    fn limits(&self) -> Limits {
        Limits::NONE
    }
    fn submit(&self, _: &mut Request, _: &mut Context<'_>) -> Result<Ticket, Refusal> {
        Err(Refusal::Full)
    }
    fn poll(&self, _: &Ticket, _: &mut Context<'_>) -> Poll<Completion> {
        unreachable!("it has no requests")
    }
    fn abandon(&self, _: Ticket) {
        unreachable!("it has no requests")
    }
    fn poll_room(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    fn outstanding(&self) -> usize {
        0
    }
}

#[test]
fn a_device_that_contradicts_itself_does_not_stop_the_core() {
    let device: &dyn BlockDevice = &Tease;
    let bell = Arc::new(Bell::default());
    let mut read = pin!(device.read(0, vec![0; SIZE]));
    assert!(poll(read.as_mut(), &bell).is_pending());
    assert_eq!(bell.rung(), 1, "it is asked again, but others come first");
}

/// A device that wants memory at even addresses.
struct Picky(RamDisk);

impl BlockDevice for Picky {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn limits(&self) -> Limits {
        self.0.limits()
    }
    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal> {
        let is_odd = match &mut request.operation {
            Operation::Read(buffer) => buffer.bytes_mut().as_ptr() as usize % 2 == 1,
            _ => false,
        };
        match is_odd {
            true => Err(BlockError::NeedsBounce.into()),
            false => self.0.submit(request, cx),
        }
    }
    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion> {
        self.0.poll(ticket, cx)
    }
    fn abandon(&self, ticket: Ticket) {
        self.0.abandon(ticket);
    }
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_room(cx)
    }
    fn outstanding(&self) -> usize {
        self.0.outstanding()
    }
}

#[test]
fn memory_that_a_device_cannot_use_is_refused_and_copied_through_other_memory() {
    let _arena = host::arena();
    let picky = Picky(disk(64));
    let device: &dyn BlockDevice = &picky;
    let mut bytes = vec![0; 3 * SIZE];
    let odd = 1 + bytes.as_ptr() as usize % 2;
    let even = odd + 1;
    let refused = device.read_now(3, &mut bytes[odd..odd + SIZE]);
    assert_eq!(refused, Err(BlockError::NeedsBounce));
    assert_eq!(picky.0.counts().reads, 0);
    for (start, before) in [(even, 0), (odd, 1)] {
        bytes.fill(0);
        let position = 3 * SIZE as u64;
        read_at(device, position, &mut bytes[start..start + SIZE]).unwrap();
        assert_eq!(bytes[start..start + SIZE], content(3..4));
        assert_eq!(picky.0.counts().reads, before + 1);
    }
}

#[test]
fn a_future_that_is_never_polled_submits_nothing() {
    let ram = disk(4);
    let device: &dyn BlockDevice = &ram;
    drop(device.write(0, vec![0; SIZE]));
    assert_eq!(ram.content(), content(0..4));
    assert_eq!(ram.counts(), Counts::default());
}

#[test]
fn memory_of_a_dropped_future_is_freed_at_completion_and_once() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let ram = disk(64);
    let device: &dyn BlockDevice = &ram;
    ram.hold();
    let bell = Arc::new(Bell::default());
    let mut read = Box::pin(device.read(3, Frames::allocate(8192).unwrap()));
    assert!(poll(read.as_mut(), &bell).is_pending());
    drop(read);
    assert_eq!(arena.free_bytes(), before - 8192, "the device has it");
    ram.complete(0);
    assert_eq!(arena.free_bytes(), before);
    // One that is done, but that nobody has looked at.
    let mut read = Box::pin(device.read(3, Frames::allocate(4096).unwrap()));
    assert!(poll(read.as_mut(), &bell).is_pending());
    ram.complete(0);
    assert_eq!((arena.free_bytes(), bell.rung()), (before - 4096, 1));
    drop(read);
    assert_eq!((arena.free_bytes(), ram.in_use()), (before, 0));
}

#[test]
fn a_removed_disk_ends_its_requests_and_refuses_others() {
    let ram = Arc::new(disk(64));
    let extent = Extent {
        number: 1,
        first: 8,
        blocks: 8,
    };
    let partition = Partition::new(ram.clone(), extent);
    let (device, partition): (&dyn BlockDevice, &dyn BlockDevice) = (&*ram, &partition);
    ram.hold();
    let bell = Arc::new(Bell::default());
    let mut reads = [
        Box::pin(device.read(0, vec![1; SIZE])),
        Box::pin(partition.read(0, vec![1; SIZE])),
    ];
    for read in &mut reads {
        assert!(poll(read.as_mut(), &bell).is_pending());
    }
    ram.remove();
    assert_eq!(bell.rung(), 2);
    for read in &mut reads {
        let Poll::Ready(Err(failed)) = poll(read.as_mut(), &bell) else {
            panic!("the request is over");
        };
        assert_eq!(failed.error, BlockError::Removed);
        assert_eq!(failed.memory, Some(vec![1; SIZE]), "nothing was read");
    }
    for device in [device, partition] {
        assert_eq!(wait(device.flush()), Err(BlockError::Removed));
        assert_eq!(device.read_now(0, &mut [0; SIZE]), Err(BlockError::Removed));
        assert_eq!(read_at(device, 5, &mut [0; 10]), Err(BlockError::Removed));
    }
}

/// What has failed keeps its slots until somebody asks, and perhaps nobody ever does.
#[test]
fn who_waits_for_room_on_a_disk_hears_that_it_was_removed() {
    let ram = disk(64);
    let device: &dyn BlockDevice = &ram;
    ram.hold();
    let bell = Arc::new(Bell::default());
    let depth = device.limits().depth;
    let mut flushes: Vec<_> = (0..=depth).map(|_| Box::pin(device.flush())).collect();
    let last = &mut flushes.split_off(usize::from(depth))[0];
    for flush in &mut flushes {
        assert!(poll(flush.as_mut(), &Arc::new(Bell::default())).is_pending());
    }
    assert!(poll(last.as_mut(), &bell).is_pending());
    assert_eq!(bell.rung(), 0, "there is no room");
    ram.remove();
    assert_eq!(bell.rung(), 1);
    assert_eq!(
        poll(last.as_mut(), &bell),
        Poll::Ready(Err(BlockError::Removed))
    );
}

#[test]
fn a_disk_that_has_shrunk_refuses_what_was_there() {
    let ram = disk(64);
    let device: &dyn BlockDevice = &ram;
    ram.hold();
    let bell = Arc::new(Bell::default());
    let mut read = Box::pin(device.read(60, vec![0; SIZE]));
    assert!(poll(read.as_mut(), &bell).is_pending());
    ram.resize(32);
    ram.complete(0);
    assert!(matches!(
        poll(read.as_mut(), &bell),
        Poll::Ready(Err(Failed {
            error: BlockError::OutOfRange,
            ..
        }))
    ));
    assert_eq!(device.geometry().blocks, 32);
    ram.resize(128);
    ram.release();
    let mut bytes = [1; SIZE];
    device.read_now(127, &mut bytes).unwrap();
    assert_eq!(bytes, [0; SIZE]);
}

#[test]
fn a_part_of_memory_is_read_and_the_rest_stays() {
    let _arena = host::arena();
    let ram = disk(8);
    let device: &dyn BlockDevice = &ram;
    let mut frames = Frames::zeroed(4096).unwrap();
    frames.bytes_mut().fill(0xc5);
    let part = frames.into_memory().part(SIZE..3 * SIZE).unwrap();
    let part = wait(device.read(2, part)).unwrap();
    assert_eq!(part.bytes(), content(2..4));
    let frames = Frames::from_memory(part).unwrap();
    let (head, rest) = frames.bytes().split_at(SIZE);
    let (read, tail) = rest.split_at(2 * SIZE);
    assert_eq!(read, content(2..4));
    assert!(head.iter().chain(tail).all(|byte| *byte == 0xc5));
}

#[test]
fn a_partition_has_a_name_and_passes_flushes_on() {
    let ram = Arc::new(disk(200));
    let extent = Extent {
        number: 2,
        first: 100,
        blocks: 50,
    };
    let partition = Partition::new(ram.clone(), extent);
    assert_eq!(partition.name(), "ram0p2");
    assert_eq!(partition.geometry().blocks, 50);
    let device: &dyn BlockDevice = &partition;
    // A flush has no place, so none is out of range.
    let flush = Request {
        block: 77,
        operation: Operation::Flush,
    };
    assert!(wait(device.execute(flush)).result.is_ok());
    assert_eq!(ram.counts().flushes, 1);
    assert!(wait(device.write_durable(0, vec![0; SIZE])).is_ok());
    assert_eq!(ram.counts().durable, 1);
}

#[test]
fn a_request_that_has_no_room_keeps_its_place_in_a_partition() {
    let limits = Limits {
        depth: 1,
        ..Limits::NONE
    };
    let ram = Arc::new(disk(16).with_limits(limits));
    let extent = Extent {
        number: 1,
        first: 4,
        blocks: 4,
    };
    let partition = Partition::new(ram.clone(), extent);
    let device: &dyn BlockDevice = &partition;
    ram.hold();
    let bell = Arc::new(Bell::default());
    let mut first = Box::pin(device.read(0, vec![0; SIZE]));
    let mut second = Box::pin(device.read(1, vec![0; SIZE]));
    assert!(poll(first.as_mut(), &bell).is_pending());
    for _ in 0..3 {
        assert!(poll(second.as_mut(), &bell).is_pending());
    }
    ram.complete(0);
    assert!(poll(first.as_mut(), &bell).is_ready());
    assert!(poll(second.as_mut(), &bell).is_pending());
    ram.complete(0);
    let Poll::Ready(Ok(bytes)) = poll(second.as_mut(), &bell) else {
        panic!("it has been completed");
    };
    assert_eq!(bytes, content(5..6));
}

/// What a test does next.
#[derive(Debug, Clone)]
enum Step {
    Read {
        partition: bool,
        block: u64,
        blocks: usize,
    },
    Write {
        partition: bool,
        block: u64,
        blocks: usize,
        fill: u8,
    },
    Zero {
        partition: bool,
        block: u64,
        blocks: u64,
    },
    Poll(prop::sample::Index),
    Drop(prop::sample::Index),
    Complete(prop::sample::Index),
    Fail(prop::sample::Index),
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (any::<bool>(), 0..18_u64, 1..4_usize);
    prop_oneof![
        6 => place().prop_map(|(partition, block, blocks)| Step::Read { partition, block, blocks }),
        4 => (place(), any::<u8>()).prop_map(|((partition, block, blocks), fill)| {
            Step::Write { partition, block, blocks, fill }
        }),
        2 => place().prop_map(|(partition, block, blocks)| {
            Step::Zero { partition, block, blocks: blocks as u64 }
        }),
        8 => any::<prop::sample::Index>().prop_map(Step::Poll),
        3 => any::<prop::sample::Index>().prop_map(Step::Drop),
        8 => any::<prop::sample::Index>().prop_map(Step::Complete),
        1 => any::<prop::sample::Index>().prop_map(Step::Fail),
        1 => Just(Step::Remove),
    ]
}

/// A future of any kind.
type Flying<'d> = Pin<Box<dyn Future<Output = Result<Option<Frames>, BlockError>> + 'd>>;

proptest! {
    /// Any mix of requests on a disk and on a partition of it, of completions, failures, removal
    /// and dropped futures: the content is what the completed writes make of it, in the order of
    /// their completion, and every frame comes back exactly once.
    #[test]
    fn whatever_happens_memory_comes_back_and_the_content_is_right(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        const BLOCKS: usize = 16;
        const FIRST: u64 = 5;
        let arena = host::arena();
        let before = arena.free_bytes();
        let limits = Limits { depth: 4, ..disk(1).limits() };
        let ram = Arc::new(disk(BLOCKS).with_limits(limits));
        let partition = Partition::new(ram.clone(), Extent { number: 1, first: FIRST, blocks: 8 });
        let devices: [&dyn BlockDevice; 2] = [&*ram, &partition];
        ram.hold();
        let mut model = content(0..BLOCKS);
        let bell = Arc::new(Bell::default());
        let mut flying: Vec<Flying<'_>> = Vec::new();

        for step in steps {
            let frames = |blocks: usize, fill: u8| {
                let mut frames = Frames::allocate(4096).unwrap();
                frames.bytes_mut().fill(fill);
                frames.into_memory().part(0..blocks * SIZE).unwrap()
            };
            let back = |memory: Memory| Frames::from_memory(memory).ok();
            match step {
                Step::Read { partition, block, blocks } => {
                    let device = devices[usize::from(partition)];
                    flying.push(Box::pin(async move {
                        let read = device.read(block, frames(blocks, 0)).await?;
                        Ok(back(read))
                    }));
                }
                Step::Write { partition, block, blocks, fill } => {
                    let device = devices[usize::from(partition)];
                    flying.push(Box::pin(async move {
                        let written = device.write(block, frames(blocks, fill)).await?;
                        Ok(back(written))
                    }));
                }
                Step::Zero { partition, block, blocks } => {
                    let device = devices[usize::from(partition)];
                    flying.push(Box::pin(async move {
                        device.write_zeroes(block, blocks, Space::Keep).await?;
                        Ok(None)
                    }));
                }
                Step::Poll(index) if !flying.is_empty() => {
                    let index = index.index(flying.len());
                    match poll(flying[index].as_mut(), &bell) {
                        Poll::Ready(_) => drop(flying.swap_remove(index)),
                        Poll::Pending => {}
                    }
                }
                Step::Drop(index) if !flying.is_empty() => {
                    let index = index.index(flying.len());
                    drop(flying.swap_remove(index));
                }
                Step::Complete(index) if ram.waiting() > 0 => {
                    let number = index.index(ram.waiting());
                    if let Some((range, fill)) = ram.change(number) {
                        model[range].fill(fill);
                    }
                    ram.complete(number);
                }
                Step::Fail(index) if ram.waiting() > 0 => {
                    ram.fail(index.index(ram.waiting()), BlockError::TimedOut);
                }
                Step::Remove => ram.remove(),
                _ => {}
            }
            prop_assert!(ram.in_use() <= 4);
        }
        prop_assert_eq!(ram.content(), model);
        ram.release();
        // Everybody who still waits gets an answer.
        for _ in 0..flying.len() + 1 {
            flying.retain_mut(|future| poll(future.as_mut(), &bell).is_pending());
        }
        prop_assert!(flying.is_empty());
        prop_assert_eq!((ram.waiting(), ram.in_use()), (0, 0));
        prop_assert_eq!(arena.free_bytes(), before);
    }
}
