//! Partitions and file systems that other programs made.

use super::disk;
use crate::block::BlockDevice;
use crate::fs::{self, Error, FileSystem};
use crate::storage::{Volume, volumes};
use alloc::string::ToString;
use alloc::sync::Arc;
use vm_test::{pattern, seed, vm_test};

fn with_ext4() -> Option<&'static Volume> {
    volumes().iter().find(|volume| volume.has_ext4)
}

/// Reads the file that every test image has and compares it with the pattern.
fn check_pattern_file(device: &Arc<dyn BlockDevice>) {
    let files = FileSystem::mount(device.clone()).expect("mke2fs makes sound file systems");
    let mut position = 0;
    let len = files.read_pieces("/pattern.bin", |piece| {
        let wrong = pattern::first_difference(seed(), position, piece);
        assert_eq!(wrong, None, "in the piece at {position}");
        position += piece.len() as u64;
        Ok::<(), Error>(())
    });
    assert_eq!(len.unwrap(), (1 << 20) + 123);
}

#[vm_test(machine = "disk=ext4", timeout = 60)]
fn a_file_is_read_from_ext4_in_blocks_of_512() {
    check_pattern_file(disk());
}

#[vm_test(machine = "disk=ext4,lba=4096", timeout = 60)]
fn a_file_is_read_from_ext4_in_blocks_of_4096() {
    check_pattern_file(disk());
}

#[vm_test(machine = "disk=ext4,lba=4096", timeout = 60)]
fn file_data_goes_straight_into_the_readers_memory() {
    let files = FileSystem::mount(disk().clone()).unwrap();
    let before = crate::block::counters();
    files
        .read_pieces("/pattern.bin", |_| Ok::<(), Error>(()))
        .unwrap();
    let after = crate::block::counters();
    let direct = after.direct - before.direct;
    let copied = after.copied - before.copied;
    assert!(direct >= 1 << 20, "only {direct} bytes went straight");
    // The file's last piece, and what describes the file.
    assert!(copied < 64 << 10, "{copied} bytes were copied");
}

#[vm_test(machine = "disk=gpt", timeout = 60)]
fn a_file_system_is_found_in_a_gpt_partition() {
    let volume = with_ext4().expect("one partition has a file system");
    assert!(
        volume.device.name().starts_with("nvme0n1p"),
        "{}",
        volume.device.name()
    );
    check_pattern_file(&volume.device);
}

#[vm_test(machine = "disk=gpt,lba=4096", timeout = 60)]
fn a_file_system_is_found_in_a_gpt_partition_in_blocks_of_4096() {
    check_pattern_file(&with_ext4().expect("one partition has a file system").device);
}

#[vm_test(machine = "disk=mbr", timeout = 60)]
fn a_file_system_is_found_in_an_mbr_partition() {
    let volume = with_ext4().expect("one partition has a file system");
    assert!(
        volume.device.name().starts_with("nvme0n1p"),
        "{}",
        volume.device.name()
    );
    check_pattern_file(&volume.device);
}

#[vm_test(machine = "disk=corrupt", timeout = 60)]
fn a_corrupt_file_system_is_an_error_that_names_what_is_wrong() {
    assert!(fs::is_ext4(&**disk()));
    let error = match FileSystem::mount(disk().clone()) {
        Err(error) => error,
        Ok(files) => files
            .read_pieces("/pattern.bin", |_| Ok::<(), Error>(()))
            .expect_err("the image is damaged"),
    };
    let text = error.to_string();
    assert!(
        text.contains("corrupt") && text.len() > "corrupt filesystem: ".len(),
        "{text}"
    );
    // The disk itself is sound and can still be read.
    disk().read(0, &mut alloc::vec![0; 4096]).unwrap();
}

#[vm_test(machine = "disk=empty")]
fn an_empty_disk_has_no_partitions_and_no_file_system() {
    assert_eq!(volumes().len(), 1);
    assert!(with_ext4().is_none());
}

#[vm_test(machine = "disk=ext4")]
fn missing_files_and_odd_paths_are_errors() {
    let files = FileSystem::mount(disk().clone()).unwrap();
    for path in ["/nope", "relative", "", "/pattern.bin/below", "/"] {
        assert!(
            files.read_pieces(path, |_| Ok::<(), Error>(())).is_err(),
            "{path:?}"
        );
    }
}
