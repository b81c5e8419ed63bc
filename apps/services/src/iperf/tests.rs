//! Whole tests, over queues.

use super::wire::{COOKIE, Cookie, state};
use super::{End, Limits, Server};
use crate::clock::Clock;
use crate::testing::{self, TestClock, memory, pipe, run};
use embassy_futures::join::{join, join3};
use kernel::net::Stream;
use serde_json::Value;
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
    let (end, heard) = with(&|said| json(said, br#"{"udp":true}"#));
    assert_eq!(end, End::Unimplemented);
    assert_eq!(heard[1..3], [state::SERVER_ERROR, 0]);
}
