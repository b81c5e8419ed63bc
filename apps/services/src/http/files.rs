//! Files of an ext4 file system, and disks as they are.

use super::kind;
use super::path::Path;
use super::site::{Entry, Found, Resource, Source, Trouble};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use kernel::block::{self, BlockDevice, BlockError};
use kernel::dma::{Memory, Owner};
use kernel::fs::{Deferred, DirEntry, Error, File, FileSystem, Metadata, Piece};
use kernel::memory::frames::Frames;

/// Most files of a volume that stay open for the next who asks.
const OPEN: usize = 64;
/// Most entries of a folder that are shown.
pub(super) const ENTRIES: usize = 10_000;
/// What is read at once of a file whose place on the disk is not known.
const COPIED: usize = 32 << 10;

/// A file system that is mounted when something of it is asked for, and stays mounted until somebody
/// says that its disk has changed.
pub struct Volume {
    device: Arc<dyn BlockDevice>,
    mounted: RefCell<Option<Rc<Deferred>>>,
    open: RefCell<Vec<Open>>,
    clock: Cell<u64>,
}

struct Open {
    path: Vec<u8>,
    file: FileSource,
    used: u64,
}

/// An open file.
#[derive(Clone)]
pub struct FileSource {
    files: Rc<Deferred>,
    file: Rc<RefCell<File>>,
    /// What it is known by.
    tag: Rc<str>,
}

/// What a question about a path is answered with.
enum Answer {
    File(File),
    Folder(Vec<DirEntry>),
    Other,
}

impl Volume {
    /// The file system on a device.
    pub fn new(device: Arc<dyn BlockDevice>) -> Self {
        Self {
            device,
            mounted: RefCell::default(),
            open: RefCell::default(),
            clock: Cell::new(0),
        }
    }

    /// Where it lies.
    pub fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.device
    }

    /// The disk has changed: from now on everything is read anew. Files that are being read go on.
    pub fn forget(&self) {
        *self.mounted.borrow_mut() = None;
        self.open.borrow_mut().clear();
    }

    /// What a path leads to.
    pub async fn find(&self, path: &Path) -> Result<Found<FileSource>, Trouble> {
        let bytes = path.to_bytes();
        if let Some(file) = self.opened(&bytes) {
            return Ok(Found::Resource(resource(file, path)));
        }
        let files = self.mounted().await.map_err(trouble)?;
        let answer = files.ask(|files| look(files, &bytes)).await;
        match answer.map_err(trouble)? {
            Answer::Folder(entries) if entries.len() > ENTRIES => Err(Trouble::Failed(format!(
                "the folder has more than {ENTRIES} entries; ask for files by their names"
            ))),
            Answer::Folder(entries) => {
                let entries = described(&files, &entries).await;
                Ok(Found::Folder(entries.map_err(trouble)?))
            }
            Answer::Other => Err(Trouble::Forbidden),
            Answer::File(file) => {
                let (len, (seconds, nanoseconds)) = (file.len(), file.modified());
                let tag = format!("\"{len:x}-{seconds:x}-{nanoseconds:x}\"").into();
                let file = Rc::new(RefCell::new(file));
                let file = FileSource { files, file, tag };
                self.keep(bytes, file.clone());
                Ok(Found::Resource(resource(file, path)))
            }
        }
    }

    async fn mounted(&self) -> Result<Rc<Deferred>, Error> {
        if let Some(mounted) = &*self.mounted.borrow() {
            return Ok(mounted.clone());
        }
        let mounted = Rc::new(Deferred::mount(self.device.clone()).await?);
        *self.mounted.borrow_mut() = Some(mounted.clone());
        Ok(mounted)
    }

    fn opened(&self, path: &[u8]) -> Option<FileSource> {
        let mut open = self.open.borrow_mut();
        let found = open.iter_mut().find(|open| open.path == path)?;
        found.used = self.tick();
        Some(found.file.clone())
    }

    fn keep(&self, path: Vec<u8>, file: FileSource) {
        let used = self.tick();
        let mut open = self.open.borrow_mut();
        if open.len() >= OPEN {
            let oldest = open.iter().enumerate().min_by_key(|(_, open)| open.used);
            if let Some((oldest, _)) = oldest {
                open.swap_remove(oldest);
            }
        }
        open.push(Open { path, file, used });
    }

    fn tick(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }
}

/// Looks at what is there.
fn look(files: &FileSystem, path: &[u8]) -> Result<Answer, Error> {
    let metadata = files.ext4().metadata(path)?;
    if metadata.is_dir() {
        return folder(files, path).map(Answer::Folder);
    }
    match metadata.file_type().is_regular_file() {
        true => files.open(path).map(Answer::File),
        false => Ok(Answer::Other),
    }
}

fn folder(files: &FileSystem, path: &[u8]) -> Result<Vec<DirEntry>, Error> {
    let mut entries = vec![];
    for entry in files.ext4().read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != b"." && name != b".." {
            entries.push(entry);
        }
        if entries.len() > ENTRIES {
            break;
        }
    }
    Ok(entries)
}

/// Looks at each entry, some at a time: a question that is asked again begins anew.
async fn described(files: &Deferred, entries: &[DirEntry]) -> Result<Vec<Entry>, Error> {
    const AT_ONCE: usize = 64;
    let mut all = Vec::with_capacity(entries.len());
    for some in entries.chunks(AT_ONCE) {
        let describe = |files: &FileSystem| {
            let describe = |entry| describe(files, entry);
            some.iter().map(describe).collect::<Result<Vec<_>, _>>()
        };
        all.extend(files.ask(describe).await?);
    }
    Ok(sorted(all))
}

/// Entries as they are shown: folders first.
pub(super) fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| (!a.is_folder, &a.name).cmp(&(!b.is_folder, &b.name)));
    entries
}

fn describe(files: &FileSystem, entry: &DirEntry) -> Result<Entry, Error> {
    let own = entry.metadata()?;
    let metadata = match own.is_symlink() {
        false => Some(own),
        true => match files.ext4().metadata(&entry.path()) {
            // A link that leads nowhere is still in the folder.
            Err(Error::NotFound | Error::TooManySymlinks | Error::NotADirectory) => None,
            metadata => Some(metadata?),
        },
    };
    let is_file = |m: &&Metadata| m.file_type().is_regular_file();
    Ok(Entry {
        name: entry.file_name().as_ref().to_vec(),
        is_folder: metadata.as_ref().is_some_and(Metadata::is_dir),
        len: metadata.as_ref().filter(is_file).map(Metadata::len),
        modified: metadata.as_ref().map(|m| m.modified().seconds()),
    })
}

fn resource(file: FileSource, path: &Path) -> Resource<FileSource> {
    let (len, (seconds, _)) = {
        let file = file.file.borrow();
        (file.len(), file.modified())
    };
    Resource {
        len,
        kind: kind::of(path.last().unwrap_or_default()),
        tag: Some(file.tag.clone()),
        modified: Some(seconds),
        source: file,
    }
}

/// What to tell a client of a file system's error.
pub(super) fn trouble(error: Error) -> Trouble {
    match error {
        Error::NotFound
        | Error::NotADirectory
        | Error::MalformedPath
        | Error::PathTooLong
        | Error::TooManySymlinks => Trouble::NotFound,
        Error::Io(error) if is_busy(&*error) => Trouble::Busy,
        error => Trouble::Failed(error.to_string()),
    }
}

fn is_busy(error: &(dyn core::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<BlockError>() == Some(&BlockError::OutOfMemory)
}

impl Source for FileSource {
    async fn fetch(&self, at: u64, most: usize) -> Result<Memory, BlockError> {
        let piece = self.file.borrow().piece_at(at);
        match piece {
            Some(Piece { start, len }) => {
                let len = len.min(most as u64) as usize;
                match start {
                    Some(start) => block::fetch(&**self.files.device(), start, len).await,
                    None => zeros(len),
                }
            }
            None => self.copy(at, most).await,
        }
    }
}

impl FileSource {
    /// Reads bytes whose place is not known.
    async fn copy(&self, at: u64, most: usize) -> Result<Memory, BlockError> {
        let mut bytes = vec![0; most.min(COPIED)];
        let read = self
            .files
            .ask(|_| self.file.borrow_mut().read_at(at, &mut bytes));
        let read = read.await.map_err(|error| BlockError::device(&error))?;
        bytes.truncate(read);
        Ok(bytes.into_memory())
    }
}

fn zeros(len: usize) -> Result<Memory, BlockError> {
    let frames = Frames::zeroed((len as u64).next_multiple_of(4096));
    let memory = frames.map_err(|_| BlockError::OutOfMemory)?.into_memory();
    memory.part(0..len).map_err(|_| BlockError::Length)
}

/// A disk, byte by byte.
#[derive(Clone)]
pub struct DiskSource(pub Arc<dyn BlockDevice>);

impl DiskSource {
    /// All of the disk.
    pub fn resource(self) -> Resource<Self> {
        Resource {
            len: self.0.geometry().bytes(),
            source: self,
            kind: kind::BYTES,
            // It may change at any time.
            tag: None,
            modified: None,
        }
    }

    /// What it is called.
    pub fn name(&self) -> String {
        self.0.name().into()
    }
}

impl Source for DiskSource {
    async fn fetch(&self, at: u64, most: usize) -> Result<Memory, BlockError> {
        block::fetch(&*self.0, at, most).await
    }
}
