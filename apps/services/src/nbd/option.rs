//! Options: what a client wants to know, or to agree on, before it sends requests.

use super::wire::{OPTION, OPTION_REPLY, handshake, info};
use alloc::vec::Vec;

/// Bytes of the header of an option.
pub const HEADER: usize = 16;

/// Which option it is, and how many bytes of data come behind the header. `None`: it is none.
pub fn header(bytes: &[u8; HEADER]) -> Option<(u32, u32)> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (option, len) = rest.split_first_chunk()?;
    let is_one = u64::from_be_bytes(*magic) == OPTION;
    let len = u32::from_be_bytes(*len.first_chunk()?);
    is_one.then(|| (u32::from_be_bytes(*option), len))
}

/// The flags of a client. `None`: there is one among them that nobody knows.
pub fn client_flags(bytes: [u8; 4]) -> Option<ClientFlags> {
    let flags = u32::from_be_bytes(bytes);
    let known = u32::from(handshake::FIXED | handshake::NO_ZEROES);
    (flags & !known == 0).then(|| ClientFlags {
        no_zeroes: flags & u32::from(handshake::NO_ZEROES) != 0,
    })
}

/// What a client says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientFlags {
    /// It can do without zeros.
    pub no_zeroes: bool,
}

/// The data of `INFO` and `GO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About<'b> {
    /// Which export; an empty name is the first.
    pub name: &'b [u8],
    /// What the client wants to know of it, besides its length: two bytes each.
    kinds: &'b [u8],
}

impl<'b> About<'b> {
    /// Understands the data. `None`: its lengths do not fit each other.
    pub fn parse(data: &'b [u8]) -> Option<Self> {
        let (len, rest) = data.split_first_chunk()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (name, rest) = rest.split_at_checked(len)?;
        let (count, kinds) = rest.split_first_chunk()?;
        let count = usize::from(u16::from_be_bytes(*count));
        (kinds.len() == count * 2).then_some(Self { name, kinds })
    }

    /// Whether the client wants to know this.
    pub fn wants(&self, kind: u16) -> bool {
        self.kinds
            .chunks_exact(2)
            .any(|two| two == kind.to_be_bytes())
    }
}

/// A reply to an option.
pub fn reply(option: u32, answer: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + data.len());
    bytes.extend_from_slice(&OPTION_REPLY.to_be_bytes());
    bytes.extend_from_slice(&option.to_be_bytes());
    bytes.extend_from_slice(&answer.to_be_bytes());
    bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The data of a reply that has a name.
pub fn server(name: &str) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.extend_from_slice(name.as_bytes());
    data
}

/// The data of a reply that has an export's length and flags.
pub fn export(len: u64, flags: u16) -> Vec<u8> {
    let mut data = info::EXPORT.to_be_bytes().to_vec();
    data.extend_from_slice(&len.to_be_bytes());
    data.extend_from_slice(&flags.to_be_bytes());
    data
}

/// The data of a reply in words.
pub fn words(kind: u16, text: &str) -> Vec<u8> {
    let mut data = kind.to_be_bytes().to_vec();
    data.extend_from_slice(text.as_bytes());
    data
}

/// The data of a reply that says how requests should be.
pub fn block_size(least: u32, preferred: u32, most: u32) -> Vec<u8> {
    let mut data = info::BLOCK_SIZE.to_be_bytes().to_vec();
    for size in [least, preferred, most] {
        data.extend_from_slice(&size.to_be_bytes());
    }
    data
}

/// All of the reply to `EXPORT_NAME`.
pub fn begin(len: u64, flags: u16, client: ClientFlags) -> Vec<u8> {
    let mut bytes = len.to_be_bytes().to_vec();
    bytes.extend_from_slice(&flags.to_be_bytes());
    if !client.no_zeroes {
        bytes.extend_from_slice(&[0; 124]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn about(name: &[u8], kinds: &[u16]) -> Vec<u8> {
        let mut data = (name.len() as u32).to_be_bytes().to_vec();
        data.extend_from_slice(name);
        data.extend_from_slice(&(kinds.len() as u16).to_be_bytes());
        kinds
            .iter()
            .for_each(|kind| data.extend_from_slice(&kind.to_be_bytes()));
        data
    }

    #[test]
    fn what_is_asked_about_an_export_is_understood() {
        let data = about(b"disk", &[3, 1]);
        let asked = About::parse(&data).unwrap();
        assert_eq!(asked.name, b"disk");
        assert!(asked.wants(3) && asked.wants(1) && !asked.wants(0) && !asked.wants(0x301));
        for wrong in [&data[..data.len() - 1], &data[..5], &data[..0]] {
            assert_eq!(About::parse(wrong), None);
        }
        let mut longer = data.clone();
        longer.push(0);
        assert_eq!(About::parse(&longer), None);
        let mut huge = data;
        huge[0] = 0xff;
        assert_eq!(About::parse(&huge), None);
    }

    #[test]
    fn headers_and_flags_that_nobody_knows_are_none() {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(b"IHAVEOPT");
        bytes[11] = 7;
        bytes[15] = 9;
        assert_eq!(header(&bytes), Some((7, 9)));
        bytes[0] = b'i';
        assert_eq!(header(&bytes), None);
        assert_eq!(
            client_flags([0, 0, 0, 3]),
            Some(ClientFlags { no_zeroes: true })
        );
        assert_eq!(
            client_flags([0, 0, 0, 1]),
            Some(ClientFlags { no_zeroes: false })
        );
        assert_eq!(client_flags([0, 0, 0, 4]), None);
        assert_eq!(client_flags([0x80, 0, 0, 1]), None);
    }

    #[test]
    fn replies_are_as_long_as_they_say() {
        let bytes = reply(7, 3, &export(1 << 40, 0x101));
        assert_eq!(bytes.len(), 20 + 12);
        assert_eq!(bytes[..8], 0x0003_e889_0455_65a9u64.to_be_bytes());
        assert_eq!(bytes[8..20], [0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 12]);
        assert_eq!(bytes[20..], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(begin(1, 1, ClientFlags { no_zeroes: false }).len(), 134);
        assert_eq!(begin(1, 1, ClientFlags { no_zeroes: true }).len(), 10);
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(asked) = About::parse(&data) {
                prop_assert!(asked.name.len() + 6 <= data.len());
            }
        }
    }
}
