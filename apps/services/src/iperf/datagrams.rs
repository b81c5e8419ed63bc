//! All datagrams of a server: there is one port, and who has sent one is told by its address.

use super::Datagrams;
use super::datagram::{GREETING, REPLY, Stamp, head};
use super::server::Server;
use super::test::{Lane, Phase, Test};
use crate::clock::Clock;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use kernel::net::stack::UdpError;

/// Takes back what was said of datagrams.
struct Taking<'s>(&'s Server);

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.0.mtu.set(None);
    }
}

impl Server {
    /// Takes and sends the datagrams of all tests, until the interface is gone. Without it, tests of UDP are
    /// refused.
    pub async fn datagrams(&self, socket: &impl Datagrams, clock: &impl Clock) -> UdpError {
        self.mtu.set(Some(socket.mtu()));
        let _taking = Taking(self);
        let (incoming, outgoing) = (self.take(socket, clock), self.give(socket, clock));
        match select(incoming, outgoing).await {
            Either::First(error) => error,
            Either::Second(never) => match never {},
        }
    }

    async fn take(&self, socket: &impl Datagrams, clock: &impl Clock) -> UdpError {
        let mut buffer = vec![0; socket.mtu()];
        loop {
            let (len, from) = match socket.receive_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => return error,
            };
            if self.arrives(&buffer[..len], from, clock.now()) {
                // If it gets lost, the client asks once more or gives up.
                let _ = socket.send_to(&REPLY, from).await;
            }
        }
    }

    /// Whether a datagram is to be answered.
    fn arrives(&self, bytes: &[u8], from: SocketAddr, now: Duration) -> bool {
        let current = self.current.borrow().clone();
        let test = current.filter(|test| test.client == from.ip());
        let answered = test.and_then(|test| self.of_test(&test, bytes, from, now));
        answered.unwrap_or_else(|| {
            self.counters.strays.add(1);
            false
        })
    }

    /// The same, of somebody who takes part in a test; `None`: he does not.
    fn of_test(
        &self,
        test: &Rc<Test>,
        bytes: &[u8],
        from: SocketAddr,
        now: Duration,
    ) -> Option<bool> {
        let wanted = test.wanted.get()?;
        let wide = wanted.datagrams?.wide;
        let mut lanes = test.lanes.borrow_mut();
        let number = lanes.iter().position(|lane| lane.peer == Some(from));
        match (number, test.phase.get()) {
            (_, Phase::Gathering) if bytes.len() != GREETING => None,
            (Some(_), Phase::Gathering) => Some(true),
            (None, Phase::Gathering) if lanes.len() < wanted.lanes() => {
                lanes.push(Lane {
                    peer: Some(from),
                    ..Lane::default()
                });
                drop(lanes);
                test.change(|_| {});
                Some(true)
            }
            (Some(number), Phase::Running | Phase::Ending) if !wanted.sends(number) => {
                let stamp = Stamp::read(bytes, wide)?;
                let lane = &mut lanes[number];
                lane.tally.add(stamp, now);
                lane.count.bytes += bytes.len() as u64;
                self.counters.received.add(bytes.len() as u64);
                Some(false)
            }
            _ => None,
        }
    }

    async fn give(&self, socket: &impl Datagrams, clock: &impl Clock) -> core::convert::Infallible {
        loop {
            let ready = || self.current.borrow().clone().filter(|test| sends(test));
            let test = self.changes.until(ready).await;
            self.give_test(socket, &test, clock).await;
            // A test that cannot be sent to is over some time.
            test.until(|test| test.phase.get() != Phase::Running).await;
        }
    }

    /// Sends datagrams, as many as the client wants in a second.
    async fn give_test(&self, socket: &impl Datagrams, test: &Test, clock: &impl Clock) {
        let Some((wanted, datagrams)) = wanted(test) else {
            return;
        };
        let peers: Vec<(usize, SocketAddr)> = {
            let lanes = test.lanes.borrow();
            let lanes = lanes.iter().enumerate();
            let peers = lanes.filter_map(|(number, lane)| Some((number, lane.peer?)));
            peers.filter(|(number, _)| wanted.sends(*number)).collect()
        };
        let begin = clock.now();
        let mut block = vec![0; wanted.block.max(head(datagrams.wide))];
        for number in 1.. {
            for (lane, peer) in &peers {
                let sent = clock.now();
                Stamp { sent, number }.write(&mut block, datagrams.wide);
                let over = test.until(|test| test.phase.get() != Phase::Running);
                match select(over, socket.send_to(&block, *peer)).await {
                    Either::First(()) | Either::Second(Err(_)) => return,
                    Either::Second(Ok(())) => {}
                }
                let mut lanes = test.lanes.borrow_mut();
                let count = &mut lanes[*lane].count;
                count.bytes += block.len() as u64;
                count.packets = number;
                drop(lanes);
                self.counters.sent.add(block.len() as u64);
            }
            let due = begin + datagrams.after(number, block.len());
            match due.checked_sub(clock.now()) {
                Some(wait) if !wait.is_zero() => {
                    let over = test.until(|test| test.phase.get() != Phase::Running);
                    select(over, clock.sleep(wait)).await;
                }
                _ => yield_now().await,
            }
        }
    }
}

fn wanted(test: &Test) -> Option<(super::wire::Wanted, super::wire::Datagrams)> {
    let wanted = test.wanted.get()?;
    Some((wanted, wanted.datagrams?))
}

/// Whether datagrams are to be sent now.
fn sends(test: &Test) -> bool {
    test.phase.get() == Phase::Running
        && wanted(test).is_some_and(|(wanted, _)| wanted.direction != super::wire::Direction::Up)
}
