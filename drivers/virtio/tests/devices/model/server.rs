//! A server of files (9P2000.L), which objects to what a client must not say, and answers what it is told to.

use super::bits;
use super::device::{Device, Part};
use super::ram::Ram;
use super::rings::Piece;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a lie changes: the kind of the message, and the reply to it, all of its bytes.
type Lie = Box<dyn FnMut(u8, &mut Vec<u8>)>;

/// What is at the end of a path.
#[derive(Clone, Debug)]
pub(crate) enum File {
    Folder(BTreeMap<Vec<u8>, usize>),
    Bytes(Vec<u8>),
    Link(Vec<u8>),
    /// The host refuses everything about it.
    Forbidden,
}

#[derive(Default)]
pub(crate) struct Server {
    /// The first is the root.
    pub(crate) files: Vec<File>,
    /// What a client knows: the file, and whether it is open.
    pub(crate) fids: BTreeMap<u32, (usize, bool)>,
    /// Most bytes of a message that it takes.
    pub(crate) most: Option<u32>,
    /// Most names of a reply to a walk.
    pub(crate) patience: Option<usize>,
    pub(crate) lie: Option<Lie>,
    /// Kinds and tags of all messages.
    pub(crate) heard: Vec<(u8, u16)>,
    agreed: u32,
}

/// Fields, one after the other.
struct Fields<'f>(&'f [u8]);

impl<'f> Fields<'f> {
    fn take(&mut self, count: usize) -> &'f [u8] {
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        now
    }
    fn number(&mut self, bytes: usize) -> u64 {
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(self.take(bytes));
        u64::from_le_bytes(number)
    }
    fn fid(&mut self) -> u32 {
        self.number(4) as u32
    }
    fn name(&mut self) -> &'f [u8] {
        let len = self.number(2) as usize;
        self.take(len)
    }
}

fn qid(file: &File, number: usize) -> Vec<u8> {
    let kind = match file {
        File::Folder(_) => 0x80,
        File::Link(_) => 0x02,
        _ => 0,
    };
    let mut qid = vec![kind, 0, 0, 0, 0];
    qid.extend((number as u64).to_le_bytes());
    qid
}

/// A name as it is in a message.
pub(crate) fn named(name: &[u8]) -> Vec<u8> {
    let mut all = (name.len() as u16).to_le_bytes().to_vec();
    all.extend(name);
    all
}

impl Server {
    /// Puts a file at a path, below folders that are made.
    pub(crate) fn put(&mut self, path: &str, file: File) {
        let mut at = 0;
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let number = self.files.len();
            let File::Folder(entries) = &mut self.files[at] else {
                panic!("{path}: no folder");
            };
            let is_last = names.peek().is_none();
            at = *entries.entry(name.into()).or_insert(number);
            if at == number {
                self.files.push(File::Folder(BTreeMap::new()));
            }
            if is_last {
                self.files[at] = file.clone();
            }
        }
    }

    fn look_up(&self, at: usize, name: &[u8]) -> Result<usize, u32> {
        assert!(name != b".." && name != b"." && !name.is_empty());
        assert!(!name.contains(&b'/') && !name.contains(&0));
        match &self.files[at] {
            File::Folder(entries) => entries.get(name).copied().ok_or(2),
            File::Link(_) => Err(40),
            _ => Err(20),
        }
    }

    fn file(&self, fid: u32) -> Result<(usize, bool), u32> {
        self.fids.get(&fid).copied().ok_or(9)
    }

    fn carry_out(&mut self, kind: u8, fields: &mut Fields<'_>) -> Result<Vec<u8>, u32> {
        let mut out = Vec::new();
        match kind {
            100 => {
                let wanted = fields.number(4) as u32;
                self.agreed = wanted.min(self.most.unwrap_or(wanted));
                self.fids.clear();
                out.extend(self.agreed.to_le_bytes());
                out.extend(named(fields.name()));
            }
            104 => {
                let (fid, auth) = (fields.fid(), fields.fid());
                assert_eq!(auth, u32::MAX);
                assert!(fields.name().is_empty() && fields.name().is_empty());
                fields.number(4);
                assert!(self.fids.insert(fid, (0, false)).is_none());
                out.extend(qid(&self.files[0], 0));
            }
            110 => {
                let (from, to) = (fields.fid(), fields.fid());
                let (mut at, is_open) = self.file(from)?;
                let is_right = !is_open && (from == to || !self.fids.contains_key(&to));
                if !is_right {
                    // Who was lied to cannot know it.
                    assert!(self.lie.is_some(), "{from} is open, or {to} is taken");
                    return Err(22);
                }
                let count = fields.number(2) as usize;
                assert!(count <= 16);
                let names: Vec<_> = (0..count).map(|_| fields.name()).collect();
                let mut qids = Vec::new();
                for name in names.iter().take(self.patience.unwrap_or(16)) {
                    match self.look_up(at, name) {
                        Ok(next) => at = next,
                        Err(error) if qids.is_empty() => return Err(error),
                        Err(_) => break,
                    }
                    qids.push(qid(&self.files[at], at));
                }
                if qids.len() == count {
                    self.fids.insert(to, (at, false));
                }
                out.extend((qids.len() as u16).to_le_bytes());
                out.extend(qids.concat());
            }
            12 => {
                let fid = fields.fid();
                let (at, _) = self.file(fid)?;
                assert_eq!(fields.number(4), 0o4000, "to be read");
                match self.files[at] {
                    File::Link(_) => return Err(40),
                    File::Forbidden => return Err(13),
                    _ => {}
                }
                self.fids.insert(fid, (at, true));
                out.extend(qid(&self.files[at], at));
                out.extend([0; 4]);
            }
            22 => match &self.files[self.file(fields.fid())?.0] {
                File::Link(target) => out.extend(named(target)),
                _ => return Err(22),
            },
            24 => {
                let (at, _) = self.file(fields.fid())?;
                let (mode, len) = match &self.files[at] {
                    File::Folder(_) => (0o040_755, 4096),
                    File::Bytes(bytes) => (0o100_640, bytes.len() as u64),
                    File::Link(target) => (0o120_777, target.len() as u64),
                    File::Forbidden => (0o100_000, 0),
                };
                out.extend(fields.number(8).to_le_bytes());
                out.extend(qid(&self.files[at], at));
                for word in [mode, 1000, 100] {
                    out.extend(u32::to_le_bytes(word));
                }
                for word in [
                    1,
                    0,
                    len,
                    4096,
                    8,
                    1,
                    2,
                    1_700_000_000,
                    123,
                    5,
                    6,
                    7,
                    8,
                    9,
                    0,
                ] {
                    out.extend(u64::to_le_bytes(word));
                }
            }
            40 => {
                let (at, is_open) = self.file(fields.fid())?;
                assert!(is_open);
                let (start, most) = (fields.number(8) as usize, fields.number(4) as usize);
                let File::Folder(entries) = &self.files[at] else {
                    return Err(20);
                };
                let here: [(&[u8], usize); 2] = [(b".", at), (b"..", 0)];
                let entries = entries.iter().map(|(name, at)| (name.as_slice(), *at));
                let mut data = Vec::new();
                for (index, (name, at)) in here.into_iter().chain(entries).enumerate().skip(start) {
                    let mut entry = qid(&self.files[at], at);
                    entry.extend((index as u64 + 1).to_le_bytes());
                    entry.push(match self.files[at] {
                        File::Folder(_) => 4,
                        File::Link(_) => 10,
                        // The host's file system need not say.
                        File::Bytes(_) | File::Forbidden => 0,
                    });
                    entry.extend(named(name));
                    if data.len() + entry.len() > most {
                        break;
                    }
                    data.extend(entry);
                }
                out.extend((data.len() as u32).to_le_bytes());
                out.extend(data);
            }
            116 => {
                let (at, is_open) = self.file(fields.fid())?;
                assert!(is_open);
                let (start, most) = (fields.number(8) as usize, fields.number(4) as usize);
                assert!(most as u32 + 24 <= self.agreed);
                let File::Bytes(bytes) = &self.files[at] else {
                    return Err(21);
                };
                let data = bytes.get(start..).unwrap_or_default();
                let data = &data[..data.len().min(most)];
                out.extend((data.len() as u32).to_le_bytes());
                out.extend(data);
            }
            120 => {
                let fid = fields.fid();
                self.fids.remove(&fid).ok_or(9_u32)?;
            }
            other => panic!("a message of kind {other}"),
        }
        assert!(fields.0.is_empty(), "more than there should be");
        Ok(out)
    }
}

impl Device {
    /// A folder with some files in it.
    pub(crate) fn share(ram: &Rc<Ram>) -> Self {
        let mut device = Self::new(ram, 0);
        device.part = Part::Share;
        device.offered = bits::VERSION_1 | bits::EVENT_IDX | bits::INDIRECT | 1;
        device.config = named(b"docs");
        device.queues = vec![super::queue(128)];
        device.server.files.push(File::Folder(BTreeMap::new()));
        device
    }

    /// Answers a message. Returns the bytes that were written.
    pub(crate) fn reply(&mut self, pieces: &[Piece]) -> u32 {
        let (message, room): (Vec<Piece>, Vec<Piece>) =
            pieces.iter().partition(|piece| !piece.is_writable);
        let [message] = message[..] else {
            panic!("a message is in one piece");
        };
        let mut bytes = vec![0; message.len as usize];
        self.ram.device_reads(message.start, &mut bytes);
        let mut fields = Fields(&bytes);
        let is_whole = fields.number(4) == u64::from(message.len);
        if !self.must(is_whole, "a message of another length") {
            return 0;
        }
        let (kind, tag) = (fields.number(1) as u8, fields.number(2) as u16);
        if kind == 116 {
            assert_eq!(room[0].len, 11, "what comes before the data is apart");
        }
        let server = &mut self.server;
        server.heard.push((kind, tag));
        let (kind_of_reply, fields) = match server.carry_out(kind, &mut fields) {
            Ok(fields) => (kind + 1, fields),
            Err(errno) => (7, errno.to_le_bytes().to_vec()),
        };
        let mut reply = (7 + fields.len() as u32).to_le_bytes().to_vec();
        reply.push(kind_of_reply);
        reply.extend(tag.to_le_bytes());
        reply.extend(fields);
        if let Some(lie) = &mut server.lie {
            lie(kind, &mut reply);
        }
        let mut rest = reply.as_slice();
        for piece in room {
            let (now, later) = rest.split_at(rest.len().min(piece.len as usize));
            self.ram.device_writes(piece.start, now);
            rest = later;
        }
        (reply.len() - rest.len()) as u32
    }
}
