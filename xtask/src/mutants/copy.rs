//! A copy of the tracked files, in which one of them may be broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The copy. Files that are the same keep their time, so cargo builds only what has changed.
pub(super) struct Copy {
    root: PathBuf,
}

/// A file that is broken, until this is dropped.
pub(super) struct Broken {
    path: PathBuf,
    text: String,
}

impl Copy {
    /// Copies what git tracks in `from`, as it is there now, to `to`/tree.
    pub(super) fn of(from: &Path, to: &Path) -> Result<Self> {
        let root = to.join("tree");
        let output = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(from)
            .output()
            .context("git could not be started: the list of source files is its")?;
        ensure!(
            output.status.success(),
            "`git ls-files` failed in {}: mutants are made of a git checkout",
            from.display()
        );
        let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        for name in names.split_terminator('\0') {
            // A file may be deleted, and git not know it yet.
            let Ok(now) = fs::read(from.join(name)) else {
                continue;
            };
            let path = root.join(name);
            if fs::read(&path).is_ok_and(|there| there == now) {
                continue;
            }
            let folder = path.parent().context("a file lies in a folder")?;
            fs::create_dir_all(folder)
                .and_then(|()| fs::copy(from.join(name), &path))
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Replaces the one place of a file that reads like this.
    pub(super) fn replace(&self, file: &str, find: &str, replace: &str) -> Result<Broken> {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("{file} cannot be read"))?;
        let places = text.matches(find).count();
        ensure!(
            places == 1,
            "`{find}` is {places} times in {file}, and should be once"
        );
        fs::write(&path, text.replacen(find, replace, 1))?;
        Ok(Broken { path, text })
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.text) {
            eprintln!("{} stays broken: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_as_before_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "one two one").unwrap();
        let copy = Copy {
            root: folder.path().into(),
        };
        let read = || fs::read_to_string(folder.path().join("a")).unwrap();
        let broken = copy.replace("a", "two", "three").unwrap();
        assert_eq!(read(), "one three one");
        drop(broken);
        assert_eq!(read(), "one two one");
        assert!(copy.replace("a", "one", "1").is_err(), "it is there twice");
        assert!(copy.replace("a", "four", "4").is_err());
        assert!(copy.replace("b", "one", "1").is_err());
    }
}
