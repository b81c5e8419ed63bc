//! The head of a request: from bytes to what is asked (RFC 9112).
//!
//! `httparse` knows the grammar. Here is what it leaves open: which heads are refused, with which status,
//! and where the next request begins. A connection carries one request after the other, so whoever
//! mistakes the end of one reads something into the next that was never said. What is in doubt is refused,
//! and the connection ends.

use super::status::Status;
use alloc::vec::Vec;
use httparse::{EMPTY_HEADER, Error, Header};

/// Most fields of a head.
pub const MOST_FIELDS: usize = 64;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Give it.
    Get,
    /// Say what giving it would say.
    Head,
    /// Something that is known and not done here.
    Other,
    /// Something else.
    Unknown,
}

/// The head of a request.
#[derive(Debug)]
pub struct Head<'b> {
    /// What is to be done.
    pub method: Method,
    /// With what, as it was written.
    pub target: &'b str,
    /// Whether the client speaks HTTP/1.1, and not 1.0.
    pub is_1_1: bool,
    /// Whether the connection is to go on.
    pub is_persistent: bool,
    /// Bytes of a body, which nobody wants.
    pub body: u64,
    /// Whether the client waits to be told that it may send the body.
    pub waits: bool,
    fields: Vec<Header<'b>>,
}

/// Looks for a head at the beginning of bytes. Returns it, and how many of them it is; `None` if they are
/// only the beginning of one.
///
/// # Errors
/// The status that is all of the answer. The connection ends with it.
pub fn parse(bytes: &[u8]) -> Result<Option<(Head<'_>, usize)>, Status> {
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(status_of(error)),
    };
    let (method, target) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    let is_1_1 = request.version == Some(1);
    let mut head = Head {
        method: method_of(method),
        target,
        is_1_1,
        is_persistent: is_1_1,
        body: 0,
        waits: false,
        fields: request.headers.to_vec(),
    };
    head.understand()?;
    Ok(Some((head, len)))
}

/// What to say of a head that has filled all the room and is not whole.
pub fn too_long(bytes: &[u8]) -> Status {
    // The line of the request alone, or its fields.
    let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte));
    let line = &bytes[begin.unwrap_or(bytes.len())..];
    match line.contains(&b'\n') {
        true => Status::HEADERS_TOO_LARGE,
        false => Status::URI_TOO_LONG,
    }
}

fn status_of(error: Error) -> Status {
    match error {
        Error::TooManyHeaders => Status::HEADERS_TOO_LARGE,
        Error::Version => Status::VERSION,
        _ => Status::BAD_REQUEST,
    }
}

fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => Method::Other,
        _ => Method::Unknown,
    }
}

impl<'b> Head<'b> {
    /// The values of a field, in their order. What is no text is left out.
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &'b str> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .filter_map(|field| core::str::from_utf8(field.value).ok())
            .map(str::trim_ascii)
    }

    /// The value of a field that is there once.
    pub fn only(&self, name: &'static str) -> Option<&'b str> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The members of a field that is a list, in all its lines.
    fn members(&self, name: &'static str) -> impl Iterator<Item = &'b str> {
        self.all(name)
            .flat_map(|line| line.split(','))
            .map(str::trim_ascii)
            .filter(|member| !member.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        let is_it = |field: &Header<'_>| field.name.eq_ignore_ascii_case(name);
        self.fields.iter().any(is_it)
    }

    fn understand(&mut self) -> Result<(), Status> {
        // RFC 9112, section 3.2: one, for a client of HTTP/1.1; and nobody sends two.
        let hosts = self.all("host").count();
        if hosts > 1 || (self.is_1_1 && hosts == 0) {
            return Err(Status::BAD_REQUEST);
        }
        let says = |wanted: &str| {
            self.members("connection")
                .any(|member| member.eq_ignore_ascii_case(wanted))
        };
        let (close, keep) = (says("close"), says("keep-alive"));
        self.is_persistent = !close && (self.is_1_1 || keep);
        self.body = self.body_len()?;
        match self.only("expect") {
            Some(what) if what.eq_ignore_ascii_case("100-continue") => {
                self.waits = self.is_1_1 && self.body > 0;
            }
            None if !self.has("expect") => {}
            _ => return Err(Status::EXPECTATION_FAILED),
        }
        Ok(())
    }

    /// How long the body is (RFC 9112, section 6.3).
    fn body_len(&self) -> Result<u64, Status> {
        let has_len = self.has("content-length");
        if self.has("transfer-encoding") {
            return Err(match has_len {
                true => Status::BAD_REQUEST,
                false => Status::LENGTH_REQUIRED,
            });
        }
        if !has_len {
            return Ok(0);
        }
        let mut len = None;
        for member in self.all("content-length").flat_map(|line| line.split(',')) {
            let member = member.trim_ascii();
            // `parse` would take a sign, too.
            let digits = !member.is_empty() && member.bytes().all(|byte| byte.is_ascii_digit());
            let this = member.parse::<u64>().ok().filter(|_| digits);
            let this = this.ok_or(Status::BAD_REQUEST)?;
            if len.is_some_and(|len| len != this) {
                return Err(Status::BAD_REQUEST);
            }
            len = Some(this);
        }
        len.ok_or(Status::BAD_REQUEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(bytes: &[u8]) -> Option<u16> {
        parse(bytes).err().map(|status| status.0)
    }

    fn head(text: &str) -> Head<'_> {
        match parse(text.as_bytes()) {
            Ok(Some((head, len))) => {
                assert_eq!(len, text.len());
                head
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_head_says_what_is_asked_and_whether_the_connection_goes_on() {
        let whole = head("GET /a?b HTTP/1.1\r\nHost: x\r\nRANGE:  bytes=0-1 \r\n\r\n");
        assert_eq!((whole.method, whole.target), (Method::Get, "/a?b"));
        assert_eq!(whole.only("range"), Some("bytes=0-1"));
        assert!(whole.is_persistent && whole.is_1_1 && whole.body == 0);
        for (fields, goes_on) in [
            ("HTTP/1.1\r\nHost: x\r\nConnection: close", false),
            ("HTTP/1.1\r\nHost: x\r\nConnection: a, Close", false),
            ("HTTP/1.1\r\nHost: x\r\nConnection: keep-alive", true),
            ("HTTP/1.0\r\nHost: x", false),
            ("HTTP/1.0\r\nConnection: Keep-Alive", true),
            ("HTTP/1.0\r\nConnection: keep-alive, close", false),
        ] {
            let text = format!("HEAD / {fields}\r\n\r\n");
            assert_eq!(head(&text).is_persistent, goes_on, "{fields}");
        }
    }

    #[test]
    fn every_prefix_is_incomplete() {
        let text = "GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
        for len in 0..text.len() {
            let parsed = parse(&text.as_bytes()[..len]);
            assert!(matches!(parsed, Ok(None)), "{len}");
        }
    }

    #[test]
    fn what_is_in_doubt_is_refused() {
        for (text, status) in [
            ("GET /\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                400,
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
                400,
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
                400,
            ),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                400,
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                411,
            ),
            ("GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417),
            ("\0\0\0", 400),
        ] {
            assert_eq!(refusal(text.as_bytes()), Some(status), "{text:?}");
        }
        let same = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nContent-Length: 7, 7\r\n\r\n";
        assert_eq!(head(same).body, 7);
        let many = "A: b\r\n".repeat(MOST_FIELDS);
        let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n");
        assert_eq!(refusal(many.as_bytes()), Some(431));
    }

    #[test]
    fn a_head_that_is_too_long_is_refused_for_what_is_too_long() {
        let line = format!("\r\nGET /{}", "a".repeat(100));
        assert_eq!(too_long(line.as_bytes()), Status::URI_TOO_LONG);
        let fields = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(100));
        assert_eq!(too_long(fields.as_bytes()), Status::HEADERS_TOO_LARGE);
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = too_long(&bytes);
        }

        #[test]
        fn nothing_that_looks_like_a_request_panics(
            line in "[A-Z]{1,8} [!-~]{1,40} HTTP/1\\.[0-9]\r\n",
            fields in prop::collection::vec("[A-Za-z-]{1,18}: [ -~]{0,30}\r\n", 0..6),
            length in "(Content-Length: [0-9+, -]{0,24}\r\n)?",
        ) {
            let text = format!("{line}Host: x\r\n{}{length}\r\n", fields.concat());
            if let Ok(Some((head, len))) = parse(text.as_bytes()) {
                prop_assert_eq!(len, text.len());
                prop_assert!(!head.target.is_empty());
            }
        }
    }
}
