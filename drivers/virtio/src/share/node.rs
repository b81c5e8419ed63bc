//! What can be asked of a file.

use super::client::{Client, Share, kind};
use super::error::{ReplyError, ShareError};
use super::reply::{Attributes, Entry, Qid, Reply};
use super::room::{HEAD, REPLY};
use crate::memory::Memory;
use crate::platform::Platform;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The attributes that are asked for: those that every file has.
const BASIC: u64 = 0x7ff;

/// To be read; and who opens a pipe that nobody writes does not wait (`P9_DOTL_NONBLOCK`).
const TO_READ: u32 = 0o4000;

/// Most bytes of entries in a reply: the room, less what comes before them.
const ENTRIES: u32 = (REPLY - HEAD - 4) as u32;

/// Most entries of a folder. With more of them it counts as endless.
const MOST_ENTRIES: usize = 100_000;

/// The number of a file. Dropping it puts it down, to be let go of.
pub(super) struct Fid<P: Platform, D> {
    pub(super) client: Arc<Client<P, D>>,
    pub(super) number: u32,
    /// The server knows the file by it.
    pub(super) is_known: bool,
}

impl<P: Platform, D> Drop for Fid<P, D> {
    fn drop(&mut self) {
        if self.is_known {
            self.client.fids.lock().put_down(self.number);
        }
    }
}

/// A file or a folder of a share, or a link.
pub struct Node<P: Platform, D> {
    pub(super) fid: Fid<P, D>,
    pub(super) qid: Qid,
}

/// A file or a folder that is open to be read.
pub struct Opened<P: Platform, D>(Node<P, D>);

/// A read that has failed. The memory may have any content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread<D> {
    /// The memory, unless the device may still write there. Then it is lost.
    pub data: Option<D>,
    /// Why.
    pub error: ShareError,
}

impl<P: Platform, D: Memory> Node<P, D> {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.qid.is_folder()
    }

    /// Whether it is a link.
    pub fn is_link(&self) -> bool {
        self.qid.is_link()
    }

    /// What is known of it at this moment.
    ///
    /// # Errors
    /// What became of the request.
    pub async fn attributes(&self) -> Result<Attributes, ShareError> {
        let reply = self.fid.client.ask(kind::GETATTR, |message| {
            message.u32(self.fid.number).u64(BASIC);
        });
        Ok(Reply::new(&reply.await?)?.attributes()?)
    }

    /// The path that a link has, as the host says it.
    ///
    /// # Errors
    /// What became of the request.
    pub async fn target(&self) -> Result<Vec<u8>, ShareError> {
        let reply = self.fid.client.ask(kind::READLINK, |message| {
            message.u32(self.fid.number);
        });
        Ok(Reply::new(&reply.await?)?.name()?.into())
    }

    /// Opens it to be read.
    ///
    /// # Errors
    /// What became of the request.
    pub async fn open(self) -> Result<Opened<P, D>, ShareError> {
        let reply = self.fid.client.ask(kind::LOPEN, |message| {
            message.u32(self.fid.number).u32(TO_READ);
        });
        let reply = reply.await?;
        let mut reply = Reply::new(&reply)?;
        let (_qid, _best) = (reply.qid()?, reply.u32()?);
        Ok(Opened(self))
    }
}

impl<P: Platform, D: Memory> Opened<P, D> {
    /// Reads the bytes from `at` on into `data`, from its byte `skip` on, as many as fit into one reply: no more than a
    /// [read](Share::most_bytes) can be, and in no more pieces than a chain can have. They go there by DMA. Returns how
    /// many they are: none at and beyond the end of the file, and perhaps fewer than there are anywhere else. What is
    /// behind them in `data` may be anything.
    ///
    /// Dropping that leaves the memory to the device; a later call lets go of it.
    ///
    /// # Errors
    /// [`RequestError::Access`](crate::RequestError::Access) and [`RequestError::Length`](crate::RequestError::Length),
    /// if the memory does not suit, or what became of the request.
    pub async fn read(&self, at: u64, data: D, skip: u64) -> Result<(D, u32), Unread<D>> {
        let fid = &self.0.fid;
        let read = fid.client.read(fid.number, at, data, skip).await;
        read.map_err(|(error, data)| Unread { data, error })
    }

    /// The same file, to be asked what it is like.
    pub fn node(&self) -> &Node<P, D> {
        &self.0
    }

    /// What is in the folder at this moment, but for itself and the one above.
    ///
    /// # Errors
    /// What became of the requests.
    pub async fn list(&self) -> Result<Vec<Entry>, ShareError> {
        let fid = &self.0.fid;
        let mut all: Vec<Entry> = Vec::new();
        let mut seen = 0;
        let mut at = 0;
        loop {
            let reply = fid.client.ask(kind::READDIR, |message| {
                message.u32(fid.number).u64(at).u32(ENTRIES);
            });
            let reply = reply.await?;
            let mut is_full = false;
            let next = Reply::new(&reply)?.entries(ENTRIES, |entry| {
                // Also those that are left out, so that nothing goes on for ever.
                seen += 1;
                if seen > MOST_ENTRIES {
                    return Err(ReplyError::Endless);
                }
                if entry.name != b"." && entry.name != b".." {
                    is_full |= all.try_reserve(1).is_err();
                    if !is_full {
                        all.push(entry);
                    }
                }
                Ok(())
            });
            match next? {
                _ if is_full => return Err(ShareError::OutOfMemory),
                Some(next) => at = next,
                None => return Ok(all),
            }
        }
    }
}

impl<P: Platform, D: Memory> Share<P, D> {
    /// Tells the server of the files that nobody has any more.
    ///
    /// # Errors
    /// What became of the device. That the server refuses is none: the file is gone all the same.
    pub async fn tidy(&self) -> Result<(), ShareError> {
        loop {
            let unwanted = self.0.fids.lock().unwanted();
            let Some(number) = unwanted else {
                return Ok(());
            };
            let asked = self.0.ask(kind::CLUNK, |message| {
                message.u32(number);
            });
            match asked.await {
                Ok(_) | Err(ShareError::Server(_)) => self.0.fids.lock().release(number),
                // Whether the server still knows it is not known, so it is not used again.
                Err(error) => return Err(error),
            }
        }
    }
}
