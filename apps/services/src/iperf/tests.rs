//! Whole tests, over queues.

use super::datagram::{GREETING, REPLY, Stamp};
use super::wire::{COOKIE, Cookie, state};
use super::{End, Limits, Server};
use crate::clock::Clock;
use crate::testing::{self, Office, TestClock, memory, pipe, run};
use embassy_futures::join::{join, join3};
use kernel::net::Stream;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

const ROOM: usize = 100_000;

fn cookie(letter: u8) -> Cookie {
    let mut cookie = [letter; COOKIE];
    cookie[COOKIE - 1] = 0;
    cookie
}

async fn heard(near: &mut testing::End) -> Option<u8> {
    let mut byte = [0];
    near.read_exact(&mut byte).await.then_some(byte[0])
}

async fn say(near: &mut testing::End, text: &str) {
    near.write(&(text.len() as u32).to_be_bytes())
        .await
        .unwrap();
    near.write(text.as_bytes()).await.unwrap();
}

async fn values(near: &mut testing::End) -> Value {
    let mut len = [0; 4];
    assert!(near.read_exact(&mut len).await);
    let mut text = vec![0; u32::from_be_bytes(len) as usize];
    assert!(near.read_exact(&mut text).await);
    serde_json::from_slice(&text).unwrap()
}

/// The client's part on the connection to talk, up to where bytes go.
async fn begin(near: &mut testing::End, wanted: &str) {
    near.write(&cookie(b'a')).await.unwrap();
    assert_eq!(heard(near).await, Some(state::PARAM_EXCHANGE));
    say(near, wanted).await;
    assert_eq!(heard(near).await, Some(state::CREATE_STREAMS));
}

async fn end(near: &mut testing::End) -> Value {
    near.write(&[state::TEST_END]).await.unwrap();
    assert_eq!(heard(near).await, Some(state::EXCHANGE_RESULTS));
    say(near, "{}").await;
    let results = values(near).await;
    assert_eq!(heard(near).await, Some(state::DISPLAY_RESULTS));
    near.write(&[state::IPERF_DONE]).await.unwrap();
    results
}

#[test]
fn bytes_are_counted_in_both_directions() {
    memory();
    for reverse in [false, true] {
        let (server, clock, limits) = (Server::default(), TestClock::default(), Limits::DEFAULT);
        let (mut talk, far) = pipe(ROOM);
        let (mut one, far_one) = pipe(ROOM);
        let (mut two, far_two) = pipe(ROOM);
        let serve = |far| server.serve(far, &limits, &clock);
        let client = async {
            begin(
                &mut talk,
                &format!(r#"{{"tcp":true,"parallel":2,"reverse":{reverse},"len":5000}}"#),
            )
            .await;
            one.write(&cookie(b'a')).await.unwrap();
            two.write(&cookie(b'a')).await.unwrap();
            assert_eq!(heard(&mut talk).await, Some(state::TEST_START));
            assert_eq!(heard(&mut talk).await, Some(state::TEST_RUNNING));
            if reverse {
                let mut bytes = vec![9; 30_000];
                assert!(one.read_exact(&mut bytes).await && bytes.iter().all(|byte| *byte == 0));
            } else {
                one.write(&[1; 12_345]).await.unwrap();
                two.write(&[1; 777]).await.unwrap();
            }
            clock.sleep(Duration::from_secs(2)).await;
            let results = end(&mut talk).await;
            assert_eq!(results["streams"][0]["end_time"], 2.0);
            let bytes = |at: usize| results["streams"][at]["bytes"].as_u64().unwrap();
            match reverse {
                true => {
                    assert!(bytes(0) >= 30_000 && bytes(1) >= 5000 && bytes(1).is_multiple_of(5000))
                }
                false => assert_eq!((bytes(0), bytes(1)), (12_345, 777)),
            }
        };
        let servers = join3(serve(far), serve(far_one), serve(far_two));
        let ((a, b, c), ()) = run(&clock, join(servers, client));
        assert_eq!((a, b, c), (End::Over, End::Over, End::Over));
        assert_eq!(server.counters.tests.get(), 1);
        assert!(server.current_is_none());
    }
}

#[test]
fn a_second_client_is_turned_away_and_the_next_is_not() {
    let (server, clock, limits) = (Server::default(), TestClock::default(), Limits::DEFAULT);
    let (mut talk, far) = pipe(ROOM);
    let (mut other, far_other) = pipe(ROOM);
    let (mut later, far_later) = pipe(ROOM);
    let client = async {
        begin(&mut talk, r#"{"tcp":true}"#).await;
        other.write(&cookie(b'b')).await.unwrap();
        assert_eq!(heard(&mut other).await, Some(state::ACCESS_DENIED));
        drop(talk);
        clock.sleep(Duration::from_secs(60)).await;
        later.write(&cookie(b'c')).await.unwrap();
        assert_eq!(heard(&mut later).await, Some(state::PARAM_EXCHANGE));
        drop(later);
    };
    let late = async {
        clock.sleep(Duration::from_secs(59)).await;
        server.serve(far_later, &limits, &clock).await
    };
    let first = join(
        server.serve(far, &limits, &clock),
        server.serve(far_other, &limits, &clock),
    );
    let ((first, second), _, ()) = run(&clock, join3(first, late, client));
    assert_eq!((first, second), (End::TimedOut, End::TurnedAway));
    assert!(server.current_is_none());
}

#[test]
fn who_says_what_makes_no_sense_or_nothing_is_left() {
    let with = |client: &dyn Fn(&mut Vec<u8>)| {
        let (server, clock, limits) = (Server::default(), TestClock::default(), Limits::DEFAULT);
        let (mut near, far) = pipe(ROOM);
        let mut said = vec![];
        client(&mut said);
        let client = async {
            near.write(&said).await.unwrap();
            clock.sleep(Duration::from_secs(100)).await;
            near.read_to_end().await.0
        };
        let (end, heard) = run(&clock, join(server.serve(far, &limits, &clock), client));
        assert!(server.current_is_none());
        (end, heard)
    };
    let json = |said: &mut Vec<u8>, text: &[u8]| {
        said.extend_from_slice(&cookie(b'a'));
        said.extend_from_slice(&(text.len() as u32).to_be_bytes());
        said.extend_from_slice(text);
    };
    assert_eq!(with(&|_| {}).0, End::TimedOut);
    assert_eq!(with(&|said| said.extend([b'a'; 36])).0, End::TimedOut);
    assert_eq!(with(&|said| json(said, b"nonsense")).0, End::Nonsense);
    assert_eq!(with(&|said| said.extend([0xff; 99])).0, End::Nonsense);
    assert_eq!(
        with(&|said| json(said, br#"{"tcp":true}"#)).0,
        End::TimedOut
    );
    // Nobody takes datagrams.
    let (end, heard) = with(&|said| json(said, br#"{"udp":true,"len":1000}"#));
    assert_eq!(end, End::Unimplemented);
    assert_eq!(heard[1..3], [state::SERVER_ERROR, 0]);
}

#[test]
fn bytes_go_both_ways_at_once() {
    memory();
    let (server, clock, limits) = (Server::default(), TestClock::default(), Limits::DEFAULT);
    let (mut talk, far) = pipe(ROOM);
    let (mut up, far_up) = pipe(ROOM);
    let (mut down, far_down) = pipe(ROOM);
    let serve = |far| server.serve(far, &limits, &clock);
    let client = async {
        let wanted = r#"{"tcp":true,"parallel":1,"bidirectional":true,"len":5000}"#;
        begin(&mut talk, wanted).await;
        up.write(&cookie(b'a')).await.unwrap();
        // The server knows the one from the other by which comes first.
        while up.trace().copied() > 0 && server.lanes() < 1 {
            clock.sleep(Duration::from_millis(1)).await;
        }
        down.write(&cookie(b'a')).await.unwrap();
        assert_eq!(heard(&mut talk).await, Some(state::TEST_START));
        assert_eq!(heard(&mut talk).await, Some(state::TEST_RUNNING));
        up.write(&[1; 12_345]).await.unwrap();
        let mut bytes = vec![9; 30_000];
        assert!(down.read_exact(&mut bytes).await && bytes.iter().all(|byte| *byte == 0));
        clock.sleep(Duration::from_secs(2)).await;
        let results = end(&mut talk).await;
        let bytes = |at: usize| results["streams"][at]["bytes"].as_u64().unwrap();
        assert_eq!(bytes(0), 12_345);
        assert!(bytes(1) >= 30_000 && bytes(1).is_multiple_of(5000));
        assert_eq!(results["streams"][1]["id"], 3);
    };
    let servers = join3(serve(far), serve(far_up), serve(far_down));
    let ((a, b, c), ()) = run(&clock, join(servers, client));
    assert_eq!((a, b, c), (End::Over, End::Over, End::Over));
}

/// Where the client's own end of a lane is.
fn lane(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

/// A test of UDP: the server's end and the client's, up to when bytes go.
fn with_datagrams<T>(
    wanted: &str,
    lanes: &[SocketAddr],
    client: impl AsyncFnOnce(&Office, &mut testing::End, &TestClock, &Server) -> T,
) -> (End, T) {
    let (server, clock, limits) = (Server::default(), TestClock::default(), Limits::DEFAULT);
    let office = Office::new(1500);
    let (mut talk, far) = pipe(ROOM);
    let client = async {
        begin(&mut talk, wanted).await;
        // Somebody else wants to be in it.
        office.put(([192, 0, 2, 2], 1).into(), &[0; GREETING]);
        for peer in lanes {
            office.put(*peer, &[0; GREETING]);
            assert_eq!(office.got().await, (REPLY.to_vec(), *peer));
        }
        assert_eq!(server.counters.strays.get(), 1);
        assert_eq!(heard(&mut talk).await, Some(state::TEST_START));
        assert_eq!(heard(&mut talk).await, Some(state::TEST_RUNNING));
        let result = client(&office, &mut talk, &clock, &server).await;
        office.close();
        result
    };
    let serve = join(
        server.datagrams(&office, &clock),
        server.serve(far, &limits, &clock),
    );
    let ((_, end), result) = run(&clock, join(serve, client));
    assert!(server.current_is_none());
    (end, result)
}

fn datagram(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![7; len];
    let sent = Duration::from_secs(100);
    Stamp { sent, number }.write(&mut bytes, true);
    bytes
}

#[test]
fn datagrams_are_counted_and_those_that_are_lost_too() {
    let wanted = r#"{"udp":true,"parallel":2,"len":500,"udp_counters_64bit":true}"#;
    let lanes = [lane(1), lane(2)];
    let (end, ()) = with_datagrams(wanted, &lanes, async |office, talk, clock, server| {
        for number in [1, 2, 5, 4, 9] {
            office.put(lanes[0], &datagram(number, 500));
        }
        office.put(lanes[1], &datagram(1, 500));
        // Nobody's, and no datagram.
        office.put(lane(3), &datagram(2, 500));
        office.put(lanes[1], &[1; 15]);
        while !office.is_read() {
            clock.sleep(Duration::from_millis(1)).await;
        }
        clock.sleep(Duration::from_secs(1)).await;
        // On its way while the end is said.
        talk.write(&[state::TEST_END]).await.unwrap();
        assert_eq!(heard(talk).await, Some(state::EXCHANGE_RESULTS));
        office.put(lanes[1], &datagram(2, 400));
        while !office.is_read() {
            clock.sleep(Duration::from_millis(1)).await;
        }
        say(talk, "{}").await;
        let results = values(talk).await;
        assert_eq!(heard(talk).await, Some(state::DISPLAY_RESULTS));
        talk.write(&[state::IPERF_DONE]).await.unwrap();
        let of = |at: usize| {
            let one = &results["streams"][at];
            ["bytes", "packets", "errors"].map(|name| one[name].as_u64().unwrap())
        };
        assert_eq!((of(0), of(1)), ([2500, 9, 4], [900, 2, 0]));
        assert_eq!(server.counters.received.get(), 3400);
        assert_eq!(server.counters.strays.get(), 3);
    });
    assert_eq!(end, End::Over);
}

#[test]
fn datagrams_are_sent_as_many_as_are_wanted() {
    for (both, sender) in [("reverse", 0), ("bidirectional", 1)] {
        // 1000 a second.
        let wanted = format!(r#"{{"udp":true,"{both}":true,"len":500,"bandwidth":4000000}}"#);
        let lanes = [lane(1), lane(2)];
        let lanes = &lanes[..=sender];
        let (end, ()) = with_datagrams(&wanted, lanes, async |office, talk, clock, _| {
            let begin = clock.now();
            if sender == 1 {
                office.put(lanes[0], &datagram(1, 500)[..12]);
            }
            for number in 1..=2000 {
                let (bytes, to) = office.got().await;
                assert_eq!((bytes.len(), to), (500, lanes[sender]));
                assert_eq!(Stamp::read(&bytes, false).unwrap().number, number);
                assert!(bytes[12..].iter().all(|byte| *byte == 0));
            }
            let took = clock.now() - begin;
            assert_eq!(took.as_millis(), 1999);
            let results = super::tests::end(talk).await;
            let one = &results["streams"][sender];
            assert_eq!(
                (&one["bytes"], &one["packets"]),
                (&1_000_000.into(), &2000.into())
            );
        });
        assert_eq!(end, End::Over);
    }
}

#[test]
fn a_datagram_that_is_no_packet_is_refused() {
    let (server, clock, limits) = (Server::default(), TestClock::default(), Limits::DEFAULT);
    let office = Office::new(1500);
    let (mut talk, far) = pipe(ROOM);
    let client = async {
        talk.write(&cookie(b'a')).await.unwrap();
        say(&mut talk, r#"{"udp":true,"len":1473}"#).await;
        let (heard, _) = talk.read_to_end().await;
        office.close();
        heard
    };
    let serve = join(
        server.datagrams(&office, &clock),
        server.serve(far, &limits, &clock),
    );
    let ((_, end), heard) = run(&clock, join(serve, client));
    assert_eq!(end, End::Unimplemented);
    assert_eq!(heard[1..], [state::SERVER_ERROR, 0, 0, 0, 20, 0, 0, 0, 0]);
}
