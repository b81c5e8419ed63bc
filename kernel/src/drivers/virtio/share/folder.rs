//! A share as a file system.
//!
//! Data goes by DMA into the reader's memory, at any byte of it, in as many messages as it takes. The memory is on the bus
//! once for all of them.

use super::{Share, VirtioPlatform};
use crate::dma::{self, Buffer, DmaLimits, FromDevice, Memory, Transfer};
use crate::fs::{Asked, Bytes, Error, Facts, FileType, Folder, Listed, PathBuf, Read, SharedFile};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use virtio::share::{Attributes, Errno, FileKind, Links, PathError, ShareError, Unread};

type Opened = virtio::share::Opened<VirtioPlatform, Transfer>;

/// virtio addresses all 64 bits, and does not ask for any alignment.
const LIMITS: DmaLimits = DmaLimits::NONE;

/// No file is as long. Of what is said to be behind it, a host may find that it overflows.
const LONGEST: u64 = i64::MAX as u64 - (1 << 30);

/// A file that is open.
struct OpenFile {
    share: Arc<Share>,
    opened: Opened,
}

impl Folder for Arc<Share> {
    fn name(&self) -> &str {
        Share::name(self)
    }

    fn facts<'a>(&'a self, path: &'a [u8], links: Links) -> Asked<'a, Facts> {
        Box::pin(async move {
            let node = self.handle.find(path, links).await.map_err(error)?;
            let attributes = node.attributes().await.map_err(error)?;
            Ok(facts(&attributes))
        })
    }

    fn link<'a>(&'a self, path: &'a [u8]) -> Asked<'a, PathBuf> {
        Box::pin(async move {
            let node = self.handle.find(path, Links::Keep).await.map_err(error)?;
            if !node.is_link() {
                return Err(Error::NotASymlink);
            }
            let target = node.target().await.map_err(error)?;
            PathBuf::try_from(target.as_slice()).map_err(|_| Error::MalformedPath)
        })
    }

    fn list<'a>(&'a self, path: &'a [u8]) -> Asked<'a, Vec<Listed>> {
        Box::pin(async move {
            let node = self.handle.find(path, Links::Follow).await.map_err(error)?;
            if !node.is_folder() {
                return Err(Error::NotADirectory);
            }
            let opened = node.open().await.map_err(error)?;
            let entries = opened.list().await.map_err(error)?;
            let listed = |entry: virtio::share::Entry| Listed {
                name: entry.name,
                file_type: file_type(entry.kind),
            };
            Ok(entries.into_iter().map(listed).collect())
        })
    }

    fn open<'a>(&'a self, path: &'a [u8]) -> Asked<'a, SharedFile> {
        Box::pin(async move {
            let node = self.handle.find(path, Links::Follow).await.map_err(error)?;
            let facts = facts(&node.attributes().await.map_err(error)?);
            match facts.file_type {
                FileType::Regular => {}
                FileType::Directory => return Err(Error::IsADirectory),
                // To open one may have effects on the host.
                _ => return Err(Error::IsASpecialFile),
            }
            let file = OpenFile {
                share: self.clone(),
                opened: node.open().await.map_err(error)?,
            };
            Ok(SharedFile::new(facts, file))
        })
    }
}

impl Bytes for OpenFile {
    fn read(&self, at: u64, memory: Memory) -> Pin<Box<dyn Future<Output = Read> + '_>> {
        Box::pin(self.fill(at, memory))
    }
}

impl OpenFile {
    async fn fill(&self, at: u64, memory: Memory) -> Read {
        let len = memory.len() as u64;
        if len == 0 {
            return Ok((memory, 0));
        }
        let buffer = Buffer::<FromDevice>::from_device(memory);
        let mapped = dma::map_without_io(buffer, &self.share.domain, &LIMITS);
        let mut data = match mapped {
            Ok(mapping) => Transfer::from(mapping),
            Err((error, buffer)) => {
                return Err((Error::Io(Box::new(error)), Some(buffer.into_memory())));
            }
        };
        let mut filled = 0;
        while filled < len
            && let Some(from) = at.checked_add(filled).filter(|from| *from < LONGEST)
        {
            match self.opened.read(from, data, filled).await {
                Ok((back, bytes)) => {
                    data = back;
                    if bytes == 0 {
                        break;
                    }
                    filled += u64::from(bytes);
                }
                Err(Unread { data, error: why }) => {
                    return Err((error(why), data.map(Transfer::into_memory)));
                }
            }
        }
        Ok((data.into_memory(), filled as usize))
    }
}

fn facts(of: &Attributes) -> Facts {
    let part = u32::try_from(of.modified.nanoseconds).ok();
    Facts {
        file_type: file_type(of.kind),
        mode: (of.mode & 0o7777) as u16,
        owner: of.owner,
        group: of.group,
        len: of.len,
        modified: (
            of.modified.seconds.cast_signed(),
            // A host that says more than a second says nothing.
            part.filter(|part| *part < 1_000_000_000).unwrap_or(0),
        ),
    }
}

const fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::Regular,
        FileKind::Folder => FileType::Directory,
        FileKind::Link => FileType::Symlink,
        FileKind::CharacterDevice => FileType::CharacterDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Fifo => FileType::Fifo,
        FileKind::Socket => FileType::Socket,
    }
}

fn error(error: ShareError) -> Error {
    match error {
        ShareError::Path(PathError::NotFound) | ShareError::Server(Errno::ENOENT) => {
            Error::NotFound
        }
        ShareError::Path(PathError::NotAFolder) | ShareError::Server(Errno::ENOTDIR) => {
            Error::NotADirectory
        }
        ShareError::Path(PathError::Links) | ShareError::Server(Errno::ELOOP) => {
            Error::TooManySymlinks
        }
        ShareError::Path(PathError::Name) => Error::MalformedPath,
        ShareError::Server(Errno::ENAMETOOLONG) => Error::PathTooLong,
        error => Error::Io(Box::new(error)),
    }
}
