//! Two stacks and a wire between them. Time is that of the executor on the host: it goes on when nobody has
//! anything to do, to the next alarm.

mod carrying;
mod closing;
mod corpus;
mod datagrams;
mod flow;
mod hostile;
mod neighbours;
mod others;
mod placing;
mod waiting;

use super::{Backlog, Connection, Ipv4, Options, Stack};
use crate::executor::{self, Task};
use crate::net::{Interface, Offloads, Stream, Wire};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 80;

fn address(end: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 1 + end as u8).into()
}

pub(super) fn options(end: usize) -> Options {
    Options {
        ipv4: Ipv4::Fixed {
            address: Ipv4Addr::new(10, 0, 0, 1 + end as u8),
            prefix: 24,
            router: None,
            dns: Vec::new(),
        },
        seed: 77 + end as u64,
        ..Options::default()
    }
}

/// The same, of a machine that asks the other end for names.
fn asks_for_names(options: Options) -> Options {
    let Ipv4::Fixed {
        address: ours,
        prefix,
        router,
        ..
    } = options.ipv4
    else {
        panic!("the address is fixed");
    };
    let ipv4 = Ipv4::Fixed {
        address: ours,
        prefix,
        router,
        dns: vec![address(1)],
    };
    Options { ipv4, ..options }
}

/// Two stacks that are driven.
struct Pair {
    stacks: [Stack; 2],
    wires: [Arc<Wire>; 2],
    _tasks: Vec<Task<()>>,
}

fn drive(stack: &Stack) -> Task<()> {
    let stack = stack.clone();
    executor::spawn(async move { stack.drive().await })
}

impl Pair {
    fn new(offloads: Offloads) -> Self {
        Self::with(offloads, |options| options)
    }

    fn with(offloads: Offloads, change: impl Fn(Options) -> Options) -> Self {
        let wires = Wire::pair(1500, offloads);
        let interfaces = wires.clone().map(|wire| wire as Arc<dyn Interface>);
        let mut end = 0;
        let stacks = interfaces.map(|interface| {
            end += 1;
            Stack::new(interface, change(options(end - 1))).unwrap()
        });
        let _tasks = stacks.iter().map(drive).collect();
        Self {
            stacks,
            wires,
            _tasks,
        }
    }

    /// A connection from the first to the second, as both see it.
    async fn connected(&self) -> (Connection, Connection) {
        let mut listener = self.stacks[1].listen(PORT, Backlog::default()).unwrap();
        let to = SocketAddr::new(address(1), PORT);
        let client = self.stacks[0].connect(to).await.unwrap();
        let server = listener.accept().await.unwrap();
        assert_eq!(client.peer(), to);
        assert_eq!(Some(server.peer()), client.local());
        (client, server)
    }
}

fn byte(seed: u64, at: usize) -> u8 {
    let mixed = (seed ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

fn pattern(seed: u64, from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| byte(seed, at)).collect()
}

/// Reads so many bytes, and compares each.
async fn expect(connection: &mut Connection, seed: u64, len: usize) {
    let mut buffer = vec![0; 3000];
    let mut done = 0;
    while done < len {
        let most = buffer.len().min(len - done);
        let read = connection.read(&mut buffer[..most]).await.unwrap();
        assert!(read > 0, "the end came after {done} bytes");
        let wrong = (0..read).find(|at| buffer[*at] != byte(seed, done + at));
        assert_eq!(wrong, None, "of {read} bytes after {done}");
        done += read;
    }
}

async fn sleep(microseconds: u64) {
    embassy_time::Timer::after_micros(microseconds).await;
}
