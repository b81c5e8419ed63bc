//! What is said to a request.
//!
//! The bytes of a resource come from its [`Source`] as memory, and go to the connection as memory. While
//! one piece is sent, the next is fetched.

use super::conditional::{self, Outcome, Version};
use super::head::{Head, Method};
use super::path::Path;
use super::range::{self, Wanted};
use super::server::{Connection, End};
use super::site::{Found, Resource, Site, Source, Trouble};
use super::status::Status;
use super::{date, kind, listing};
use crate::clock::{Clock, within};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::ops::Range;
use embassy_futures::join::join;
use kernel::block::BlockError;
use kernel::dma::{Memory, Owner};
use kernel::net::Stream;

/// What an answer has besides its status: fields, each with its line end.
type Fields = String;

/// Bytes that most fields find room in, and so do those that all answers have.
const ROOM: usize = 256;

impl<S: Stream, T: Site, C: Clock> Connection<'_, S, T, C> {
    pub(super) async fn answer(&mut self, head: &Head<'_>, goes_on: bool) -> Result<(), End> {
        let reply = Reply {
            is_head: head.method == Method::Head,
            goes_on,
            says_keep_alive: !head.is_1_1 && goes_on,
        };
        match head.method {
            Method::Get | Method::Head => {}
            Method::Other => {
                let fields = "Allow: GET, HEAD\r\n";
                return self.explain(reply, Status::NOT_ALLOWED, fields).await;
            }
            Method::Unknown => return self.explain(reply, Status::NOT_IMPLEMENTED, "").await,
        }
        if head.body > self.limits.body {
            return self.explain(reply, Status::TOO_LARGE, "").await;
        }
        let path = match Path::parse(head.target) {
            Ok(path) => path,
            Err(status) => return self.explain(reply, status, "").await,
        };
        match self.site.find(&path).await {
            Ok(Found::Resource(resource)) if !path.is_folder => {
                self.resource(reply, head, &resource).await
            }
            Ok(Found::Folder(entries)) if path.is_folder => {
                let page = listing::page(&path, &entries).into_bytes();
                self.page(reply, kind::HTML, Cow::Owned(page)).await
            }
            Ok(Found::Folder(_)) => {
                let fields = format!("Location: {}\r\n", path.to_folder_target());
                self.explain(reply, Status::MOVED, &fields).await
            }
            Ok(Found::Page { kind, bytes }) => self.page(reply, kind, bytes).await,
            Ok(Found::Resource(_)) | Err(Trouble::NotFound) => {
                self.explain(reply, Status::NOT_FOUND, "").await
            }
            Err(Trouble::Forbidden) => self.explain(reply, Status::FORBIDDEN, "").await,
            Err(Trouble::Busy) => {
                let fields = "Retry-After: 1\r\n";
                self.explain(reply, Status::UNAVAILABLE, fields).await
            }
            Err(Trouble::Failed(why)) => {
                let text = format!("{}\n{why}\n", Status::INTERNAL);
                self.say(
                    reply,
                    Status::INTERNAL,
                    "",
                    kind::TEXT,
                    text.into_bytes().into(),
                )
                .await
            }
        }
    }

    async fn resource(
        &mut self,
        reply: Reply,
        head: &Head<'_>,
        resource: &Resource<T::Source>,
    ) -> Result<(), End> {
        let version = Version {
            tag: resource.tag.as_deref(),
            modified: resource.modified,
        };
        let mut fields = Fields::with_capacity(ROOM);
        // Writing to a string cannot fail.
        if let Some(tag) = version.tag {
            let _ = write!(fields, "ETag: {tag}\r\n");
        }
        if let Some(modified) = version.modified {
            let _ = write!(fields, "Last-Modified: {}\r\n", date::format(modified));
        }
        match conditional::judge(head, version) {
            Outcome::Go => {}
            Outcome::NotModified => {
                return self.begin(reply, Status::NOT_MODIFIED, &fields, None).await;
            }
            Outcome::Failed => {
                return self
                    .explain(reply, Status::PRECONDITION_FAILED, &fields)
                    .await;
            }
        }
        let len = resource.len;
        // Ranges are of a GET alone (RFC 9110, section 14.2).
        let range = head.only("range").filter(|_| !reply.is_head);
        let range = range.filter(|_| conditional::ranges_apply(head, version));
        let wanted = range.map_or(Wanted::Whole, |range| range::parse(range, len));
        fields.push_str("Accept-Ranges: bytes\r\n");
        match wanted {
            Wanted::Nothing => {
                let _ = write!(fields, "Content-Range: bytes */{len}\r\n");
                self.explain(reply, Status::NO_RANGE, &fields).await
            }
            Wanted::Whole => {
                let _ = write!(fields, "Content-Type: {}\r\n", resource.kind);
                let bytes = if reply.is_head { 0..0 } else { 0..len };
                let begin = self.head(reply, Status::OK, &fields, Some(len));
                self.stream_out(&begin, resource, bytes).await
            }
            Wanted::Parts(parts) => match parts.as_slice() {
                [part] => {
                    let Range { start, end } = part.clone();
                    let _ = write!(
                        fields,
                        "Content-Type: {}\r\nContent-Range: bytes {start}-{}/{len}\r\n",
                        resource.kind,
                        end - 1
                    );
                    let len = end - start;
                    let begin = self.head(reply, Status::PARTIAL, &fields, Some(len));
                    self.stream_out(&begin, resource, start..end).await
                }
                parts => self.several(reply, fields, resource, parts).await,
            },
        }
    }

    /// Answers with several parts (RFC 9110, section 14.6).
    async fn several(
        &mut self,
        reply: Reply,
        mut fields: Fields,
        resource: &Resource<T::Source>,
        parts: &[Range<u64>],
    ) -> Result<(), End> {
        let boundary = self.boundary();
        let heads: Vec<String> = parts
            .iter()
            .map(|part| {
                format!(
                    "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n",
                    resource.kind,
                    part.start,
                    part.end - 1,
                    resource.len
                )
            })
            .collect();
        let tail = format!("\r\n--{boundary}--\r\n");
        let said: usize = heads.iter().map(String::len).sum::<usize>() + tail.len();
        // Together they are no longer than the resource.
        let data: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let len = data.saturating_add(said as u64);
        let _ = write!(
            fields,
            "Content-Type: multipart/byteranges; boundary={boundary}\r\n"
        );
        self.begin(reply, Status::PARTIAL, &fields, Some(len))
            .await?;
        for (part, head) in parts.iter().zip(&heads) {
            self.stream_out(head, resource, part.clone()).await?;
        }
        self.write(tail.as_bytes()).await
    }

    /// Words that are in no file, unless somebody has guessed the time to a microsecond.
    fn boundary(&self) -> String {
        let micros = self.clock.now().as_micros() as u64;
        let mixed =
            (micros ^ self.counters.sent.get().rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("phyros-{mixed:016x}-{micros:016x}")
    }

    /// Sends what comes before them, and bytes of a resource from where they are put.
    async fn stream_out(
        &mut self,
        begin: &str,
        resource: &Resource<T::Source>,
        bytes: Range<u64>,
    ) -> Result<(), End> {
        if bytes.is_empty() {
            return self.write(begin.as_bytes()).await;
        }
        let mut at = bytes.start;
        let mut piece = self.limits.piece;
        // Both leave in one frame if the beginning waits for the first bytes.
        let ready = fetch(&resource.source, at, bytes.end, &mut piece).await;
        self.write(begin.as_bytes()).await?;
        let mut ready = ready?;
        loop {
            at += ready.len() as u64;
            self.counters.sent.add(ready.len() as u64);
            let sent = within(self.clock, self.limits.send_time, self.stream.send(ready));
            if at == bytes.end {
                return sent.await.ok_or(End::TimedOut)?.map_err(End::from);
            }
            let next = fetch(&resource.source, at, bytes.end, &mut piece);
            let (sent, next) = join(sent, next).await;
            sent.ok_or(End::TimedOut)??;
            ready = next?;
        }
    }

    /// Answers by something that was made just now.
    async fn page(
        &mut self,
        reply: Reply,
        kind: &'static str,
        bytes: Cow<'static, [u8]>,
    ) -> Result<(), End> {
        self.say(
            reply,
            Status::OK,
            "Cache-Control: no-store\r\n",
            kind,
            bytes,
        )
        .await
    }

    /// Answers by a status and its words.
    async fn explain(&mut self, reply: Reply, status: Status, fields: &str) -> Result<(), End> {
        let text = format!("{status}\n").into_bytes();
        self.say(reply, status, fields, kind::TEXT, text.into())
            .await
    }

    pub(super) async fn refuse(&mut self, status: Status, goes_on: bool) -> Result<(), End> {
        let reply = Reply {
            is_head: false,
            goes_on,
            says_keep_alive: false,
        };
        self.explain(reply, status, "").await
    }

    async fn say(
        &mut self,
        reply: Reply,
        status: Status,
        fields: &str,
        kind: &str,
        bytes: Cow<'static, [u8]>,
    ) -> Result<(), End> {
        /// What is longer is not copied.
        const SHORT: usize = 4 << 10;
        let fields = format!("{fields}Content-Type: {kind}\r\n");
        let len = Some(bytes.len() as u64);
        self.begin(reply, status, &fields, len).await?;
        if reply.is_head {
            return Ok(());
        }
        match bytes {
            Cow::Owned(bytes) if bytes.len() > SHORT => {
                let time = self.limits.send_time;
                let sent = within(self.clock, time, self.stream.send(bytes.into_memory()));
                sent.await.ok_or(End::TimedOut)?.map_err(End::from)
            }
            bytes => self.write(&bytes).await,
        }
    }

    /// Writes the head of an answer.
    async fn begin(
        &mut self,
        reply: Reply,
        status: Status,
        fields: &str,
        len: Option<u64>,
    ) -> Result<(), End> {
        let head = self.head(reply, status, fields, len);
        self.write(head.as_bytes()).await
    }

    /// The head of an answer.
    fn head(&self, reply: Reply, status: Status, fields: &str, len: Option<u64>) -> String {
        let mut text = String::with_capacity(ROOM + fields.len());
        let _ = write!(text, "HTTP/1.1 {status}\r\n");
        text.push_str("Server: phyros\r\nX-Content-Type-Options: nosniff\r\n");
        text.push_str(fields);
        if let Some(len) = len {
            let _ = write!(text, "Content-Length: {len}\r\n");
        }
        text.push_str(match (reply.goes_on, reply.says_keep_alive) {
            (false, _) => "Connection: close\r\n\r\n",
            (true, true) => "Connection: keep-alive\r\n\r\n",
            (true, false) => "\r\n",
        });
        self.counters.answered(status);
        text
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.counters.copied.add(bytes.len() as u64);
        let written = within(self.clock, self.limits.send_time, self.stream.write(bytes));
        written.await.ok_or(End::TimedOut)?.map_err(End::from)
    }
}

/// How an answer is given.
#[derive(Debug, Clone, Copy)]
struct Reply {
    /// Only its head.
    is_head: bool,
    /// Whether the connection goes on behind it.
    goes_on: bool,
    /// Whether the client has to be told.
    says_keep_alive: bool,
}

/// Fetches the next piece of what lies from `at` to `end`. Pieces end at multiples of their length, and
/// are shorter if there is no memory for longer ones.
async fn fetch(source: &impl Source, at: u64, end: u64, piece: &mut usize) -> Result<Memory, End> {
    const LEAST: usize = 4096;
    loop {
        let len = *piece as u64;
        let most = (len - at % len).min(end - at) as usize;
        match source.fetch(at, most).await {
            Ok(memory) if (1..=most).contains(&memory.len()) => return Ok(memory),
            Ok(_) => return Err(End::Source(BlockError::Length)),
            Err(BlockError::OutOfMemory) if *piece > LEAST => *piece /= 2,
            Err(error) => return Err(End::Source(error)),
        }
    }
}
