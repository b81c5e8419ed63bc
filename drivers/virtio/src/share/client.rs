//! A connection to the server: a request and its reply.

use super::config;
use super::error::{PathError, ReplyError, ShareError};
use super::fids::{self, Fids};
use super::reply::{Head, Qid, Reply, head};
use super::room::{self, HEAD, Message, REPLY, Room, Rooms};
use crate::error::{Error, Failure};
use crate::lock::Mutex;
use crate::memory::{Access, Memory};
use crate::plain::{LanePlan, Most, Pieces, Plain, Plan};
use crate::platform::Platform;
use crate::transport::Notify;
use crate::watch::Watch;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use phyr::DmaRange;

/// The only queue.
const QUEUE: u16 = 0;

/// Pieces of a chain: the message, what comes before the data, and the pieces of the data.
const PIECES: u16 = 16;

/// Pieces that are not the data's.
const BEFORE: u16 = 2;

/// Bytes of a reply to a read that come before the data.
const BEFORE_DATA: usize = HEAD + 4;

/// Bytes that a message may have besides the data of a file, with room to spare.
const BESIDES_DATA: u32 = 24;

/// The shortest messages that are of use.
const SHORTEST: u32 = 4096;

/// The protocol.
const VERSION: &[u8] = b"9P2000.L";

/// Kinds of messages.
pub(super) mod kind {
    pub(in super::super) const LOPEN: u8 = 12;
    pub(in super::super) const READLINK: u8 = 22;
    pub(in super::super) const GETATTR: u8 = 24;
    pub(in super::super) const READDIR: u8 = 40;
    pub(in super::super) const VERSION: u8 = 100;
    pub(in super::super) const ATTACH: u8 = 104;
    pub(in super::super) const WALK: u8 = 110;
    pub(in super::super) const READ: u8 = 116;
    pub(in super::super) const CLUNK: u8 = 120;
}

/// What a caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Most entries of the queue. Sixteen for each request that is under way.
    pub entries: u16,
    /// Most bytes of a file in one reply.
    pub data: u32,
    /// Microseconds that a request may take before the device is out of use. A file may be on a slow disk of the
    /// host's.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: 128,
            data: 1 << 20,
            timeout: 60_000_000,
        }
    }
}

/// A folder of the host's. Requests own memory of the type `D` until the device is done. Clones are the same folder;
/// when the last is dropped, and every file of it, the device is stopped.
pub struct Share<P: Platform, D>(pub(super) Arc<Client<P, D>>);

impl<P: Platform, D> Clone for Share<P, D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

pub(super) struct Client<P: Platform, D> {
    plain: Plain<P, Kept<D>>,
    /// `None` only when it is dropped.
    rooms: Option<Rooms<P::Shared>>,
    timeout: u64,
    tag: Option<String>,
    /// Most bytes of data in a reply.
    pub(super) data: u32,
    pub(super) fids: Mutex<Fids>,
    pub(super) root: Qid,
}

/// What a request has until the device is done.
struct Kept<D> {
    room: Room,
    data: Option<D>,
}

/// Memory for data, and which bytes of it are meant.
struct Part<D> {
    data: D,
    skip: u64,
    count: u32,
}

/// Why there is no answer, and the memory for the data, unless the device may still write there.
pub(super) type Unanswered<D> = (ShareError, Option<D>);

impl<P: Platform, D: Memory> Share<P, D> {
    /// Resets a device, agrees with it on features, lets it go, and asks the server for the folder. `notify` is the
    /// block of [`Platform::notify`].
    ///
    /// # Errors
    /// What is wrong with the device, or what the server has said. The device is left reset, and without a way to
    /// memory.
    pub async fn new(platform: P, notify: Notify, options: Options) -> Result<Self, ShareError> {
        let entries = options.entries.min(PIECES * room::MOST);
        let plan = |platform: &P, accepted: &_| {
            let lane = LanePlan {
                queue: QUEUE,
                entries,
                pieces: PIECES,
            };
            Ok(Plan {
                lanes: vec![lane],
                known: config::tag(platform, accepted),
            })
        };
        let timeout = options.timeout;
        let made = Plain::new(platform, &notify, timeout, &config::wishes(), plan).await;
        let (plain, tag) = made?;
        if plain.most_pieces(0) <= BEFORE {
            let size = 2 * plain.most_pieces(0);
            let too_small = Failure::QueueSize { queue: QUEUE, size };
            return Err(Error::Failed(too_small).into());
        }
        // As many as there are slots in the queue, so who has a room finds a slot.
        let rooms = plain.most_chains(0).min(room::MOST);
        let bytes = Rooms::<P::Shared>::bytes(rooms);
        let memory = plain.platform().allocate(bytes).map_err(Error::from)?;
        let mut client = Client {
            plain,
            rooms: Some(Rooms::new(memory, rooms)),
            timeout,
            tag,
            data: 0,
            fids: Mutex::new(Fids::new()),
            root: Qid::NONE,
        };
        client.data = client.agree(options.data).await?;
        client.root = client.attach().await?;
        Ok(Self(Arc::new(client)))
    }

    /// What the host calls the folder, if it does, and if that can be typed.
    pub fn tag(&self) -> Option<&str> {
        self.0.tag.as_deref()
    }

    /// Most bytes of a read.
    pub fn most_bytes(&self) -> u32 {
        self.0.data
    }

    /// Files that the server knows of, but for the root.
    pub fn files(&self) -> usize {
        self.0.fids.lock().taken()
    }

    /// Ends the use of the device: it is left reset, and without a way to memory.
    pub fn shutdown(&self) {
        self.0.plain.shutdown();
    }

    /// Why the device is out of use, if it is.
    pub fn failure(&self) -> Option<Failure> {
        self.0.plain.failure()
    }

    /// Queues that are kept for ever, since the device may still use them.
    pub fn lost(&self) -> u64 {
        self.0.plain.lost()
    }
}

impl<P: Platform, D: Memory> Client<P, D> {
    /// Agrees on the protocol and the length of messages. Returns how many bytes of data fit into a reply.
    async fn agree(&self, data: u32) -> Result<u32, ShareError> {
        let wanted = data.max(SHORTEST).saturating_add(BESIDES_DATA);
        let reply = self.ask(kind::VERSION, |message| {
            message.u32(wanted).name(VERSION);
        });
        let reply = reply.await?;
        let mut reply = Reply::new(&reply)?;
        let (bytes, version) = (reply.u32()?, reply.name()?);
        if version != VERSION {
            return Err(ReplyError::Version.into());
        }
        if !(SHORTEST + BESIDES_DATA..=wanted).contains(&bytes) {
            return Err(ReplyError::MessageSize(bytes).into());
        }
        Ok(bytes - BESIDES_DATA)
    }

    /// Asks for the root.
    async fn attach(&self) -> Result<Qid, ShareError> {
        /// No user.
        const NOBODY: u32 = u32::MAX;
        let reply = self.ask(kind::ATTACH, |message| {
            message.u32(fids::ROOT).u32(fids::NONE);
            message.name(b"").name(b"").u32(NOBODY);
        });
        Ok(Reply::new(&reply.await?)?.qid()?)
    }

    /// Sends a message and returns the reply to it, all of its bytes.
    pub(super) async fn ask(
        &self,
        kind: u8,
        fields: impl FnOnce(&mut Message<'_, P::Shared>),
    ) -> Result<Vec<u8>, ShareError> {
        let sent = self.send(kind, fields, REPLY, None).await;
        let (room, has, _) = sent.map_err(|(error, _)| error)?;
        let bytes = self.rooms().read::<HEAD>(&room);
        match head(&bytes, has, kind, room.number())? {
            Head::Refusal => Err(self.refusal(&room, has)),
            Head::Answer(says) => {
                let reply = self.rooms().read_all(&room, says as usize);
                reply.ok_or(ShareError::OutOfMemory)
            }
        }
    }

    /// Asks for bytes of a file, which go straight into `data`, from its byte `skip` on, as many as fit into one reply.
    /// Returns how many there are.
    pub(super) async fn read(
        &self,
        fid: u32,
        at: u64,
        data: D,
        skip: u64,
    ) -> Result<(D, u32), Unanswered<D>> {
        let most = Most {
            pieces: self.plain.most_pieces(0) - BEFORE,
            bytes: self.data,
        };
        let fits = Pieces::none().add(&data, skip, Access::FromDevice, most);
        let count = match fits {
            Ok(count) => count,
            Err(error) => return Err((ShareError::Device(error.into()), Some(data))),
        };
        let fields = |message: &mut Message<'_, P::Shared>| {
            message.u32(fid).u64(at).u32(count);
        };
        let part = Part { data, skip, count };
        let sent = self.send(kind::READ, fields, BEFORE_DATA, Some(part)).await;
        let (room, has, data) = sent?;
        let result = self.understand_read(&room, has, count);
        match (result, data) {
            (Ok(bytes), Some(data)) => Ok((data, bytes)),
            (Err(error), data) => Err((error, data)),
            (Ok(_), None) => unreachable!("a lane gives back what it was given"),
        }
    }

    fn understand_read(&self, room: &Room, has: u32, count: u32) -> Result<u32, ShareError> {
        let bytes: [u8; BEFORE_DATA] = self.rooms().read(room);
        let (first, _) = bytes.split_first_chunk().ok_or(ReplyError::Short)?;
        match head(first, has, kind::READ, room.number())? {
            Head::Refusal => Err(self.refusal(room, has)),
            Head::Answer(says) => {
                let read = Reply::new(&bytes)?.u32()?;
                // Zeros, or what was there before, are no data.
                let is_all_there = u64::from(says) == BEFORE_DATA as u64 + u64::from(read);
                match read <= count && is_all_there {
                    true => Ok(read),
                    false => Err(ReplyError::Count(read).into()),
                }
            }
        }
    }

    /// Why the server refuses, as a reply says that has so many bytes.
    fn refusal(&self, room: &Room, has: u32) -> ShareError {
        if (has as usize) < BEFORE_DATA {
            return ReplyError::Short.into();
        }
        let bytes: [u8; BEFORE_DATA] = self.rooms().read(room);
        let errno = Reply::new(&bytes).and_then(|mut reply| reply.errno());
        errno.map_or_else(ShareError::from, ShareError::Server)
    }

    /// Sends a message, and waits until the device is done. Returns the room with the reply, of which so many bytes
    /// are looked for there, how many it has, as the device says, and the memory for the data, which is behind them.
    async fn send(
        &self,
        kind: u8,
        fields: impl FnOnce(&mut Message<'_, P::Shared>),
        before_data: usize,
        part: Option<Part<D>>,
    ) -> Result<(Room, u32, Option<D>), Unanswered<D>> {
        let room = match self.room().await {
            Ok(room) => room,
            Err(error) => return Err((error.into(), part.map(|part| part.data))),
        };
        let mut message = self.rooms().message(&room, kind);
        fields(&mut message);
        let pieces = match message.end() {
            // Only names are of any length.
            None => Err(PathError::Name.into()),
            Some(bytes) => self.pieces(&room, bytes, before_data, part.as_ref()),
        };
        let data = part.map(|part| part.data);
        let pieces = match pieces {
            Ok(pieces) => pieces,
            Err(error) => return Err((error, data)),
        };
        let asked = self.plain.ask(0, &pieces, Kept { room, data }, drop).await;
        match asked {
            Ok((Kept { room, data }, has)) => Ok((room, has, data)),
            Err((error, kept)) => Err((error.into(), kept.and_then(|kept| kept.data))),
        }
    }

    fn pieces(
        &self,
        room: &Room,
        message: u32,
        before_data: usize,
        part: Option<&Part<D>>,
    ) -> Result<Pieces, ShareError> {
        let rooms = self.rooms();
        let request = rooms.request(room, message);
        let reply = rooms.reply(room, before_data as u32);
        let mut pieces = Pieces::none();
        let mut put = |place: Option<DmaRange>, access| {
            let pushed = place.is_some_and(|place| pieces.push(place, access).is_ok());
            debug_assert!(pushed, "a room is as long as it says");
        };
        put(request, Access::ToDevice);
        put(reply, Access::FromDevice);
        if let Some(Part { data, skip, count }) = part {
            let most = Most {
                pieces: self.plain.most_pieces(0),
                bytes: *count,
            };
            let added = pieces.add(data, *skip, Access::FromDevice, most);
            added.map_err(|error| ShareError::Device(error.into()))?;
        }
        Ok(pieces)
    }

    /// A room, as soon as one is free.
    async fn room(&self) -> Result<Room, Error> {
        let mut watch = Watch::new(self.plain.platform(), self.timeout);
        loop {
            // What nobody waits for any more gives its room back.
            while let Some(loose) = self.plain.loose() {
                drop(loose);
            }
            if let Some(failure) = self.plain.failure() {
                return Err(Error::Dead(failure));
            }
            match self.rooms().take() {
                Some(room) => return Ok(room),
                None => self.plain.turn(&mut watch).await?,
            }
        }
    }

    fn rooms(&self) -> &Rooms<P::Shared> {
        self.rooms.as_ref().expect("until the end")
    }
}

impl<P: Platform, D> Drop for Client<P, D> {
    fn drop(&mut self) {
        self.plain.shutdown();
        // A device that cannot be stopped may still write there.
        if self.plain.lost() > 0 {
            core::mem::forget(self.rooms.take());
        }
    }
}
