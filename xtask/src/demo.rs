//! The demonstration disk: this project's own documentation and sources.

use std::fs;
use std::path::Path;

use anyhow::Result;
use harness::disk::ext4;
use harness::workspace;

/// What is on the disk, by its name in the checkout.
const PARTS: [&str; 12] = [
    "README.md",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "docs",
    "phyr",
    "kernel",
    "drivers",
    "boot",
    "apps",
    "harness",
    "xtask",
];

/// Makes an ext4 image with them.
pub(crate) fn create(image: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for part in PARTS {
        copy(&workspace::root().join(part), &folder.path().join(part))?;
    }
    ext4::create_to_fit(image, folder.path())
}

/// Copies files and folders, but not what is hidden or has been built.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        fs::copy(from, to)?;
    } else if from.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            let hidden = name.to_string_lossy().starts_with('.');
            if !hidden && name != "target" && name != "book" {
                copy(&from.join(&name), &to.join(&name))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_and_hidden_things_stay_behind() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("target/debug")).unwrap();
        fs::create_dir_all(from.join("src")).unwrap();
        fs::write(from.join("src/lib.rs"), "//! x").unwrap();
        fs::write(from.join(".hidden"), "").unwrap();
        let to = folder.path().join("to");
        copy(&from, &to).unwrap();
        assert!(to.join("src/lib.rs").is_file());
        assert!(!to.join("target").exists() && !to.join(".hidden").exists());
    }
}
