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

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Connections.
    pub streams: usize,
    /// Whether the server sends.
    pub reverse: bool,
    /// Bytes of a block.
    pub block: usize,
}

/// Why a test does not take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// What came is no JSON, or not what a client says.
    Nonsense,
    /// It is something that this server does not do.
    Unimplemented,
}

/// Most connections of a test, and most bytes of a block.
pub const MOST_STREAMS: usize = 32;
/// Most bytes of a block.
pub const MOST_BLOCK: usize = 1 << 20;

/// Understands what a client wants.
pub fn wanted(bytes: &[u8]) -> Result<Wanted, Refused> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Refused::Nonsense)?;
    let object = value.as_object().ok_or(Refused::Nonsense)?;
    let is = |name: &str| object.get(name).is_some_and(|value| value != &json!(false));
    let number = |name: &str, default: u64| match object.get(name) {
        None => Ok(default),
        Some(value) => value.as_u64().ok_or(Refused::Nonsense),
    };
    if is("udp") || is("sctp") || is("bidirectional") || !is("tcp") {
        return Err(Refused::Unimplemented);
    }
    let streams = usize::try_from(number("parallel", 1)?).unwrap_or(usize::MAX);
    let block = usize::try_from(number("len", 128 << 10)?).unwrap_or(usize::MAX);
    if streams == 0 || streams > MOST_STREAMS || block == 0 {
        return Err(Refused::Unimplemented);
    }
    Ok(Wanted {
        streams,
        reverse: is("reverse"),
        block: block.min(MOST_BLOCK),
    })
}

/// What was counted, each connection by itself, as a client reads it. With the length in front.
pub fn results(bytes: &[u64], time: Duration, is_sender: bool) -> Vec<u8> {
    let stream = |(index, bytes): (usize, &u64)| {
        // The second one has the number 3, for old times' sake.
        let id = if index == 0 { 1 } else { index + 2 };
        json!({
            "id": id,
            "bytes": bytes,
            "retransmits": -1,
            "jitter": 0,
            "errors": 0,
            "packets": 0,
            "start_time": 0,
            "end_time": time.as_secs_f64(),
        })
    };
    let streams: Vec<Value> = bytes.iter().enumerate().map(stream).collect();
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

    #[test]
    fn what_clients_want_is_understood() {
        // As version 3.12 says it.
        let said = br#"{"tcp":true,"omit":0,"time":10,"num":0,"blockcount":0,"parallel":3,
            "reverse":true,"len":131072,"pacing_timer":1000,"client_version":"3.12"}"#;
        let expected = Wanted {
            streams: 3,
            reverse: true,
            block: 131_072,
        };
        assert_eq!(wanted(said), Ok(expected));
        let plain = Wanted {
            streams: 1,
            reverse: false,
            block: 128 << 10,
        };
        assert_eq!(wanted(br#"{"tcp":true}"#), Ok(plain));
        let huge = wanted(br#"{"tcp":true,"len":999999999999}"#);
        assert_eq!(huge.map(|wanted| wanted.block), Ok(MOST_BLOCK));
        for (said, why) in [
            (&br#"{"udp":true,"parallel":1}"#[..], Refused::Unimplemented),
            (
                br#"{"tcp":true,"bidirectional":true}"#,
                Refused::Unimplemented,
            ),
            (br#"{"tcp":true,"parallel":0}"#, Refused::Unimplemented),
            (br#"{"tcp":true,"parallel":33}"#, Refused::Unimplemented),
            (br#"{"tcp":true,"len":0}"#, Refused::Unimplemented),
            (br#"{"tcp":true,"len":-1}"#, Refused::Nonsense),
            (br#"{"tcp":true,"parallel":"1"}"#, Refused::Nonsense),
            (br#"{}"#, Refused::Unimplemented),
            (b"[]", Refused::Nonsense),
            (b"", Refused::Nonsense),
            (b"\xff", Refused::Nonsense),
            (&[b'['; 10_000], Refused::Nonsense),
        ] {
            assert_eq!(wanted(said), Err(why));
        }
    }

    #[test]
    fn results_have_a_number_for_each_stream() {
        let all = results(&[5, 6, 7], Duration::from_millis(1500), false);
        let (len, text) = all.split_first_chunk().unwrap();
        assert_eq!(u32::from_be_bytes(*len) as usize, text.len());
        let value: Value = serde_json::from_slice(text).unwrap();
        let ids: Vec<u64> = value["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids, [1, 3, 4]);
        assert_eq!(
            (
                &value["streams"][2]["bytes"],
                &value["streams"][0]["end_time"]
            ),
            (&json!(7), &json!(1.5))
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = wanted(&bytes);
        }

        #[test]
        fn no_values_panic(text in r#"\{"tcp":true(,"(len|parallel|reverse)":(-?[0-9]{1,25}(\.[0-9])?|true|null|\{\})){0,4}\}"#) {
            if let Ok(wanted) = wanted(text.as_bytes()) {
                prop_assert!((1..=MOST_STREAMS).contains(&wanted.streams));
                prop_assert!((1..=MOST_BLOCK).contains(&wanted.block));
            }
        }
    }
}
