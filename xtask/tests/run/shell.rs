//! What comes out of the shell is what the host has put on the disk.

use harness::workspace;
use vm_test::pattern;

use crate::support::{Folder, run, sha256, text, type_ahead, type_in};

#[test]
fn the_digest_of_the_readme_is_the_one_that_the_host_computes() {
    let readme = std::fs::read(workspace::root().join("README.md")).expect("there is a README");
    run(&["--exec", "ls /; sha256sum /README.md"])
        .ok()
        .shows("README.md")
        .shows("docs")
        .shows(&sha256(&readme));
}

#[test]
fn a_file_that_is_not_there_is_a_clear_error_and_a_failure() {
    run(&["--exec", "cat /nope"])
        .failed()
        .shows("/nope")
        .says("not every command succeeded");
}

#[test]
fn one_failed_command_is_a_failure_wherever_it_stands() {
    run(&["--exec", "cat /nope; help"]).failed();
    run(&["--exec", "help; cat /nope"]).failed();
}

#[test]
fn an_unknown_command_is_a_failure_that_names_it() {
    run(&["--exec", "frobnicate"]).failed().shows("frobnicate");
}

#[test]
fn a_folder_is_read_byte_by_byte_shared_or_copied() {
    let folder = Folder::new();
    // Larger than one transfer of any limit, and no whole number of blocks.
    let mut bytes = vec![0; (3 << 20) + 1234];
    pattern::fill(1, 0, &mut bytes);
    folder.write("large.bin", &bytes);
    folder.write("small.txt", "seventeen is a prime number\n");
    std::fs::create_dir(folder.file("inner")).expect("the folder can be written");
    folder.write("inner/empty", "");
    let path = text(folder.path());
    for way in ["--share", "--copy"] {
        run(&[
            way,
            path,
            "--exec",
            "ls /inner; cat /small.txt; sha256sum /large.bin /inner/empty",
        ])
        .ok()
        .shows("seventeen is a prime number")
        .shows(&sha256(&bytes))
        .shows(&sha256(b""));
    }
}

#[test]
fn somebody_at_the_keyboard_gets_a_prompt_and_leaves_with_poweroff() {
    type_in(&[], b"help\rpoweroff\r")
        .ok()
        .shows("phyros> ")
        .shows("sha256sum");
}

/// More keys than any buffer on the way has room for, typed before there is anybody who reads.
fn many_keys() -> (Vec<u8>, impl Fn(&str)) {
    let mut keys = Vec::new();
    for number in 0..200 {
        keys.extend(format!("echo number {number} of {}\r", 7 * number).bytes());
    }
    keys.extend(b"poweroff\r");
    let check = |out: &str| {
        for number in 0..200 {
            let line = format!("\nnumber {number} of {}\n", 7 * number);
            assert!(out.contains(&line), "{number} is missing: {out}");
        }
    };
    (keys, check)
}

#[test]
fn no_key_of_a_long_paste_is_lost() {
    let (keys, check) = many_keys();
    check(&type_in(&[], &keys).ok().out);
}

#[test]
fn no_key_that_was_typed_ahead_is_lost() {
    let (keys, check) = many_keys();
    check(&type_ahead(&["--smp", "2"], &keys).ok().out);
}

#[test]
fn ctrl_a_x_leaves_at_once_and_is_no_failure() {
    type_in(&[], b"\x01x").ok();
}

#[test]
fn memory_devices_and_disks_can_be_looked_at() {
    run(&["--memory", "64M", "--exec", "mem; lspci; lsblk; time ls /"])
        .ok()
        .shows("nvme");
}
