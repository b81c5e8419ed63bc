//! Memory of every kind, by commands; what has come of them is looked at from outside.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use harness::calls::Picture;
use harness::qmp::{Monitor, Remote};
use serde_json::json;
use vm_test::pattern;

use crate::support::{Folder, Seat, run, text};

const WIDTH: i32 = 200;
const HEIGHT: i32 = 150;

/// A bitmap of 32 bits with these pixels, which begin at `start` of the file.
fn bitmap(start: u32, height: i32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; start as usize];
    bytes[..2].copy_from_slice(b"BM");
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(10, start);
    put(14, 40);
    put(18, WIDTH as u32);
    put(22, height as u32);
    put(26, 32 << 16 | 1);
    bytes.extend(pixels);
    bytes
}

/// QEMU's monitor of a machine that runs.
fn monitor(socket: &Path) -> Remote {
    let stream = UnixStream::connect(socket).expect("QEMU listens");
    let mut monitor = Monitor::greet(stream).expect("QEMU greets");
    let remote = monitor.remote();
    thread::spawn(move || while monitor.notice().is_some() {});
    remote
}

/// How many pixels of the screen are these, from the first on.
fn seen(remote: &Remote, folder: &Folder, pixels: &[u8]) -> u64 {
    let file = folder.file("screen.ppm");
    if let Err(error) = remote.execute("screendump", json!({ "filename": file })) {
        panic!("{error:#}");
    }
    let picture = Picture::parse(&std::fs::read(file).expect("QEMU has written it"));
    let picture = picture.expect("it is a picture");
    assert_eq!(
        (picture.width, picture.height),
        (WIDTH as u64, HEIGHT as u64)
    );
    picture.equal_to(pixels)
}

#[test]
fn pictures_go_from_a_file_to_the_screen() {
    let folder = Folder::new();
    let share = folder.file("share");
    std::fs::create_dir(&share).expect("the folder can be written");
    let mut pixels = [1, 2].map(|_| vec![0; (WIDTH * HEIGHT * 4) as usize]);
    pattern::fill(1, 0, &mut pixels[0]);
    pattern::fill(2, 0, &mut pixels[1]);
    let [direct, upright] = &pixels;
    // The lowest line first, and no pixel at a multiple of four bytes.
    let lines = upright.chunks_exact((WIDTH * 4) as usize).rev();
    let upside_down: Vec<u8> = lines.flatten().copied().collect();
    let files = [
        ("direct.bmp", bitmap(68, -HEIGHT, direct)),
        ("upside-down.bmp", bitmap(54, HEIGHT, &upside_down)),
        ("odd.bmp", bitmap(54, -HEIGHT, upright)),
        ("cut.bmp", bitmap(68, -HEIGHT, &direct[..5000])),
    ];
    for (name, bytes) in files {
        std::fs::write(share.join(name), bytes).expect("the folder can be written");
    }
    let copied = "copied by the CPU";
    for way in ["--copy", "--share"] {
        let odd = if way == "--copy" {
            copied
        } else {
            "by DMA alone"
        };
        let shown = [
            ("direct.bmp", "by DMA alone", direct),
            ("upside-down.bmp", copied, upright),
            ("direct.bmp", "by DMA alone", direct),
            // No pixel at a multiple of four bytes: a disk cannot, the host can.
            ("odd.bmp", odd, upright),
            ("direct.bmp", "by DMA alone", direct),
        ];
        show_all(&folder, [way, text(&share)], &shown);
    }
}

/// Shows pictures, and looks at the screen each time.
fn show_all(folder: &Folder, [way, share]: [&str; 2], shown: &[(&str, &str, &Vec<u8>)]) {
    let socket = folder.file(&format!("qmp{way}"));
    let machine = [
        way,
        share,
        "--qmp",
        text(&socket),
        "--",
        "-device",
        "bochs-display",
    ];
    let mut seat = Seat::take(&machine);
    let remote = monitor(&socket);
    let all = (WIDTH * HEIGHT) as u64;
    for &(file, how, pixels) in shown {
        let said = seat.ask(&format!("picture /{file}"));
        assert!(said.contains(how), "{said}");
        assert_eq!(seen(&remote, folder, pixels), all, "{file}");
    }
    let said = seat.ask("picture /cut.bmp");
    assert!(said.contains("it ends before its last pixel"), "{said}");
    assert_eq!(
        seen(&remote, folder, shown[0].2),
        all,
        "what was shown is shown still"
    );
    let said = seat.ask("phyrs");
    assert!(said.contains("vram0, video memory, held"), "{said}");
    seat.leave().ok();
}

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
