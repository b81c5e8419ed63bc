//! A file system of either kind, for who waits.

use super::{Error, Facts, File, FileSystem, Folder, Listed, Path, PathBuf};
use crate::block::blocking::wait;
use alloc::sync::Arc;
use alloc::vec::Vec;
use virtio::share::Links;

/// Files, wherever they are. These calls wait, so they are nothing for tasks.
pub enum Files {
    /// On a disk, as ext4.
    Disk(FileSystem),
    /// On the host.
    Share(Arc<dyn Folder>),
}

impl Files {
    /// The name of the disk, the partition or the share.
    pub fn name(&self) -> &str {
        match self {
            Self::Disk(files) => files.device().name(),
            Self::Share(files) => files.name(),
        }
    }

    /// What is known of the file that a path leads to.
    pub fn facts(&self, path: &[u8]) -> Result<Facts, Error> {
        match self {
            Self::Disk(files) => Ok(Facts::from(&files.ext4().metadata(checked(path)?)?)),
            Self::Share(files) => wait(files.facts(path, Links::Follow)),
        }
    }

    /// The same; of a link at the end of the path, what is known of itself.
    pub fn own_facts(&self, path: &[u8]) -> Result<Facts, Error> {
        match self {
            Self::Disk(files) => {
                let metadata = files.ext4().symlink_metadata(checked(path)?)?;
                Ok(Facts::from(&metadata))
            }
            Self::Share(files) => wait(files.facts(path, Links::Keep)),
        }
    }

    /// Where a link leads.
    pub fn link(&self, path: &[u8]) -> Result<PathBuf, Error> {
        match self {
            Self::Disk(files) => files.ext4().read_link(checked(path)?),
            Self::Share(files) => wait(files.link(path)),
        }
    }

    /// Adds what is in a folder to a list, up to the first error.
    pub fn list(&self, path: &[u8], to: &mut Vec<Listed>) -> Result<(), Error> {
        let files = match self {
            Self::Disk(files) => files,
            Self::Share(files) => {
                to.extend(wait(files.list(path))?);
                return Ok(());
            }
        };
        for entry in files.ext4().read_dir(checked(path)?)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != b"." && name != b".." {
                to.push(Listed {
                    name: name.as_ref().to_vec(),
                    file_type: entry.file_type()?,
                });
            }
        }
        Ok(())
    }

    /// Opens the regular file that a path leads to. A path is bytes, of any encoding.
    pub fn open(&self, path: impl AsRef<[u8]>) -> Result<File, Error> {
        match self {
            Self::Disk(files) => files.open(path),
            Self::Share(files) => wait(files.open(path.as_ref())).map(File::shared),
        }
    }

    /// Reads a file piece by piece; `visit` gets each piece in order, and ends the reading by an error.
    pub fn read_pieces<E: From<Error>>(
        &self,
        path: impl AsRef<[u8]>,
        visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.open(path)?.read_pieces(visit)
    }
}

impl From<FileSystem> for Files {
    fn from(files: FileSystem) -> Self {
        Self::Disk(files)
    }
}

/// The path as the reader of the format takes it.
fn checked(path: &[u8]) -> Result<Path<'_>, Error> {
    Path::try_from(path).map_err(|_| Error::MalformedPath)
}
