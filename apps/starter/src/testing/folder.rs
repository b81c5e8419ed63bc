//! A folder of the host's, as the standard library reads it.

use kernel::dma::Memory;
use kernel::fs::{
    Asked, Bytes, Error, Facts, FileType, Folder, Links, Listed, PathBuf, Read, SharedFile,
};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::pin::Pin;

pub(crate) struct HostFolder {
    pub(crate) name: &'static str,
    pub(crate) root: std::path::PathBuf,
}

impl HostFolder {
    fn place(&self, path: &[u8]) -> std::path::PathBuf {
        let names = OsStr::from_bytes(path).to_string_lossy();
        self.root.join(names.trim_start_matches('/'))
    }
}

fn error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound,
        io::ErrorKind::NotADirectory => Error::NotADirectory,
        _ => Error::Io(Box::new(error)),
    }
}

fn file_type(of: fs::FileType) -> FileType {
    match of {
        of if of.is_dir() => FileType::Directory,
        of if of.is_symlink() => FileType::Symlink,
        _ => FileType::Regular,
    }
}

fn facts(of: &fs::Metadata) -> Facts {
    Facts {
        file_type: file_type(of.file_type()),
        mode: (of.mode() & 0o7777) as u16,
        owner: of.uid(),
        group: of.gid(),
        len: of.len(),
        modified: (of.mtime(), of.mtime_nsec() as u32),
    }
}

impl Folder for HostFolder {
    fn name(&self) -> &str {
        self.name
    }

    fn facts<'a>(&'a self, path: &'a [u8], links: Links) -> Asked<'a, Facts> {
        Box::pin(async move {
            let known = match links {
                Links::Follow => fs::metadata(self.place(path)),
                Links::Keep => fs::symlink_metadata(self.place(path)),
            };
            known.map(|known| facts(&known)).map_err(error)
        })
    }

    fn link<'a>(&'a self, path: &'a [u8]) -> Asked<'a, PathBuf> {
        Box::pin(async move {
            let target = fs::read_link(self.place(path)).map_err(error)?;
            Ok(PathBuf::try_from(target.as_os_str().as_bytes()).unwrap())
        })
    }

    fn list<'a>(&'a self, path: &'a [u8]) -> Asked<'a, Vec<Listed>> {
        Box::pin(async move {
            let entries = fs::read_dir(self.place(path)).map_err(error)?;
            let listed = |entry: io::Result<fs::DirEntry>| {
                let entry = entry?;
                Ok(Listed {
                    name: entry.file_name().as_bytes().into(),
                    file_type: file_type(entry.file_type()?),
                })
            };
            entries
                .map(listed)
                .collect::<io::Result<_>>()
                .map_err(error)
        })
    }

    fn open<'a>(&'a self, path: &'a [u8]) -> Asked<'a, SharedFile> {
        Box::pin(async move {
            let file = fs::File::open(self.place(path)).map_err(error)?;
            let known = file.metadata().map_err(error)?;
            match known.is_dir() {
                true => Err(Error::IsADirectory),
                false => Ok(SharedFile::new(facts(&known), HostFile(file))),
            }
        })
    }
}

struct HostFile(fs::File);

impl Bytes for HostFile {
    fn read(&self, at: u64, mut memory: Memory) -> Pin<Box<dyn Future<Output = Read> + '_>> {
        Box::pin(async move {
            let mut filled = 0;
            loop {
                let rest = &mut memory.bytes_mut()[filled..];
                match self.0.read_at(rest, at + filled as u64) {
                    Ok(0) => return Ok((memory, filled)),
                    Ok(bytes) => filled += bytes,
                    Err(why) => return Err((error(why), Some(memory))),
                }
            }
        })
    }
}
