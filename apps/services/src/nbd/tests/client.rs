//! A client.

use super::*;
use std::collections::VecDeque;

/// A client, behind the handshake.
pub(super) struct Client<'s> {
    pub(super) stream: &'s mut testing::End,
    pub(super) structured: bool,
    /// Bytes of the export, and its flags.
    pub(super) len: u64,
    pub(super) flags: u16,
    /// The reads that have no reply yet: cookie, offset, length.
    reads: VecDeque<(u64, u64, u32)>,
    cookie: u64,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) cookie: u64,
    /// 0 is success.
    pub(super) error: u32,
    pub(super) data: Vec<u8>,
}

/// Sends an option.
pub(super) async fn option(stream: &mut testing::End, option: u32, data: &[u8]) {
    let mut bytes = OPTION.to_be_bytes().to_vec();
    bytes.extend_from_slice(&option.to_be_bytes());
    bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
    bytes.extend_from_slice(data);
    stream.write(&bytes).await.unwrap();
}

/// The next reply to an option: which, the answer, the data.
pub(super) async fn answer(stream: &mut testing::End) -> Option<(u32, u32, Vec<u8>)> {
    let mut header = [0; 20];
    if !stream.read_exact(&mut header).await {
        return None;
    }
    assert_eq!(header[..8], OPTION_REPLY.to_be_bytes());
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    let mut data = vec![0; number(16) as usize];
    assert!(stream.read_exact(&mut data).await);
    Some((number(8), number(12), data))
}

/// The data of `INFO` and `GO`.
pub(super) fn about(name: &str, kinds: &[u16]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.extend_from_slice(name.as_bytes());
    data.extend_from_slice(&(kinds.len() as u16).to_be_bytes());
    for kind in kinds {
        data.extend_from_slice(&kind.to_be_bytes());
    }
    data
}

/// The data of the options about contexts.
pub(super) fn queries(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.extend_from_slice(name.as_bytes());
    data.extend_from_slice(&(queries.len() as u32).to_be_bytes());
    for query in queries {
        data.extend_from_slice(&(query.len() as u32).to_be_bytes());
        data.extend_from_slice(query.as_bytes());
    }
    data
}

/// Reads the greeting and says what kind of client this is.
pub(super) async fn greet(stream: &mut testing::End, flags: u32) {
    let mut greeting = [0; 18];
    assert!(stream.read_exact(&mut greeting).await);
    assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
    assert_eq!(greeting[16..], [0, 3]);
    stream.write(&flags.to_be_bytes()).await.unwrap();
}

impl<'s> Client<'s> {
    pub(super) async fn begin(stream: &'s mut testing::End, structured: bool) -> Self {
        greet(stream, 3).await;
        if structured {
            option(stream, super::super::wire::option::STRUCTURED_REPLY, b"").await;
            assert_eq!(
                answer(stream).await.unwrap().1,
                super::super::wire::answer::ACK
            );
            let data = queries("", &["base:allocation"]);
            option(stream, super::super::wire::option::SET_META_CONTEXT, &data).await;
            let (_, kind, data) = answer(stream).await.unwrap();
            assert_eq!(kind, super::super::wire::answer::META_CONTEXT);
            assert_eq!(data, b"\0\0\0\x01base:allocation");
            assert_eq!(
                answer(stream).await.unwrap().1,
                super::super::wire::answer::ACK
            );
        }
        option(stream, super::super::wire::option::GO, &about("", &[])).await;
        let (_, kind, data) = answer(stream).await.unwrap();
        assert_eq!((kind, data.len()), (super::super::wire::answer::INFO, 12));
        assert_eq!(
            answer(stream).await.unwrap().1,
            super::super::wire::answer::ACK
        );
        Self {
            stream,
            structured,
            len: u64::from_be_bytes(data[2..10].try_into().unwrap()),
            flags: u16::from_be_bytes(data[10..].try_into().unwrap()),
            reads: VecDeque::new(),
            cookie: 100,
        }
    }

    /// Sends a request, and returns its cookie.
    pub(super) async fn ask(&mut self, what: u16, flags: u16, offset: u64, len: u32) -> u64 {
        self.cookie += 1;
        let mut bytes = REQUEST.to_be_bytes().to_vec();
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&what.to_be_bytes());
        bytes.extend_from_slice(&self.cookie.to_be_bytes());
        bytes.extend_from_slice(&offset.to_be_bytes());
        bytes.extend_from_slice(&len.to_be_bytes());
        self.stream.write(&bytes).await.unwrap();
        if matches!(what, command::READ | command::BLOCK_STATUS) {
            self.reads.push_back((self.cookie, offset, len));
        }
        self.cookie
    }

    /// Sends a write, and returns its cookie.
    pub(super) async fn ask_write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u64 {
        let cookie = self
            .ask(command::WRITE, flags, offset, data.len() as u32)
            .await;
        self.stream.write(data).await.unwrap();
        cookie
    }

    /// The next reply, whatever it is to. `None`: the server has closed.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        let mut start = [0; 16];
        if !self.stream.read_exact(&mut start).await {
            return None;
        }
        let number = |at: usize| u32::from_be_bytes(start[at..at + 4].try_into().unwrap());
        let cookie = u64::from_be_bytes(start[8..].try_into().unwrap());
        let read = self.reads.iter().position(|(c, ..)| *c == cookie);
        let read = read.and_then(|at| self.reads.remove(at));
        let mut data = vec![];
        if number(0) == SIMPLE_REPLY {
            assert!(
                read.is_none() || !self.structured,
                "a read has a simple reply"
            );
            let error = number(4);
            if let (Some((_, _, len)), 0) = (read, error) {
                data.resize(len as usize, 0);
                assert!(self.stream.read_exact(&mut data).await);
            }
            return Some(Reply {
                cookie,
                error,
                data,
            });
        }
        assert!(number(0) == STRUCTURED_REPLY && self.structured);
        let (flags, kind) = (number(4) >> 16, number(4) as u16);
        assert_eq!(flags, u32::from(chunk::DONE));
        let mut len = [0; 4];
        assert!(self.stream.read_exact(&mut len).await);
        data.resize(u32::from_be_bytes(len) as usize, 0);
        assert!(self.stream.read_exact(&mut data).await);
        let (_, offset, len) = read.expect("structured replies are for reads");
        let mut error = 0;
        if kind == chunk::OFFSET_DATA {
            assert_eq!(data[..8], offset.to_be_bytes());
            data.drain(..8);
            assert_eq!(data.len(), len as usize);
        } else if kind == chunk::BLOCK_STATUS {
            // One piece, of one context.
            assert_eq!(data.len(), 12);
        } else {
            assert_eq!(kind, chunk::ERROR);
            error = u32::from_be_bytes(data[..4].try_into().unwrap());
            let words = usize::from(u16::from_be_bytes(data[4..6].try_into().unwrap()));
            assert_eq!(data.len(), 6 + words);
            data.drain(..6);
        }
        Some(Reply {
            cookie,
            error,
            data,
        })
    }

    /// Asks, and waits for the reply.
    pub(super) async fn carry_out(&mut self, what: u16, flags: u16, at: u64, len: u32) -> Reply {
        let cookie = self.ask(what, flags, at, len).await;
        let reply = self.reply().await.expect("the server has closed");
        assert_eq!(reply.cookie, cookie);
        reply
    }

    pub(super) async fn read(&mut self, offset: u64, len: u32) -> Reply {
        self.carry_out(command::READ, 0, offset, len).await
    }

    pub(super) async fn write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u32 {
        let cookie = self.ask_write(flags, offset, data).await;
        let reply = self.reply().await.expect("the server has closed");
        assert_eq!(reply.cookie, cookie);
        reply.error
    }

    /// Says that there is nothing more, and waits for the end.
    pub(super) async fn disconnect(&mut self) {
        self.ask(command::DISCONNECT, 0, 0, 0).await;
        assert_eq!(self.reply().await, None);
    }
}
