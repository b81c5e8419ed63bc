//! A virtual machine as a value, and the QEMU command line that makes it.
//!
//! Everything that runs boots the same board: q35, no default devices, no reboot.
//! What differs is in the fields of [`Machine`]. [`Machine::arguments`] is a pure function, so
//! that `--dry-run` prints what would really run, and the tests below can look at it.
//!
//! The guest ends the machine through `isa-debug-exit`. How, see [`exit`].

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::size;

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

/// Where on the PCI Express tree a controller sits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On the root complex.
    #[default]
    Root,
    /// Behind a root port: one bridge down.
    RootPort,
    /// Behind a root port and a switch: three bridges down.
    Switch,
}

/// An NVMe controller with one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nvme {
    /// The disk's contents.
    pub image: PathBuf,
    /// Bytes of a logical block: 512 or 4096.
    pub lba: u32,
    /// Largest transfer, as a power of two of pages; 0 is without limit. `None`: QEMU's own.
    pub mdts: Option<u8>,
    /// Writes fail.
    pub read_only: bool,
    /// Where it sits.
    pub place: Place,
}

impl Nvme {
    /// A writable disk with blocks of 512 bytes on the root complex.
    pub fn new(image: impl Into<PathBuf>) -> Self {
        let (mdts, read_only, place) = (None, false, Place::Root);
        Self {
            image: image.into(),
            lba: 512,
            mdts,
            read_only,
            place,
        }
    }
}

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
    /// What runs first.
    pub firmware: Firmware,
    /// What executes it.
    pub accel: Accel,
    /// The disks, in the order in which the guest finds them.
    pub disks: Vec<Nvme>,
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
            firmware: Firmware::default(),
            accel: Accel::default(),
            disks: Vec::new(),
            inputs: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// The arguments after `qemu-system-x86_64`, without a console or a monitor.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut line = Line::default();
        line.add("-machine", "q35,memory-backend=ram");
        let ram = size::show(self.ram);
        line.add("-m", &ram);
        // Memory counts when it is touched: 900 GiB of RAM are no burden for a small host.
        line.add(
            "-object",
            &match self.memory {
                Memory::Private => format!("memory-backend-ram,id=ram,size={ram},reserve=off"),
                Memory::Shared => format!("memory-backend-memfd,id=ram,size={ram},share=on"),
            },
        );
        line.add("-smp", &self.cores.to_string());
        line.add("-cpu", "max");
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
        if self.firmware == Firmware::Qboot {
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
        for (index, disk) in self.disks.iter().enumerate() {
            line.add_nvme(index, disk);
        }
        line.0.extend(self.extra.iter().cloned());
        line.0
    }
}

/// A command line in the making.
#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn add(&mut self, option: &str, value: &(impl AsRef<OsStr> + ?Sized)) {
        self.0.extend([option.into(), value.as_ref().into()]);
    }

    fn add_nvme(&mut self, index: usize, disk: &Nvme) {
        let format = if is_qcow2(&disk.image) {
            "qcow2"
        } else {
            "raw"
        };
        let read_only = if disk.read_only { "on" } else { "off" };
        let node = format!(
            "node-name=disk{index},driver={format},read-only={read_only},file.driver=file,file.filename="
        );
        self.add("-blockdev", &join(&[&node, &escape(&disk.image)]));

        let chassis = 2 * index + 1;
        let mut bus = "pcie.0".to_owned();
        if disk.place != Place::Root {
            let port = format!("pcie-root-port,id=port{index},chassis={chassis},slot={chassis}");
            self.add("-device", &port);
            bus = format!("port{index}");
        }
        if disk.place == Place::Switch {
            self.add("-device", &format!("x3130-upstream,id=up{index},bus={bus}"));
            let behind = chassis + 1;
            let down = format!("xio3130-downstream,id=down{index},bus=up{index}");
            self.add("-device", &format!("{down},chassis={behind},slot={behind}"));
            bus = format!("down{index}");
        }
        let mdts = disk
            .mdts
            .map(|mdts| format!(",mdts={mdts}"))
            .unwrap_or_default();
        // Only what differs from QEMU's own: so `-global nvme.…` still has a say.
        let lba = match disk.lba {
            512 => String::new(),
            lba => format!(",logical_block_size={lba},physical_block_size={lba}"),
        };
        let device =
            format!("nvme,id=nvme{index},serial=phyros{index},drive=disk{index},bus={bus}");
        self.add("-device", &(device + &lba + &mdts));
    }
}

/// A path inside an option's value, where a comma ends the value unless it is doubled.
pub(crate) fn escape(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

fn join(parts: &[&dyn AsRef<OsStr>]) -> OsString {
    parts.iter().map(|part| part.as_ref()).collect()
}

/// Whether the file is in QEMU's own image format.
fn is_qcow2(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"QFI\xfb"
}

/// A command line that a shell takes as it was meant.
pub fn shell_line(program: &OsStr, arguments: &[OsString]) -> String {
    let quote = |word: &OsStr| {
        let word = word.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let words = std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    words.map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: &Machine) -> String {
        shell_line(OsStr::new("qemu"), &machine.arguments())
    }

    #[test]
    fn the_plainest_machine_has_an_exit_and_no_devices() {
        let line = line(&Machine::new("k.elf"));
        assert!(line.contains("-nodefaults -no-reboot"), "{line}");
        assert!(
            line.contains("isa-debug-exit,iobase=0xf4,iosize=4 -kernel k.elf"),
            "{line}"
        );
        assert!(!line.contains("nvme") && !line.contains("-bios"), "{line}");
        assert_eq!(line.matches("-accel").count(), 1, "{line}");
    }

    #[test]
    fn fields_reach_the_command_line() {
        let mut machine = Machine::new("k.elf");
        machine.ram = 900 << 30;
        machine.cores = 4;
        machine.firmware = Firmware::Qboot;
        machine.memory = Memory::Shared;
        machine
            .inputs
            .push(("opt/phyros/seed".into(), "/s,1".into()));
        let place = Place::Switch;
        machine.disks.push(Nvme {
            lba: 4096,
            mdts: Some(1),
            place,
            ..Nvme::new("/a b,c.img")
        });
        let line = line(&machine);
        for part in [
            "-m 900G",
            "-smp 4",
            "memory-backend-memfd,id=ram,size=900G,share=on",
            "-bios qboot.rom",
            "-fw_cfg name=opt/phyros/seed,file=/s,,1",
            "file.filename=/a b,,c.img'",
            "nvme,id=nvme0,serial=phyros0,drive=disk0,bus=down0",
            "logical_block_size=4096,physical_block_size=4096,mdts=1",
        ] {
            assert!(line.contains(part), "`{part}` is missing in {line}");
        }
    }

    #[test]
    fn a_shell_gets_every_word_whole() {
        let words = ["a b".into(), "it's".into(), "".into()];
        assert_eq!(shell_line(OsStr::new("q"), &words), r"q 'a b' 'it'\''s' ''");
    }
}
