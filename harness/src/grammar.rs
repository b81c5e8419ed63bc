//! The words of `#[vm_test(machine = "…")]`.
//!
//! Words are separated by commas. Each is named once:
//!
//! | word | the machine has |
//! |---|---|
//! | `nvme` | an NVMe controller with a disk; all words on disks imply it |
//! | `virtio`, `virtio=modern` | virtio disks in place of the controllers; not for legacy drivers |
//! | `ring=N` | virtio disks with queues of N entries (256) |
//! | `without=FEATURES` | virtio disks without these, for example `event_idx+indirect_desc` |
//! | `disks=N` | so many of them, 1 to 8 |
//! | `lba=512`, `lba=4096`, `lba=16384` | disks with blocks of this many bytes (512) |
//! | `mdts=N` | controllers that transfer at most 2^N pages; 0: no limit (QEMU's 7) |
//! | `ro` | disks that cannot be written |
//! | `disk=CONTENT` | disks with this content ([`Content`]; `pattern`) |
//! | `size=SIZE` | disks of this size ([`Needs::disk_size`]) |
//! | `namespaces=N` | controllers with so many namespaces, 1 to 8, each a disk |
//! | `shared` | controllers of one subsystem, all with the namespaces of the first |
//! | `detached` | a last namespace on each controller that is not attached |
//! | `ms=8`, `ms=16`, `ms=64` | so many bytes of metadata for each block |
//! | `interleaved` | the metadata in the blocks and not in a buffer of its own |
//! | `pi=1`, `pi=2`, `pi=3` | protection information of this type |
//! | `pi-first` | it at the start of the metadata |
//! | `guard=64` | it with a guard of 64 bits; needs `ms=16` or more |
//! | `zoned`, `zoned=SIZE` | namespaces of zones of this size (1M) |
//! | `active=N` | at most so many zones active or open |
//! | `copy=N` | Copy commands of one range of at most N blocks |
//! | `cmb=SIZE` | controllers with so much memory of their own |
//! | `pmr=SIZE` | controllers with so much persistent memory, each a file |
//! | `queues=N` | controllers with at most so many pairs of I/O queues (64) |
//! | `vectors=N` | controllers with so many interrupt vectors (65) |
//! | `ioeventfd` | doorbells that a thread hears: so shadow doorbells have an effect |
//! | `vwc=on`, `vwc=off` | a volatile write cache, or none |
//! | `latency=N` | no images but zeros, and N nanoseconds for each transfer |
//! | `bridge` | the controllers behind root ports |
//! | `switch` | the controllers behind root ports and switches |
//! | `hotplug` | the controllers behind root ports, to be plugged and unplugged |
//! | `spares=N` | so many more controllers that are not plugged yet; implies `hotplug` |
//! | `iommu`, `iommu=PROPERTIES` | an IOMMU (VT-d), if wanted with these properties, for example `caching-mode=on+aw-bits=48` |
//! | `edu` | QEMU's device for lessons, which reaches 28 bits of address |
//! | `ivshmem=SIZE`, `ivshmem=SIZE+SIZE` | boards with so much memory, shared with the host, each a file |
//! | `nvdimm=SIZE`, `nvdimm=SIZE+SIZE` | modules of persistent memory, each a file |
//! | `display`, `display=SIZE` | a screen with so much memory (16M) |
//! | `hole` | a board that claims 1 MiB of memory and has none |
//! | `trace=EVENTS` | these events of QEMU traced, for example `pci_nvme_mmio_doorbell_*+pci_nvme_map_prp` |
//! | `icount` | a clock that counts instructions; never KVM |
//! | `ram=SIZE` | so much RAM (128M) |
//! | `smp=N` | so many cores, 1 to 64 (1) |
//! | `svm` | cores that can run guests; never KVM |
//! | `cpu-without=FEATURES` | cores that lack these, by QEMU's names, for example `svm+npt`; never KVM |
//! | `firmware=seabios`, `firmware=qboot` | this firmware (seabios) |
//!
//! The empty text is the plainest machine.

use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

use crate::disk::{self, Content};
use crate::machine::{
    Accel, Backing, Firmware, Format, Interface, Machine, Memory, Namespace, Nvme, Place,
};
use crate::size;

/// What can be written, for the message about what cannot.
const KNOWN: &str = "known words are nvme, virtio[=modern], ring=N, without=FEATURES, ro, disks=N, lba=512|4096|16384, mdts=N, \
    disk=pattern|empty|ext4|mbr|gpt|corrupt, size=SIZE, namespaces=N, shared, detached, \
    ms=8|16|64, interleaved, pi=1|2|3, pi-first, guard=64, zoned[=SIZE], active=N, copy=N, cmb=SIZE, \
    pmr=SIZE, ivshmem=SIZE[+SIZE], nvdimm=SIZE[+SIZE], display[=SIZE], hole, \
    queues=N, vectors=N, ioeventfd, vwc=on|off, latency=N, bridge, switch, hotplug, spares=N, \
    iommu[=PROPERTIES], edu, trace=EVENTS, icount, ram=SIZE, smp=N, svm, \
    cpu-without=FEATURES, firmware=seabios|qboot";

/// A machine as a test asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Number of NVMe controllers.
    pub disks: u8,
    /// Number of controllers more that are not plugged.
    pub spares: u8,
    /// What a controller is like, but for its namespaces.
    pub controller: Nvme,
    /// Number of attached namespaces of a controller.
    pub namespaces: u8,
    /// What a namespace is like, but for its image.
    pub namespace: Namespace,
    /// Each controller has one namespace more, that is not attached.
    pub detached: bool,
    /// What is on the disks.
    pub content: Content,
    /// Bytes of the persistent memory of each controller.
    pub persistent: Option<u64>,
    /// Bytes of each board of shared memory.
    pub shared: Vec<u64>,
    /// Bytes of each module of persistent memory.
    pub modules: Vec<u64>,
    /// Bytes of the memory of a screen.
    pub display: Option<u64>,
    /// There is a board that has no memory and says that it has.
    pub hole: bool,
    /// Bytes of each disk, if the test says it.
    pub size: Option<u64>,
    /// There is an IOMMU, with these properties of QEMU's.
    pub iommu: Option<Vec<String>>,
    /// More devices, as QEMU calls them.
    pub devices: Vec<&'static str>,
    /// Patterns for the events that QEMU traces.
    pub trace: Vec<String>,
    /// The clock counts instructions.
    pub icount: bool,
    /// Bytes of RAM.
    pub ram: u64,
    /// Number of cores.
    pub cores: u8,
    /// The cores have SVM.
    pub svm: bool,
    /// What the cores lack.
    pub without: Vec<String>,
    /// What runs first.
    pub firmware: Firmware,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            disks: 0,
            spares: 0,
            controller: Nvme::of(Vec::new()),
            namespaces: 1,
            namespace: Namespace::new(""),
            detached: false,
            content: Content::Pattern,
            persistent: None,
            shared: Vec::new(),
            modules: Vec::new(),
            display: None,
            hole: false,
            size: None,
            iommu: None,
            devices: Vec::new(),
            trace: Vec::new(),
            icount: false,
            ram: Machine::DEFAULT_RAM,
            cores: 1,
            svm: false,
            without: Vec::new(),
            firmware: Firmware::SeaBios,
        }
    }
}

impl Needs {
    /// Reads the words of a test.
    ///
    /// # Errors
    /// For a word that is not known, has a value it cannot have, or comes twice.
    pub fn parse(text: &str) -> Result<Self> {
        let mut needs = Self::default();
        let mut seen = Vec::new();
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key.trim(), Some(value.trim())),
                None => (word, None),
            };
            ensure!(
                !seen.contains(&key),
                "`{key}` is said twice in the machine `{text}`"
            );
            seen.push(key);
            if !needs.take(key, value)? {
                bail!("`{word}` in the machine `{text}` means nothing: {KNOWN}");
            }
            if !matches!(
                key,
                "ram"
                    | "smp"
                    | "svm"
                    | "cpu-without"
                    | "firmware"
                    | "disks"
                    | "spares"
                    | "trace"
                    | "icount"
                    | "iommu"
                    | "edu"
                    | "ivshmem"
                    | "nvdimm"
                    | "display"
                    | "hole"
            ) {
                needs.disks = needs.disks.max(1);
            }
        }
        needs.check(text)?;
        Ok(needs)
    }

    /// Whether all of it goes together.
    fn check(&self, text: &str) -> Result<()> {
        let (controller, format) = (&self.controller, &self.namespace.format);
        let plain = Nvme {
            place: controller.place,
            queues: controller.queues,
            vectors: controller.vectors,
            write_cache: controller.write_cache,
            interface: controller.interface,
            ring: controller.ring,
            without: controller.without.clone(),
            ..Nvme::of(Vec::new())
        };
        let is_plain = *controller == plain
            && self.namespaces == 1
            && *format
                == Format {
                    lba: format.lba,
                    ..Format::default()
                };
        let has_virtio = controller.ring.is_some() || !controller.without.is_empty();
        match controller.interface {
            Interface::Nvme => ensure!(!has_virtio, "only virtio disks have that: `{text}`"),
            _ => ensure!(is_plain, "virtio disks have not all of `{text}`"),
        }
        Ok(())
    }

    /// Takes one word; `false` if it is not in the table above.
    fn take(&mut self, key: &str, value: Option<&str>) -> Result<bool> {
        let taken = match value {
            None => self.take_alone(key),
            Some(value) if self.take_store(key, value)? => true,
            Some(value) => {
                self.take_machine(key, value)?
                    || self.take_controller(key, value)?
                    || self.take_namespace(key, value)?
            }
        };
        Ok(taken)
    }

    /// Takes a word without a value.
    fn take_alone(&mut self, key: &str) -> bool {
        let (controller, format) = (&mut self.controller, &mut self.namespace.format);
        match key {
            "nvme" => {}
            "virtio" => controller.interface = Interface::Virtio,
            "ro" => self.namespace.read_only = true,
            "bridge" | "hotplug" => controller.place = Place::RootPort,
            "switch" => controller.place = Place::Switch,
            "shared" => controller.subsystem = true,
            "ioeventfd" => controller.ioeventfd = true,
            "detached" => (self.detached, controller.subsystem) = (true, true),
            "interleaved" => format.interleaved = true,
            "pi-first" => format.protection.first = true,
            "zoned" => format.zone = Some(1 << 20),
            "icount" => self.icount = true,
            "svm" => self.svm = true,
            "iommu" => self.iommu = Some(Vec::new()),
            "edu" => self.devices.push("edu"),
            "display" => self.display = Some(16 << 20),
            "hole" => self.hole = true,
            _ => return false,
        }
        true
    }

    /// Takes a word about memory that is no RAM.
    fn take_store(&mut self, key: &str, value: &str) -> Result<bool> {
        let sizes = || value.split('+').map(size::parse).collect::<Result<_>>();
        match key {
            "ivshmem" => {
                self.shared = sizes()?;
                // A board's memory has the size of a base address register.
                return Ok(self.shared.iter().all(|size| size.is_power_of_two()));
            }
            "nvdimm" => self.modules = sizes()?,
            "pmr" => self.persistent = Some(size::parse(value)?),
            "display" => self.display = Some(size::parse(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a word about the machine.
    fn take_machine(&mut self, key: &str, value: &str) -> Result<bool> {
        match (key, value) {
            ("firmware", "seabios") => self.firmware = Firmware::SeaBios,
            ("firmware", "qboot") => self.firmware = Firmware::Qboot,
            ("ram", value) => self.ram = size::parse(value)?,
            ("smp", value) => return Ok(set(&mut self.cores, value, 1..=64)),
            ("size", value) => self.size = Some(size::parse(value)?),
            ("iommu", value) => self.iommu = Some(value.split('+').map(str::to_owned).collect()),
            ("trace", value) => self.trace = value.split('+').map(str::to_owned).collect(),
            ("cpu-without", value) => self.without = value.split('+').map(str::to_owned).collect(),
            ("disks", value) => return Ok(set(&mut self.disks, value, 1..=8)),
            ("spares", value) => {
                self.controller.place = Place::RootPort;
                return Ok(set(&mut self.spares, value, 1..=8));
            }
            ("namespaces", value) => return Ok(set(&mut self.namespaces, value, 1..=8)),
            ("disk", value) => match Content::parse(value) {
                Some(content) => self.content = content,
                None => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a word about the controllers.
    fn take_controller(&mut self, key: &str, value: &str) -> Result<bool> {
        const MIB: u64 = 1 << 20;
        let controller = &mut self.controller;
        Ok(match (key, value) {
            ("mdts", value) => set_some(&mut controller.mdts, value, 0..=u8::MAX),
            ("virtio", "modern") => {
                controller.interface = Interface::ModernVirtio;
                true
            }
            ("ring", value) => set_some(&mut controller.ring, value, 4..=1024),
            ("without", value) => {
                controller.without = value.split('+').map(str::to_owned).collect();
                true
            }
            ("queues", value) => set_some(&mut controller.queues, value, 1..=65535),
            ("vectors", value) => set_some(&mut controller.vectors, value, 1..=2048),
            ("vwc", "on" | "off") => {
                controller.write_cache = Some(value == "on");
                true
            }
            ("cmb", value) => {
                let size = size::parse(value)?;
                controller.memory_mib = u32::try_from(size / MIB)?;
                size >= MIB && size.is_multiple_of(MIB)
            }
            _ => false,
        })
    }

    /// Takes a word about the namespaces.
    fn take_namespace(&mut self, key: &str, value: &str) -> Result<bool> {
        let format = &mut self.namespace.format;
        Ok(match (key, value) {
            ("lba", "512" | "4096" | "16384") => set(&mut format.lba, value, 512..=16384),
            ("ms", "8" | "16" | "64") => set(&mut format.metadata, value, 8..=64),
            ("pi", value) => set(&mut format.protection.kind, value, 1..=3),
            ("guard", "64") => {
                format.protection.wide = true;
                true
            }
            ("zoned", value) => {
                format.zone = Some(size::parse(value)?);
                true
            }
            ("active", value) => set(&mut format.active_zones, value, 1..=u32::MAX),
            ("copy", value) => set_some(&mut format.copy, value, 1..=u16::MAX),
            ("latency", value) => set_some(&mut self.namespace.latency, value, 1..=u64::MAX),
            _ => false,
        })
    }

    /// Bytes of each disk: what the test says, or what its content needs.
    pub fn disk_size(&self) -> u64 {
        self.size.unwrap_or_else(|| self.content.default_size())
    }

    /// Makes the disks in `folder` and returns the machine, with memory that the host can see.
    ///
    /// Disks are counted over all namespaces of all controllers. The pattern of disk `n` has the seed
    /// `seed + n`, so that no two disks are alike.
    pub fn prepare(&self, image: &Path, accel: Accel, folder: &Path, seed: u64) -> Result<Machine> {
        let mut machine = Machine::new(image);
        machine.ram = self.ram;
        machine.memory = Memory::Shared;
        machine.cores = self.cores;
        machine.firmware = self.firmware;
        machine.accel = accel;
        machine.icount = self.icount;
        machine.without.clone_from(&self.without);
        machine.iommu.clone_from(&self.iommu);
        machine.devices.clone_from(&self.devices);
        // What QEMU's translator can do does not depend on the host.
        if self.icount || self.svm || !self.without.is_empty() {
            machine.accel = Accel::Tcg;
        }
        if !self.trace.is_empty() {
            machine.trace = Some((self.trace.clone(), folder.join("trace.txt")));
        }
        // Sparse: 8 GiB of which nobody writes more than a part take no more than that part.
        let backing = |name: String, size: u64| -> Result<Backing> {
            let file = folder.join(name);
            std::fs::File::create(&file)?.set_len(size)?;
            Ok(Backing { file, size })
        };
        let all = |name: &str, sizes: &[u64]| -> Result<Vec<Backing>> {
            let sizes = sizes.iter().enumerate();
            sizes
                .map(|(index, size)| backing(format!("{name}{index}"), *size))
                .collect()
        };
        machine.stores.shared = all("ivshmem", &self.shared)?;
        machine.stores.modules = all("nvdimm", &self.modules)?;
        machine.stores.display = self.display;
        machine.stores.hole = self.hole;
        let mut disks = 0_u8;
        for index in 0..self.disks + self.spares {
            let mut controller = self.controller.clone();
            controller.plugged = index < self.disks;
            if let Some(size) = self.persistent {
                controller.persistent = Some(backing(format!("pmr{index}"), size)?);
            }
            // Controllers that share have all they have from the first.
            let has_own = index == 0 || !self.controller.subsystem;
            let count = self.namespaces + u8::from(self.detached);
            for number in 0..if has_own { count } else { 0 } {
                let image = folder.join(format!("disk{disks}.img"));
                let seed = seed.wrapping_add(disks.into());
                let lba = self.namespace.format.lba;
                disk::create(&image, self.content, self.disk_size(), lba, seed)?;
                controller.namespaces.push(Namespace {
                    image,
                    detached: number == self.namespaces,
                    ..self.namespace.clone()
                });
                disks += 1;
            }
            machine.disks.push(controller);
        }
        Ok(machine)
    }
}

/// Sets a number from its text; `false` if it is none of those in the range.
fn set<T: FromStr + PartialOrd>(place: &mut T, value: &str, range: RangeInclusive<T>) -> bool {
    match value.parse() {
        Ok(number) if range.contains(&number) => {
            *place = number;
            true
        }
        _ => false,
    }
}

/// Like [`set`], for a number that may be missing.
fn set_some<T: FromStr + PartialOrd + Copy>(
    place: &mut Option<T>,
    value: &str,
    range: RangeInclusive<T>,
) -> bool {
    let mut number = *range.start();
    let is_set = set(&mut number, value, range);
    if is_set {
        *place = Some(number);
    }
    is_set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Protection;

    #[test]
    fn nothing_is_the_plainest_machine() {
        assert_eq!(Needs::parse("").unwrap(), Needs::default());
        assert_eq!(Needs::parse("nvme").unwrap().disks, 1);
    }

    #[test]
    fn every_word_of_the_table_is_understood() {
        let text =
            "nvme, disks=2, lba=4096, mdts=0, disk=gpt, size=32M, switch, ram=6G, firmware=qboot";
        let needs = Needs::parse(text).unwrap();
        let controller = &needs.controller;
        assert_eq!((needs.disks, controller.mdts), (2, Some(0)));
        assert_eq!(needs.namespace.format.lba, 4096);
        assert_eq!((needs.content, needs.disk_size()), (Content::Gpt, 32 << 20));
        assert_eq!((controller.place, needs.ram), (Place::Switch, 6 << 30));
        assert_eq!(needs.firmware, Firmware::Qboot);
        for word in ["lba=512", "mdts=1", "disk=ext4", "bridge", "size=1M"] {
            assert_eq!(Needs::parse(word).unwrap().disks, 1, "{word} implies nvme");
        }
        let plain = Needs::parse("ram=64M,firmware=seabios,smp=4,svm,cpu-without=npt+pae").unwrap();
        assert_eq!((plain.disks, plain.cores, plain.svm), (0, 4, true));
        assert_eq!(plain.without, ["npt", "pae"]);
        assert_eq!(Needs::parse("icount,trace=a").unwrap().disks, 0);
    }

    #[test]
    fn the_words_about_other_devices_are_understood() {
        let needs = Needs::parse("iommu, edu").unwrap();
        assert_eq!((needs.disks, needs.iommu), (0, Some(Vec::new())));
        assert_eq!(needs.devices, ["edu"]);
        let needs = Needs::parse("nvme,iommu=caching-mode=on+aw-bits=48").unwrap();
        let properties = ["caching-mode=on", "aw-bits=48"].map(str::to_owned);
        assert_eq!(needs.iommu.unwrap(), properties);
    }

    #[test]
    fn the_words_about_controllers_are_understood() {
        let needs = Needs::parse(
            "spares=2, cmb=4M, queues=2, vectors=3, ioeventfd, vwc=off, trace=a_*+b, icount",
        )
        .unwrap();
        assert_eq!((needs.disks, needs.spares), (1, 2));
        let controller = &needs.controller;
        assert_eq!(controller.place, Place::RootPort);
        assert_eq!((controller.memory_mib, controller.ioeventfd), (4, true));
        assert_eq!((controller.queues, controller.vectors), (Some(2), Some(3)));
        assert_eq!(controller.write_cache, Some(false));
        assert_eq!(needs.trace, ["a_*", "b"]);
        assert!(needs.icount);
        assert_eq!(Needs::parse("spares=1").unwrap().disks, 0);
        let place = Needs::parse("hotplug").unwrap().controller.place;
        assert_eq!(place, Place::RootPort);
    }

    #[test]
    fn the_words_about_namespaces_are_understood() {
        let needs = Needs::parse(
            "namespaces=3, detached, ms=16, interleaved, pi=2, pi-first, guard=64, zoned=2M, \
             active=4, copy=8, latency=1000",
        )
        .unwrap();
        assert_eq!((needs.namespaces, needs.detached), (3, true));
        assert!(
            needs.controller.subsystem,
            "only a subsystem has what is detached"
        );
        assert_eq!(needs.namespace.latency, Some(1000));
        let protection = Protection {
            kind: 2,
            first: true,
            wide: true,
        };
        let format = Format {
            lba: 512,
            metadata: 16,
            interleaved: true,
            protection,
            zone: Some(2 << 20),
            active_zones: 4,
            copy: Some(8),
        };
        assert_eq!(needs.namespace.format, format);
        let format = Needs::parse("zoned").unwrap().namespace.format;
        assert_eq!(format.zone, Some(1 << 20));
    }

    #[test]
    fn the_words_about_virtio_disks_are_understood() {
        let text =
            "virtio=modern, ring=64, without=event_idx+indirect_desc, ro, queues=2, lba=4096";
        let needs = Needs::parse(text).unwrap();
        let disk = &needs.controller;
        assert_eq!(disk.interface, Interface::ModernVirtio);
        assert_eq!((disk.ring, disk.queues), (Some(64), Some(2)));
        assert_eq!(disk.without, ["event_idx", "indirect_desc"]);
        assert!(needs.namespace.read_only);
        let interface = Needs::parse("virtio").unwrap().controller.interface;
        assert_eq!(interface, Interface::Virtio);
        for wrong in [
            "virtio,namespaces=2",
            "virtio,ms=8",
            "virtio,mdts=1",
            "ring=64",
        ] {
            let error = Needs::parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_words_about_memory_are_understood() {
        let needs =
            Needs::parse("ivshmem=1M+8G, nvdimm=64M, display, hole, disks=2, pmr=2M").unwrap();
        assert_eq!(needs.shared, [1 << 20, 8 << 30]);
        assert_eq!((needs.modules.len(), needs.display), (1, Some(16 << 20)));
        assert_eq!((needs.persistent, needs.hole), (Some(2 << 20), true));
        assert_eq!(
            Needs::parse("ivshmem=1M,nvdimm=1M,display=8M")
                .unwrap()
                .disks,
            0
        );
        assert_eq!(Needs::parse("pmr=1M").unwrap().disks, 1);
        let folder = tempfile::tempdir().unwrap();
        let needs = Needs::parse("ivshmem=8G,pmr=2M,size=1M").unwrap();
        let machine = needs.prepare(Path::new("k.elf"), Accel::Tcg, folder.path(), 1);
        let files = machine.unwrap().files();
        let sizes: Vec<_> = files
            .iter()
            .map(|(name, path)| (name.as_str(), path.metadata().unwrap().len()))
            .collect();
        assert_eq!(sizes, [("ivshmem0", 8 << 30), ("pmr0", 2 << 20)]);
    }

    #[test]
    fn every_namespace_has_an_image_and_shared_ones_have_one() {
        let folder = tempfile::tempdir().unwrap();
        let machine = |text| {
            let needs = Needs::parse(text).unwrap();
            needs
                .prepare(Path::new("k.elf"), Accel::Kvm, folder.path(), 1)
                .unwrap()
        };
        let counts = |machine: &Machine| -> Vec<usize> {
            let disks = machine.disks.iter();
            disks.map(|nvme| nvme.namespaces.len()).collect()
        };
        let own = machine("disks=1,spares=1,namespaces=2,size=1M");
        assert_eq!(counts(&own), [2, 2]);
        assert!(own.disks[0].plugged && !own.disks[1].plugged);
        let last = &own.disks[1].namespaces[1].image;
        assert_eq!(last, &folder.path().join("disk3.img"));
        assert_eq!(own.accel, Accel::Kvm);

        let shared = machine("disks=2,shared,detached,size=1M,icount,trace=a+b");
        assert_eq!(counts(&shared), [2, 0]);
        let is_detached = |ns: &Namespace| ns.detached;
        assert!(!is_detached(&shared.disks[0].namespaces[0]));
        assert!(is_detached(&shared.disks[0].namespaces[1]));
        assert_eq!(shared.accel, Accel::Tcg, "KVM cannot count instructions");
        assert_eq!(shared.trace.unwrap().0, ["a", "b"]);
    }

    #[test]
    fn a_wrong_word_is_named_together_with_the_right_ones() {
        for text in [
            "nvmi",
            "lba=1024",
            "nvme=1",
            "mdts=x",
            "disks=9",
            "disk=fat",
            "ram",
            "ms=9",
            "pi=4",
            "cmb=1K",
            "namespaces=0",
            "vwc",
            "guard=16",
            "queues=0",
            "latency=soon",
            "ivshmem=3M",
        ] {
            let error = Needs::parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
            assert!(error.contains("known words are nvme"), "{error}");
        }
        assert!(
            Needs::parse("nvme,lba=512,lba=4096")
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
        assert!(
            Needs::parse("ram=lots")
                .unwrap_err()
                .to_string()
                .contains("no size")
        );
    }
}
