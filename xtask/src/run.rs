//! `cargo xtask run`: from a checkout to a prompt.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use harness::machine::{self, SHARE_DEVICE};
use harness::tools::{self, Tool};
use harness::vm::{self, Conditions, Console};
use harness::{image, size, workspace};
use tempfile::TempDir;

use crate::{ending, net, serve};

mod assemble;

pub(crate) use assemble::prove_kvm;
use assemble::{assemble, needs_demo};

/// With less RAM the loader is not in it, and so cannot say that there is too little.
const LEAST_RAM: u64 = 5 << 20;

/// The application that is run if nobody names another.
const APP: &str = "starter";

/// Build Phyros and boot it in a virtual machine.
///
/// Without arguments you get a shell, and a disk with this project's documentation and sources to
/// look around in. Leave with `poweroff`, or with Ctrl-A X, which always works.
///
/// What is missing on this computer is installed first, if you are root; otherwise you are told how.
#[derive(Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  cargo xtask run
  cargo xtask run --exec \"ls /; sha256sum /README.md\"
  cargo xtask run --share ~/notes --memory 2G
  cargo xtask run --copy docs/example --exec \"lsblk; cat /hello.txt\"
  cargo xtask run --disk disk.img --block-size 4096 -- -global nvme.mdts=1
  cargo xtask run --slots 1 --qmp /tmp/phyros.qmp
  cargo xtask run --machine microvm --http 8080
  cargo xtask run --net user --exec \"ip; ping 10.0.2.2\" --pcap frames.pcap

The exit status is 0 if the machine was left in good order and every command of --exec succeeded.
After a kernel panic or a triple fault it is 1, and a backtrace with names and lines is printed."
)]
pub(crate) struct Options {
    /// Attach this disk image as a disk; may be given several times
    ///
    /// Raw images and qcow2 images are understood. An image that you may not write is attached
    /// read-only. Without --disk, --share and --copy a demonstration disk is made.
    #[arg(long, value_name = "IMG")]
    disk: Vec<PathBuf>,

    /// Share this folder while the machine runs
    ///
    /// What changes in the folder is seen in the machine at once. The machine cannot change it, and reaches nothing
    /// outside: a link leads to where it would lead if the folder were all there is. In the shell it is `share:/`, and
    /// `/` if no disk has files.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,

    /// Attach a copy of this folder as a disk with an ext4 file system
    ///
    /// It is a copy: nothing that happens in the machine changes the folder, or the other way round.
    #[arg(long, value_name = "DIR")]
    copy: Option<PathBuf>,

    /// Run these shell commands, separated by `;`, then power off
    ///
    /// The exit status says whether all of them succeeded.
    #[arg(long, value_name = "COMMANDS")]
    exec: Option<String>,

    /// RAM of the machine, for example 64M, 6G or 900G
    ///
    /// Memory is taken from the host only when the machine uses it, so large numbers are fine.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size::parse_memory)]
    memory: u64,

    /// Number of cores, 1 to 64
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=64))]
    smp: u8,

    /// What the devices are on
    #[arg(long, value_name = "NAME", default_value = "q35")]
    machine: MachineName,

    /// What runs before the loader; microvm has its own
    #[arg(long, value_name = "NAME", default_value = "seabios")]
    firmware: FirmwareName,

    /// What executes the machine's instructions
    #[arg(long, value_name = "NAME", default_value = "auto")]
    accel: AccelName,

    /// What the disks are to the machine: nvme, and on microvm virtio, unless you say otherwise
    #[arg(long, value_name = "NAME")]
    interface: Option<InterfaceName>,

    /// Bytes of a block of the disks: 512 or 4096
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = block_size)]
    block_size: u32,

    /// Empty slots for devices that are plugged in while the machine runs: slot0, slot1, …
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=16))]
    slots: u8,

    /// Serve files and pages about the machine over HTTP, at this port of the host; 0 is any
    ///
    /// Ports are those of 127.0.0.1. When everything answers, a line says where:
    /// `ready http=http://127.0.0.1:PORT nbd=nbd://127.0.0.1:PORT/DISK`. SIGINT and SIGTERM end the machine in
    /// good order.
    #[arg(long, value_name = "PORT")]
    http: Option<u16>,

    /// Give out the disks over NBD, at this port of the host; 0 is any
    #[arg(long, value_name = "PORT")]
    nbd: Option<u16>,

    /// Let clients of NBD change the disks
    #[arg(long, requires = "nbd")]
    nbd_write: bool,

    /// Answer iperf3, at this port of the host; 0 is any
    #[arg(long, value_name = "PORT")]
    iperf: Option<u16>,

    /// Send back what comes, at this port of the host; 0 is any
    #[arg(long, value_name = "PORT")]
    echo: Option<u16>,

    /// Show the machine's page in the browser when it is there
    #[arg(long, requires = "http")]
    open: bool,

    /// Have services wait for a client no longer than so many milliseconds, whatever it is that they wait for
    ///
    /// Without it they wait for seconds, as one should for clients that may be people.
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    patience: Option<u64>,

    /// Put an IOMMU before the devices
    ///
    /// Each then reaches the memory that it was given, and no other. Virtio disks are such that ask it.
    #[arg(
        long,
        value_name = "KIND",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "vt-d"
    )]
    iommu: Option<IommuName>,

    #[command(flatten)]
    net: net::Network,

    /// Let programs speak to QEMU's monitor (QMP) through a socket here
    ///
    /// At the terminal, Ctrl-A C switches to QEMU's monitor for people.
    #[arg(long, value_name = "PATH")]
    qmp: Option<PathBuf>,

    /// Stop the machine and fail if it still runs after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,

    /// Build everything and print QEMU's command line, but do not run it
    #[arg(long)]
    dry_run: bool,

    /// More arguments for QEMU
    #[arg(last = true, value_name = "QEMU ARGS")]
    qemu: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum MachineName {
    /// a PC with PCI Express
    Q35,
    /// next to nothing, and so starts faster: virtio devices without a bus
    Microvm,
    /// the same without ACPI tables: the command line names the devices
    MicrovmBare,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum FirmwareName {
    /// sets up every device, like a PC's firmware
    Seabios,
    /// sets up next to nothing, and starts faster
    Qboot,
}

#[derive(Clone, Copy, ValueEnum)]
enum IommuName {
    /// Intel's VT-d
    VtD,
    /// A virtio device
    Virtio,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum InterfaceName {
    /// NVMe controllers: nvme0n1, nvme1n1, …
    Nvme,
    /// virtio block devices: vda, vdb, …
    Virtio,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum AccelName {
    /// KVM if a machine is seen to boot on it, else TCG
    Auto,
    /// QEMU's translator: works everywhere
    Tcg,
    /// the host's CPU
    Kvm,
}

fn block_size(text: &str) -> Result<u32> {
    let size = text.parse().unwrap_or(0);
    ensure!(matches!(size, 512 | 4096), "a block has 512 or 4096 bytes");
    Ok(size)
}

/// Runs the verb; `true` is success.
pub(crate) fn run(options: &Options) -> Result<bool> {
    check_inputs(options)?;
    tools::install(&needed(options))?;
    if options.share.is_some() {
        can_share()?;
    }
    eprintln!("building Phyros");
    let image = image::build(APP)?;
    let folder = Scratch::new(options.dry_run)?;
    let mut machine = assemble(options, &image, folder.path())?;
    let served = serve::add(
        &wanted(options),
        options.patience,
        &mut machine,
        folder.path(),
    )?;
    let forwards = serve::forwards(&served);
    options.net.add(&mut machine, folder.path(), forwards);
    if options.dry_run {
        let qemu = Tool::Qemu.command()?;
        let mut arguments = machine.arguments();
        arguments.extend(["-serial".into(), "mon:stdio".into()]);
        println!("{}", machine::shell_line(qemu.get_program(), &arguments));
        return Ok(true);
    }
    let console = match options.exec {
        Some(_) => Console::Printed,
        None => Console::Interactive,
    };
    if console == Console::Interactive {
        eprintln!("booting; leave with `poweroff` or with Ctrl-A X");
    }
    let limit = options.timeout.map(Duration::from_secs);
    let conditions = Conditions { console, limit };
    let ending = match served.is_empty() {
        true => vm::boot(&machine, conditions)?,
        false => vm::boot_with(&machine, conditions, serve::guide(served, options.open)?)?,
    };
    Ok(ending::explain(&ending, &image, options.exec.is_some()))
}

/// What is to be served, and at which ports of the host.
fn wanted(options: &Options) -> Vec<(&'static str, u16)> {
    let nbd = if options.nbd_write {
        "nbd-write"
    } else {
        "nbd"
    };
    let all = [
        ("http", options.http),
        (nbd, options.nbd),
        ("iperf", options.iperf),
        ("echo", options.echo),
    ];
    all.into_iter()
        .filter_map(|(name, port)| Some((name, port?)))
        .collect()
}

/// Complains about what the user gave before anything is built.
fn check_inputs(options: &Options) -> Result<()> {
    for disk in &options.disk {
        File::open(disk).with_context(|| format!("cannot open the disk `{}`", disk.display()))?;
    }
    for folder in [&options.share, &options.copy].into_iter().flatten() {
        ensure!(folder.is_dir(), "`{}` is no folder", folder.display());
    }
    ensure!(
        options.memory >= LEAST_RAM,
        "--memory: the loader alone needs {}, and to serve takes 8M on microvm and 10M on q35",
        size::show(LEAST_RAM)
    );
    if options.machine != MachineName::Q35 {
        let without = "has no PCI. Leave it out, or use --machine q35";
        let is_nvme = options.interface == Some(InterfaceName::Nvme);
        ensure!(!is_nvme, "--interface nvme: microvm {without}");
        ensure!(options.slots == 0, "--slots: microvm {without}");
        ensure!(options.iommu.is_none(), "--iommu: microvm {without}");
        ensure!(
            options.share.is_none(),
            "--share: microvm has no PCI. Use --copy, or --machine q35"
        );
    }
    if options.open {
        serve::check_browser()?;
    }
    options.net.check(!wanted(options).is_empty())
}

/// Not every QEMU is built with what shares folders.
fn can_share() -> Result<()> {
    let mut command = Tool::Qemu.command()?;
    let asked = command.args(["-device", &format!("{SHARE_DEVICE},help")]);
    let output = asked.stdin(Stdio::null()).output();
    let output = output.context("QEMU could not be asked what it can do")?;
    ensure!(
        output.status.success(),
        "this QEMU cannot share a folder, because it was built without 9P ({SHARE_DEVICE}); \
         use --copy DIR in place of --share DIR, or name another QEMU by {}",
        Tool::Qemu.variable()
    );
    Ok(())
}

/// The missing tools, of those that this run needs.
fn needed(options: &Options) -> Vec<Tool> {
    let mut missing = tools::missing();
    let makes_no_disk = options.copy.is_none() && !needs_demo(options);
    missing.retain(|&tool| tool != Tool::Mke2fs || !makes_no_disk);
    missing
}

/// The folder for the files of one run.
enum Scratch {
    /// Goes away with the run.
    Temporary(TempDir),
    /// Stays, because the user may want to run the printed command.
    Kept(PathBuf),
}

impl Scratch {
    fn new(kept: bool) -> Result<Self> {
        if !kept {
            return Ok(Self::Temporary(
                tempfile::Builder::new().prefix("phyros-run-").tempdir()?,
            ));
        }
        let folder = workspace::os_target().join("dry-run");
        fs::create_dir_all(&folder)?;
        Ok(Self::Kept(folder))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}
