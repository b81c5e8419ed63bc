//! Clients that want too much, or say what makes no sense.

use super::client::{greet, option};
use super::*;
use crate::clock::Clock;
use kernel::block::BlockError;
use kernel::memory::frames::Frames;
use kernel::net::StreamError;
use proptest::prelude::*;
use std::time::Duration;

const EINVAL: u32 = 22;

#[test]
fn who_asks_for_too_much_at_once_is_refused() {
    let mut bench = Bench::new();
    bench.limits.request = 10_000;
    let (_, end) = bench.with(true, async |client| {
        assert_eq!(client.read(0, 10_000).await.error, 0);
        assert_eq!(client.read(0, 10_001).await.error, EINVAL);
        assert_eq!(client.read(0, u32::MAX).await.error, EINVAL);
        assert_eq!(client.write(0, 0, &vec![1; 10_000]).await, 0);
        // Its data is not even read.
        client.ask(command::WRITE, 0, 0, 10_001).await;
        assert_eq!(client.reply().await, None);
    });
    assert_eq!(end, End::Nonsense);
    assert_eq!(bench.counters.nonsense.get(), 1);
}

#[test]
fn no_more_requests_are_under_way_than_may_be() {
    let mut bench = Bench::new();
    bench.limits.depth = 3;
    bench.disk.disk.hold();
    let clock = bench.clock.clone();
    bench.with(true, async |client| {
        for _ in 0..10 {
            client.ask(command::READ, 0, 0, 512).await;
        }
        for done in 0..10 {
            clock.sleep(Duration::from_secs(1)).await;
            assert_eq!(bench.disk.disk.waiting(), 3.min(10 - done));
            bench.disk.disk.complete(0);
            assert_eq!(client.reply().await.unwrap().error, 0);
        }
    });
}

#[test]
fn no_more_memory_is_under_way_than_may_be() {
    let mut bench = Bench::new();
    bench.limits.memory = 10_000;
    bench.disk.disk.hold();
    let clock = bench.clock.clone();
    bench.with(true, async |client| {
        client.ask(command::READ, 0, 0, 4096).await;
        client.ask(command::READ, 0, 0, 4096).await;
        client.ask_write(0, 8192, &[1; 4096]).await;
        // What needs none does not pass those that wait.
        client.ask(command::FLUSH, 0, 0, 0).await;
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.disk.disk.waiting(), 2);
        bench.disk.disk.complete(0);
        client.reply().await.unwrap();
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.disk.disk.waiting(), 3);
        bench.disk.disk.release();
        for _ in 0..3 {
            assert_eq!(client.reply().await.unwrap().error, 0);
        }
        // One that is longer alone goes alone.
        assert_eq!(client.read(0, 50_000).await.error, 0);
    });
}

#[test]
fn without_memory_a_request_fails_and_its_data_goes_nowhere() {
    let mut bench = Bench::new();
    bench.room = 16 << 10;
    let before = bench.content();
    let (_, end) = bench.with(true, async |client| {
        let mut hoard = vec![];
        for len in [1 << 20, 64 << 10, 4096] {
            while let Ok(frames) = Frames::allocate(len) {
                hoard.push(frames);
            }
        }
        let enomem = Errno::Memory as u32;
        assert_eq!(client.write(0, 0, &vec![1; 100_000]).await, enomem);
        assert_eq!(client.read(0, 512).await.error, enomem);
        assert_eq!(
            client.carry_out(command::WRITE_ZEROES, 0, 1, 1).await.error,
            enomem
        );
        drop(hoard);
        assert_eq!(client.read(0, 512).await.error, 0);
    });
    assert_eq!(end, End::Over);
    assert!(bench.content() == before);
}

#[test]
fn a_read_in_pieces_is_one_reply() {
    let bench = Bench::new();
    // Half of what is asked for at once is more than there is in one piece.
    bench
        .disk
        .fail(|request| (request.len() > 70_000).then_some(BlockError::OutOfMemory));
    let (_, _, trace) = bench.raw(async |near| {
        let mut client = Client::begin(near, true).await;
        let reply = client.read(100, 200_000).await;
        assert!(reply.error == 0 && reply.data == bench.content()[100..200_100]);
    });
    assert!(trace.sent().len() >= 3 && trace.sent().iter().all(|len| *len <= 70_000));
}

#[test]
fn who_does_not_begin_or_does_not_finish_loses_the_connection() {
    // Nothing at all; half an option; one option after the other.
    for beginning in 0..3 {
        let bench = Bench::new();
        let clock = bench.clock.clone();
        let (_, end, _) = bench.raw(async |near| {
            match beginning {
                0 => {}
                1 => {
                    greet(near, 3).await;
                    near.write(b"IHAVE").await.unwrap();
                }
                _ => {
                    greet(near, 3).await;
                    loop {
                        clock.sleep(Duration::from_secs(1)).await;
                        let mut bytes = OPTION.to_be_bytes().to_vec();
                        bytes.extend_from_slice(&[0, 0, 0, 99, 0, 0, 0, 0]);
                        if near.write(&bytes).await.is_err() {
                            break;
                        }
                    }
                }
            }
            near.read_to_end().await
        });
        assert_eq!(end, End::TimedOut, "{beginning}");
        assert!(bench.clock.now() < bench.limits.handshake_time * 3);
        assert_eq!(bench.counters.timeouts.get(), 1);
        assert_eq!(bench.counters.open.get(), 0);
    }
}

#[test]
fn there_are_so_many_options() {
    let bench = Bench::new();
    let (answers, end, _) = bench.raw(async |near| {
        greet(near, 3).await;
        for _ in 0..bench.limits.options {
            option(near, 99, b"").await;
        }
        near.read_to_end().await.0.len()
    });
    assert_eq!(end, End::Nonsense);
    assert!(answers >= 20 * bench.limits.options);
}

#[test]
fn half_a_request_has_its_time_and_silence_between_requests_has_any() {
    for (sent, end) in [(&[][..], End::Over), (&[0x25, 0x60][..], End::TimedOut)] {
        let bench = Bench::new();
        let clock = bench.clock.clone();
        let (_, ended) = bench.with(true, async |client| {
            assert_eq!(client.read(0, 1).await.error, 0);
            clock.sleep(Duration::from_secs(100_000)).await;
            assert_eq!(client.read(0, 1).await.error, 0);
            client.stream.write(sent).await.unwrap();
            clock.sleep(Duration::from_secs(100)).await;
        });
        assert_eq!(ended, end);
    }
    // Data that comes a byte at a time.
    let bench = Bench::new();
    let clock = bench.clock.clone();
    let (_, end) = bench.with(true, async |client| {
        client.ask(command::WRITE, 0, 0, 1000).await;
        while client.stream.write(&[1]).await.is_ok() {
            clock.sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(end, End::TimedOut);
    let before: Vec<u8> = (0..BYTES).map(byte_at).collect();
    assert!(bench.content() == before);
}

#[test]
fn who_never_stops_asking_is_not_taken_for_slow() {
    let bench = Bench::new();
    let clock = bench.clock.clone();
    let (_, end) = bench.with(false, async |client| {
        // There is always half of the next request there already.
        let mut request = REQUEST.to_be_bytes().to_vec();
        request.extend_from_slice(&[0; 20]);
        request.extend_from_slice(&[0, 0, 0, 1]);
        let (first, second) = request.split_at(14);
        client.stream.write(first).await.unwrap();
        for _ in 0..200 {
            client.stream.write(second).await.unwrap();
            client.stream.write(first).await.unwrap();
            clock.sleep(Duration::from_secs(1)).await;
            let mut reply = [0; 17];
            assert!(client.stream.read_exact(&mut reply).await);
        }
        client.stream.write(second).await.unwrap();
        assert!(client.stream.read_exact(&mut [0; 17]).await);
    });
    assert_eq!(end, End::Over);
}

#[test]
fn who_does_not_take_replies_loses_the_connection() {
    let mut bench = Bench::new();
    bench.room = 1000;
    let clock = bench.clock.clone();
    let (_, end) = bench.with(true, async |client| {
        client.ask(command::READ, 0, 0, 100_000).await;
        clock.sleep(Duration::from_secs(1000)).await;
    });
    assert_eq!(end, End::TimedOut);
    assert_eq!(bench.disk.disk.in_use(), 0);
}

#[test]
fn what_was_begun_is_carried_out_when_the_client_goes() {
    let bench = Bench::new();
    bench.disk.disk.hold();
    let clock = bench.clock.clone();
    let (_, end) = bench.with(true, async |client| {
        // It takes a read, and then a write.
        client.ask_write(0, 600, &[7; 100]).await;
        // Of this one, some is missing.
        client.ask(command::WRITE, 0, 4096, 1000).await;
        client.stream.write(&[8; 999]).await.unwrap();
        clock.sleep(Duration::from_secs(1)).await;
        bench.disk.disk.release();
    });
    assert_eq!(end, End::Stream(StreamError::Closed));
    let mut expected: Vec<u8> = (0..BYTES).map(byte_at).collect();
    expected[600..700].fill(7);
    assert!(bench.content() == expected);
}

#[test]
fn more_connections_than_there_may_be_are_turned_away() {
    let mut bench = Bench::new();
    bench.counters = Arc::new(Counters::new(1));
    let entered = bench.counters.open.enter();
    let (got, end, _) = bench.raw(async |near| near.read_to_end().await);
    assert_eq!((got, end), ((vec![], false), End::TurnedAway));
    assert_eq!(bench.counters.turned_away.get(), 1);
    drop(entered);
    assert_eq!(
        bench
            .with(true, async |client| client.read(0, 1).await.error)
            .0,
        0
    );
}

/// Requests that nobody sends, and what becomes of the connection.
#[test]
fn malformed_requests_end_or_fail() {
    let good = |what: u16, len: u32| {
        let mut bytes = REQUEST.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&what.to_be_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes
    };
    let mut wrong_magic = good(0, 1);
    wrong_magic[3] ^= 1;
    let mut unknown_flag = good(0, 1);
    unknown_flag[4] = 0x80;
    let mut far = good(0, 1);
    far[16] = 0xff;
    for (bytes, error, end) in [
        (wrong_magic, None, End::Nonsense),
        (vec![0; 28], None, End::Nonsense),
        (
            b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec(),
            None,
            End::Nonsense,
        ),
        (SIMPLE_REPLY.to_be_bytes().repeat(7), None, End::Nonsense),
        (good(1, u32::MAX), None, End::Nonsense),
        (unknown_flag, Some(EINVAL), End::Over),
        (far, Some(EINVAL), End::Over),
        (good(0, 0), Some(EINVAL), End::Over),
        (good(1, 0), Some(EINVAL), End::Over),
        (good(5, 1), Some(EINVAL), End::Over),
        (good(7, 1), Some(EINVAL), End::Over),
        (good(0xffff, u32::MAX), Some(EINVAL), End::Over),
    ] {
        let bench = Bench::new();
        let (reply, ended) = bench.with(false, async |client| {
            client.stream.write(&bytes).await.unwrap();
            client.stream.close().await.unwrap();
            client.stream.read_to_end().await.0
        });
        assert_eq!(ended, end, "{bytes:x?}");
        let said = reply
            .get(4..8)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()));
        assert_eq!(said, error, "{bytes:x?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_said_the_connection_ends(
        bytes in prop::collection::vec(any::<u8>(), 0..300), behind: bool,
    ) {
        let bench = Bench::new();
        let before = bench.content();
        bench.raw(async |near| {
            let near = match behind {
                true => Client::begin(near, true).await.stream,
                false => near,
            };
            let _ = near.write(&bytes).await;
            near.close().await.unwrap();
            near.read_to_end().await
        });
        prop_assert!(bench.content() == before);
        prop_assert_eq!(bench.counters.open.get(), 0);
    }

    #[test]
    fn whatever_looks_like_options_is_answered_or_ends(
        options in prop::collection::vec(
            (0..12u32, prop::collection::vec(any::<u8>(), 0..20), 0..24u32), 0..8,
        ),
    ) {
        let bench = Bench::new();
        bench.raw(async |near| {
            let mut bytes = vec![0, 0, 0, 3];
            for (option, data, len) in &options {
                bytes.extend_from_slice(b"IHAVEOPT");
                bytes.extend_from_slice(&option.to_be_bytes());
                bytes.extend_from_slice(&len.to_be_bytes());
                bytes.extend_from_slice(data);
            }
            let _ = near.write(&bytes).await;
            near.close().await.unwrap();
            near.read_to_end().await
        });
    }
}
