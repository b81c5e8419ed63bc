//! Requests, one by one.

use super::*;
use kernel::block::{BlockError, Limits as DiskLimits, Operation};

const EIO: u32 = 5;

#[test]
fn what_is_read_is_sent_from_where_the_disk_put_it() {
    for structured in [false, true] {
        let bench = Bench::new();
        let (_, end, trace) = bench.raw(async |near| {
            let mut client = Client::begin(near, structured).await;
            for (offset, len) in [(0, 512), (1, 1), (511, 2), (1000, 100_000), (BYTES - 3, 3)] {
                let reply = client.read(offset as u64, len as u32).await;
                assert_eq!(reply.error, 0);
                let expected: Vec<u8> = (offset..offset + len).map(byte_at).collect();
                assert!(reply.data == expected, "{len} from {offset} on");
            }
            assert_eq!(client.len, BYTES as u64);
            let whole = client.read(0, BYTES as u32).await;
            assert!(whole.data == bench.content());
            client.disconnect().await;
        });
        assert_eq!(end, End::Over);
        assert_eq!(trace.sent(), [512, 1, 2, 100_000, 3, BYTES]);
        // Nothing but words was copied.
        assert!(trace.copied() < 400, "{}", trace.copied());
        assert_eq!(bench.counters.read_bytes.get(), (100_518 + BYTES) as u64);
    }
}

#[test]
fn writes_of_any_bytes_change_these_and_no_others() {
    for size in [512, 4096] {
        let bench = Bench::of_blocks(size);
        let mut model = bench.content();
        let (_, end) = bench.with(true, async |client| {
            let cases = [
                (0, 4096),
                (1, 1),
                (4095, 2),
                (511, 5000),
                (8192, 1),
                (BYTES - 1, 1),
            ];
            for (number, (offset, len)) in cases.into_iter().enumerate() {
                let data: Vec<u8> = (0..len).map(|at| (at + 100 * number + 1) as u8).collect();
                assert_eq!(client.write(0, offset as u64, &data).await, 0);
                model[offset..offset + len].copy_from_slice(&data);
                assert!(bench.content() == model, "{len} at {offset}");
            }
            client.disconnect().await;
        });
        assert_eq!(end, End::Over);
        assert_eq!(bench.counters.writes.get(), 6);
        assert!(bench.exports[0].changes.get() >= 6);
    }
}

#[test]
fn parts_are_zeroed_and_given_up() {
    // With a disk that can do it, and with one that cannot.
    for can in [true, false] {
        let mut disk = RamDisk::new("ram", 4096, (0..BYTES).map(byte_at).collect());
        if !can {
            disk = disk.with_limits(DiskLimits {
                write_cache: true,
                ..DiskLimits::NONE
            });
        }
        let bench = Bench::with_disk(disk, true);
        let mut model = bench.content();
        bench.with(true, async |client| {
            assert_eq!(client.flags & transmission::TRIM != 0, can);
            for (offset, len) in [
                (0, 4096),
                (5000, 10),
                (8191, 2),
                (12_288, 1),
                (20_479, 1),
                (20_480, 4097),
                (40_959, 4097),
                (50_000, 20_000),
                (60_000, BYTES - 60_000),
            ] {
                let zero = command::WRITE_ZEROES;
                let flags = flag::NO_HOLE;
                let reply = client
                    .carry_out(zero, flags, offset as u64, len as u32)
                    .await;
                assert_eq!(reply.error, 0);
                model[offset..offset + len].fill(0);
                assert!(bench.content() == model, "{len} from {offset} on");
                let fast = client
                    .carry_out(zero, flag::FAST_ZERO, offset as u64, len as u32)
                    .await;
                assert_eq!(fast.error, if can { 0 } else { Errno::Unsupported as u32 });
            }
            let trim = client.carry_out(command::TRIM, 0, 100, 20_000).await;
            assert_eq!(trim.error, if can { 0 } else { Errno::Invalid as u32 });
        });
        let counts = bench.disk.disk.counts();
        // The three blocks of which all was given up; what has no such blocks costs nothing.
        assert_eq!(counts.discarded, if can { 3 } else { 0 });
        assert_eq!(counts.zeroed > 0, can);
    }
}

#[test]
fn what_is_to_last_is_flushed() {
    let none = DiskLimits {
        write_cache: true,
        ..DiskLimits::NONE
    };
    let fua = DiskLimits {
        durable_writes: true,
        ..none
    };
    let through = DiskLimits::NONE;
    // Nothing relies on durable writes, which some disks only pretend.
    for (limits, flushes) in [(none, 1), (fua, 1), (through, 0)] {
        let once = (0, flushes);
        let disk = RamDisk::new("ram", 512, vec![1; BYTES]).with_limits(limits);
        let bench = Bench::with_disk(disk, true);
        bench.with(false, async |client| {
            let counts = || {
                (
                    bench.disk.disk.counts().durable,
                    bench.disk.disk.counts().flushes,
                )
            };
            assert_eq!(client.write(0, 0, &[5; 700]).await, 0);
            assert_eq!(counts(), (0, 0));
            assert_eq!(client.write(flag::FUA, 100, &[6; 700]).await, 0);
            assert_eq!(counts(), once);
            let before = counts();
            let reply = client
                .carry_out(command::WRITE_ZEROES, flag::FUA, 0, 1024)
                .await;
            assert_eq!(reply.error, 0);
            assert_eq!((counts().0 - before.0, counts().1 - before.1), once);
            let before = counts().1;
            assert_eq!(client.carry_out(command::FLUSH, 0, 0, 0).await.error, 0);
            assert_eq!(counts().1, before + 1);
        });
    }
}

#[test]
fn several_requests_are_under_way_and_are_answered_as_they_end() {
    for structured in [false, true] {
        let bench = Bench::new();
        bench.disk.disk.hold();
        let clock = bench.clock.clone();
        let (_, end) = bench.with(structured, async |client| {
            let first = client.ask(command::READ, 0, 0, 512).await;
            let second = client.ask_write(0, 4096, &[9; 512]).await;
            let third = client.ask(command::READ, 0, 1024, 1024).await;
            crate::clock::Clock::sleep(&clock, std::time::Duration::from_secs(1)).await;
            assert_eq!(bench.disk.disk.waiting(), 3);
            bench.disk.disk.complete(2);
            let reply = client.reply().await.unwrap();
            assert_eq!((reply.cookie, reply.data.len()), (third, 1024));
            bench.disk.disk.complete(1);
            assert_eq!(client.reply().await.unwrap().cookie, second);
            bench.disk.disk.complete(0);
            let reply = client.reply().await.unwrap();
            assert_eq!((reply.cookie, reply.data[7]), (first, byte_at(7)));
        });
        assert_eq!(end, End::Over);
    }
}

#[test]
fn requests_in_pieces_of_any_length_are_the_same_requests() {
    for most in [1, 27, 28, 29, 1000] {
        let mut bench = Bench::new();
        bench.most = most;
        bench.with(true, async |client| {
            client.ask_write(0, 300, &[1; 700]).await;
            client.ask(command::READ, 0, 0, 2000).await;
            client.ask_write(0, BYTES as u64, &[2; 600]).await;
            client.ask(command::READ, 0, 100, 1).await;
            let mut replies = vec![];
            for _ in 0..4 {
                replies.push(client.reply().await.unwrap());
            }
            replies.sort_by_key(|reply| reply.cookie);
            let errors: Vec<u32> = replies.iter().map(|reply| reply.error).collect();
            assert_eq!(errors, [0, 0, Errno::NoSpace as u32, 0], "{most} at a time");
            assert_eq!(replies[3].data, [byte_at(100)]);
            client.disconnect().await;
        });
        assert!(bench.content()[300..1000] == [1; 700]);
    }
}

#[test]
fn what_fails_is_said_and_the_connection_goes_on() {
    let bench = Bench::new();
    bench.disk.fail(|request| {
        let bad = (8..16).contains(&request.block);
        bad.then(|| BlockError::device(&"media error"))
    });
    let (_, end) = bench.with(true, async |client| {
        let reply = client.read(4096, 512).await;
        assert_eq!((reply.error, &*reply.data), (EIO, &b"media error"[..]));
        assert_eq!(client.write(0, 4096, &[1; 512]).await, EIO);
        // Its first block has to be read, and cannot be.
        assert_eq!(client.write(0, 4100, &[1; 1]).await, EIO);
        assert_eq!(
            client.carry_out(command::TRIM, 0, 4096, 512).await.error,
            EIO
        );
        assert_eq!(
            client
                .carry_out(command::WRITE_ZEROES, 0, 4096, 512)
                .await
                .error,
            EIO
        );
        assert_eq!(client.read(0, 512).await.error, 0);
        bench.disk.disk.remove();
        assert_eq!(client.read(0, 512).await.error, EIO);
        assert_eq!(client.carry_out(command::FLUSH, 0, 0, 0).await.error, EIO);
    });
    assert_eq!(end, End::Over);
    assert_eq!(bench.counters.errors.get(), 7);
    let before: Vec<u8> = (0..BYTES).map(byte_at).collect();
    assert!(bench.content() == before);
}

#[test]
fn a_disk_that_has_shrunk_says_so() {
    let bench = Bench::new();
    bench.with(true, async |client| {
        bench.disk.disk.resize(16);
        assert_eq!(client.read(8192, 512).await.error, Errno::Invalid as u32);
        assert_eq!(client.write(0, 8191, &[0; 2]).await, Errno::NoSpace as u32);
        assert_eq!(client.read(8191, 1).await.error, 0);
    });
}

#[test]
fn a_read_only_export_stays_as_it_is() {
    let before: Vec<u8> = (0..BYTES).map(byte_at).collect();
    let read_only = RamDisk::new("ro", 512, before.clone()).read_only();
    let writable = RamDisk::new("rw", 512, before.clone());
    for bench in [
        Bench::with_disk(read_only, true),
        Bench::with_disk(writable, false),
    ] {
        let eperm = Errno::Permission as u32;
        let (_, end) = bench.with(true, async |client| {
            assert_ne!(client.flags & transmission::READ_ONLY, 0);
            assert_eq!(client.write(0, 0, &[1; 1000]).await, eperm);
            for command in [command::TRIM, command::WRITE_ZEROES] {
                assert_eq!(client.carry_out(command, 0, 0, 512).await.error, eperm);
            }
            assert_eq!(client.read(0, 512).await.error, 0);
            assert_eq!(client.carry_out(command::FLUSH, 0, 0, 0).await.error, 0);
        });
        assert_eq!(end, End::Over);
        assert!(bench.content() == before);
    }
}

#[test]
fn a_flush_covers_what_another_connection_was_told() {
    let bench = Bench::new();
    bench.disk.fail(|request| {
        // What a disk with a cache would lose: it must not be written by the flush alone.
        matches!(request.operation, Operation::Compare(_)).then_some(BlockError::Unsupported)
    });
    let (mut near, far) = pipe(bench.room);
    let (mut other_near, other_far) = pipe(bench.room);
    let serve = |far| {
        serve(
            far,
            &bench.exports,
            &bench.limits,
            &bench.counters,
            &bench.clock,
        )
    };
    let client = async {
        let mut one = Client::begin(&mut near, true).await;
        let mut other = Client::begin(&mut other_near, true).await;
        assert_ne!(one.flags & transmission::MULTI_CONN, 0);
        assert_eq!(one.write(0, 0, &[3; 512]).await, 0);
        let written = bench.disk.disk.counts().writes;
        assert_eq!(other.carry_out(command::FLUSH, 0, 0, 0).await.error, 0);
        // The write was done before its reply, and the flush was one of the disk itself.
        assert_eq!((written, bench.disk.disk.counts().flushes), (1, 1));
        one.disconnect().await;
        other.disconnect().await;
    };
    run(
        &bench.clock,
        join(join(serve(far), serve(other_far)), client),
    );
}
