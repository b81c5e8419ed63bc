//! Commands on file systems that `mke2fs` made, and on damaged ones.

use super::{Outcome, run};
use crate::system::Volume;
use crate::testing::{Fake, ram_disk, shown_disk};
use harness::disk::ext4::{self, Damage};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::LazyLock;

/// Bytes of `/large`: pieces of any size end within a character of it.
fn large() -> Vec<u8> {
    "phyr 日本 \u{1f525}\n".repeat(30_000).into_bytes()
}

/// The bytes of a disk with an ext4 file system.
fn disk(fill: impl FnOnce(&Path), damage: Option<Damage>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (content, image) = (folder.path().join("content"), folder.path().join("image"));
    fs::create_dir(&content).unwrap();
    fill(&content);
    ext4::create(&image, &content, 16 << 20).unwrap();
    if let Some(damage) = damage {
        ext4::damage(&image, damage).unwrap();
    }
    fs::read(&image).unwrap()
}

fn fill(folder: &Path) {
    fs::write(folder.join("README.md"), "# Phyros\n").unwrap();
    fs::write(folder.join("no-line-end"), "abc").unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("binary"), b"\r\n\x00\xff\x1b[2J\n").unwrap();
    fs::write(folder.join("large"), large()).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"odd \xff\n")), "x").unwrap();
    fs::write(folder.join("größe"), "gross\n").unwrap();
    fs::create_dir(folder.join("dir")).unwrap();
    fs::write(folder.join("dir/leaf"), "leaf\n").unwrap();
    fs::set_permissions(folder.join("dir/leaf"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::File::open(folder.join("dir/leaf"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(951_782_400))
        .unwrap();
    for (link, target) in [
        ("to-dir", "dir"),
        ("to-leaf", "/dir/leaf"),
        ("to-nothing", "gone"),
        ("loop", "loop"),
    ] {
        symlink(target, folder.join(link)).unwrap();
    }
    symlink("./".repeat(100) + "dir/leaf", folder.join("long-link")).unwrap();
    drop(UnixListener::bind(folder.join("socket")).unwrap());
}

/// The disks of [`machine`], made once.
static VOLUMES: LazyLock<Vec<Volume>> = LazyLock::new(|| {
    let second = |folder: &Path| fs::write(folder.join("second"), "2\n").unwrap();
    vec![
        shown_disk("nvme0n1", 512, 8, ""),
        ram_disk("nvme1n1", disk(fill, None)),
        ram_disk("nvme1n2", disk(second, None)),
        ram_disk("nvme2n1", disk(fill, Some(Damage::GroupDescriptor))),
        ram_disk("nvme2n2", disk(fill, Some(Damage::RootInode))),
        ram_disk("nvme2n3", disk(fill, Some(Damage::RootDirectory))),
        ram_disk("nvme2n4", disk(fill, Some(Damage::Superblock))),
    ]
});

fn machine() -> Fake {
    Fake {
        volumes: VOLUMES.clone(),
        ..Fake::default()
    }
}

fn ok(script: &str) -> String {
    let (outcome, text) = run(&machine(), script);
    assert_eq!(outcome, Outcome::Success, "{script}: {text}");
    text
}

fn fails(script: &str) -> String {
    let (outcome, text) = run(&machine(), script);
    assert_eq!(outcome, Outcome::Failure, "{script}: {text}");
    text
}

#[test]
fn a_folder_is_listed_in_order() {
    let expected = "\
README.md
binary
dir/
empty
größe
large
long-link
loop
lost+found/
no-line-end
odd \\xff\\n
socket
to-dir
to-leaf
to-nothing
";
    assert_eq!(ok("ls"), expected);
    assert_eq!(ok("ls /dir"), "leaf\n");
    assert_eq!(ok("ls dir/../dir/./"), "leaf\n");
    assert_eq!(ok("ls to-dir"), "leaf\n");
    assert_eq!(ok("ls /dir/leaf"), "/dir/leaf\n");
}

#[test]
fn a_long_list_has_all_facts() {
    assert_eq!(
        ok("ls -l /dir"),
        "-rwsr-x---    0    0           5 2000-02-29 00:00 leaf\n"
    );
    let text = ok("ls -l");
    for (start, end) in [
        ("d", " dir/\n"),
        ("l", " to-leaf -> /dir/leaf\n"),
        ("l", " to-nothing -> gone\n"),
        ("s", " socket\n"),
        ("-", " odd \\xff\\n\n"),
        ("l", "./dir/leaf\n"),
    ] {
        let found = text
            .split_inclusive('\n')
            .any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(found, "{start}…{end}{text}");
    }
    assert!(ok("ls -l /README.md").ends_with(" /README.md\n"));
}

#[test]
fn files_come_out_as_they_are() {
    assert_eq!(
        ok("cat /README.md no-line-end empty README.md"),
        "# Phyros\nabc# Phyros\n"
    );
    assert_eq!(ok("cat größe to-leaf long-link"), "gross\nleaf\nleaf\n");
    assert_eq!(ok("cat large").into_bytes(), large());
}

#[test]
fn binary_files_are_not_touched() {
    let machine = machine();
    let wire = crate::testing::Wire::default();
    let mut terminal = crate::output::Terminal::new(wire.clone());
    super::Session::new(&machine).run("cat binary", &mut terminal);
    assert_eq!(wire.take(), b"\r\n\x00\xff\x1b[2J\n");
}

#[test]
fn digests_are_those_that_the_host_computes() {
    let line = |bytes: &[u8], name| {
        let hex: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{hex}  {name}\n")
    };
    assert_eq!(
        ok("sha256sum /large empty"),
        line(&large(), "/large") + &line(b"", "empty")
    );
    assert_eq!(
        ok("sha256sum README.md").split(' ').next(),
        Some("38e2d555e0e52ee344a4dff37522248c3e68726f34be3f48650f160d43df50c4"),
    );
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_it() {
    for (script, says) in [
        ("cat /nope", "cat: /nope: file not found"),
        ("cat README.md /nope large", "cat: /nope: file not found"),
        ("cat dir", "cat: /dir: path is a directory"),
        ("cat to-nothing", "cat: /to-nothing: file not found"),
        ("cat loop", "cat: /loop: too many levels"),
        ("cat socket", "cat: /socket: path is a special file"),
        (
            "cat README.md/x",
            "cat: /README.md/x: path is not a directory",
        ),
        ("cat ''", "cat: an empty path"),
        ("cat", "cat: usage: cat PATH..."),
        ("sha256sum", "sha256sum: usage: sha256sum PATH..."),
        ("sha256sum dir", "sha256sum: /dir: path is a directory"),
        ("ls /nope", "ls: /nope: file not found"),
        ("ls loop", "ls: /loop: too many levels"),
        ("ls a b", "ls: usage: ls [-l] [PATH]"),
        ("ls -x", "ls: usage: ls [-l] [PATH]"),
        ("ls ''", "ls: an empty path"),
    ] {
        let text = fails(script);
        assert!(text.contains(says), "{script}: {text}");
    }
    let long = "x".repeat(300);
    assert!(fails(&format!("cat {long}")).contains("not a valid path"));
    assert!(fails(&format!("cat {}", "x/".repeat(5000))).contains("path is too long"));
}

#[test]
fn an_error_is_on_a_line_of_its_own() {
    assert_eq!(
        fails("cat no-line-end nope"),
        "abc\ncat: /nope: file not found\n"
    );
}

#[test]
fn a_name_before_a_colon_chooses_the_file_system() {
    assert_eq!(ok("ls nvme1n2:"), "lost+found/\nsecond\n");
    assert_eq!(ok("cat nvme1n2:/second nvme1n1:/dir/leaf"), "2\nleaf\n");
    assert!(ok("sha256sum nvme1n2:second").ends_with("  nvme1n2:second\n"));
    assert!(fails("ls nvme7n1:/").contains("there is no disk or partition `nvme7n1`"));
    assert!(fails("ls nvme0n1:/").contains("nvme0n1 has no ext4 file system"));
    let (_, text) = run(&Fake::default(), "ls /");
    assert!(text.contains("no disk has an ext4 file system"), "{text}");
}

#[test]
fn damage_is_an_error_and_other_file_systems_are_not_affected() {
    for (name, says) in [
        (
            "nvme2n1",
            "ls: the file system on nvme2n1 cannot be used: corrupt filesystem",
        ),
        ("nvme2n2", "ls: / on nvme2n2: corrupt filesystem"),
        ("nvme2n3", "ls: / on nvme2n3: corrupt filesystem"),
        (
            "nvme2n4",
            "ls: the file system on nvme2n4 cannot be used: corrupt filesystem",
        ),
    ] {
        let machine = machine();
        let wire = crate::testing::Wire::default();
        let mut terminal = crate::output::Terminal::new(wire.clone());
        let mut session = super::Session::new(&machine);
        for _ in 0..2 {
            assert_eq!(
                session.run(&format!("ls -l {name}:/"), &mut terminal),
                Outcome::Failure
            );
            let text = String::from_utf8(wire.take()).unwrap().replace("\x1b[", "");
            assert!(text.starts_with(says), "{text}");
        }
        assert_eq!(
            session.run("cat /README.md", &mut terminal),
            Outcome::Success
        );
        assert_eq!(wire.take(), b"# Phyros\n");
    }
}

#[test]
fn a_disk_that_ends_too_early_is_an_error() {
    let mut bytes = disk(fill, None);
    bytes.truncate(1 << 20);
    let machine = Fake {
        volumes: vec![ram_disk("nvme0n1", bytes)],
        ..Fake::default()
    };
    let (outcome, text) = run(&machine, "sha256sum /large");
    assert_eq!(outcome, Outcome::Failure);
    assert!(
        text.contains("nvme0n1") && text.contains("beyond the end of the device"),
        "{text}"
    );
}
