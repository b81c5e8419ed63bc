//! States, cookies and values.

use alloc::vec::Vec;
use core::time::Duration;
use serde_json::{Value, json};

/// Bytes of a cookie, with a zero at the end.
pub const COOKIE: usize = 37;

/// What tells the connections of a test from others.
pub type Cookie = [u8; COOKIE];

/// Where a test is, in a byte.
pub mod state {
    /// The bytes begin.
    pub const TEST_START: u8 = 1;
    /// They go.
    pub const TEST_RUNNING: u8 = 2;
    /// There are no more of them.
    pub const TEST_END: u8 = 4;
    /// The client says what it wants.
    pub const PARAM_EXCHANGE: u8 = 9;
    /// The client opens the other connections.
    pub const CREATE_STREAMS: u8 = 10;
    /// The client has given up.
    pub const CLIENT_TERMINATE: u8 = 12;
    /// Both say what they have counted.
    pub const EXCHANGE_RESULTS: u8 = 13;
    /// The client may say it to its user.
    pub const DISPLAY_RESULTS: u8 = 14;
    /// The end.
    pub const IPERF_DONE: u8 = 16;
    /// There is another test.
    pub const ACCESS_DENIED: u8 = 0xff;
    /// The server cannot do what the client wants.
    pub const SERVER_ERROR: u8 = 0xfe;
}

/// What is said after [`SERVER_ERROR`](state::SERVER_ERROR): iperf's own number for "unimplemented feature", and no
/// number of an operating system.
pub const UNIMPLEMENTED: [u8; 8] = [0, 0, 0, 13, 0, 0, 0, 0];

/// The same, for "block size invalid" of UDP.
pub const DATAGRAM_SIZE: [u8; 8] = [0, 0, 0, 20, 0, 0, 0, 0];

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Up,
    /// To the client (`-R`).
    Down,
    /// To both at once (`--bidir`).
    Both,
}

/// What is particular to UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagrams {
    /// Bits in a second; 0: as many as there is room for.
    pub rate: u64,
    /// Their numbers have 64 bits.
    pub wide: bool,
}

impl Datagrams {
    /// The time that so many of them take.
    pub fn after(&self, number: u64, block: usize) -> Duration {
        let bits = u128::from(number) * block as u128 * 8;
        let nanos = (bits * 1_000_000_000).checked_div(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos.unwrap_or(0)).unwrap_or(u64::MAX))
    }
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Connections in each direction.
    pub streams: usize,
    /// The directions.
    pub direction: Direction,
    /// Bytes of a block.
    pub block: usize,
    /// Over UDP, and like this.
    pub datagrams: Option<Datagrams>,
}

impl Wanted {
    /// All connections.
    pub const fn lanes(&self) -> usize {
        match self.direction {
            Direction::Both => 2 * self.streams,
            _ => self.streams,
        }
    }

    /// Whether the server sends on this one, in the order in which they come.
    pub const fn sends(&self, number: usize) -> bool {
        match self.direction {
            Direction::Up => false,
            Direction::Down => true,
            Direction::Both => number >= self.streams,
        }
    }
}

/// Why a test does not take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// What came is no JSON, or not what a client says.
    Nonsense,
    /// It is something that this server does not do, and this is said to the client.
    Unimplemented([u8; 8]),
}

/// Most connections of a test in each direction.
pub const MOST_STREAMS: usize = 32;
/// Most bytes of a block.
pub const MOST_BLOCK: usize = 1 << 20;

/// Understands what a client wants, who is reached by datagrams of so many bytes, or by none.
pub fn wanted(bytes: &[u8], datagram: Option<usize>) -> Result<Wanted, Refused> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Refused::Nonsense)?;
    let object = value.as_object().ok_or(Refused::Nonsense)?;
    let is = |name: &str| {
        let value = object.get(name);
        value.is_some_and(|value| *value != json!(false) && *value != json!(0))
    };
    let number = |name: &str, default: u64| match object.get(name) {
        None => Ok(default),
        Some(value) => value.as_u64().ok_or(Refused::Nonsense),
    };
    const NO: Refused = Refused::Unimplemented(UNIMPLEMENTED);
    if is("sctp") || is("udp") == is("tcp") {
        return Err(NO);
    }
    let streams = usize::try_from(number("parallel", 1)?).unwrap_or(usize::MAX);
    let block = usize::try_from(number("len", 128 << 10)?).unwrap_or(usize::MAX);
    if streams == 0 || streams > MOST_STREAMS || block == 0 {
        return Err(NO);
    }
    let datagrams = match is("udp") {
        false => None,
        true => {
            let most = datagram.ok_or(NO)?;
            let wide = is("udp_counters_64bit");
            if block > most || block < super::datagram::head(wide) {
                return Err(Refused::Unimplemented(DATAGRAM_SIZE));
            }
            let rate = number("bandwidth", 1 << 20)?;
            Some(Datagrams { rate, wide })
        }
    };
    Ok(Wanted {
        streams,
        direction: match (is("bidirectional"), is("reverse")) {
            (true, _) => Direction::Both,
            (false, true) => Direction::Down,
            (false, false) => Direction::Up,
        },
        block: block.min(MOST_BLOCK),
        datagrams,
    })
}

/// What was counted of one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Bytes that came or went.
    pub bytes: u64,
    /// Datagrams that were sent, as far as is known.
    pub packets: u64,
    /// Those that did not come.
    pub lost: u64,
    /// Seconds by which their time on the way varies.
    pub jitter: f64,
}

/// What was counted, each connection by itself, as a client reads it. With the length in front.
pub fn results(counts: &[Count], time: Duration, wanted: &Wanted) -> Vec<u8> {
    let stream = |(index, count): (usize, &Count)| {
        // The second one has the number 3, for old times' sake.
        let id = if index == 0 { 1 } else { index + 2 };
        json!({
            "id": id,
            "bytes": count.bytes,
            "retransmits": -1,
            "jitter": count.jitter,
            "errors": count.lost,
            "packets": count.packets,
            "start_time": 0,
            "end_time": time.as_secs_f64(),
        })
    };
    let streams: Vec<Value> = counts.iter().enumerate().map(stream).collect();
    let is_sender = wanted.direction != Direction::Up && wanted.datagrams.is_none();
    let value = json!({
        "cpu_util_total": 0.0,
        "cpu_util_user": 0.0,
        "cpu_util_system": 0.0,
        // It is not said how many there were.
        "sender_has_retransmits": if is_sender { 0 } else { -1 },
        "streams": streams,
    });
    let text = alloc::format!("{value}");
    let mut all = (text.len() as u32).to_be_bytes().to_vec();
    all.extend_from_slice(text.as_bytes());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Wanted = Wanted {
        streams: 1,
        direction: Direction::Up,
        block: 128 << 10,
        datagrams: None,
    };

    #[test]
    fn what_clients_want_is_understood() {
        // As version 3.12 says it.
        let said = br#"{"tcp":true,"omit":0,"time":10,"num":0,"blockcount":0,"parallel":3,
            "reverse":true,"len":131072,"pacing_timer":1000,"client_version":"3.12"}"#;
        let expected = Wanted {
            streams: 3,
            direction: Direction::Down,
            block: 131_072,
            ..PLAIN
        };
        assert_eq!(wanted(said, None), Ok(expected));
        assert_eq!(wanted(br#"{"tcp":true}"#, None), Ok(PLAIN));
        let huge = wanted(br#"{"tcp":true,"len":999999999999}"#, None);
        assert_eq!(huge.map(|wanted| wanted.block), Ok(MOST_BLOCK));
        let said = br#"{"udp":true,"omit":0,"time":1,"num":0,"blockcount":0,"parallel":2,"bidirectional":true,
            "len":1448,"bandwidth":1048576,"pacing_timer":1000,"udp_counters_64bit":1,"client_version":"3.12"}"#;
        let expected = Wanted {
            streams: 2,
            direction: Direction::Both,
            block: 1448,
            datagrams: Some(Datagrams {
                rate: 1 << 20,
                wide: true,
            }),
        };
        assert_eq!(wanted(said, Some(1472)), Ok(expected));
        let sends: Vec<bool> = (0..expected.lanes())
            .map(|lane| expected.sends(lane))
            .collect();
        assert_eq!(sends, [false, false, true, true]);
    }

    #[test]
    fn what_is_not_done_is_refused_in_the_client_s_own_words() {
        let (no, length) = (
            Refused::Unimplemented(UNIMPLEMENTED),
            Refused::Unimplemented(DATAGRAM_SIZE),
        );
        for (said, why) in [
            (&br#"{"udp":true,"sctp":true}"#[..], no),
            (br#"{"udp":true,"tcp":true}"#, no),
            (br#"{"udp":true,"len":1473}"#, length),
            (br#"{"udp":true,"len":11}"#, length),
            (
                br#"{"udp":true,"len":15,"udp_counters_64bit":true}"#,
                length,
            ),
            (
                br#"{"udp":true,"len":100,"bandwidth":-1}"#,
                Refused::Nonsense,
            ),
            (br#"{"tcp":true,"parallel":0}"#, no),
            (br#"{"tcp":true,"parallel":33}"#, no),
            (br#"{"tcp":true,"len":0}"#, no),
            (br#"{"tcp":true,"len":-1}"#, Refused::Nonsense),
            (br#"{"tcp":true,"parallel":"1"}"#, Refused::Nonsense),
            (br#"{}"#, no),
            (b"[]", Refused::Nonsense),
            (b"", Refused::Nonsense),
            (b"\xff", Refused::Nonsense),
            (&[b'['; 10_000], Refused::Nonsense),
        ] {
            let text = String::from_utf8_lossy(said).into_owned();
            assert_eq!(wanted(said, Some(1472)), Err(why), "{text}");
        }
        assert_eq!(wanted(br#"{"udp":true,"len":100}"#, None), Err(no));
    }

    #[test]
    fn datagrams_take_the_time_that_the_client_wants() {
        let at = |rate| Datagrams { rate, wide: false }.after(10, 125);
        assert_eq!(at(1000), Duration::from_secs(10));
        assert_eq!(at(0), Duration::ZERO);
        let never = Datagrams {
            rate: 1,
            wide: true,
        };
        assert_eq!(never.after(u64::MAX, 1472), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn results_have_a_number_for_each_stream() {
        let of = |bytes| Count {
            bytes,
            packets: 3,
            lost: 1,
            jitter: 0.25,
        };
        let all = results(&[of(5), of(6), of(7)], Duration::from_millis(1500), &PLAIN);
        let (len, text) = all.split_first_chunk().unwrap();
        assert_eq!(u32::from_be_bytes(*len) as usize, text.len());
        let value: Value = serde_json::from_slice(text).unwrap();
        let streams = value["streams"].as_array().unwrap();
        let ids: Vec<u64> = streams.iter().map(|s| s["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [1, 3, 4]);
        let (first, last) = (&streams[0], &streams[2]);
        assert_eq!(
            (&last["bytes"], &first["end_time"]),
            (&json!(7), &json!(1.5))
        );
        assert_eq!((&last["packets"], &last["errors"]), (&json!(3), &json!(1)));
        assert_eq!(last["jitter"], json!(0.25));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = wanted(&bytes, Some(1472));
        }

        #[test]
        fn no_values_panic(text in r#"\{"(tcp|udp)":true(,"(len|parallel|reverse|bidirectional|bandwidth)":(-?[0-9]{1,25}(\.[0-9])?|true|null|\{\})){0,4}\}"#) {
            if let Ok(wanted) = wanted(text.as_bytes(), Some(1472)) {
                prop_assert!((1..=MOST_STREAMS).contains(&wanted.streams));
                prop_assert!((1..=MOST_BLOCK).contains(&wanted.block));
            }
        }
    }
}
