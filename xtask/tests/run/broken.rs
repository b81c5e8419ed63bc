//! Broken disks and broken kernels end in a message, never in silence.

use std::fs::File;
use std::path::Path;

use harness::disk::ext4::{self, Damage};
use harness::disk::{self, Content};
use harness::image::{self, Image};

use crate::support::{Folder, run, text, type_in};

/// The image that `run` boots, built.
fn image() -> Image {
    image::build("starter").expect("the image builds")
}

/// A whole file system on which damage can be done.
fn file_system(folder: &Folder) -> std::path::PathBuf {
    let path = folder.file("disk");
    disk::create(&path, Content::Ext4, 32 << 20, 512, 1).expect("the image can be made");
    path
}

/// Somebody tries to read a file on this disk, in vain, and then looks at the disks.
fn is_an_error_that_the_shell_survives(disk: &Path, file: &str) -> String {
    let read = format!("cat {file}");
    let outcome = run(&["--disk", text(disk), "--exec", &read]).failed();
    assert!(
        outcome.err.contains("not every command succeeded"),
        "no panic, no hang: {outcome}"
    );
    let typed = format!("{read}\rlsblk\rpoweroff\r");
    let console = type_in(&["--disk", text(disk)], typed.as_bytes()).ok();
    assert!(
        console.out.contains("nvme0n1"),
        "lsblk works as before: {console}"
    );
    outcome.out
}

#[test]
fn every_damage_to_a_file_system_is_an_error_and_the_shell_lives_on() {
    for damage in Damage::ALL {
        let folder = Folder::new();
        let disk = file_system(&folder);
        ext4::damage(&disk, damage).expect("the image can be broken");
        let said = is_an_error_that_the_shell_survives(&disk, "/hello.txt");
        assert!(
            !said.contains("Hello from ext4"),
            "{damage:?} did nothing: {said}"
        );
        assert!(said.contains("corrupt"), "after {damage:?}: {said}");
    }
}

#[test]
fn a_disk_that_ends_too_early_is_an_error() {
    let folder = Folder::new();
    let disk = file_system(&folder);
    let file = File::options()
        .write(true)
        .open(&disk)
        .expect("it was just made");
    file.set_len(2 << 20).expect("it can be cut");
    let said = is_an_error_that_the_shell_survives(&disk, "/pattern.bin");
    assert!(said.contains("/pattern.bin"), "{said}");
}

#[test]
fn a_disk_without_a_file_system_is_an_error_that_says_so() {
    let folder = Folder::new();
    let disk = folder.file("disk");
    disk::create(&disk, Content::Pattern, 4 << 20, 512, 7).expect("the image can be made");
    run(&["--disk", text(&disk), "--exec", "ls /"])
        .failed()
        .shows("file system");
}

#[test]
fn files_on_a_partition_are_found() {
    for content in [Content::Mbr, Content::Gpt] {
        let folder = Folder::new();
        let disk = folder.file("disk");
        disk::create(&disk, content, 64 << 20, 512, 7).expect("the image can be made");
        run(&["--disk", text(&disk), "--exec", "cat /hello.txt"])
            .ok()
            .shows("Hello from ext4.");
    }
}

/// Boots the loader with its kernel edited: it must fail and say this.
fn refused(edit: impl FnOnce(&mut [u8]), says: &str) {
    let folder = Folder::new();
    let loader = folder.file("loader.elf");
    image()
        .edited(&loader, edit)
        .expect("the image can be edited");
    run(&["--exec", "help", "--", "-kernel", text(&loader)])
        .failed()
        .shows(says);
}

#[test]
fn a_kernel_that_is_no_elf_file_is_refused() {
    refused(|kernel| kernel[..4].copy_from_slice(b"ELF?"), "ELF");
}

#[test]
fn a_kernel_with_an_absurd_segment_is_refused() {
    // The number of bytes in memory of the first program header (ELF-64, p_memsz).
    refused(
        |kernel| kernel[64 + 40..64 + 48].copy_from_slice(&u64::MAX.to_le_bytes()),
        "segment",
    );
}

#[test]
fn a_kernel_of_zeros_is_refused() {
    refused(|kernel| kernel.fill(0), "ELF");
}

#[test]
fn too_little_memory_is_said_to_be_too_little() {
    let mut said = false;
    // Firmware puts the image at 1 MiB, with whatever lies behind it left for everything else.
    let image = std::fs::metadata(image().elf).expect("the image was built");
    let needed = (1 << 10) + image.len().div_ceil(1 << 10);
    for more in [128, 512, 1024] {
        let memory = &format!("{}K", (needed + more).next_multiple_of(8));
        let outcome = run(&["--memory", memory, "--exec", "help"]);
        said |= !outcome.success && outcome.out.contains("not enough memory");
        let hung = outcome.err.contains("it still ran");
        assert!(!hung, "a machine with {memory} hangs: {outcome}");
    }
    assert!(said, "each of these machines is large enough");
    let outcome = run(&["--memory", "3964K", "--exec", "help"]);
    assert!(
        !outcome.success && outcome.err.contains("`3968K`"),
        "{outcome}"
    );
}
