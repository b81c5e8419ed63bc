//! Partitions and file systems that other programs made.

use super::disk;
use crate::block::BlockDevice;
use crate::executor;
use crate::fs::{self, Error, FileSystem};
use crate::storage::{Volume, volumes};
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use vm_test::{pattern, seed, vm_test};

/// Bytes of `/pattern.bin`.
const PATTERN_LEN: usize = (1 << 20) + 123;

fn with_ext4() -> Option<Volume> {
    volumes().into_iter().find(|volume| volume.has_ext4)
}

/// Reads the file that every test image has and compares it with the pattern.
pub(super) fn check_pattern_file(device: &Arc<dyn BlockDevice>) {
    let files = FileSystem::mount(device.clone()).expect("mke2fs makes sound file systems");
    let mut position = 0;
    let len = files.read_pieces("/pattern.bin", |piece| {
        let wrong = pattern::first_difference(seed(), position, piece);
        assert_eq!(wrong, None, "in the piece at {position}");
        position += piece.len() as u64;
        Ok::<(), Error>(())
    });
    assert_eq!(len.unwrap(), PATTERN_LEN as u64);
}

#[vm_test(machine = "disk=ext4", timeout = 60)]
fn a_file_is_read_from_ext4_in_blocks_of_512() {
    check_pattern_file(&disk());
}

#[vm_test(machine = "disk=ext4,lba=4096", timeout = 60)]
fn a_file_is_read_from_ext4_in_blocks_of_4096() {
    check_pattern_file(&disk());
}

/// Reads a whole file at once, and looks at the way that it came.
pub(super) fn check_the_way_of_data() {
    let files = FileSystem::mount(disk().clone()).unwrap();
    let mut file = files.open("/pattern.bin").unwrap();
    assert!(file.is_direct());
    assert_eq!(file.len(), PATTERN_LEN as u64);
    let mut bytes = vec![0; PATTERN_LEN + 10];
    let before = crate::block::counters();
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), PATTERN_LEN);
    let after = crate::block::counters();
    let direct = after.direct - before.direct;
    let copied = after.copied - before.copied;
    assert!(direct >= 1 << 20, "only {direct} bytes went straight");
    // What is left of the file's last block.
    assert!(copied < 4096, "{copied} bytes were copied");
    assert_eq!(
        pattern::first_difference(seed(), 0, &bytes[..PATTERN_LEN]),
        None
    );
    assert_eq!(bytes[PATTERN_LEN..], [0; 10]);
}

#[vm_test(machine = "disk=ext4", timeout = 60)]
fn file_data_goes_straight_into_the_readers_memory_in_blocks_of_512() {
    check_the_way_of_data();
}

#[vm_test(machine = "disk=ext4,lba=4096", timeout = 60)]
fn file_data_goes_straight_into_the_readers_memory_in_blocks_of_4096() {
    check_the_way_of_data();
}

#[vm_test(machine = "disk=ext4,lba=4096", timeout = 60)]
fn any_part_of_a_file_can_be_read() {
    let files = FileSystem::mount(disk().clone()).unwrap();
    let mut direct = files.open("/pattern.bin").unwrap();
    let mut copied = files
        .view(fs::Path::try_from("/pattern.bin").unwrap())
        .unwrap();
    assert!(direct.is_direct() && !copied.is_direct());
    assert_eq!(direct.len(), copied.len());
    for position in [1, 4095, 4096, 70_001, PATTERN_LEN - 5000, PATTERN_LEN - 1] {
        for len in [1, 511, 4096, 4097, 12_345] {
            for file in [&mut direct, &mut copied] {
                let mut bytes = vec![0; len];
                let filled = file.read_at(position as u64, &mut bytes).unwrap();
                assert_eq!(filled, len.min(PATTERN_LEN - position));
                let wrong = pattern::first_difference(seed(), position as u64, &bytes[..filled]);
                assert_eq!(wrong, None, "{len} bytes from {position} on");
            }
        }
    }
    for position in [PATTERN_LEN as u64, u64::MAX] {
        assert_eq!(direct.read_at(position, &mut [0; 9]).unwrap(), 0);
    }
}

#[vm_test(machine = "disk=ext4,lba=4096", timeout = 60)]
fn tasks_find_files_and_fetch_their_pieces() {
    // Outside of the task: it is looked for, and that waits.
    let disk = disk().clone();
    let task = executor::spawn(async move {
        let files = fs::Deferred::mount(disk.clone()).await.unwrap();
        let file = files.ask(|files| files.open("/pattern.bin")).await.unwrap();
        let missing = files.ask(|files| files.open("/nothing").map(drop)).await;
        assert!(matches!(missing, Err(Error::NotFound)));
        let before = crate::block::counters().copied;
        let mut position = 0;
        while let Some(piece) = file.piece_at(position) {
            let start = piece.start.expect("it has no holes");
            // Odd lengths, so that pieces begin and end within blocks.
            let len = piece.len.min(99_999) as usize;
            let memory = crate::block::fetch(&*disk, start, len).await.unwrap();
            assert_eq!(memory.len(), len);
            let wrong = pattern::first_difference(seed(), position, memory.bytes());
            assert_eq!(wrong, None, "{len} bytes from {position} on");
            position += len as u64;
        }
        assert_eq!(position, PATTERN_LEN as u64);
        assert_eq!(crate::block::counters().copied, before);
    });
    executor::block_on(task);
}

#[vm_test(machine = "disk=ext4", timeout = 60)]
fn holes_are_zeros_and_the_rest_is_in_its_place() {
    const HOLE: usize = 1 << 20;
    let files = FileSystem::mount(disk().clone()).unwrap();
    let mut file = files.open("/sparse.bin").unwrap();
    assert!(file.is_direct());
    // What was there before must not be taken for zeros.
    let mut bytes = vec![0xcc; HOLE + 8192];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    let (first, rest) = bytes.split_at(4096);
    let (hole, second) = rest.split_at(HOLE);
    assert_eq!(pattern::first_difference(seed(), 0, first), None);
    assert!(hole.iter().all(|byte| *byte == 0));
    assert_eq!(pattern::first_difference(seed(), 4096, second), None);
}

#[vm_test(machine = "disk=ext4", timeout = 120)]
fn files_are_found_in_large_directories_and_behind_links() {
    let files = FileSystem::mount(disk().clone()).unwrap();
    let read = |path: &str| {
        let mut file = files.open(path).unwrap();
        assert!(file.is_direct(), "{path}");
        let mut bytes = vec![0; file.len() as usize];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
        bytes
    };
    for number in [0, 1, 150, 298, 299] {
        let path = format!("/many/file-{number:03}");
        assert_eq!(read(&path), format!("{number:03}").into_bytes());
    }
    assert_eq!(read("/link"), b"Hello from ext4.\n");
    assert_eq!(read("/dir/../dir/./deeper/leaf.txt"), b"leaf\n");
    assert_eq!(read("/empty"), b"");
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
    assert!(crate::block::blocking::wait(fs::is_ext4(&*disk())));
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
    disk().read_now(0, &mut vec![0; 4096]).unwrap();
}

#[vm_test(machine = "disk=empty")]
fn an_empty_disk_has_no_partitions_and_no_file_system() {
    assert_eq!(volumes().len(), 1);
    assert!(with_ext4().is_none());
}

/// Who looks for disks runs tasks while it waits. One of them may ask for disks, too.
#[vm_test(machine = "disk=empty")]
fn a_task_may_ask_for_disks_while_they_are_looked_for() {
    let task = executor::spawn(async { volumes().len() });
    assert_eq!(volumes().len(), 1);
    assert!(executor::block_on(task) <= 1);
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
