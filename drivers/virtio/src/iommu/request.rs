//! Requests as the device reads them (section 5.13.6): a head, what is meant, and a tail that the device
//! writes.

use core::fmt;
use phyr::{DmaRange, Phyr};

/// What the device is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Puts an endpoint into a domain, and takes it out of the one that it was in.
    Attach {
        /// The domain, which begins to exist.
        domain: u32,
        /// The endpoint.
        endpoint: u32,
    },
    /// Takes an endpoint out of a domain.
    Detach {
        /// The domain, which ceases to exist with its last endpoint.
        domain: u32,
        /// The endpoint.
        endpoint: u32,
    },
    /// Lets the endpoints of a domain reach memory.
    Map {
        /// The domain.
        domain: u32,
        /// Where they see it.
        bus: DmaRange,
        /// The memory, of the same length.
        memory: Phyr,
        /// They may read it.
        read: bool,
        /// They may write it.
        write: bool,
    },
    /// Undoes all mappings in a range. None lies across its ends.
    Unmap {
        /// The domain.
        domain: u32,
        /// The range.
        bus: DmaRange,
    },
}

/// Words of the longest request.
pub(super) const WORDS: usize = 5;

impl Request {
    /// The bytes that the device reads, in words, and how many bytes there are.
    pub(super) fn encode(&self) -> ([u64; WORDS], u32) {
        let head = |kind: u64, domain: u32| kind | u64::from(domain) << 32;
        let ends = |bus: &DmaRange| [bus.addr().get(), bus.last().get()];
        match self {
            Self::Attach { domain, endpoint } => {
                ([head(1, *domain), u64::from(*endpoint), 0, 0, 0], 20)
            }
            Self::Detach { domain, endpoint } => {
                ([head(2, *domain), u64::from(*endpoint), 0, 0, 0], 20)
            }
            Self::Map {
                domain,
                bus,
                memory,
                read,
                write,
            } => {
                let [first, last] = ends(bus);
                let flags = u64::from(*read) | u64::from(*write) << 1;
                let words = [head(3, *domain), first, last, memory.addr().get(), flags];
                (words, 36)
            }
            Self::Unmap { domain, bus } => {
                let [first, last] = ends(bus);
                ([head(4, *domain), first, last, 0, 0], 28)
            }
        }
    }
}

/// What the device says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// It was done.
    pub const OK: Self = Self(0);
    /// There is no such domain or endpoint.
    pub const NO_ENTRY: Self = Self(6);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0 => "it was done",
            1 => "an error of the device",
            2 => "it does not know this request",
            3 => "an internal error",
            4 => "the request makes no sense",
            5 => "an address is out of range",
            6 => "there is no such domain or endpoint",
            7 => "it cannot read the request",
            8 => "it has no memory left",
            other => return write!(f, "status {other}, which means nothing"),
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::{DmaAddr, PhysAddr};

    #[test]
    fn requests_are_what_the_specification_says() {
        let bus = DmaRange::new(DmaAddr::new(0x1000), 0x2000).expect("a range");
        let memory = Phyr::new(PhysAddr::new(0x7000), 0x2000).expect("a range");
        let (domain, endpoint) = (9, 0x18);
        let attach = Request::Attach { domain, endpoint };
        assert_eq!(attach.encode(), ([1 | 9 << 32, 0x18, 0, 0, 0], 20));
        let detach = Request::Detach { domain, endpoint };
        assert_eq!(detach.encode(), ([2 | 9 << 32, 0x18, 0, 0, 0], 20));
        let map = |read, write| Request::Map {
            domain,
            bus,
            memory,
            read,
            write,
        };
        for (read, write, flags) in [(true, false, 1), (false, true, 2), (true, true, 3)] {
            let words = [3 | 9 << 32, 0x1000, 0x2fff, 0x7000, flags];
            assert_eq!(map(read, write).encode(), (words, 36));
        }
        let unmap = Request::Unmap { domain, bus };
        assert_eq!(unmap.encode(), ([4 | 9 << 32, 0x1000, 0x2fff, 0, 0], 28));
    }
}
