//! A folder of this computer, while the machine runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use vm_test::pattern;

use crate::support::{Folder, Seat, finish, run, sha256, text, xtask};

/// A folder to share, and one around it, which is not shared.
fn folders() -> (Folder, std::path::PathBuf) {
    let around = Folder::new();
    let share = around.file("to share, with a comma");
    fs::create_dir(&share).expect("the folder can be written");
    (around, share)
}

#[test]
fn what_changes_on_the_host_is_seen_at_once() {
    let (_around, share) = folders();
    let note = share.join("note");
    fs::write(&note, "one\n").expect("the folder can be written");
    let mut seat = Seat::take(&["--share", text(&share)]);
    assert!(seat.ask("cat /note").contains("\none\n"));
    // In place, longer; in place, shorter; another file by the same name.
    let mut bytes = vec![0; (2 << 20) + 77];
    pattern::fill(3, 0, &mut bytes);
    fs::write(&note, &bytes).expect("the folder can be written");
    assert!(seat.ask("sha256sum /note").contains(&sha256(&bytes)));
    fs::write(&note, "two\n").expect("the folder can be written");
    assert!(seat.ask("cat share:/note").contains("\ntwo\n"));
    let other = share.join("other");
    fs::write(&other, "three\n").expect("the folder can be written");
    fs::rename(&other, &note).expect("the folder can be written");
    assert!(seat.ask("cat note").contains("\nthree\n"));
    fs::create_dir(share.join("later")).expect("the folder can be written");
    fs::write(share.join("later/x"), "").expect("the folder can be written");
    assert!(seat.ask("ls /later").contains("\nx\n"));
    fs::remove_file(&note).expect("the folder can be written");
    let listed = seat.ask("ls");
    assert!(
        listed.contains("later/") && !listed.contains("note"),
        "{listed}"
    );
    assert!(seat.ask("cat /note").contains("not found"));
    seat.leave().ok();
}

#[test]
fn nothing_outside_of_the_share_is_reached_and_links_lead_within_it() {
    let (around, share) = folders();
    let secret = around.write("secret", "not shared\n");
    fs::create_dir_all(share.join("a/b")).expect("the folder can be written");
    fs::write(share.join("a/b/leaf"), "leaf\n").expect("the folder can be written");
    let link = |target: &str, name: &str| {
        symlink(target, share.join(name)).expect("the folder can be written");
    };
    link("../secret", "up");
    link(text(&secret), "absolute");
    link("a/b/leaf", "good");
    link("/a/b", "from-the-root");
    link("around", "around");
    let mut seat = Seat::take(&["--share", text(&share)]);
    for path in [
        "/../secret",
        "/a/../../secret",
        "/../../../../../../etc/passwd",
        "/up",
        "/absolute",
        text(&secret),
    ] {
        let said = seat.ask(&format!("cat {path}"));
        assert!(said.contains("not found"), "{path}: {said}");
        let leaks = said.contains("not shared") || said.contains("root:");
        assert!(!leaks, "{path}: {said}");
    }
    let said = seat.ask("cat /good /from-the-root/leaf /../from-the-root/../b/leaf");
    assert!(said.contains("leaf\nleaf\nleaf\n"), "{said}");
    let said = seat.ask("ls -l /");
    for link in [" up -> ../secret", " from-the-root -> /a/b"] {
        assert!(said.contains(link), "{link}: {said}");
    }
    let said = seat.ask("cat /around");
    assert!(said.contains("too many levels of symbolic links"), "{said}");
    seat.leave().ok();
    // The machine has changed nothing.
    assert_eq!(fs::read(&secret).expect("it is there"), b"not shared\n");
}

#[test]
fn a_file_that_may_not_be_read_is_an_error_that_says_so() {
    let (_around, share) = folders();
    let file = share.join("locked");
    fs::write(&file, "locked\n").expect("the folder can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("it is ours");
    if fs::read(&file).is_ok() {
        return; // to root nothing is locked
    }
    run(&["--share", text(&share), "--exec", "cat /locked"])
        .failed()
        .shows("may not be read");
}

#[test]
fn a_share_is_beside_disks_and_behind_an_iommu() {
    let (_around, share) = folders();
    let mut bytes = vec![0; (3 << 20) + 5];
    pattern::fill(9, 0, &mut bytes);
    fs::write(share.join("large.bin"), &bytes).expect("the folder can be written");
    let digest = sha256(&bytes);
    for more in [
        &["--copy", "docs/example"][..],
        &["--iommu"],
        &["--smp", "2", "--firmware", "qboot"],
    ] {
        let commands = "lsblk; sha256sum share:/large.bin";
        let arguments = [&["--share", text(&share), "--exec", commands], more].concat();
        run(&arguments)
            .ok()
            .shows(&digest)
            .shows("a folder of the host");
    }
}

#[test]
fn a_qemu_that_cannot_share_is_named_before_anything_is_built() {
    let folder = Folder::new();
    let script = "#!/bin/sh\ncase \"$*\" in *virtio-9p-pci*) exit 1;; esac\nexit 0\n";
    let qemu = folder.script("qemu", script);
    let mut command = xtask(&["run", "--share", "docs/example", "--exec", "ls"]);
    let outcome = finish(command.env("PHYROS_QEMU", &qemu)).failed();
    assert!(!outcome.err.contains("building"), "{outcome}");
    outcome
        .says("this QEMU cannot share a folder")
        .says("use --copy DIR");
}
