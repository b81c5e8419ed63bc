//! Which file system a place is in.
//!
//! A file system is mounted when something on it is first asked for, and stays mounted. One that
//! is damaged gives the same error each time; the others are not affected.
//!
//! A folder of the host's is a file system like those on disks. It has the name that the host gives it, and paths
//! without a name are in the first one if there is no file system on any disk.
//!
//! The list belongs to the shell and not to the kernel, because the reader of the format caches
//! blocks in cells that only one thread may use.

use crate::error::Error;
use crate::system::{System, Volume};
use crate::text::Location;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::fs::{FileSystem, Files, Folder};

/// The file systems that are mounted.
#[derive(Default)]
pub struct Mounts {
    mounted: Vec<Files>,
}

/// The volume that paths without a volume are on: the first with a file system.
pub fn root(volumes: &[Volume]) -> Option<&Volume> {
    volumes.iter().find(|volume| volume.has_ext4)
}

/// What a name means.
enum Place<'a> {
    Volume(&'a Volume),
    Share(&'a Arc<dyn Folder>),
}

impl Place<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Volume(volume) => volume.device.name(),
            Self::Share(share) => share.name(),
        }
    }
}

/// What a location is in.
fn place<'a>(
    volumes: &'a [Volume],
    shares: &'a [Arc<dyn Folder>],
    name: Option<&String>,
) -> Result<Place<'a>, Error> {
    let Some(name) = name else {
        let share = || shares.first().map(Place::Share);
        let volume = root(volumes).map(Place::Volume);
        return volume.or_else(share).ok_or(Error::NoFileSystem);
    };
    let volume = volumes.iter().find(|volume| volume.device.name() == name);
    let share = || shares.iter().find(|share| share.name() == name);
    let place = volume.map(Place::Volume);
    let place = place.or_else(|| share().map(Place::Share));
    place.ok_or_else(|| Error::NoVolume(name.clone()))
}

impl Mounts {
    /// The file system that a location is in.
    pub fn get(&mut self, system: &dyn System, location: &Location) -> Result<&Files, Error> {
        let (volumes, shares) = (system.volumes(), system.shares());
        // What is gone lets its name go, too.
        let is_there = |mounted: &Files| match mounted {
            Files::Disk(files) => {
                let name = files.device().name();
                volumes.iter().any(|volume| volume.device.name() == name)
            }
            Files::Share(files) => shares.iter().any(|share| share.name() == files.name()),
        };
        self.mounted.retain(is_there);
        let place = place(&volumes, &shares, location.volume.as_ref())?;
        let name = place.name();
        if let Place::Volume(volume) = &place
            && !volume.has_ext4
        {
            return Err(Error::NotExt4(name.into()));
        }
        let known = self.mounted.iter().position(|files| files.name() == name);
        let index = match known {
            Some(index) => index,
            None => {
                let files = match place {
                    Place::Volume(volume) => FileSystem::mount(volume.device.clone())
                        .map(Files::Disk)
                        .map_err(|error| Error::Mount(name.into(), error))?,
                    Place::Share(share) => Files::Share(share.clone()),
                };
                self.mounted.push(files);
                self.mounted.len() - 1
            }
        };
        Ok(&self.mounted[index])
    }
}
