//! NVMe controllers and their namespaces, as values and as QEMU's arguments; and virtio disks, which
//! are the same to the rest of the harness: a controller with one plain namespace.
//!
//! Every namespace has a block node `disk0`, `disk1`, …, counted over all controllers, on top of a
//! node `file0`, `file1`, … that is the image. Nothing but that name ties them together, so the host can put
//! layers that fail or delay between the two while the machine runs.
//!
//! | what | QEMU's name |
//! |---|---|
//! | controller 2 | `nvme2`, or `virtio2` |
//! | disk 5, where it is a device of its own | `namespace5` |
//! | the root port in front of it | `port2` |
//! | the switch between them | `up2`, `down2` |
//!
//! A controller with one plain namespace is one device, as QEMU's manual shows it. All others have
//! a device for each namespace (`nvme-ns`).

mod device;
mod tree;

use std::path::PathBuf;

use super::Machine;
use super::store::Backing;
pub(super) use tree::add_all;
pub(crate) use tree::image_format;

/// Where on the PCI Express tree a controller sits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On the root complex.
    #[default]
    Root,
    /// Behind a root port: one bridge down. There it can be plugged and unplugged.
    RootPort,
    /// Behind a root port and a switch: three bridges down.
    Switch,
}

/// The protection information of a namespace (NVM Command Set, section 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// The type, 1 to 3; 0 is none.
    pub kind: u8,
    /// It is the first part of the metadata, not the last.
    pub first: bool,
    /// The guard has 64 bits, not 16.
    pub wide: bool,
}

/// How the blocks of a namespace look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bytes of data in a block: 512 or 4096.
    pub lba: u32,
    /// Bytes of metadata of a block: 0, 8, 16 or 64.
    pub metadata: u16,
    /// Metadata follows the data of its block, and is no buffer of its own.
    pub interleaved: bool,
    /// What is in the metadata.
    pub protection: Protection,
    /// Bytes of a zone, if there are zones.
    pub zone: Option<u64>,
    /// So many zones may be active, and as many open; 0: all.
    pub active_zones: u32,
    /// Most blocks of one Copy command, in one range. `None`: QEMU's 128.
    pub copy: Option<u16>,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            lba: 512,
            metadata: 0,
            interleaved: false,
            protection: Protection::default(),
            zone: None,
            active_zones: 0,
            copy: None,
        }
    }
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// What is in it.
    pub image: PathBuf,
    /// Writes fail.
    pub read_only: bool,
    /// How its blocks look.
    pub format: Format,
    /// It exists and is attached to no controller. Needs a [subsystem](Nvme::subsystem).
    pub detached: bool,
    /// There is no image: reads give zeros, writes are forgotten, and each takes so many nanoseconds.
    pub latency: Option<u64>,
}

impl Namespace {
    /// A writable namespace with blocks of 512 bytes.
    pub fn new(image: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            read_only: false,
            format: Format::default(),
            detached: false,
            latency: None,
        }
    }

    /// Whether a controller can have it without a device of its own.
    fn is_plain(&self) -> bool {
        let lba = self.format.lba;
        self.format
            == Format {
                lba,
                ..Format::default()
            }
            && !self.detached
    }
}

/// How a controller speaks to its driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// NVM Express.
    #[default]
    Nvme,
    /// A virtio disk that legacy drivers could use, too, where QEMU makes them so: on the root complex.
    Virtio,
    /// A virtio disk for modern drivers only.
    ModernVirtio,
    /// A virtio disk that is on no bus.
    VirtioWindow,
}

/// An NVMe controller, or a virtio disk. What is `None` is as QEMU has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nvme {
    /// Its namespaces, from number 1 on.
    pub namespaces: Vec<Namespace>,
    /// Where it sits.
    pub place: Place,
    /// It is there from the start. Otherwise only its port is, and its disk.
    pub plugged: bool,
    /// It is of the machine's one subsystem, whose controllers share all namespaces.
    pub subsystem: bool,
    /// Largest transfer, as a power of two of pages; 0 is without limit.
    pub mdts: Option<u8>,
    /// MiB of controller memory; 0 is none.
    pub memory_mib: u32,
    /// Memory of the controller that keeps its content without power (persistent memory region).
    pub persistent: Option<Backing>,
    /// Most pairs of I/O queues.
    pub queues: Option<u32>,
    /// Entries of the MSI-X table.
    pub vectors: Option<u16>,
    /// Doorbells are heard by a thread of their own, which makes shadow doorbells worthwhile.
    pub ioeventfd: bool,
    /// There is a volatile write cache, and it is on.
    pub write_cache: Option<bool>,
    /// How it speaks to its driver. Not all of the above is for virtio disks.
    pub interface: Interface,
    /// Entries of a virtqueue.
    pub ring: Option<u16>,
    /// A virtio disk that asks the machine's IOMMU, as other devices do, and does not go past it.
    pub asks_iommu: bool,
    /// A virtio disk that offers packed queues.
    pub packed: bool,
    /// Features that a virtio disk has by default, and this one has not.
    pub without: Vec<String>,
}

impl Nvme {
    /// A controller on the root complex, with one writable namespace with blocks of 512 bytes.
    pub fn new(image: impl Into<PathBuf>) -> Self {
        Self::of(vec![Namespace::new(image)])
    }

    /// A controller on the root complex.
    pub fn of(namespaces: Vec<Namespace>) -> Self {
        Self {
            namespaces,
            place: Place::Root,
            plugged: true,
            subsystem: false,
            mdts: None,
            memory_mib: 0,
            persistent: None,
            queues: None,
            vectors: None,
            ioeventfd: false,
            write_cache: None,
            interface: Interface::Nvme,
            ring: None,
            asks_iommu: false,
            packed: false,
            without: Vec::new(),
        }
    }

    /// The name of the controller with this index.
    pub(crate) fn name(&self, index: usize) -> String {
        match self.interface {
            Interface::Nvme => format!("nvme{index}"),
            _ => format!("virtio{index}"),
        }
    }

    /// Whether each namespace is a device of its own.
    fn is_split(&self) -> bool {
        self.subsystem || self.namespaces.len() != 1 || !self.namespaces[0].is_plain()
    }

    /// The name of the device that has a disk of this controller, itself called `name`; or the path
    /// to it, where the device is a part of another one.
    pub(crate) fn holder(&self, name: &str, disk: usize) -> String {
        if self.interface != Interface::Nvme {
            format!("/machine/peripheral/{name}/virtio-backend")
        } else if self.is_split() {
            format!("namespace{disk}")
        } else {
            name.to_owned()
        }
    }

    /// The bus that the controller with this index sits on.
    fn bus(&self, index: usize) -> String {
        match self.place {
            _ if self.interface == Interface::VirtioWindow => Machine::window(index),
            Place::Root => "pcie.0".to_owned(),
            Place::RootPort => format!("port{index}"),
            Place::Switch => format!("down{index}"),
        }
    }
}
