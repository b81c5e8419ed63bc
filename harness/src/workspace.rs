//! Where things are: the checkout, the build folder, the tools' outputs.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Cargo's build folder.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The build folder of everything that runs in the virtual machine.
///
/// It is not the host's: cargo would throw away the one when it builds the other.
pub fn os_target() -> PathBuf {
    target().join("os")
}

/// The folder of the images that `qemu -kernel` boots.
pub fn images() -> PathBuf {
    os_target().join("images")
}

/// The cargo that runs us, or the one in the search path; in the workspace's root.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or(OsString::from("cargo")));
    command.current_dir(root());
    command
}

/// The path as people read it: relative to the workspace if it is inside.
pub fn shorten(path: &Path) -> &Path {
    path.strip_prefix(root()).unwrap_or(path)
}
