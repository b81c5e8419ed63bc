//! Files of a folder of the host's.
//!
//! Nothing is kept open: each request gets what is there at that moment, and while it is answered, that file.

use super::files::{ENTRIES, sorted, trouble};
use super::kind;
use super::path::Path;
use super::site::{Entry, Found, Resource, Source, Trouble};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use kernel::block::BlockError;
use kernel::dma::Memory;
use kernel::fs::{Error, Facts, FileType, Folder, Links, SharedFile};

/// An open file of the host's.
#[derive(Clone)]
pub struct SharedSource(Rc<SharedFile>);

/// What a path leads to.
pub async fn find(files: &dyn Folder, path: &Path) -> Result<Found<SharedSource>, Trouble> {
    let bytes = path.to_bytes();
    let facts = files.facts(&bytes, Links::Follow).await.map_err(trouble)?;
    match facts.file_type {
        FileType::Directory => folder(files, &bytes).await.map(Found::Folder),
        FileType::Regular => {
            let file = files.open(&bytes).await.map_err(trouble)?;
            Ok(Found::Resource(resource(file, path)))
        }
        _ => Err(Trouble::Forbidden),
    }
}

async fn folder(files: &dyn Folder, path: &[u8]) -> Result<Vec<Entry>, Trouble> {
    let listed = files.list(path).await.map_err(trouble)?;
    if listed.len() > ENTRIES {
        return Err(Trouble::Failed(format!(
            "the folder has more than {ENTRIES} entries; ask for files by their names"
        )));
    }
    let mut all = Vec::with_capacity(listed.len());
    for entry in listed {
        let at = [path, b"/", &entry.name].concat();
        let facts = match files.facts(&at, Links::Follow).await {
            Ok(facts) => Some(facts),
            // A link that leads nowhere is still in the folder; so is what has gone since.
            Err(Error::NotFound | Error::TooManySymlinks | Error::NotADirectory) => None,
            Err(error) => return Err(trouble(error)),
        };
        let is_file = |facts: &&Facts| facts.file_type == FileType::Regular;
        all.push(Entry {
            name: entry.name,
            is_folder: facts.is_some_and(|facts| facts.file_type == FileType::Directory),
            len: facts.as_ref().filter(is_file).map(|facts| facts.len),
            modified: facts.map(|facts| facts.modified.0),
        });
    }
    Ok(sorted(all))
}

fn resource(file: SharedFile, path: &Path) -> Resource<SharedSource> {
    let Facts { len, modified, .. } = *file.facts();
    let (seconds, nanoseconds) = modified;
    Resource {
        source: SharedSource(Rc::new(file)),
        len,
        kind: kind::of(path.last().unwrap_or_default()),
        tag: Some(format!("\"{len:x}-{seconds:x}-{nanoseconds:x}\"").into()),
        modified: Some(seconds),
    }
}

impl Source for SharedSource {
    /// Nothing, if the file has become shorter: then the connection ends.
    async fn fetch(&self, at: u64, most: usize) -> Result<Memory, BlockError> {
        self.0.fetch(at, most).await
    }
}
