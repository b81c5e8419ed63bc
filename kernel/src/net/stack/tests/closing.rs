//! How connections end.

use super::{PORT, Pair, address, expect, pattern, sleep};
use crate::executor::block_on;
use crate::memory::frames::host;
use crate::net::stack::{Backlog, ListenError, State};
use crate::net::{Fate, Link, Offloads, Stream, StreamError};
use core::net::SocketAddr;

fn states(pair: &Pair, end: usize) -> alloc::vec::Vec<State> {
    pair.stacks[end]
        .connections()
        .iter()
        .map(|one| one.state)
        .collect()
}

#[test]
fn each_direction_ends_alone() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        client.write(b"last words").await.unwrap();
        client.close().await.unwrap();
        assert_eq!(client.write(b"more").await, Err(StreamError::Closed));
        let mut bytes = [0; 100];
        assert_eq!(server.read(&mut bytes).await, Ok(10));
        assert_eq!(server.read(&mut bytes).await, Ok(0));
        sleep(1_000_000).await;
        assert_eq!(
            (states(&pair, 0), states(&pair, 1)),
            ([State::FinWait2].into(), [State::CloseWait].into())
        );
        server.write(&pattern(1, 0, 50_000)).await.unwrap();
        expect_end(&mut server, &mut client).await;
        sleep(1_000_000).await;
        // The one that closed first remembers for a while, in few words.
        assert_eq!(states(&pair, 1), []);
        assert_eq!(states(&pair, 0), [State::TimeWait]);
        drop(client);
        sleep(100_000).await;
        assert_eq!(states(&pair, 0), [State::TimeWait]);
        sleep(30_000_000).await;
    });
    assert_eq!(pair.stacks[0].status().counters.retransmitted, 0);
}

async fn expect_end(server: &mut super::Connection, client: &mut super::Connection) {
    embassy_futures::join::join(
        async {
            server.close().await.unwrap();
            server.flush().await.unwrap();
        },
        async {
            expect(client, 1, 50_000).await;
            assert_eq!(client.read(&mut [0; 1]).await, Ok(0));
        },
    )
    .await;
}

#[test]
fn what_was_written_is_sent_after_the_connection_was_dropped() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::ALL);
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        client.write(&pattern(6, 0, 200_000)).await.unwrap();
        drop(client);
        expect(&mut server, 6, 200_000).await;
        assert_eq!(server.read(&mut [0; 1]).await, Ok(0));
        drop(server);
        sleep(1_000_000).await;
        assert_eq!(
            (states(&pair, 0), states(&pair, 1)),
            ([State::TimeWait].into(), [].into())
        );
    });
}

#[test]
fn who_says_what_nobody_reads_is_told() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let (mut client, server) = pair.connected().await;
        client.write(b"hello?").await.unwrap();
        client.flush().await.unwrap();
        drop(server);
        assert_eq!(client.read(&mut [0; 1]).await, Err(StreamError::Reset));
        assert_eq!(client.write(b"x").await, Err(StreamError::Reset));
        assert_eq!(states(&pair, 1), []);

        let (client, mut server) = pair.connected().await;
        client.abort();
        assert_eq!(server.read(&mut [0; 1]).await, Err(StreamError::Reset));
    });
    assert_eq!(states(&pair, 0), []);
}

#[test]
fn nobody_listens_nobody_is_there_nobody_answers() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let stack = &pair.stacks[0];
        let refused = stack.connect(SocketAddr::new(address(1), 81)).await;
        assert_eq!(refused.err(), Some(StreamError::Reset));
        let elsewhere = SocketAddr::new("10.1.0.1".parse().unwrap(), 80);
        assert_eq!(
            stack.connect(elsewhere).await.err(),
            Some(StreamError::Unreachable)
        );
        let nobody = SocketAddr::new("10.0.0.77".parse().unwrap(), 80);
        assert_eq!(
            stack.connect(nobody).await.err(),
            Some(StreamError::TimedOut)
        );
        assert_eq!(states(&pair, 0), []);

        // In the middle of it, the wire is pulled out.
        let (mut client, mut server) = pair.connected().await;
        pair.wires[0].set_link(Link::Down);
        client.write(b"is anybody there?").await.unwrap();
        assert_eq!(client.flush().await, Err(StreamError::TimedOut));
        drop(client);
        pair.wires[0].set_link(Link::Up);
        // The other end finds out when it says something.
        server.write(b"x").await.unwrap();
        assert_eq!(server.flush().await, Err(StreamError::Reset));
    });
}

#[test]
fn a_last_word_that_was_lost_is_said_again() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        client.close().await.unwrap();
        assert_eq!(server.read(&mut [0; 1]).await, Ok(0));
        server.close().await.unwrap();
        // The answer to the other end's last segment.
        let mut lost = 0;
        pair.wires[0].set_fate(move |frame| {
            let from_client = frame[6..12] == [2, 0, 0, 0, 0, 2];
            match from_client && frame[12..14] == [8, 0] && lost < 1 {
                true => {
                    lost += 1;
                    Fate::Lost
                }
                false => Fate::Arrives,
            }
        });
        assert_eq!(client.read(&mut [0; 1]).await, Ok(0));
        drop(client);
        drop(server);
        sleep(100_000).await;
        assert_eq!(states(&pair, 1), [State::LastAck]);
        sleep(5_000_000).await;
        assert_eq!(states(&pair, 1), []);
        assert_eq!(pair.stacks[0].connections().len(), 1);
    });
}

#[test]
fn an_interface_that_goes_takes_its_connections_along() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        let mut listener = pair.stacks[0].listen(PORT, Backlog::default()).unwrap();
        assert_eq!(
            pair.stacks[0].listen(PORT, Backlog::default()).err(),
            Some(ListenError::InUse)
        );
        pair.wires[0].remove();
        assert_eq!(
            client.read(&mut [0; 1]).await,
            Err(StreamError::Unreachable)
        );
        assert_eq!(server.flush().await, Err(StreamError::Unreachable));
        assert_eq!(
            listener.accept().await.err(),
            Some(StreamError::Unreachable)
        );
        assert!(pair.stacks.iter().all(super::Stack::is_gone));
        let again = pair.stacks[0]
            .connect(SocketAddr::new(address(1), PORT))
            .await;
        assert_eq!(again.err(), Some(StreamError::Unreachable));
    });
}
