//! The words of `#[vm_test(machine = "…")]`.
//!
//! Words are separated by commas. Each is named once:
//!
//! | word | the machine has |
//! |---|---|
//! | `nvme` | an NVMe controller with a disk; all words on disks imply it |
//! | `virtio`, `virtio=modern` | virtio disks in place of the controllers; not for legacy drivers |
//! | `beside=virtio` | one virtio disk more, behind the controllers |
//! | `ring=N` | virtio disks with queues of N entries (256) |
//! | `packed` | virtio disks that offer packed queues |
//! | `without=FEATURES` | virtio disks without these, for example `event_idx+indirect_desc` |
//! | `translated` | modern virtio disks that ask the IOMMU, and do not go past it |
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
//! | `vectors=N` | controllers with so many interrupt vectors (65); 0, for virtio disks: they have a line that they share |
//! | `ioeventfd` | doorbells that a thread hears: so shadow doorbells have an effect |
//! | `vwc=on`, `vwc=off` | a volatile write cache, or none |
//! | `latency=N` | no images but zeros, and N nanoseconds for each transfer |
//! | `bridge` | the controllers behind root ports |
//! | `switch` | the controllers behind root ports and switches |
//! | `hotplug` | the controllers behind root ports, to be plugged and unplugged |
//! | `spares=N` | so many more controllers that are not plugged yet; implies `hotplug` |
//! | `iommu`, `iommu=PROPERTIES` | an IOMMU (VT-d), if wanted with these properties, for example `caching-mode=on+aw-bits=48` |
//! | `virtio-iommu` | an IOMMU that is a virtio device |
//! | `edu` | QEMU's device for lessons, which reaches 28 bits of address |
//! | `ivshmem=SIZE`, `ivshmem=SIZE+SIZE` | boards with so much memory, shared with the host, each a file |
//! | `nvdimm=SIZE`, `nvdimm=SIZE+SIZE` | modules of persistent memory, each a file |
//! | `pmem=SIZE`, `pmem=SIZE+SIZE` | virtio devices of persistent memory, each a file |
//! | `entropy` | a source of entropy, whose bytes are those of a file: at first the pattern of the test's seed |
//! | `share`, `share=iommu` | a folder of the host's, `share`, with a file `pattern.bin` of the pattern of the test's seed, and others; if wanted, such that the device asks the IOMMU |
//! | `console` | a console with a port, `org.phyros.test`, at whose other end the host may be |
//! | `balloon` | a memory balloon that wants to know what is free |
//! | `unshared` | files behind memory that keep what they had: what is written is the machine's alone, and gone with it |
//! | `nic`, `nic=PROPERTIES` | a network card whose other end is the harness; with these properties of QEMU's, for example `mrg_rxbuf=off+host_mtu=9000`, or `modern`, or `port`: behind a root port |
//! | `nic=tap`, `nic=tap+PROPERTIES` | a network card on a tap, in a network of the machine's own; `pairs=N`: with so many pairs of queues; only for root, and ignored for others |
//! | `user-net`, `user-net=PROPERTIES` | a network card on QEMU's user network, with these properties; a port of the host leads to its port 80; `lossy`: some of what passes gets lost |
//! | `nics=N` | so many of them, 1 to 4 |
//! | `display`, `display=SIZE` | a screen with so much memory (16M) |
//! | `gpu` | a virtio graphics device, which shows pictures from any memory |
//! | `hole` | a board that claims 1 MiB of memory and has none |
//! | `trace=EVENTS` | these events of QEMU traced, for example `pci_nvme_mmio_doorbell_*+pci_nvme_map_prp` |
//! | `icount` | a clock that counts instructions; never KVM |
//! | `ram=SIZE` | so much RAM (128M) |
//! | `smp=N` | so many cores, 1 to 64 (1) |
//! | `svm` | cores that can run guests; never KVM |
//! | `cpu-without=FEATURES` | cores that lack these, by QEMU's names, for example `svm+npt`; never KVM |
//! | `firmware=seabios`, `firmware=qboot` | this firmware (seabios) |
//! | `microvm`, `microvm=bare` | a board without PCI, on which disks (`virtio`), network cards and `entropy` are on no bus; `bare`: without ACPI tables |
//! | `timeless` | no timer whose rate is known, on microvm |
//!
//! The empty text is the plainest machine.
//!
//! A new word is a row above, a part of [`KNOWN`], and a line in `words`.

mod prepare;
mod words;

use anyhow::{Result, bail, ensure};

use crate::disk::Content;
use crate::machine::{Board, Card, Firmware, Format, Interface, Machine, Namespace, Nvme};

/// What can be written, for the message about what cannot.
const KNOWN: &str = "known words are nvme, virtio[=modern], beside=virtio, ring=N, packed, without=FEATURES, translated, ro, disks=N, lba=512|4096|16384, mdts=N, \
    disk=pattern|empty|ext4|mbr|gpt|corrupt, size=SIZE, namespaces=N, shared, detached, \
    ms=8|16|64, interleaved, pi=1|2|3, pi-first, guard=64, zoned[=SIZE], active=N, copy=N, cmb=SIZE, \
    pmr=SIZE, ivshmem=SIZE[+SIZE], nvdimm=SIZE[+SIZE], pmem=SIZE[+SIZE], unshared, display[=SIZE], hole, \
     nic[=PROPERTIES], user-net[=PROPERTIES], nics=N, \
    queues=N, vectors=N, ioeventfd, vwc=on|off, latency=N, bridge, switch, hotplug, spares=N, \
    iommu[=PROPERTIES], virtio-iommu, edu, entropy, share[=iommu], console, balloon, gpu, trace=EVENTS, icount, ram=SIZE, \
    smp=N, svm, cpu-without=FEATURES, firmware=seabios|qboot, microvm[=bare], timeless";

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
    /// There is a virtio disk besides the controllers.
    pub beside: bool,
    /// Bytes of each board of shared memory.
    pub shared: Vec<u64>,
    /// Bytes of each module of persistent memory.
    pub modules: Vec<u64>,
    /// Bytes of each virtio device of persistent memory.
    pub pmem: Vec<u64>,
    /// There is a source of entropy.
    pub entropy: bool,
    /// There is a folder of the host's, and whether its device asks the IOMMU.
    pub share: Option<bool>,
    /// There is a console with a port.
    pub console: bool,
    /// The files behind memory keep what they had.
    pub unshared: bool,
    /// Number of network cards.
    pub cards: u8,
    /// What a card is like, but for its files.
    pub card: Card,
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
    /// No timer whose rate is known.
    pub timeless: bool,
    /// Bytes of RAM.
    pub ram: u64,
    /// Number of cores.
    pub cores: u8,
    /// The cores have SVM.
    pub svm: bool,
    /// What the cores lack.
    pub without: Vec<String>,
    /// What the devices are on.
    pub board: Board,
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
            beside: false,
            shared: Vec::new(),
            modules: Vec::new(),
            pmem: Vec::new(),
            entropy: false,
            share: None,
            console: false,
            unshared: false,
            cards: 0,
            card: Card {
                has_port: false,
                properties: Vec::new(),
                files: Default::default(),
                capture: None,
                wire: Default::default(),
            },
            display: None,
            hole: false,
            size: None,
            iommu: None,
            devices: Vec::new(),
            trace: Vec::new(),
            icount: false,
            timeless: false,
            ram: Machine::DEFAULT_RAM,
            cores: 1,
            svm: false,
            without: Vec::new(),
            board: Board::Q35,
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
                    | "microvm"
                    | "timeless"
                    | "disks"
                    | "spares"
                    | "trace"
                    | "icount"
                    | "iommu"
                    | "virtio-iommu"
                    | "edu"
                    | "entropy"
                    | "share"
                    | "console"
                    | "balloon"
                    | "gpu"
                    | "ivshmem"
                    | "nvdimm"
                    | "pmem"
                    | "unshared"
                    | "nic"
                    | "nics"
                    | "display"
                    | "hole"
            ) {
                needs.disks = needs.disks.max(1);
            }
        }
        needs.check(text)?;
        ensure!(
            !needs.timeless || needs.board != Board::Q35,
            "only microvm is `timeless`: `{text}`"
        );
        if needs.board != Board::Q35 {
            needs.check_without_bus(text)?;
            needs.controller.interface = Interface::VirtioWindow;
        }
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
            asks_iommu: controller.asks_iommu,
            packed: controller.packed,
            ..Nvme::of(Vec::new())
        };
        let is_plain = *controller == plain
            && self.namespaces == 1
            && *format
                == Format {
                    lba: format.lba,
                    ..Format::default()
                };
        let has_virtio = controller.ring.is_some()
            || controller.packed
            || !controller.without.is_empty()
            || controller.asks_iommu;
        match controller.interface {
            Interface::Nvme => ensure!(
                !has_virtio && controller.vectors != Some(0),
                "only virtio disks have that: `{text}`"
            ),
            _ => ensure!(is_plain, "virtio disks have not all of `{text}`"),
        }
        Ok(())
    }

    /// Whether a board without PCI can have all of it.
    fn check_without_bus(&self, text: &str) -> Result<()> {
        let plain = Self::default();
        let controller = &self.controller;
        let has_disks = self.disks + self.spares > 0 || self.beside;
        ensure!(
            !has_disks || controller.interface == Interface::Virtio,
            "on microvm the disks are `virtio`: `{text}`"
        );
        let has_bus = controller.place != plain.controller.place
            || controller.vectors.is_some()
            || self.spares > 0
            || self.beside
            || self.persistent.is_some()
            || !self.shared.is_empty()
            || !self.modules.is_empty()
            || !self.pmem.is_empty()
            || self.display.is_some()
            || self.hole
            || self.console
            || self.iommu.is_some()
            || !self.devices.is_empty()
            || self.card.has_port
            || self.firmware != plain.firmware;
        ensure!(!has_bus, "microvm has not all of `{text}`");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
