//! `nbdinfo`, `nbdcopy`, `qemu-io`, `fio`, and file systems.

use std::fs;

use super::{note, run, write_pattern};
use crate::served::Served;
use crate::support::{Folder, text};

const LEN: usize = 64 << 20;

/// A machine with a disk of zeros, which may be written.
fn machine(folder: &Folder) -> (Served, String) {
    let disk = folder.write("disk", vec![0; LEN]);
    let machine = Served::start(&["--disk", text(&disk), "--nbd-write"]);
    let url = machine.place("nbd").to_owned();
    (machine, url)
}

#[test]
#[ignore = "needs libnbd-bin: `cargo xtask clients` runs it"]
fn nbdinfo_sees_the_disk() {
    let folder = Folder::new();
    let (machine, url) = machine(&folder);
    let said = run("nbdinfo", &[&url]);
    for line in [
        "export=\"nvme0n1\":",
        "export-size: 67108864 (64M)",
        "is_read_only: false",
        "can_multi_conn: true",
        "can_flush: true",
        "can_fua: true",
        "can_trim: true",
        "can_zero: true",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    // All of it is data, also where it is zeros.
    let map = run("nbdinfo", &["--map", &url]);
    let columns: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(columns, ["0", "67108864", "0", "data"], "{map}");
    let server = url
        .rsplit_once('/')
        .map_or(url.as_str(), |(server, _)| server);
    assert!(run("nbdinfo", &["--list", server]).contains("export=\"nvme0n1\":"));
    machine.end();
    note(
        "nbdinfo",
        "length and abilities of a disk, and the list of all",
    );
}

#[test]
#[ignore = "needs libnbd-bin: `cargo xtask clients` runs it"]
fn nbdcopy_copies_both_ways() {
    let folder = Folder::new();
    let (machine, url) = machine(&folder);
    let source = write_pattern(&folder.file("source"), 23, LEN);
    let back = folder.file("back");
    for connections in ["--connections=1", "--connections=4"] {
        let many = [connections, "--requests=32"];
        run(
            "nbdcopy",
            &[&many[..], &["--flush", text(&source), &url]].concat(),
        );
        run("nbdcopy", &[&many[..], &[&url, text(&back)]].concat());
        assert!(fs::read(&back).expect("it is there") == fs::read(&source).expect("it is there"));
    }
    machine.end();
    // The host looks for itself.
    let disk = fs::read(folder.file("disk")).expect("it is there");
    assert!(disk == fs::read(&source).expect("it is there"));
    note(
        "nbdcopy",
        "64 MiB there and back, on one connection and on four; the image compared afterwards",
    );
}

#[test]
#[ignore = "needs qemu-utils: `cargo xtask clients` runs it"]
fn qemu_io_verifies_patterns() {
    let folder = Folder::new();
    let (machine, url) = machine(&folder);
    let commands = [
        "write -P 0x5a 0 1M",
        "write -P 0xa5 1000 3000",
        "read -P 0x5a 0 1000",
        "read -P 0xa5 1000 3000",
        "read -P 0x5a 4000 1044576",
        "write -z 64k 64k",
        "read -P 0 64k 64k",
        "write -z -u 200001 777",
        "read -P 0 200001 777",
        "read -P 0x5a 200778 1000",
        "discard 1M 1M",
        "write -f -P 7 2M 33M",
        "flush",
        "read -P 7 2M 33M",
        "aio_write -P 9 40M 1M",
        "aio_write -P 8 41M 1M",
        "aio_flush",
        "read -P 9 40M 1M",
        "read -P 8 41M 1M",
    ];
    let mut arguments = vec!["-f", "raw"];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    arguments.push(&url);
    let said = run("qemu-io", &arguments);
    assert!(
        !said.contains("failed") && !said.contains("error"),
        "{said}"
    );
    machine.end();
    note(
        "qemu-io",
        "patterns across blocks, zeros, discard, FUA, and requests longer than the longest",
    );
}

#[test]
#[ignore = "needs fio: `cargo xtask clients` runs it"]
fn fio_verifies_what_it_writes() {
    let folder = Folder::new();
    let (machine, url) = machine(&folder);
    let uri = format!("--uri={url}");
    let ways = [
        ["--bs=4k", "--numjobs=1", "--offset_increment=0"],
        ["--bsrange=512-64k", "--numjobs=1", "--offset_increment=0"],
        ["--bs=16k", "--numjobs=4", "--offset_increment=16M"],
    ];
    for way in ways {
        let first = [
            "--name=verify",
            "--ioengine=nbd",
            &uri,
            "--rw=randrw",
            "--size=16M",
        ];
        let verify = [
            "--iodepth=16",
            "--verify=crc32c",
            "--verify_fatal=1",
            "--do_verify=1",
            "--verify_backlog=128",
            "--fsync=64",
            // It would be kept in this folder.
            "--verify_state_save=0",
        ];
        let said = run("fio", &[&first[..], &way, &verify].concat());
        let jobs = said.lines().filter(|line| line.contains("err= 0"));
        assert!(jobs.count() >= 1 && !said.contains("verify: bad"), "{said}");
    }
    assert_eq!(machine.counter("phyros_nbd_errors_total"), 0);
    assert_eq!(
        machine.counter("phyros_network_trouble_total{what=\"retransmitted\"}"),
        0
    );
    machine.end();
    note(
        "fio",
        "`--rw=randrw --verify=crc32c`: 4 KiB, mixed lengths, and four jobs at once on connections of their own",
    );
}

#[test]
#[ignore = "needs libnbd-bin, e2fsprogs and curl: `cargo xtask clients` runs it"]
fn a_file_system_that_is_written_over_nbd_is_read_over_http_and_is_sound() {
    let folder = Folder::new();
    let (machine, url) = machine(&folder);
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    let file = write_pattern(&content.join("file.bin"), 24, 5_000_001);
    let made = folder.write("made", vec![0; LEN]);
    run(
        "mke2fs",
        &["-q", "-t", "ext4", "-d", text(&content), text(&made)],
    );
    run("nbdcopy", &["--flush", text(&made), &url]);
    let (back, got) = (folder.file("back"), folder.file("got"));
    run("nbdcopy", &[&url, text(&back)]);
    run("e2fsck", &["-f", "-n", text(&back)]);
    assert!(fs::read(&back).expect("it is there") == fs::read(&made).expect("it is there"));
    let path = format!("{}/disk/nvme0n1", machine.place("http"));
    run(
        "curl",
        &["--silent", "--fail", "--output", text(&got), &path],
    );
    assert!(fs::read(&got).expect("it is there") == fs::read(&made).expect("it is there"));
    machine.end();
    // The next machine finds it.
    let machine = Served::start(&["--disk", text(&folder.file("disk"))]);
    let path = format!("{}/files/file.bin", machine.place("http"));
    run(
        "curl",
        &["--silent", "--fail", "--output", text(&got), &path],
    );
    assert!(fs::read(&got).expect("it is there") == fs::read(&file).expect("it is there"));
    machine.end();
    note(
        "mke2fs, e2fsck",
        "a file system that `nbdcopy` has brought in is sound when it comes out, and its files are at `/files/`",
    );
}
