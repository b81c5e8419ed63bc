//! Which file system a place is in.
//!
//! A file system is mounted when something on it is first asked for, and stays mounted. One that
//! is damaged gives the same error each time; the others are not affected.
//!
//! The list belongs to the shell and not to the kernel, because the reader of the format caches
//! blocks in cells that only one thread may use.

use crate::error::Error;
use crate::system::{System, Volume};
use crate::text::Location;
use alloc::vec::Vec;
use kernel::fs::FileSystem;

/// The file systems that are mounted.
#[derive(Default)]
pub struct Mounts {
    mounted: Vec<FileSystem>,
}

/// The volume that paths without a volume are on: the first with a file system.
pub fn root(volumes: &[Volume]) -> Option<&Volume> {
    volumes.iter().find(|volume| volume.has_ext4)
}

impl Mounts {
    /// The file system that a location is in.
    pub fn get(&mut self, system: &dyn System, location: &Location) -> Result<&FileSystem, Error> {
        let volumes = system.volumes();
        // What is gone lets its name go, too.
        let is_there = |mounted: &FileSystem| {
            let name = mounted.device().name();
            volumes.iter().any(|volume| volume.device.name() == name)
        };
        self.mounted.retain(is_there);
        let volume = match &location.volume {
            None => root(&volumes).ok_or(Error::NoFileSystem)?,
            Some(name) => volumes
                .iter()
                .find(|volume| volume.device.name() == name)
                .ok_or_else(|| Error::NoVolume(name.clone()))?,
        };
        let name = volume.device.name();
        if !volume.has_ext4 {
            return Err(Error::NotExt4(name.into()));
        }
        let index = match self
            .mounted
            .iter()
            .position(|mounted| mounted.device().name() == name)
        {
            Some(index) => index,
            None => {
                let mounted = FileSystem::mount(volume.device.clone())
                    .map_err(|error| Error::Mount(name.into(), error))?;
                self.mounted.push(mounted);
                self.mounted.len() - 1
            }
        };
        Ok(&self.mounted[index])
    }
}
