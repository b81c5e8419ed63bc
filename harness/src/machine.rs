//! A virtual machine as a value, and the QEMU command line that makes it.
//!
//! Everything that runs boots without default devices, and never twice. Almost everything boots the same board, q35;
//! the other is a [`Board`] without PCI. What else differs is in the fields of [`Machine`]. [`Machine::arguments`] is a pure function, so
//! that `--dry-run` prints what would really run, and the tests can look at it.
//!
//! The guest ends the machine through `isa-debug-exit`. How, see [`exit`].

mod card;
mod line;
mod nvme;
mod share;
mod store;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::size;
pub use card::{Card, Forward, Protocol, Tap, User, Wire};
pub(crate) use line::escape;
pub use line::shell_line;
use line::{Line, join};
pub(crate) use nvme::image_format;
pub use nvme::{Format, Interface, Namespace, Nvme, Place, Protection};
pub use share::{DEVICE as SHARE_DEVICE, Share};
pub use store::{Backing, Stores};

/// QEMU's exit status, and what the guest wrote to make it.
pub mod exit {
    /// The guest wrote 0x10: it has done what it should.
    pub const SUCCESS: i32 = 0x10 << 1 | 1;
    /// The guest wrote 0x20: it has failed and knows it.
    pub const FAILURE: i32 = 0x20 << 1 | 1;
    /// QEMU itself could not go on, for example because of its command line.
    pub const QEMU_FAILED: i32 = 1;
    /// Nobody said anything: the guest was reset, powered off, or QEMU was told to quit.
    pub const SILENT: i32 = 0;
}

/// What the devices are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Board {
    /// A PC with PCI Express.
    #[default]
    Q35,
    /// Next to nothing: devices are virtio, and on no bus.
    Microvm(Told),
}

/// How the guest is told of devices that are on no bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// By ACPI tables.
    #[default]
    ByTables,
    /// By the command line, and there are no tables.
    ByCommandLine,
}

/// What runs before the loader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// Sets up every device, like a PC's firmware.
    #[default]
    SeaBios,
    /// Sets up next to nothing, and so starts faster. No BAR has an address.
    Qboot,
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// QEMU's translator: works everywhere.
    #[default]
    Tcg,
    /// The host's CPU. See [`accel`](crate::accel) for when to believe in it.
    Kvm,
}

/// Who sees guest memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// Only the guest.
    #[default]
    Private,
    /// The harness too, as a file.
    Shared,
}

/// The file of a [`Share`] that tests look at from outside.
pub const SHARED_FILE: &str = "pattern.bin";

/// A virtual machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What `-kernel` boots.
    pub image: PathBuf,
    /// Bytes of RAM.
    pub ram: u64,
    /// Who sees them.
    pub memory: Memory,
    /// Number of cores, from 1.
    pub cores: u8,
    /// What the cores cannot do that others can, by QEMU's names.
    pub without: Vec<String>,
    /// What the devices are on.
    pub board: Board,
    /// What runs first. Microvm has its own.
    pub firmware: Firmware,
    /// What executes it.
    pub accel: Accel,
    /// The controllers, in the order in which the guest finds them.
    pub disks: Vec<Nvme>,
    /// The network cards, likewise.
    pub cards: Vec<Card>,
    /// Memory besides RAM.
    pub stores: Stores,
    /// Folders of the host's.
    pub shares: Vec<Share>,
    /// There is a console with a port, `org.phyros.test`, to which one connects through a socket at this path.
    pub outlet: Option<PathBuf>,
    /// Empty slots behind root ports of their own, `slot0`, `slot1`, …, for whatever is plugged in later.
    pub slots: u8,
    /// There is an IOMMU (Intel's VT-d), with these properties of QEMU's.
    pub iommu: Option<Vec<String>>,
    /// More devices, as QEMU calls them.
    pub devices: Vec<&'static str>,
    /// The events of QEMU that are traced (patterns such as `pci_nvme_*`), and the file for them.
    pub trace: Option<(Vec<String>, PathBuf)>,
    /// The clock counts instructions: `rdtsc` goes up by one for each, and a halt takes no time.
    pub icount: bool,
    /// Microvm has no PIT, and so no timer whose rate is known.
    pub timeless: bool,
    /// Files that the guest reads through fw_cfg, by name.
    pub inputs: Vec<(String, PathBuf)>,
    /// More arguments, as they are.
    pub extra: Vec<OsString>,
}

impl Machine {
    /// RAM of a machine that says nothing else.
    pub const DEFAULT_RAM: u64 = 128 << 20;

    /// The plainest machine that boots this image.
    pub fn new(image: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            ram: Self::DEFAULT_RAM,
            memory: Memory::default(),
            cores: 1,
            without: Vec::new(),
            board: Board::default(),
            firmware: Firmware::default(),
            accel: Accel::default(),
            disks: Vec::new(),
            cards: Vec::new(),
            stores: Stores::default(),
            shares: Vec::new(),
            outlet: None,
            slots: 0,
            iommu: None,
            devices: Vec::new(),
            trace: None,
            icount: false,
            timeless: false,
            inputs: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Lets anybody speak to QEMU's monitor for programs (QMP) through a socket at this path.
    pub fn add_monitor(&mut self, path: &Path) {
        let socket = join(&[&"unix:", &escape(path), &",server=on,wait=off"]);
        self.extra.extend(["-qmp".into(), socket]);
    }

    /// Whether it runs in a network of its own.
    pub fn has_own_network(&self) -> bool {
        let mut wires = self.cards.iter().map(|card| &card.wire);
        wires.any(|wire| matches!(wire, Wire::Tap(tap) if tap.is_own))
    }

    /// The files behind the memory that is no RAM, and in folders that are shared, by name.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let mut files = self.stores.files();
        for (index, nvme) in self.disks.iter().enumerate() {
            if let Some(backing) = &nvme.persistent {
                files.push((format!("pmr{index}"), backing.file.clone()));
            }
        }
        for share in &self.shares {
            let file = share.folder.join(SHARED_FILE);
            files.push((format!("{}/{SHARED_FILE}", share.name), file));
        }
        files
    }

    /// The window of the first card, where devices are in windows: disks come before.
    pub(crate) fn first_card_window(&self) -> Option<usize> {
        (self.board != Board::Q35).then_some(self.disks.len())
    }

    /// The bus of the device with this number. Each has room for one. Left to itself, QEMU begins with the last.
    ///
    /// The first bus stays empty. Its wire is input 0 of the second I/O APIC, and QEMU's model of an I/O APIC makes input 2
    /// of every input 0 (`ioapic_set_irq`), as is right for the first one of a PC. So nothing comes from input 0.
    pub(crate) fn window(number: usize) -> String {
        format!("virtio-mmio-bus.{}", number + 1)
    }

    /// The arguments after `qemu-system-x86_64`, without a console or a monitor.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut line = Line::default();
        let board = match self.board {
            Board::Q35 => "q35",
            // Left to itself, QEMU gives it a real-time clock only where it translates.
            Board::Microvm(Told::ByTables) => "microvm,acpi=on,rtc=on",
            Board::Microvm(Told::ByCommandLine) => "microvm,acpi=off,rtc=on",
        };
        let timers = if self.timeless { ",pit=off" } else { "" };
        let board = format!(
            "{board}{timers},memory-backend=ram{}",
            self.stores.machine()
        );
        line.add("-machine", &board);
        let ram = size::show(self.ram);
        line.add("-m", &format!("{ram}{}", self.stores.slots(self.ram)));
        // Memory counts when it is touched: 900 GiB of RAM are no burden for a small host.
        line.add(
            "-object",
            &match self.memory {
                Memory::Private => format!("memory-backend-ram,id=ram,size={ram},reserve=off"),
                Memory::Shared => format!("memory-backend-memfd,id=ram,size={ram},share=on"),
            },
        );
        line.add("-smp", &self.cores.to_string());
        let lacks = self.without.iter().map(|name| format!(",-{name}"));
        line.add("-cpu", &format!("max{}", lacks.collect::<String>()));
        line.add(
            "-accel",
            match self.accel {
                Accel::Tcg => "tcg",
                Accel::Kvm => "kvm",
            },
        );
        for flag in ["-nodefaults", "-no-reboot"] {
            line.0.push(flag.into());
        }
        line.add("-display", "none");
        if self.board != Board::Q35 {
            // Otherwise they are of the version before the standard.
            line.add("-global", "virtio-mmio.force-legacy=off");
        } else if self.firmware == Firmware::Qboot {
            line.add("-bios", "qboot.rom");
        }
        line.add("-device", "isa-debug-exit,iobase=0xf4,iosize=4");
        line.add("-kernel", &self.image);
        for (name, file) in &self.inputs {
            line.add(
                "-fw_cfg",
                &join(&[&format!("name={name},file="), &escape(file)]),
            );
        }
        // Devices that are on the command line before it do not notice it.
        if let Some(properties) = &self.iommu {
            let parts = std::iter::once("intel-iommu").chain(properties.iter().map(String::as_str));
            line.add("-device", &parts.collect::<Vec<_>>().join(","));
        }
        for device in &self.devices {
            line.add("-device", device);
        }
        store::add_all(&mut line, self);
        share::add_all(&mut line, self);
        if let Some(socket) = &self.outlet {
            let before = "socket,id=outlet,server=on,wait=off,path=";
            line.add("-chardev", &join(&[&before, &escape(socket)]));
            line.add("-device", "virtio-serial-pci,id=console");
            let port = "virtserialport,id=port,bus=console.0,chardev=outlet,name=org.phyros.test";
            line.add("-device", port);
        }
        nvme::add_all(&mut line, &self.disks, self.slots);
        card::add_all(&mut line, &self.cards, self.first_card_window());
        if let Some((events, file)) = &self.trace {
            for event in events {
                line.add("-trace", event);
            }
            line.add("-D", file);
        }
        if self.icount {
            line.add("-icount", "shift=0,sleep=off");
        }
        line.0.extend(self.extra.iter().cloned());
        line.0
    }
}

#[cfg(test)]
mod tests;
