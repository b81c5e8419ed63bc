//! Pictures on screens, by a command; what is seen is looked at from outside.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
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

/// How many pixels of the screen of this device are these, from the first on.
fn seen(remote: &Remote, folder: &Folder, screen: &str, pixels: &[u8]) -> u64 {
    let file = folder.file("screen.ppm");
    let wanted = json!({ "filename": file, "device": screen });
    if let Err(error) = remote.execute("screendump", wanted) {
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

/// Two pictures' pixels, and a folder with files of them.
struct Pictures {
    direct: Vec<u8>,
    upright: Vec<u8>,
    folder: PathBuf,
}

fn pictures(folder: &Folder) -> Pictures {
    let share = folder.file("share");
    std::fs::create_dir(&share).expect("the folder can be written");
    let mut pixels = [1, 2].map(|_| vec![0; (WIDTH * HEIGHT * 4) as usize]);
    pattern::fill(1, 0, &mut pixels[0]);
    pattern::fill(2, 0, &mut pixels[1]);
    let [direct, upright] = pixels;
    // The lowest line first, and no pixel at a multiple of four bytes.
    let lines = upright.chunks_exact((WIDTH * 4) as usize).rev();
    let upside_down: Vec<u8> = lines.flatten().copied().collect();
    let files = [
        ("direct.bmp", bitmap(68, -HEIGHT, &direct)),
        ("upside-down.bmp", bitmap(54, HEIGHT, &upside_down)),
        ("odd.bmp", bitmap(54, -HEIGHT, &upright)),
        ("cut.bmp", bitmap(68, -HEIGHT, &direct[..5000])),
    ];
    for (name, bytes) in files {
        std::fs::write(share.join(name), bytes).expect("the folder can be written");
    }
    Pictures {
        direct,
        upright,
        folder: share,
    }
}

#[test]
fn pictures_go_from_a_file_to_the_screen() {
    let folder = Folder::new();
    let Pictures {
        direct,
        upright,
        folder: share,
    } = &pictures(&folder);
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
        show_all(&folder, [way, text(share)], &shown);
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
        "bochs-display,id=card",
    ];
    let mut seat = Seat::take(&machine);
    let remote = monitor(&socket);
    let all = (WIDTH * HEIGHT) as u64;
    for &(file, how, pixels) in shown {
        let said = seat.ask(&format!("picture /{file}"));
        assert!(said.contains(how), "{said}");
        assert_eq!(seen(&remote, folder, "card", pixels), all, "{file}");
    }
    let said = seat.ask("picture /cut.bmp");
    assert!(said.contains("it ends before its last pixel"), "{said}");
    assert_eq!(
        seen(&remote, folder, "card", shown[0].2),
        all,
        "what was shown is shown still"
    );
    let said = seat.ask("phyrs");
    assert!(said.contains("vram0, video memory, held"), "{said}");
    seat.leave().ok();
}

/// A file of so many bytes, of which only the header is there.
fn hollow(at: PathBuf, [width, height]: [u32; 2]) {
    let mut header = bitmap(68, -HEIGHT, &[]);
    header[18..22].copy_from_slice(&width.to_le_bytes());
    header[22..26].copy_from_slice(&height.wrapping_neg().to_le_bytes());
    std::fs::write(&at, header).expect("the folder can be written");
    let file = File::options().write(true).open(at);
    let file = file.expect("it was just written");
    let bytes = 68 + u64::from(width) * u64::from(height) * 4;
    file.set_len(bytes).expect("a file can have holes");
}

/// A graphics device takes pictures from RAM, whatever their order and wherever they begin.
#[test]
fn pictures_go_from_a_file_to_a_graphics_device_and_nothing_is_copied() {
    let folder = Folder::new();
    let Pictures {
        direct,
        upright,
        folder: share,
    } = &pictures(&folder);
    hollow(share.join("black.bmp"), [WIDTH as u32, HEIGHT as u32]);
    let black = &vec![0; direct.len()];
    let alone = "gpu0: 200 x 150 pixels, 117.1 KiB, from 1 phyr of RAM, by DMA alone, nothing copied by the CPU";
    let turned = format!("{alone}; the device has turned it over, line by line");
    let all = (WIDTH * HEIGHT) as u64;
    for way in ["--copy", "--share"] {
        let socket = folder.file(&format!("qmp{way}"));
        let options = [way, text(share), "--qmp", text(&socket), "--"];
        // The card comes first on the bus, and is not the one that is taken.
        let devices = [
            ["-device", "bochs-display,id=card"],
            ["-device", "virtio-gpu-pci,id=gpu"],
        ];
        let mut seat = Seat::take(&[&options[..], &devices.concat()].concat());
        let remote = monitor(&socket);
        let holes = if way == "--copy" {
            "from 1 phyr of RAM, copied by the CPU"
        } else {
            alone
        };
        let shown = [
            ("direct.bmp", alone, direct),
            ("upside-down.bmp", &turned, upright),
            ("black.bmp", holes, black),
            ("odd.bmp", alone, upright),
            ("direct.bmp", alone, direct),
        ];
        for (file, how, pixels) in shown {
            let said = seat.ask(&format!("picture /{file}"));
            assert!(said.contains(how), "{said}");
            assert_eq!(seen(&remote, &folder, "gpu", pixels), all, "{file}");
        }
        // The other one, by its name; and each shows its own.
        let said = seat.ask("picture /upside-down.bmp on vram0");
        assert!(said.contains("vram0: 200 x 150 pixels"), "{said}");
        assert_eq!(seen(&remote, &folder, "card", upright), all);
        assert_eq!(seen(&remote, &folder, "gpu", direct), all);
        let refused = [
            ("/cut.bmp", "it ends before its last pixel"),
            (
                "/direct.bmp on gpu1",
                "there is no such screen; there is: gpu0, vram0",
            ),
        ];
        for (words, why) in refused {
            let said = seat.ask(&format!("picture {words}"));
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(seen(&remote, &folder, "gpu", direct), all);
        // The memory of each was given back.
        let said = seat.ask("phyrs");
        assert!(said.contains("vram0, video memory, held"), "{said}");
        seat.leave().ok();
    }
}

#[test]
fn a_picture_that_is_too_large_is_refused_and_costs_nothing() {
    let folder = Folder::new();
    let share = pictures(&folder).folder;
    hollow(share.join("huge.bmp"), [8192, 8192]);
    let small = "virtio-gpu-pci,id=gpu,max_hostmem=100000";
    let options = ["--memory", "128M", "--share", text(&share), "--"];
    let mut seat = Seat::take(&[&options[..], &["-device", small]].concat());
    let free = |said: String| {
        let line = said.lines().find(|line| line.starts_with("free    "));
        let line = line.unwrap_or_else(|| panic!("{said}"));
        line.split("  in ").next().map(str::to_owned)
    };
    // Now and then the heap takes more of it, and keeps that. What is lost with a picture is lost with each.
    let costs_nothing = |_| {
        let before = free(seat.ask("mem"));
        for _ in 0..3 {
            let said = seat.ask("picture /direct.bmp");
            assert!(
                said.contains("the device refuses: it has no memory"),
                "{said}"
            );
            let said = seat.ask("picture /huge.bmp");
            let why = "there is no RAM for 256 MiB in one piece";
            assert!(said.contains(why), "{said}");
        }
        free(seat.ask("mem")) == before
    };
    assert!((0..4).any(costs_nothing), "each time something is lost");
    seat.leave().ok();
    let exec = ["--share", text(&share), "--exec", "picture /direct.bmp"];
    run(&exec)
        .failed()
        .shows("there is no screen; `help picture` says how to get one");
}
