//! `wget`: what a web server has.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::network;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use kernel::executor::block_on;
use kernel::net::stack::Connection;
use kernel::net::{Stream, StreamError};
use sha2::{Digest, Sha256};

/// Most bytes of the head of an answer.
const HEAD: usize = 16 * 1024;

pub(super) const COMMAND: Command = Command {
    name: "wget",
    usage: "[--sum] http://HOST[:PORT]/PATH",
    about: "print what a web server has under an address",
    details: "The bytes are printed as they are, or, with --sum, their SHA-256 and their number.\n\
              An answer that is no success is a failure of the command.\n",
    run,
};

/// An address of something on the web.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.map_or(Some(80), |port| port.parse().ok())?;
        let is_clean = text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_clean && !host.is_empty() && port > 0).then_some(Self { host, port, path })
    }
}

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let (url, sums) = match arguments {
        [url] => (url, false),
        [option, url] if option == "--sum" => (url, true),
        _ => return Err(COMMAND.misused()),
    };
    let parsed = Url::parse(url).ok_or_else(|| COMMAND.misused())?;
    let (stack, address) = network::find(context.system, parsed.host)?;
    let failed = |error: String| Error::Network(url.clone(), error);
    let mut hash = Sha256::new();
    let mut count = 0;
    let out = &mut *context.out;
    let fetched = block_on(async {
        let to = SocketAddr::new(address, parsed.port);
        let mut connection = stack.connect(to).await.map_err(words)?;
        fetch(&mut connection, &parsed, |piece| {
            count += piece.len();
            match sums {
                true => hash.update(piece),
                false => out.bytes(piece),
            }
        })
        .await
    });
    fetched.map_err(failed)?;
    if sums {
        for byte in hash.finalize() {
            write!(context.out, "{byte:02x}")?;
        }
        writeln!(context.out, "  {count} bytes")?;
    }
    Ok(())
}

fn words(error: StreamError) -> String {
    error.to_string()
}

/// Asks for it, and hands on what comes.
async fn fetch(
    connection: &mut Connection,
    url: &Url<'_>,
    mut take: impl FnMut(&[u8]),
) -> core::result::Result<(), String> {
    let (host, path) = (url.host, url.path);
    let ask = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    connection.write(ask.as_bytes()).await.map_err(words)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut head = Vec::new();
    let body = loop {
        let read = connection.read(&mut buffer).await.map_err(words)?;
        head.extend_from_slice(&buffer[..read]);
        if let Some(at) = head.windows(4).position(|end| end == b"\r\n\r\n") {
            break head.split_off(at + 4);
        }
        if read == 0 || head.len() > HEAD {
            return Err("the answer is not one of a web server".to_string());
        }
    };
    let head = String::from_utf8_lossy(&head);
    let (status, length) = read_head(&head).ok_or("the answer is not one of a web server")?;
    if !(200..300).contains(&status) {
        return Err(format!("the server says {status}"));
    }
    let mut left = length.unwrap_or(u64::MAX);
    let mut hand_on = |piece: &[u8]| {
        let part = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= part as u64;
        take(&piece[..part]);
        left > 0
    };
    let mut goes_on = hand_on(&body);
    while goes_on {
        let read = connection.read(&mut buffer).await.map_err(words)?;
        if read == 0 {
            break;
        }
        goes_on = hand_on(&buffer[..read]);
    }
    match length {
        Some(_) if left > 0 => Err(format!("{left} bytes are missing")),
        _ => Ok(()),
    }
}

/// The status of an answer, and the length of what follows, if it says so.
fn read_head(head: &str) -> Option<(u16, Option<u64>)> {
    let mut lines = head.lines();
    let first = lines.next()?;
    let rest = first.strip_prefix("HTTP/1.")?;
    let status = rest.split(' ').nth(1)?.parse().ok()?;
    let mut length = None;
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse().ok()?);
        }
    }
    Some((status, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let url = |text| Url::parse(text).map(|url| (url.host, url.port, url.path));
        assert_eq!(url("http://a.b/c?d"), Some(("a.b", 80, "/c?d")));
        assert_eq!(url("http://10.0.0.1:8080"), Some(("10.0.0.1", 8080, "/")));
        assert_eq!(url("http://[fe80::1]:81/"), Some(("fe80::1", 81, "/")));
        for wrong in [
            "https://a/",
            "a/b",
            "http://",
            "http:///x",
            "http://a:0/",
            "http://a:99999/",
            "http://a/b c",
        ] {
            assert_eq!(url(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn heads_are_read() {
        assert_eq!(
            read_head("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n"),
            Some((200, Some(12)))
        );
        assert_eq!(read_head("HTTP/1.0 404 Not Found\r\n"), Some((404, None)));
        for wrong in [
            "",
            "HTTP/1.1",
            "SSH-2.0",
            "HTTP/1.1 x\r\n",
            "HTTP/1.1 200\r\ncontent-length: -1\r\n",
        ] {
            assert_eq!(read_head(wrong), None, "{wrong}");
        }
    }
}
