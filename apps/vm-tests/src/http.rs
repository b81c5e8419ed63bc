//! What a request of HTTP costs, in instructions: all that the machine does for it, from the frame that brings it over a
//! tap to the acknowledgement of the last byte. The file lies on an NVMe disk, and the host's kernel is the client.
//!
//! The machine's clock counts instructions, and a poller keeps the core from halting, which would make it jump. A turn of
//! the executor that costs no more than one in which there is nothing to do is waiting, and is not counted; all others
//! are, in full. How what is sent is acknowledged is up to the client, so the numbers differ a little each time.

use alloc::rc::Rc;
use core::cell::Cell;
use core::future::poll_fn;
use core::net::Ipv4Addr;
use core::task::{Poll, Waker};
use kernel::arch::cpu::{mark, time_stamp};
use kernel::executor::{self, Look, Poller};
use kernel::net::stack::{self, Backlog, Ipv4, Options, Stack};
use kernel::{println, storage};
use services::clock::MachineClock;
use services::http::files::{FileSource, Volume};
use services::http::path::Path;
use services::http::{self, Found, Site, Trouble};
use vm_test::{seed, vm_test, wire};

/// The file system of the disk.
struct Files(Volume);

impl Site for Files {
    type Source = FileSource;

    async fn find(&self, path: &Path) -> Result<Found<FileSource>, Trouble> {
        self.0.find(path).await
    }
}

/// Counts the instructions of turns in which something is done, while the host talks.
struct Meter {
    counts: Rc<Counts>,
    _poller: Poller,
}

#[derive(Default)]
struct Counts {
    last: Cell<u64>,
    turns: Cell<u64>,
    /// The cheapest turn so far.
    least: Cell<u64>,
    /// Turns that cost more than this are work.
    empty: Cell<u64>,
    /// Instructions of turns with work.
    work: Cell<u64>,
    /// Who waits for the host to have heard everything.
    waits: Cell<Option<Waker>>,
}

/// How often it is counted, if it is too much. A client that has to wait for its turn on a busy host acknowledges more
/// often, and each time is work; that is over sooner or later, and more work of our own is not.
const ROUNDS: usize = 8;

/// The host is asked once in so many turns.
const SELDOM: u64 = 4096;

impl Counts {
    /// Once a turn, always at the same place of it. What is done here does not count.
    fn turn(&self) -> Look {
        let cost = time_stamp() - self.last.get();
        self.least.set(self.least.get().min(cost));
        if cost > self.empty.get() {
            self.work.set(self.work.get() + cost);
        }
        self.turns.set(self.turns.get() + 1);
        if self.turns.get().is_multiple_of(SELDOM)
            && let Some(waker) = self.waits.take()
        {
            match wire::heard(0) {
                true => waker.wake(),
                false => self.waits.set(Some(waker)),
            }
        }
        self.last.set(time_stamp());
        Look::Waiting
    }
}

impl Meter {
    /// A meter that knows what a turn costs in which there is nothing to do.
    async fn new() -> Self {
        let counts = Rc::new(Counts::default());
        let looked = counts.clone();
        let poller = executor::add_poller(move || looked.turn());
        counts.least.set(u64::MAX);
        embassy_time::Timer::after_millis(10).await;
        // Some turns look at the clock a little longer.
        counts
            .empty
            .set(counts.least.get() + counts.least.get() / 4);
        Self {
            counts,
            _poller: poller,
        }
    }

    /// Instructions of working turns while the host asks for bytes of the file, and is answered.
    async fn fetched(&self, times: u64, len: u64) -> u64 {
        let before = self.counts.work.get();
        wire::fetch(0, times, 0..len, seed());
        let mut asked = false;
        poll_fn(|cx| match core::mem::replace(&mut asked, true) {
            true => Poll::Ready(()),
            false => {
                self.counts.waits.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await;
        self.counts.work.get() - before
    }
}

/// The machine's only stack, at the address that the host knows.
async fn begin() -> Stack {
    stack::start(Options {
        ipv4: Ipv4::Fixed {
            address: Ipv4Addr::new(10, 7, 0, 2),
            prefix: 24,
            router: None,
            dns: alloc::vec![],
        },
        ..Options::default()
    });
    stack::started().await;
    stack::stacks().swap_remove(0)
}

#[vm_test(machine = "icount,nvme,disk=ext4,nic=tap", timeout = 300)]
fn a_request_of_http_costs_few_instructions_and_no_copy_of_the_file() {
    let disk = storage::volumes().swap_remove(0).device;
    let files = Rc::new(Files(Volume::new(disk)));
    executor::block_on(async {
        let stack = begin().await;
        let counters = Rc::new(http::Counters::new(4));
        let mut listener = stack.listen(80, Backlog::default()).unwrap();
        let counts = counters.clone();
        let server = executor::spawn(async move {
            while let Ok(connection) = listener.accept().await {
                let (files, counters) = (files.clone(), counts.clone());
                executor::spawn(async move {
                    let limits = http::Limits::DEFAULT;
                    http::serve(connection, &*files, &limits, &counters, &MachineClock).await
                })
                .detach();
            }
        });
        let meter = Meter::new().await;
        println!("an empty turn: {} instructions", meter.counts.least.get());
        for (times, len, most) in [(256, 1 << 10, 47_000), (32, 1 << 20, 195_000)] {
            // Once for all that is made at the first use.
            meter.fetched(8, len).await;
            let mut least = u64::MAX;
            for _ in 0..ROUNDS {
                let (before, sent) = (stack.status().counters, counters.sent.get());
                mark::<0>();
                let each = meter.fetched(times, len).await / times;
                match len {
                    1024 => mark::<1>(),
                    _ => mark::<2>(),
                }
                println!("{len} bytes: {each} instructions a request");
                let after = stack.status().counters;
                assert_eq!(counters.sent.get() - sent, times * len);
                assert!(after.referred_bytes - before.referred_bytes >= times * len);
                // Heads of answers.
                assert!(after.copied_bytes - before.copied_bytes < times * 512);
                least = least.min(each);
                if least <= most {
                    break;
                }
            }
            assert!(least <= most, "{len} bytes: {least} instructions a request");
        }
        drop(server);
    });
}
