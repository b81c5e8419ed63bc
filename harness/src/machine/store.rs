//! Memory besides RAM, as values and as QEMU's arguments.
//!
//! Each has a file behind it that it is shared with, so the host sees what a device has written there:
//! that is a witness who shares no code with the guest. The exceptions are a screen, which the host looks at by a
//! screenshot, and a hole, in which nothing is ever found again.
//!
//! | what | QEMU's device | its file's name |
//! |---|---|---|
//! | the third shared memory | `ivshmem2` | `ivshmem2` |
//! | the second module of persistent memory | `nvdimm1` | `nvdimm1` |
//! | the first virtio device of persistent memory | `virtio-pmem0` | `virtio-pmem0` |
//! | the persistent memory of controller 0 | (`nvme0`) | `pmr0` |
//! | a source of entropy, whose bytes are those of a file | `entropy` | `entropy0` |
//! | a screen | `display` | |
//! | a hole | `hole` | |

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Machine;
use super::line::{Line, escape, join};
use crate::size;

/// A file that is somebody's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// It is only read: what is written to the memory is not in it.
    pub unshared: bool,
}

/// Memory besides RAM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stores {
    /// Boards whose memory is shared with the host.
    pub shared: Vec<Backing>,
    /// Modules that keep their content without power.
    pub modules: Vec<Backing>,
    /// Virtio devices of persistent memory.
    pub pmem: Vec<Backing>,
    /// A source of entropy: its bytes are those of this file, from the start.
    pub entropy: Option<PathBuf>,
    /// A screen with so much memory, which is a power of two.
    pub display: Option<u64>,
    /// A board that says that it has 1 MiB of memory, and has none.
    pub hole: bool,
}

impl Stores {
    /// The files, with their names.
    pub(super) fn files(&self) -> Vec<(String, PathBuf)> {
        let named = |name: &str, files: &[Backing]| -> Vec<(String, PathBuf)> {
            let files = files.iter().enumerate();
            files
                .map(|(index, backing)| (format!("{name}{index}"), backing.file.clone()))
                .collect()
        };
        let mut all = named("ivshmem", &self.shared);
        all.extend(named("nvdimm", &self.modules));
        all.extend(named("virtio-pmem", &self.pmem));
        let entropy = self.entropy.iter();
        all.extend(entropy.map(|file| ("entropy0".to_owned(), file.clone())));
        all
    }

    /// What `-machine` needs, after its name.
    pub(super) fn machine(&self) -> &'static str {
        match self.modules.is_empty() {
            true => "",
            false => ",nvdimm=on",
        }
    }

    /// What `-m` needs, after the RAM.
    pub(super) fn slots(&self, ram: u64) -> String {
        let all = || self.modules.iter().chain(&self.pmem);
        if all().next().is_none() {
            return String::new();
        }
        let more: u64 = all().map(|backing| backing.size).sum();
        format!(",slots={},maxmem={}", all().count(), size::show(ram + more))
    }
}

/// Adds the file of some memory, as an object of this name.
pub(super) fn add_backing(line: &mut Line, name: &str, backing: &Backing) {
    let size = size::show(backing.size);
    let share = if backing.unshared { "off" } else { "on" };
    let before = format!("memory-backend-file,id={name},share={share},size={size},mem-path=");
    line.add("-object", &object(&before, &backing.file));
}

fn object(before: &str, file: &Path) -> OsString {
    join(&[&before, &escape(file)])
}

/// Adds all of it.
pub(super) fn add_all(line: &mut Line, machine: &Machine) {
    let stores = &machine.stores;
    for (index, backing) in stores.shared.iter().enumerate() {
        add_backing(line, &format!("shared{index}"), backing);
        let device = format!("ivshmem-plain,id=ivshmem{index},memdev=shared{index}");
        line.add("-device", &device);
    }
    for (index, backing) in stores.modules.iter().enumerate() {
        add_backing(line, &format!("module{index}"), backing);
        line.add(
            "-device",
            &format!("nvdimm,id=nvdimm{index},memdev=module{index}"),
        );
    }
    for (index, backing) in stores.pmem.iter().enumerate() {
        add_backing(line, &format!("lasting{index}"), backing);
        let device = format!("virtio-pmem-pci,id=virtio-pmem{index},memdev=lasting{index}");
        line.add("-device", &device);
    }
    if let Some(file) = &stores.entropy {
        line.add("-object", &object("rng-random,id=bytes,filename=", file));
        let device = match machine.first_card_window() {
            None => "virtio-rng-pci,id=entropy,rng=bytes".to_owned(),
            Some(first) => {
                let bus = Machine::window(first + machine.cards.len());
                format!("virtio-rng-device,id=entropy,rng=bytes,bus={bus}")
            }
        };
        line.add("-device", &device);
    }
    if let Some(bytes) = stores.display {
        let bytes = size::show(bytes);
        line.add(
            "-device",
            &format!("bochs-display,id=display,vgamem={bytes}"),
        );
    }
    if stores.hole {
        line.add("-device", "pci-testdev,id=hole,membar=1M");
    }
}
