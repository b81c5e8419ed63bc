//! Builds what boots: an application with the kernel in it, wrapped into the loader.
//!
//! Two cargo builds make an image. The first gives the application's ELF file, which keeps its
//! symbols and is never booted. A [stripped](strip) copy of it goes into the second, the loader's,
//! as the contents of the section `.kernel`. The loader's ELF file is what `qemu -kernel` boots.
//!
//! Both run freestanding, though the target is the host's: so any stable toolchain has the
//! compiled `core` and `alloc` they need. The flags are [`RUSTFLAGS`]. They come with an explicit
//! `--target`, because cargo then keeps them away from build scripts and macros.

mod prologue;
pub mod strip;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};

use crate::workspace;

/// The target whose `core` and `alloc` are used.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The cargo profile.
pub const PROFILE: &str = "kernel";

/// The compiler's flags for everything that runs in the virtual machine.
pub const RUSTFLAGS: [&str; 16] = [
    "--cfg",
    "phyros",
    "-C",
    "relocation-model=static",
    "-C",
    "code-model=kernel",
    "-C",
    "force-frame-pointers=yes",
    "-C",
    "panic=abort",
    "-C",
    "linker=rust-lld",
    "-C",
    "linker-flavor=ld.lld",
    "-C",
    "link-arg=-static",
];

/// The package of the loader, and its binary.
const LOADER: &str = "phyros-boot";

/// The section of the loader that holds the kernel.
const KERNEL_SECTION: &str = ".kernel";

/// An image, and what it was made from.
#[derive(Clone, Debug)]
pub struct Image {
    /// What `qemu -kernel` boots.
    pub elf: PathBuf,
    /// The application's ELF file, with symbols.
    pub kernel: PathBuf,
}

impl Image {
    /// The image of this application, where [`build`] leaves it.
    pub fn of(app: &str) -> Self {
        Self {
            elf: workspace::images().join(format!("{app}.elf")),
            kernel: output(app),
        }
    }

    /// The loader with this kernel instead. The bytes need not be a kernel.
    ///
    /// # Errors
    /// If the loader does not build.
    pub fn with_kernel(name: &str, kernel: &[u8]) -> Result<PathBuf> {
        let _lock = lock()?;
        wrap(name, kernel)
    }

    /// A copy of the image at `to` whose embedded kernel has been edited.
    ///
    /// The kernel cannot change its size: it sits between other parts.
    pub fn edited(&self, to: &Path, edit: impl FnOnce(&mut [u8])) -> Result<()> {
        let mut bytes = fs::read(&self.elf)?;
        let (at, len) = kernel_place(&bytes)?;
        edit(&mut bytes[at..at + len]);
        fs::write(to, bytes).with_context(|| format!("cannot write `{}`", to.display()))
    }
}

/// Builds the image of an application. Cargo prints its progress on the error stream.
///
/// # Errors
/// If one of the two builds fails, or the results do not fit together, or a function aligns its stack to a page.
pub fn build(app: &str) -> Result<Image> {
    let _lock = lock()?;
    let image = Image::of(app);
    let run = run_of_nextest();
    let stamp = workspace::images().join(format!("{app}.run"));
    if run.is_some() && run == fs::read_to_string(&stamp).ok() && image.elf.exists() {
        return Ok(image);
    }
    run_cargo(cargo("build").args(["--package", app]), app)?;
    let elf = fs::read(&image.kernel)
        .with_context(|| format!("the build left no `{}`", image.kernel.display()))?;
    prologue::check(&elf).with_context(|| format!("`{app}` cannot be trusted"))?;
    let stripped = strip::strip(&elf).with_context(|| format!("cannot strip `{app}`"))?;
    wrap(app, &stripped)?;
    match run {
        Some(run) => fs::write(stamp, run)?,
        None => drop(fs::remove_file(stamp)),
    }
    Ok(image)
}

/// A cargo subcommand with the profile, target and flags of the freestanding build.
pub fn cargo(subcommand: &str) -> Command {
    let mut command = workspace::cargo();
    command
        .args([
            subcommand,
            "--profile",
            PROFILE,
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(workspace::os_target())
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"))
        .env_remove("RUSTFLAGS");
    command
}

/// Builds the loader around a kernel.
fn wrap(name: &str, kernel: &[u8]) -> Result<PathBuf> {
    let folder = workspace::images();
    let stripped = folder.join(format!("{name}.kernel"));
    // The loader is rebuilt when the file is newer, so it is left alone if it is the same.
    if fs::read(&stripped).ok().as_deref() != Some(kernel) {
        fs::write(&stripped, kernel)?;
    }
    run_cargo(
        cargo("build")
            .args(["--package", LOADER])
            .env("PHYROS_KERNEL", &stripped),
        LOADER,
    )?;

    let loader = fs::read(output(LOADER))?;
    let (at, len) = kernel_place(&loader)?;
    // The section is padded with zeros to a whole number of pages.
    let padding = loader[at..at + len].strip_prefix(kernel);
    ensure!(
        padding.is_some_and(|padding| padding.iter().all(|&byte| byte == 0)),
        "the loader was built around another kernel"
    );
    let elf = folder.join(format!("{name}.elf"));
    // A machine may be booting the old file. It keeps it.
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, loader)?;
    fs::rename(&new, &elf)?;
    Ok(elf)
}

/// Where in the loader's file the kernel is.
fn kernel_place(loader: &[u8]) -> Result<(usize, usize)> {
    let file = object::File::parse(loader)?;
    let section = file
        .section_by_name(KERNEL_SECTION)
        .with_context(|| format!("the loader has no section `{KERNEL_SECTION}`"))?;
    let (at, len) = section
        .file_range()
        .context("the loader's kernel takes no room")?;
    Ok((usize::try_from(at)?, usize::try_from(len)?))
}

fn run_cargo(command: &mut Command, what: &str) -> Result<()> {
    let status = command
        .arg("--quiet")
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("`{what}` does not build; the messages above say why");
    }
    Ok(())
}

/// Where cargo leaves a freestanding program.
fn output(program: &str) -> PathBuf {
    workspace::os_target()
        .join(TARGET)
        .join(PROFILE)
        .join(program)
}

/// One build at a time: all of them write the same loader.
fn lock() -> Result<File> {
    let folder = workspace::images();
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    let lock = File::create(folder.join(".lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// nextest starts a process for each test. One build is enough for all of them.
fn run_of_nextest() -> Option<String> {
    env::var("NEXTEST_RUN_ID").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_freestanding_build_names_its_target_and_hides_the_user_s_flags() {
        let command = cargo("build");
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        assert!(
            words.windows(2).any(|pair| pair == ["--target", TARGET]),
            "{words:?}"
        );
        assert!(
            command
                .get_envs()
                .any(|(name, value)| name == "RUSTFLAGS" && value.is_none())
        );
    }

    #[test]
    fn a_loader_without_a_kernel_is_an_error() {
        assert!(kernel_place(&fs::read("/bin/true").unwrap()).is_err());
        assert!(kernel_place(b"").is_err());
    }
}
