//! Whole connections, over queues, on a file system that `mke2fs` made.
//!
//! - `content` has what is asked for and what comes;
//! - `limits` has clients that want too much, and disks that give too little.

mod content;
mod limits;

use super::files::{FileSource, Volume};
use super::path::Path;
use super::server::End;
use super::{Counters, Found, Limits, Site, Trouble, serve};
use crate::testing::{self, Flaky, TestClock, Trace, memory, pipe, run};
use embassy_futures::join::join;
use harness::disk::ext4;
use kernel::block::RamDisk;
use kernel::net::Stream;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path as HostPath;
use std::sync::{Arc, LazyLock};

const LARGE: usize = 700_001;

/// Bytes that are nowhere the same for long.
fn large() -> Vec<u8> {
    (0..LARGE as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// A megabyte with data at both ends and a little in the middle.
fn sparse() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    bytes[..4].copy_from_slice(b"head");
    bytes[300_000..300_003].copy_from_slice(b"mid");
    bytes[(1 << 20) - 4..].copy_from_slice(b"tail");
    bytes
}

fn fill(folder: &HostPath) {
    fs::write(folder.join("index.html"), "<p>hello</p>\n").unwrap();
    fs::write(folder.join("empty.txt"), "").unwrap();
    fs::write(folder.join("large.bin"), large()).unwrap();
    fs::write(folder.join("gr\u{f6}\u{df}e & <co>.txt"), "odd\n").unwrap();
    let holes = fs::File::create(folder.join("sparse")).unwrap();
    holes.set_len(1 << 20).unwrap();
    holes.write_all_at(b"head", 0).unwrap();
    holes.write_all_at(b"mid", 300_000).unwrap();
    holes.write_all_at(b"tail", (1 << 20) - 4).unwrap();
    fs::create_dir(folder.join("dir")).unwrap();
    fs::write(folder.join("dir/leaf"), "leaf\n").unwrap();
    let leaf = fs::File::open(folder.join("dir/leaf")).unwrap();
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777);
    leaf.set_modified(then).unwrap();
    symlink("dir", folder.join("to-dir")).unwrap();
    symlink("../../../../dir/leaf", folder.join("dir/up")).unwrap();
    symlink("gone", folder.join("to-nothing")).unwrap();
    symlink("loop", folder.join("loop")).unwrap();
    drop(UnixListener::bind(folder.join("socket")).unwrap());
}

static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let (content, image) = (folder.path().join("content"), folder.path().join("image"));
    fs::create_dir(&content).unwrap();
    fill(&content);
    ext4::create(&image, &content, 8 << 20).unwrap();
    fs::read(&image).unwrap()
});

/// A server, and its only connection.
struct Bench {
    clock: TestClock,
    disk: Arc<Flaky>,
    volume: Volume,
    limits: Limits,
    counters: Counters,
    /// Bytes on their way in each direction.
    room: usize,
    /// Bytes that the server gets at once.
    most: usize,
}

impl Site for Volume {
    type Source = FileSource;

    async fn find(&self, path: &Path) -> Result<Found<FileSource>, Trouble> {
        Volume::find(self, path).await
    }
}

impl Bench {
    fn new() -> Self {
        memory();
        let disk = RamDisk::new("disk", 512, IMAGE.clone()).read_only();
        let disk = Arc::new(Flaky::new(disk));
        Self {
            clock: TestClock::default(),
            volume: Volume::new(disk.clone()),
            disk,
            limits: Limits::DEFAULT,
            counters: Counters::new(4),
            room: 64 << 10,
            most: usize::MAX,
        }
    }

    /// Runs a client against the server.
    fn with<T>(&self, client: impl AsyncFnOnce(&mut testing::End) -> T) -> (T, End, Trace) {
        let (mut near, mut far) = pipe(self.room);
        far.most = self.most;
        let trace = far.trace();
        let server = serve(far, &self.volume, &self.limits, &self.counters, &self.clock);
        let client = async {
            let output = client(&mut near).await;
            // The other end learns of it.
            drop(near);
            output
        };
        let (end, output) = run(&self.clock, join(server, client));
        (output, end, trace)
    }

    /// Sends all of `requests`, closes, and returns the answers. `heads` are those without a body.
    fn talk(&self, requests: impl AsRef<[u8]>) -> Vec<Answer> {
        let requests = requests.as_ref();
        let (bytes, _, _) = self.with(async |near| {
            near.write(requests).await.unwrap();
            near.close().await.unwrap();
            let (bytes, whole) = near.read_to_end().await;
            assert!(whole, "the connection broke off");
            bytes
        });
        let heads = requests.windows(5).filter(|word| word == b"HEAD ").count();
        answers(&bytes, heads > 0)
    }

    /// One request for a path, with these fields.
    fn get(&self, path: &str, fields: &str) -> Answer {
        let line = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let mut answers = self.talk(format!("{line}{fields}\r\n"));
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Divides what a server has said, as RFC 9112 section 6.3 says how.
fn answers(mut bytes: &[u8], all_heads: bool) -> Vec<Answer> {
    let mut all = vec![];
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let len = response.parse(bytes).unwrap().unwrap();
        let status = response.code.unwrap();
        let fields: BTreeMap<String, String> = response
            .headers
            .iter()
            .map(|field| {
                let value = str::from_utf8(field.value).unwrap();
                (field.name.to_ascii_lowercase(), value.to_string())
            })
            .collect();
        assert_eq!(
            fields.len(),
            response.headers.len(),
            "a field is there twice"
        );
        bytes = &bytes[len..];
        let body = match all_heads || status == 304 {
            true => 0,
            false => fields["content-length"].parse().unwrap(),
        };
        all.push(Answer {
            status,
            fields,
            body: bytes[..body].to_vec(),
        });
        bytes = &bytes[body..];
    }
    all
}
