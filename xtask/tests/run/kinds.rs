//! Memory of every kind, by commands; what has come of them is looked at from outside.

use vm_test::pattern;

use crate::support::{Folder, run, text};

#[test]
fn bytes_go_between_disks_and_memory_without_the_cpu() {
    const MIB: usize = 1 << 20;
    let folder = Folder::new();
    let mut disk = vec![0; 16 * MIB];
    pattern::fill(7, 0, &mut disk);
    let image = folder.write("disk.img", &disk);
    let board = folder.write("board", vec![0xc5; 4 * MIB]);
    let object = format!(
        "memory-backend-file,id=m,share=on,size=4M,mem-path={}",
        text(&board)
    );
    let commands = "p2p nvme0n1:4K+1M ivshmem0:64K; \
        p2p ivshmem0:64K+1M vram0:1M via nvme0n1:8M; \
        p2p vram0:1M+1M nvme0n1:12M; \
        p2p nvme0n1:0+6M nvme0n1:6M; \
        phyrs";
    let arguments = [
        "--disk",
        text(&image),
        "--exec",
        commands,
        "--",
        "-object",
        &object,
    ];
    let devices = [
        "-device",
        "ivshmem-plain,memdev=m",
        "-device",
        "bochs-display",
    ];
    run(&[&arguments[..], &devices].concat())
        .ok()
        .shows("1 MiB from nvme0n1 to ivshmem0: 2 commands, nothing copied by the CPU")
        .shows("1 MiB from ivshmem0 to vram0: 4 commands")
        .shows("ivshmem0, shared memory, free")
        .shows("RAM, in use");
    let board = std::fs::read(board).expect("the file is there");
    assert!(board[64 << 10..][..MIB] == disk[4096..][..MIB]);
    let beside = [&board[..64 << 10], &board[(64 << 10) + MIB..]];
    assert!(beside.concat().iter().all(|byte| *byte == 0xc5));
    let after = std::fs::read(&image).expect("the file is there");
    assert!(after[12 * MIB..][..MIB] == disk[4096..][..MIB]);
    assert!(after[6 * MIB..][..6 * MIB] == disk[..6 * MIB]);
    assert!(after[..6 * MIB] == disk[..6 * MIB] && after[13 * MIB..] == disk[13 * MIB..]);
    // The hypervisor's persistent memory, which is found above RAM.
    let lasting = folder.write("lasting", vec![0xc5; 8 * MIB]);
    let object = format!(
        "memory-backend-file,id=m,share=on,size=8M,mem-path={}",
        text(&lasting)
    );
    let commands = "p2p nvme0n1:4K+1M pmem0:64K; flush pmem0; flush nvme0n1; phyrs";
    let devices = [
        "-m",
        "256M,slots=1,maxmem=1G",
        "-device",
        "virtio-pmem-pci,memdev=m",
    ];
    let arguments = [
        "--disk",
        text(&image),
        "--exec",
        commands,
        "--",
        "-object",
        &object,
    ];
    run(&[&arguments[..], &devices].concat())
        .ok()
        .shows("1 MiB from nvme0n1 to pmem0: 2 commands, nothing copied by the CPU")
        .shows("pmem0: what was written before this is there to stay")
        .shows("nvme0n1: what was written before this is there to stay")
        .shows("[0x100000000..=0x1007fffff]          8 MiB  pmem0, persistent memory, free");
    let lasting = std::fs::read(lasting).expect("the file is there");
    assert!(lasting[64 << 10..][..MIB] == disk[4096..][..MIB]);
    let beside = [&lasting[..64 << 10], &lasting[(64 << 10) + MIB..]];
    assert!(beside.concat().iter().all(|byte| *byte == 0xc5));
    // There is nothing to boot from any more; a file system is not overwritten by accident.
    run(&[
        "--copy",
        "docs/example",
        "--exec",
        "p2p nvme0n1:0+4K nvme0n1:1M",
    ])
    .failed()
    .shows("add --overwrite");
}
