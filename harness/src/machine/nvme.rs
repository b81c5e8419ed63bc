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

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::store::{self, Backing};
use super::{Line, escape, join};

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
            without: Vec::new(),
        }
    }

    /// The name of the controller with this index.
    pub(crate) fn name(&self, index: usize) -> String {
        match self.interface {
            Interface::Nvme => format!("nvme{index}"),
            Interface::Virtio | Interface::ModernVirtio => format!("virtio{index}"),
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
            Place::Root => "pcie.0".to_owned(),
            Place::RootPort => format!("port{index}"),
            Place::Switch => format!("down{index}"),
        }
    }

    /// The argument of `-device`, and of `device_add`.
    ///
    /// `index` is its place among the controllers, `disk` the number of its first disk, `id` its name.
    pub fn device(&self, index: usize, disk: usize, id: &str) -> String {
        if self.interface != Interface::Nvme {
            return self.virtio_device(index, disk, id);
        }
        let mut text = format!("nvme,id={id}");
        // Controllers of one subsystem say that they are the same device.
        let serial = if self.subsystem { 0 } else { index };
        let _ = write!(text, ",serial=phyros{serial}");
        if self.subsystem {
            text += ",subsys=subsystem";
        } else if !self.is_split() {
            let _ = write!(text, ",drive=disk{disk}");
        }
        let _ = write!(text, ",bus={}", self.bus(index));
        // Only what differs from QEMU's own: so `-global nvme.…` still has a say.
        if !self.is_split() {
            text += &block_size(&self.namespaces[0].format);
            text += write_cache(self.write_cache);
        }
        // What was torn out never lets go of its disk. Whoever follows must share it.
        if self.place == Place::RootPort && !self.is_split() {
            text += ",share-rw=on";
        }
        let numbers = [
            ("mdts", self.mdts.map(u32::from)),
            ("cmb_size_mb", Some(self.memory_mib).filter(|mib| *mib != 0)),
            ("max_ioqpairs", self.queues),
            ("msix_qsize", self.vectors.map(u32::from)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                let _ = write!(text, ",{name}={number}");
            }
        }
        if self.persistent.is_some() {
            let _ = write!(text, ",pmrdev=persistent{index}");
        }
        if self.ioeventfd {
            text += ",ioeventfd=on";
        }
        text
    }
}

impl Nvme {
    /// The argument of `-device` for a virtio disk.
    fn virtio_device(&self, index: usize, disk: usize, id: &str) -> String {
        let bus = self.bus(index);
        let mut text =
            format!("virtio-blk-pci,id={id},serial=phyros{index},drive=disk{disk},bus={bus}");
        text += &block_size(&self.namespaces[0].format);
        text += write_cache(self.write_cache);
        if self.place == Place::RootPort {
            text += ",share-rw=on";
        }
        if self.interface == Interface::ModernVirtio {
            text += ",disable-legacy=on";
        }
        let numbers = [
            ("num-queues", self.queues),
            ("vectors", self.vectors.map(u32::from)),
            ("queue-size", self.ring.map(u32::from)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                let _ = write!(text, ",{name}={number}");
            }
        }
        for feature in &self.without {
            let _ = write!(text, ",{feature}=off");
        }
        text
    }
}

/// The argument of `-device` for a namespace of a controller.
fn namespace_device(
    controller: &Nvme,
    namespace: &Namespace,
    index: usize,
    disk: usize,
    number: usize,
) -> String {
    let format = &namespace.format;
    let mut text =
        format!("nvme-ns,id=namespace{disk},drive=disk{disk},bus=nvme{index},nsid={number}");
    text += &block_size(format);
    text += write_cache(controller.write_cache);
    let mut add = |name: &str, number: u64| {
        if number != 0 {
            let _ = write!(text, ",{name}={number}");
        }
    };
    add("ms", format.metadata.into());
    add("mset", format.interleaved.into());
    add("pi", format.protection.kind.into());
    add("pil", format.protection.first.into());
    add("pif", if format.protection.wide { 2 } else { 0 });
    if let Some(blocks) = format.copy {
        add("mssrl", blocks.into());
        add("mcl", blocks.into());
    }
    if let Some(zone) = format.zone {
        let _ = write!(text, ",zoned=on,zoned.zone_size={zone}");
        for limit in ["active", "open"] {
            let _ = write!(text, ",zoned.max_{limit}={}", format.active_zones);
        }
    }
    if format.copy.is_some() {
        text += ",msrc=0"; // one less than the number of ranges
    }
    if namespace.detached {
        text += ",detached=on";
    }
    text
}

fn block_size(format: &Format) -> String {
    match format.lba {
        512 => String::new(),
        lba => format!(",logical_block_size={lba},physical_block_size={lba}"),
    }
}

fn write_cache(cache: Option<bool>) -> &'static str {
    match cache {
        None => "",
        Some(true) => ",write-cache=on",
        Some(false) => ",write-cache=off",
    }
}

/// Chassis of the ports without a controller: behind all others.
const EMPTY_CHASSIS: u8 = 100;

/// Adds all controllers, with the ports and switches before them, and ports without one.
pub(super) fn add_all(line: &mut Line, controllers: &[Nvme], empty_slots: u8) {
    if empty_slots != 0 || controllers.iter().any(|nvme| nvme.place != Place::Root) {
        // Otherwise QEMU plugs and unplugs by ACPI methods, and keeps the ports out of it.
        let native = "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off";
        line.add("-global", native);
    }
    if controllers.iter().any(|nvme| nvme.subsystem) {
        line.add("-device", "nvme-subsys,id=subsystem,nqn=phyros");
    }
    let mut disk = 0;
    let mut late = Vec::new();
    for (index, nvme) in controllers.iter().enumerate() {
        for (number, namespace) in nvme.namespaces.iter().enumerate() {
            add_node(line, disk + number, namespace);
        }
        if let Some(backing) = &nvme.persistent {
            store::add_backing(line, &format!("persistent{index}"), backing);
        }
        add_way(line, index, nvme.place);
        if nvme.plugged {
            let id = nvme.name(index);
            line.add("-device", &nvme.device(index, disk, &id));
        }
        if nvme.is_split() {
            let namespaces = nvme.namespaces.iter().enumerate();
            late.extend(namespaces.map(|(number, namespace)| {
                namespace_device(nvme, namespace, index, disk + number, number + 1)
            }));
        }
        disk += nvme.namespaces.len();
    }
    for index in 0..empty_slots {
        let chassis = EMPTY_CHASSIS + index;
        let port = format!("pcie-root-port,id=slot{index},chassis={chassis},slot={chassis}");
        line.add("-device", &port);
    }
    // A shared namespace goes to all controllers that are there.
    for namespace in late {
        line.add("-device", &namespace);
    }
}

/// Adds the nodes of a namespace's contents.
fn add_node(line: &mut Line, disk: usize, namespace: &Namespace) {
    if let Some(latency) = namespace.latency {
        let size = std::fs::metadata(&namespace.image).map_or(0, |file| file.len());
        let node = format!(
            "node-name=disk{disk},driver=null-co,size={size},latency-ns={latency},read-zeroes=on"
        );
        line.add("-blockdev", &node);
        return;
    }
    let read_only = if namespace.read_only { "on" } else { "off" };
    let file = format!("node-name=file{disk},driver=file,read-only={read_only},filename=");
    line.add("-blockdev", &join(&[&file, &escape(&namespace.image)]));
    let format = image_format(&namespace.image);
    let node =
        format!("node-name=disk{disk},driver={format},read-only={read_only},file=file{disk}");
    line.add("-blockdev", &node);
}

/// Adds the ports and switches before a controller.
fn add_way(line: &mut Line, index: usize, place: Place) {
    if place == Place::Root {
        return;
    }
    let chassis = 2 * index + 1;
    let port = format!("pcie-root-port,id=port{index},chassis={chassis},slot={chassis}");
    line.add("-device", &port);
    if place == Place::Switch {
        let up = format!("x3130-upstream,id=up{index},bus=port{index}");
        line.add("-device", &up);
        let behind = chassis + 1;
        let down = format!("xio3130-downstream,id=down{index},bus=up{index}");
        line.add("-device", &format!("{down},chassis={behind},slot={behind}"));
    }
}

/// QEMU's name for the format of an image.
pub(crate) fn image_format(image: &Path) -> &'static str {
    use std::io::Read;
    let mut magic = [0; 4];
    let read = std::fs::File::open(image).and_then(|mut file| file.read_exact(&mut magic));
    if read.is_ok() && magic == *b"QFI\xfb" {
        "qcow2"
    } else {
        "raw"
    }
}
