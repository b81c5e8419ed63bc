//! Folders of the host's: what the shell shows is what is there at that moment.

use super::*;
use crate::testing::{HostFolder, ram_disk};
use harness::disk::ext4;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use tempfile::TempDir;

fn machine(folder: &TempDir) -> Fake {
    Fake {
        shares: vec![Arc::new(HostFolder {
            name: "share",
            root: folder.path().into(),
        })],
        ..Fake::default()
    }
}

#[test]
fn without_a_disk_a_share_is_the_root() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("dir")).unwrap();
    fs::write(folder.path().join("note"), "one\n").unwrap();
    symlink("note", folder.path().join("link")).unwrap();
    let machine = machine(&folder);
    let ok = |script: &str| {
        let (outcome, text) = run(&machine, script);
        assert_eq!(outcome, Outcome::Success, "{script}: {text}");
        text
    };
    assert_eq!(ok("ls"), "dir/\nlink\nnote\n");
    assert_eq!(ok("cat note share:/note share:note"), "one\none\none\n");
    assert!(ok("ls -l").contains(" link -> note\n"));
    let digest = "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806";
    assert_eq!(ok("sha256sum /note"), format!("{digest}  /note\n"));
    // Larger than a buffer.
    let large = "0123456789abcde\n".repeat(100_000);
    fs::write(folder.path().join("large"), &large).unwrap();
    assert_eq!(ok("cat /large"), large);
    fs::write(folder.path().join("note"), "another\n").unwrap();
    assert_eq!(ok("cat note"), "another\n");
    fs::remove_file(folder.path().join("note")).unwrap();
    let (outcome, text) = run(&machine, "cat note");
    assert_eq!(outcome, Outcome::Failure);
    assert!(text.contains("/note"), "{text}");
    let (_, text) = run(&machine, "cat nowhere:/x");
    assert_eq!(
        text,
        "cat: there is no disk or partition `nowhere`; `lsblk` lists them\n"
    );
    let table = ok("lsblk");
    let row = table.lines().last().unwrap();
    let words: Vec<&str> = row.split_whitespace().take(6).collect();
    assert_eq!(words, ["share", "-", "-", "ro", "9p", "/"]);
}

#[test]
fn a_disk_with_files_comes_before_a_share() {
    let (folder, content) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(folder.path().join("x"), "of the host\n").unwrap();
    fs::write(content.path().join("x"), "of the disk\n").unwrap();
    let image = folder.path().join("image");
    ext4::create(&image, content.path(), 2 << 20).unwrap();
    let mut machine = machine(&folder);
    machine
        .volumes
        .push(ram_disk("nvme0n1", fs::read(&image).unwrap()));
    let (_, text) = run(&machine, "cat /x nvme0n1:/x share:/x");
    assert_eq!(text, "of the disk\nof the disk\nof the host\n");
    let (_, table) = run(&machine, "lsblk");
    assert!(table.contains(" share:/ "), "{table}");
}
