//! One word of a machine: which field it sets, and which values it may have.
//!
//! Each `take` answers `false` for a word that is not its own or has a value it cannot have, and
//! [`Needs::parse`] then says what the right words are.

use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::Result;

use super::Needs;
use crate::disk::Content;
use crate::machine::{Board, Firmware, Interface, Place, Tap, Told, User, Wire};
use crate::size;

impl Needs {
    /// Takes one word; `false` if it is not in the table above.
    pub(super) fn take(&mut self, key: &str, value: Option<&str>) -> Result<bool> {
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
            "translated" => {
                (controller.interface, controller.asks_iommu) = (Interface::ModernVirtio, true);
            }
            "packed" => controller.packed = true,
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
            "timeless" => self.timeless = true,
            "microvm" => self.board = Board::Microvm(Told::ByTables),
            "svm" => self.svm = true,
            "iommu" => self.iommu = Some(Vec::new()),
            // What comes before it does not notice it.
            "virtio-iommu" => self.devices.insert(0, "virtio-iommu-pci"),
            "balloon" => self
                .devices
                .push("virtio-balloon-pci,free-page-reporting=on"),
            "gpu" => self.devices.push("virtio-gpu-pci,id=gpu"),
            "entropy" => self.entropy = true,
            "share" => self.share = Some(false),
            "console" => self.console = true,
            "edu" => self.devices.push("edu"),
            "nic" => self.cards = self.cards.max(1),
            "user-net" => self.take_user_card(""),
            "display" => self.display = Some(16 << 20),
            "hole" => self.hole = true,
            "unshared" => self.unshared = true,
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
            "pmem" => self.pmem = sizes()?,
            "pmr" => self.persistent = Some(size::parse(value)?),
            "display" => self.display = Some(size::parse(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a word about the machine.
    fn take_machine(&mut self, key: &str, value: &str) -> Result<bool> {
        match (key, value) {
            ("microvm", "bare") => self.board = Board::Microvm(Told::ByCommandLine),
            ("firmware", "seabios") => self.firmware = Firmware::SeaBios,
            ("firmware", "qboot") => self.firmware = Firmware::Qboot,
            ("ram", value) => self.ram = size::parse_memory(value)?,
            ("smp", value) => return Ok(set(&mut self.cores, value, 1..=64)),
            ("size", value) => self.size = Some(size::parse(value)?),
            ("iommu", value) => self.iommu = Some(value.split('+').map(str::to_owned).collect()),
            ("trace", value) => self.trace = value.split('+').map(str::to_owned).collect(),
            ("cpu-without", value) => self.without = value.split('+').map(str::to_owned).collect(),
            ("nics", value) => return Ok(set(&mut self.cards, value, 1..=4)),
            ("nic", value) => self.take_card(value),
            ("share", "iommu") => self.share = Some(true),
            ("user-net", value) => self.take_user_card(value),
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

    /// Takes what a network card on the user network is like.
    fn take_user_card(&mut self, value: &str) {
        // Which port of the host it is is known when the machine is made.
        self.card.wire = Wire::User(User::default());
        match value {
            "" => self.cards = self.cards.max(1),
            value => self.take_card(value),
        }
    }

    /// Takes what a network card is like.
    fn take_card(&mut self, value: &str) {
        self.cards = self.cards.max(1);
        for property in value.split('+') {
            match property {
                "port" => self.card.has_port = true,
                "tap" => self.card.wire = Wire::Tap(Tap::own()),
                "lossy" => {
                    if let Wire::User(network) = &mut self.card.wire {
                        // Which number decides is known when the machine is made.
                        network.loses = Some(0);
                    }
                }
                "modern" => self.card.properties.push("disable-legacy=on".into()),
                other => match (pairs(other), &mut self.card.wire) {
                    (Some(pairs), Wire::Tap(tap)) => tap.pairs = pairs,
                    _ => self.card.properties.push(other.into()),
                },
            }
        }
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
            ("beside", "virtio") => {
                self.beside = true;
                true
            }
            ("ring", value) => set_some(&mut controller.ring, value, 4..=1024),
            ("without", value) => {
                controller.without = value.split('+').map(str::to_owned).collect();
                true
            }
            ("queues", value) => set_some(&mut controller.queues, value, 1..=65535),
            ("vectors", value) => set_some(&mut controller.vectors, value, 0..=2048),
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
}

/// A number of pairs of queues.
fn pairs(property: &str) -> Option<u16> {
    property.strip_prefix("pairs=")?.parse().ok()
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
