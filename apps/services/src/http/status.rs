//! Status codes (RFC 9110, section 15).

use core::fmt;

/// How a request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16);

macro_rules! statuses {
    ($($name:ident = $code:literal, $reason:literal;)*) => {
        impl Status {
            $(#[doc = $reason] pub const $name: Self = Self($code);)*

            /// The code in words.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    OK = 200, "OK";
    PARTIAL = 206, "Partial Content";
    MOVED = 301, "Moved Permanently";
    NOT_MODIFIED = 304, "Not Modified";
    BAD_REQUEST = 400, "Bad Request";
    FORBIDDEN = 403, "Forbidden";
    NOT_FOUND = 404, "Not Found";
    NOT_ALLOWED = 405, "Method Not Allowed";
    TIMEOUT = 408, "Request Timeout";
    LENGTH_REQUIRED = 411, "Length Required";
    PRECONDITION_FAILED = 412, "Precondition Failed";
    TOO_LARGE = 413, "Content Too Large";
    URI_TOO_LONG = 414, "URI Too Long";
    NO_RANGE = 416, "Range Not Satisfiable";
    EXPECTATION_FAILED = 417, "Expectation Failed";
    HEADERS_TOO_LARGE = 431, "Request Header Fields Too Large";
    INTERNAL = 500, "Internal Server Error";
    NOT_IMPLEMENTED = 501, "Not Implemented";
    UNAVAILABLE = 503, "Service Unavailable";
    VERSION = 505, "HTTP Version Not Supported";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}
