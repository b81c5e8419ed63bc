//! From what the user wants to a machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::accel;
use harness::disk::ext4;
use harness::image::Image;
use harness::machine::{
    Accel, Board, Firmware, Interface, Machine, Memory, Namespace, Nvme, Share, Told,
};

use super::{AccelName, FirmwareName, InterfaceName, IommuName, MachineName, Options};
use crate::demo;

/// What the shared folder is called in the machine.
const SHARE: &str = "share";

/// Whether the machine has nothing to look at otherwise.
pub(super) fn needs_demo(options: &Options) -> bool {
    options.share.is_none() && options.copy.is_none() && options.disk.is_empty()
}

/// The machine, with its disks made.
pub(super) fn assemble(options: &Options, image: &Image, folder: &Path) -> Result<Machine> {
    let mut machine = Machine::new(&image.elf);
    machine.ram = options.memory;
    machine.memory = Memory::Private;
    machine.cores = options.smp;
    machine.board = match options.machine {
        MachineName::Q35 => Board::Q35,
        MachineName::Microvm => Board::Microvm(Told::ByTables),
        MachineName::MicrovmBare => Board::Microvm(Told::ByCommandLine),
    };
    machine.firmware = match options.firmware {
        FirmwareName::Seabios => Firmware::SeaBios,
        FirmwareName::Qboot => Firmware::Qboot,
    };
    let mut add = |image: PathBuf, read_only: bool| {
        let mut namespace = Namespace::new(image);
        namespace.format.lba = options.block_size;
        namespace.read_only = read_only;
        let mut disk = Nvme::of(vec![namespace]);
        disk.interface = match options.interface.unwrap_or(InterfaceName::Nvme) {
            _ if options.machine != MachineName::Q35 => Interface::VirtioWindow,
            InterfaceName::Nvme => Interface::Nvme,
            // Only modern ones can ask.
            InterfaceName::Virtio if options.iommu.is_some() => Interface::ModernVirtio,
            InterfaceName::Virtio => Interface::Virtio,
        };
        disk.asks_iommu = disk.interface == Interface::ModernVirtio;
        machine.disks.push(disk);
    };
    for path in &options.disk {
        let path = fs::canonicalize(path)?;
        let read_only = File::options().append(true).open(&path).is_err();
        add(path, read_only);
    }
    if let Some(copied) = &options.copy {
        let path = folder.join("copy.ext4");
        ext4::create_to_fit(&path, copied)?;
        add(path, false);
    }
    if needs_demo(options) {
        let path = folder.join("demo.ext4");
        demo::create(&path).context("cannot make the demonstration disk")?;
        add(path, false);
    }
    if let Some(shared) = &options.share {
        machine.shares.push(Share {
            folder: fs::canonicalize(shared)?,
            name: SHARE.to_owned(),
            asks_iommu: options.iommu.is_some(),
        });
    }
    if let Some(commands) = &options.exec {
        let path = folder.join("exec");
        fs::write(&path, commands)?;
        machine.inputs.push(("opt/phyros/exec".to_owned(), path));
    }
    machine.slots = options.slots;
    match options.iommu {
        None => {}
        Some(IommuName::VtD) => machine.iommu = Some(Vec::new()),
        Some(IommuName::Virtio) => machine.devices.push("virtio-iommu-pci"),
    }
    if let Some(path) = &options.qmp {
        machine.add_monitor(path);
    }
    machine.extra.extend(options.qemu.iter().cloned());
    machine.accel = match options.accel {
        AccelName::Tcg => Accel::Tcg,
        AccelName::Kvm => Accel::Kvm,
        AccelName::Auto => accel::choose(prove_kvm(image)),
    };
    Ok(machine)
}

/// Boots the image on KVM and has it run a command that needs nothing.
pub(crate) fn prove_kvm(image: &Image) -> Result<()> {
    accel::possible()?;
    let commands = tempfile::NamedTempFile::new()?;
    fs::write(commands.path(), "help")?;
    let mut machine = Machine::new(&image.elf);
    machine
        .inputs
        .push(("opt/phyros/exec".to_owned(), commands.path().to_owned()));
    accel::prove_kvm(&machine)
}
