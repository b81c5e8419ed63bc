//! A virtual machine as a value, and the QEMU command line that makes it.
//!
//! Everything that runs boots the same board: q35, no default devices, no reboot.
//! What differs is in the fields of [`Machine`]. [`Machine::arguments`] is a pure function, so
//! that `--dry-run` prints what would really run, and the tests below can look at it.
//!
//! The guest ends the machine through `isa-debug-exit`. How, see [`exit`].

mod nvme;
mod store;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::size;
pub(crate) use nvme::image_format;
pub use nvme::{Format, Interface, Namespace, Nvme, Place, Protection};
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
    /// What runs first.
    pub firmware: Firmware,
    /// What executes it.
    pub accel: Accel,
    /// The controllers, in the order in which the guest finds them.
    pub disks: Vec<Nvme>,
    /// Memory besides RAM.
    pub stores: Stores,
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
            firmware: Firmware::default(),
            accel: Accel::default(),
            disks: Vec::new(),
            stores: Stores::default(),
            slots: 0,
            iommu: None,
            devices: Vec::new(),
            trace: None,
            icount: false,
            inputs: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Lets anybody speak to QEMU's monitor for programs (QMP) through a socket at this path.
    pub fn add_monitor(&mut self, path: &Path) {
        let socket = join(&[&"unix:", &escape(path), &",server=on,wait=off"]);
        self.extra.extend(["-qmp".into(), socket]);
    }

    /// The files behind the memory that is no RAM, by name.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let mut files = self.stores.files();
        for (index, nvme) in self.disks.iter().enumerate() {
            if let Some(backing) = &nvme.persistent {
                files.push((format!("pmr{index}"), backing.file.clone()));
            }
        }
        files
    }

    /// The arguments after `qemu-system-x86_64`, without a console or a monitor.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut line = Line::default();
        let board = format!("q35,memory-backend=ram{}", self.stores.machine());
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
        // Devices that are on the command line before it do not notice it.
        if let Some(properties) = &self.iommu {
            let parts = std::iter::once("intel-iommu").chain(properties.iter().map(String::as_str));
            line.add("-device", &parts.collect::<Vec<_>>().join(","));
        }
        for device in &self.devices {
            line.add("-device", device);
        }
        store::add_all(&mut line, self);
        nvme::add_all(&mut line, &self.disks, self.slots);
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

/// A command line in the making.
#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn add(&mut self, option: &str, value: &(impl AsRef<OsStr> + ?Sized)) {
        self.0.extend([option.into(), value.as_ref().into()]);
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
        machine.without = vec!["svm".into(), "npt".into()];
        machine.firmware = Firmware::Qboot;
        machine.memory = Memory::Shared;
        machine
            .inputs
            .push(("opt/phyros/seed".into(), "/s,1".into()));
        let mut disk = Nvme::new("/a b,c.img");
        (disk.mdts, disk.place) = (Some(1), Place::Switch);
        disk.namespaces[0].format.lba = 4096;
        machine.disks.push(disk);
        let line = line(&machine);
        for part in [
            "-m 900G",
            "-smp 4",
            "-cpu max,-svm,-npt",
            "memory-backend-memfd,id=ram,size=900G,share=on",
            "-bios qboot.rom",
            "-fw_cfg name=opt/phyros/seed,file=/s,,1",
            "filename=/a b,,c.img'",
            "nvme,id=nvme0,serial=phyros0,drive=disk0,bus=down0",
            "logical_block_size=4096,physical_block_size=4096,mdts=1",
        ] {
            assert!(line.contains(part), "`{part}` is missing in {line}");
        }
    }

    #[test]
    fn namespaces_have_disks_counted_over_all_controllers() {
        let mut machine = Machine::new("k.elf");
        let mut first = Nvme::of(vec![Namespace::new("a"), Namespace::new("b")]);
        first.namespaces[1].format = Format {
            metadata: 16,
            interleaved: true,
            protection: Protection {
                kind: 2,
                first: true,
                wide: true,
            },
            zone: Some(1 << 20),
            active_zones: 3,
            copy: Some(8),
            ..Format::default()
        };
        first.write_cache = Some(false);
        let mut second = Nvme::new("c");
        (second.place, second.plugged) = (Place::RootPort, false);
        machine.disks = vec![first, second];
        let line = line(&machine);
        for part in [
            "nvme,id=nvme0,serial=phyros0,bus=pcie.0 -blockdev",
            "-device pcie-root-port,id=port1,chassis=3,slot=3 -device nvme-ns",
            "nvme-ns,id=namespace0,drive=disk0,bus=nvme0,nsid=1,write-cache=off -device",
            "nvme-ns,id=namespace1,drive=disk1,bus=nvme0,nsid=2,write-cache=off,ms=16,mset=1,pi=2,pil=1,pif=2,mssrl=8,mcl=8",
            "zoned=on,zoned.zone_size=1048576,zoned.max_active=3,zoned.max_open=3,msrc=0",
            "node-name=disk2,driver=raw,read-only=off,file=file2",
            "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        ] {
            assert!(line.contains(part), "`{part}` is missing in {line}");
        }
        assert!(!line.contains("nvme1"), "it is not plugged: {line}");
        let device = machine.disks[1].device(1, 2, "again");
        assert_eq!(
            device,
            "nvme,id=again,serial=phyros1,drive=disk2,bus=port1,share-rw=on"
        );
    }

    #[test]
    fn what_a_controller_and_a_machine_can_have_reaches_the_command_line() {
        let mut machine = Machine::new("k.elf");
        machine.trace = Some((vec!["pci_nvme_*".into()], "t.txt".into()));
        machine.slots = 2;
        machine.icount = true;
        let mut disk = Nvme::new("a");
        (disk.memory_mib, disk.queues, disk.vectors) = (4, Some(2), Some(3));
        (disk.ioeventfd, disk.subsystem) = (true, true);
        disk.namespaces[0].detached = true;
        machine.disks.push(disk);
        let line = line(&machine);
        for part in [
            "-device nvme-subsys,id=subsystem,nqn=phyros",
            "serial=phyros0,subsys=subsystem,bus=pcie.0,cmb_size_mb=4,max_ioqpairs=2,msix_qsize=3,ioeventfd=on",
            "nsid=1,detached=on",
            "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
            "-device pcie-root-port,id=slot1,chassis=101,slot=101",
            "-trace 'pci_nvme_*' -D t.txt",
            "-icount shift=0,sleep=off",
        ] {
            assert!(line.contains(part), "`{part}` is missing in {line}");
        }
    }

    #[test]
    fn virtio_disks_reach_the_command_line() {
        let mut machine = Machine::new("k.elf");
        let mut first = Nvme::new("a");
        first.interface = Interface::Virtio;
        first.namespaces[0].read_only = true;
        let mut second = Nvme::new("b");
        (second.interface, second.place) = (Interface::ModernVirtio, Place::RootPort);
        (second.queues, second.vectors, second.ring) = (Some(2), Some(3), Some(64));
        second.without = vec!["event_idx".into()];
        second.namespaces[0].format.lba = 4096;
        machine.disks = vec![first, second];
        let line = line(&machine);
        for part in [
            "node-name=disk0,driver=raw,read-only=on",
            "-device virtio-blk-pci,id=virtio0,serial=phyros0,drive=disk0,bus=pcie.0 -",
            "virtio-blk-pci,id=virtio1,serial=phyros1,drive=disk1,bus=port1,logical_block_size=4096,\
             physical_block_size=4096,share-rw=on,disable-legacy=on,num-queues=2,vectors=3,\
             queue-size=64,event_idx=off",
        ] {
            assert!(line.contains(part), "`{part}` is missing in {line}");
        }
    }

    #[test]
    fn an_iommu_comes_before_the_devices_behind_it() {
        let mut machine = Machine::new("k.elf");
        machine.iommu = Some(vec!["caching-mode=on".into()]);
        machine.devices = vec!["edu"];
        machine.disks.push(Nvme::new("a"));
        let line = line(&machine);
        let place = |part| line.find(part).unwrap();
        assert!(place("-device intel-iommu,caching-mode=on ") < place("-device edu "));
        assert!(place("-device intel-iommu") < place("-device nvme"));
    }

    #[test]
    fn memory_besides_ram_reaches_the_command_line() {
        let backing = |name: &str, size| Backing {
            file: name.into(),
            size,
        };
        let mut machine = Machine::new("k.elf");
        machine.stores = Stores {
            shared: vec![backing("a", 1 << 20), backing("b", 8 << 30)],
            modules: vec![backing("c,d", 64 << 20)],
            display: Some(16 << 20),
            hole: true,
        };
        let mut disk = Nvme::new("disk");
        disk.persistent = Some(backing("p", 2 << 20));
        machine.disks.push(disk);
        let line = line(&machine);
        for part in [
            "-machine q35,memory-backend=ram,nvdimm=on -m 128M,slots=1,maxmem=192M",
            "memory-backend-file,id=shared1,share=on,size=8G,mem-path=b",
            "ivshmem-plain,id=ivshmem1,memdev=shared1",
            "id=module0,share=on,size=64M,mem-path=c,,d",
            "nvdimm,id=nvdimm0,memdev=module0",
            "bochs-display,id=display,vgamem=16M",
            "pci-testdev,id=hole,membar=1M",
            "memory-backend-file,id=persistent0,share=on,size=2M,mem-path=p",
            "bus=pcie.0,pmrdev=persistent0",
        ] {
            assert!(line.contains(part), "`{part}` is missing in {line}");
        }
        let names: Vec<_> = machine.files().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ivshmem0", "ivshmem1", "nvdimm0", "pmr0"]);
    }

    #[test]
    fn a_shell_gets_every_word_whole() {
        let words = ["a b".into(), "it's".into(), "".into()];
        assert_eq!(shell_line(OsStr::new("q"), &words), r"q 'a b' 'it'\''s' ''");
    }
}
