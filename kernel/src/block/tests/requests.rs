//! The life of a request: accepted or refused, completed in any order, dropped, ended by a removal.

use super::*;

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
