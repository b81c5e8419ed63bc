//! A small client of NBD.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// A client of NBD, in the old way.
pub(crate) struct Nbd(pub(crate) TcpStream);

impl Nbd {
    pub(crate) fn begin(mut stream: TcpStream, export: &str, bytes: u64) -> Self {
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).expect("it greets");
        let mut ask = vec![0, 0, 0, 3];
        ask.extend_from_slice(b"IHAVEOPT\0\0\0\x01");
        ask.extend_from_slice(&(export.len() as u32).to_be_bytes());
        ask.extend_from_slice(export.as_bytes());
        stream.write_all(&ask).expect("it listens");
        let mut begin = [0; 10];
        stream.read_exact(&mut begin).expect("there is the disk");
        assert_eq!(begin[..8], bytes.to_be_bytes());
        Self(stream)
    }

    /// Asks, and waits for the answer: 0, or why not.
    pub(crate) fn ask(&mut self, command: u8, offset: u64, len: u32, data: &[u8]) -> u32 {
        self.try_ask(0, command, offset, len, data)
            .expect("it answers")
    }

    /// The same with flags, of a server that may go away.
    pub(crate) fn try_ask(
        &mut self,
        flags: u8,
        command: u8,
        offset: u64,
        len: u32,
        data: &[u8],
    ) -> io::Result<u32> {
        let mut request = vec![0x25, 0x60, 0x95, 0x13, 0, flags, 0, command];
        request.extend_from_slice(&[7; 8]);
        request.extend_from_slice(&offset.to_be_bytes());
        request.extend_from_slice(&len.to_be_bytes());
        request.extend_from_slice(data);
        self.0.write_all(&request)?;
        let mut reply = [0; 16];
        self.0.read_exact(&mut reply)?;
        assert_eq!(
            (&reply[..4], &reply[8..]),
            (&[0x67, 0x44, 0x66, 0x98][..], &[7; 8][..])
        );
        let [_, _, _, _, error @ ..] = reply.first_chunk::<8>().expect("it is longer");
        Ok(u32::from_be_bytes(*error))
    }

    pub(crate) fn read(&mut self, offset: u64, len: usize) -> Vec<u8> {
        assert_eq!(self.ask(0, offset, len as u32, &[]), 0);
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("it sends them");
        bytes
    }
}
