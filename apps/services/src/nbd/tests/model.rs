//! Many requests, on several connections, against a model of the disk.
//!
//! Each connection has a range of bytes of its own, that begins and ends within blocks which it shares with
//! its neighbours. So nobody has to guess who wins where two write; but who writes a part of a block
//! and is careless with the rest takes something away from a neighbour.

use super::*;
use kernel::block::Limits as DiskLimits;
use proptest::prelude::*;
use std::pin::Pin;
use std::task::{Context, Poll};

#[derive(Debug, Clone)]
enum Step {
    Read(u16, u16),
    Write(u16, u16, u8, bool),
    Zero(u16, u16, bool),
    Trim(u16, u16),
    Status(u16, u16, bool),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (any::<u16>(), any::<u16>()).prop_map(|(at, len)| Step::Read(at, len)),
        4 => (any::<u16>(), any::<u16>(), 1..=255u8, any::<bool>())
            .prop_map(|(at, len, byte, fua)| Step::Write(at, len, byte, fua)),
        2 => (any::<u16>(), any::<u16>(), any::<bool>())
            .prop_map(|(at, len, keep)| Step::Zero(at, len, keep)),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(at, len)| Step::Trim(at, len)),
        1 => (any::<u16>(), any::<u16>(), any::<bool>())
            .prop_map(|(at, len, one)| Step::Status(at, len, one)),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 1..25)
}

/// Bytes of a connection's range.
const RANGE: usize = 9001;
const DISK: usize = 64 << 10;

/// Where a step is, within the range from `base` on.
fn place(base: usize, at: u16, len: u16) -> (usize, usize) {
    let at = usize::from(at) % RANGE;
    let len = usize::from(len) % (RANGE - at) + 1;
    (base + at, len)
}

/// Does the steps, several at a time where they do not meet, and compares what is read with the model.
async fn client(near: &mut testing::End, base: usize, steps: &[Step], size: usize) -> Vec<u8> {
    let structured = base.is_multiple_of(2);
    let mut client = Client::begin(near, structured).await;
    let mut model: Vec<u8> = (base..base + RANGE).map(byte_at).collect();
    let mut pending: Pending = vec![];
    for step in steps {
        let (at, len) = match *step {
            Step::Read(at, len)
            | Step::Write(at, len, ..)
            | Step::Zero(at, len, _)
            | Step::Status(at, len, _)
            | Step::Trim(at, len) => place(base, at, len),
            Step::Flush => (base, 0),
        };
        // What meets waits, since otherwise either may be first.
        while pending
            .iter()
            .any(|(_, r, _)| r.start < at + len && at < r.end)
            || pending.len() > 5
        {
            let reply = client.reply().await.unwrap();
            settle(&mut pending, reply);
        }
        let here = at - base..at - base + len;
        let (position, count) = (at as u64, len as u32);
        let (cookie, expected) = match *step {
            Step::Read(..) => {
                let cookie = client.ask(command::READ, 0, position, count).await;
                (cookie, Some(model[here].to_vec()))
            }
            Step::Write(_, _, byte, fua) => {
                let data: Vec<u8> = (0..len).map(|at| byte.wrapping_add(at as u8)).collect();
                let flags = if fua { flag::FUA } else { 0 };
                model[here].copy_from_slice(&data);
                (client.ask_write(flags, position, &data).await, None)
            }
            Step::Zero(_, _, keep) => {
                let flags = if keep { flag::NO_HOLE } else { 0 };
                model[here].fill(0);
                (
                    client
                        .ask(command::WRITE_ZEROES, flags, position, count)
                        .await,
                    None,
                )
            }
            Step::Trim(..) => {
                // What is given up is noticed on this disk, and only whole blocks are.
                let first = at.next_multiple_of(size);
                let end = (at + len) / size * size;
                if first < end {
                    model[first - base..end - base].fill(0xdd);
                }
                (client.ask(command::TRIM, 0, position, count).await, None)
            }
            // Who has not chosen it may not ask.
            Step::Status(..) if !structured => continue,
            Step::Status(_, _, one) => {
                let flags = if one { flag::REQ_ONE } else { 0 };
                let what = command::BLOCK_STATUS;
                let cookie = client.ask(what, flags, position, count).await;
                // All of it is data.
                let piece = [1, count, 0].map(u32::to_be_bytes).concat();
                (cookie, Some(piece))
            }
            Step::Flush => (client.ask(command::FLUSH, 0, 0, 0).await, None),
        };
        pending.push((cookie, at..at + len, expected));
    }
    while !pending.is_empty() {
        let reply = client.reply().await.unwrap();
        settle(&mut pending, reply);
    }
    client.disconnect().await;
    model
}

/// What has no reply yet: its cookie, where it is, and what is to be read there.
type Pending = Vec<(u64, std::ops::Range<usize>, Option<Vec<u8>>)>;

fn settle(pending: &mut Pending, reply: Reply) {
    let at = pending
        .iter()
        .position(|(cookie, ..)| *cookie == reply.cookie)
        .unwrap();
    let (_, range, expected) = pending.remove(at);
    assert_eq!(reply.error, 0, "{range:?}");
    assert!(
        expected.is_none_or(|expected| expected == reply.data),
        "{range:?}"
    );
}

/// A future that ends what the disk holds back, one request after the other in an order of its own.
struct Disorder<'d>(&'d RamDisk, u64);

impl Future for Disorder<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.0.waiting() as u64;
        if waiting > 0 {
            self.1 = self
                .1
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            self.0.complete(((self.1 >> 33) % waiting) as usize);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn check(size: u32, able: bool, order: u64, all: &[Vec<Step>]) {
    let mut disk = RamDisk::new("ram", size, (0..DISK).map(byte_at).collect());
    if !able {
        let discard = disk_limits(&disk).discard;
        disk = disk.with_limits(DiskLimits {
            write_cache: true,
            discard,
            ..DiskLimits::NONE
        });
    }
    let mut bench = Bench::with_disk(disk, true);
    bench.room = 5000;
    bench.disk.disk.hold();
    let bases: Vec<usize> = (0..all.len()).map(|number| 101 + number * RANGE).collect();
    let pipes: Vec<_> = bases.iter().map(|_| pipe(bench.room)).collect();
    let mut servers = vec![];
    let mut clients = vec![];
    for (((mut near, far), base), steps) in pipes.into_iter().zip(&bases).zip(all) {
        servers.push(serve(
            far,
            &bench.exports,
            &bench.limits,
            &bench.counters,
            &bench.clock,
        ));
        clients.push(async move { client(&mut near, *base, steps, size as usize).await });
    }
    let all = join(
        futures_util::future::join_all(servers),
        futures_util::future::join_all(clients),
    );
    let both = embassy_futures::select::select(all, Disorder(&bench.disk.disk, order));
    let embassy_futures::select::Either::First((ends, models)) = run(&bench.clock, both) else {
        unreachable!("disorder never ends");
    };
    assert!(ends.iter().all(|end| *end == End::Over), "{ends:?}");
    let mut expected: Vec<u8> = (0..DISK).map(byte_at).collect();
    for (base, model) in bases.iter().zip(&models) {
        expected[*base..base + RANGE].copy_from_slice(model);
    }
    let content = bench.content();
    let wrong = (0..DISK).find(|at| content[*at] != expected[*at]);
    assert_eq!(wrong, None, "this byte is wrong");
    assert_eq!(bench.disk.disk.in_use(), 0);
}

fn disk_limits(disk: &RamDisk) -> DiskLimits {
    kernel::block::BlockDevice::limits(disk)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn the_disk_is_what_the_model_is(
        big: bool, able: bool, order: u64, all in prop::collection::vec(steps(), 1..4),
    ) {
        check(if big { 4096 } else { 512 }, able, order, &all);
    }
}
