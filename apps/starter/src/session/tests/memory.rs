//! Commands about memory that is no RAM.

use super::{Outcome, error, run};
use crate::system::{Balloon, Screen};
use crate::testing::{Fake, HostFolder, phyr, provider, shown_disk};
use crate::text::bitmap::HEADER;
use kernel::memory::regions::Kind;
use kernel::pci::{Bar, Function, PciAddress};
use std::sync::Arc;

/// A machine with two disks, a screen and a shared board, of which somebody has a part.
fn with_memory() -> Fake {
    let mut functions = vec![function(PciAddress::new(0, 0, 3, 0))];
    functions[0].bars.push(Bar {
        index: 2,
        phyr: phyr(0x2_0000_0000, 0x10_0000),
        prefetchable: true,
    });
    Fake {
        functions,
        volumes: vec![
            shown_disk("nvme0n1", 512, 1 << 20, "QEMU NVMe Ctrl"),
            shown_disk("nvme2n1", 4096, 1 << 20, "QEMU NVMe Ctrl"),
        ],
        providers: vec![
            provider("board", Kind::Shared, phyr(0x2_0000_0000, 0x8_0000)),
            provider("screen", Kind::Video, phyr(0x3_0000_0000, 0x100_0000)),
        ],
        ..Fake::default()
    }
}

fn function(address: PciAddress) -> Function {
    Function {
        address,
        vendor: 0x1af4,
        device: 0x1110,
        class: [5, 0, 0],
        revision: 0,
        bars: Vec::new(),
        capabilities: Vec::new(),
        secondary_bus: None,
    }
}

#[test]
fn all_memory_is_shown_with_who_has_it() {
    let machine = with_memory();
    let _part = machine.providers[0].claim(0x1000, 0x2000).unwrap();
    let (outcome, text) = run(&machine, "phyrs");
    assert_eq!(outcome, Outcome::Success);
    let names = [machine.providers[0].name(), machine.providers[1].name()];
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "  [0x0..=0xfff]                        4 KiB  RAM, in use".to_string(),
            "  [0x1000..=0x9efff]                 632 KiB  RAM, free".into(),
            "  [0xf0000..=0xfffff]                 64 KiB  reserved".into(),
            "  [0x100000..=0x3fffff]                3 MiB  RAM, kernel and loader".into(),
            "  [0x400000..=0xffffffff]            3.9 GiB  RAM, free".into(),
            format!(
                "  [0x200000000..=0x200000fff]          4 KiB  {}, shared memory, free",
                names[0]
            ),
            format!(
                "  [0x200001000..=0x200002fff]          8 KiB  {}, shared memory, held",
                names[0]
            ),
            format!(
                "  [0x200003000..=0x20007ffff]        500 KiB  {}, shared memory, free",
                names[0]
            ),
            "  [0x200080000..=0x2000fffff]        512 KiB  0000:00:03.0 BAR 2, RamController"
                .into(),
            format!(
                "  [0x300000000..=0x300ffffff]         16 MiB  {}, video memory, free",
                names[1]
            ),
        ]
    );
}

#[test]
fn a_copy_goes_one_way_or_says_why_not() {
    let machine = with_memory();
    let (board, screen) = (machine.providers[0].name(), machine.providers[1].name());
    let good = |script: String| {
        let (outcome, text) = run(&machine, &script);
        assert_eq!(outcome, Outcome::Success, "{script}: {text}");
        text
    };
    assert_eq!(
        good(format!("p2p nvme0n1:0+64K {board}:0")),
        format!("64 KiB from nvme0n1 to {board}: 0 commands, nothing copied by the CPU\n")
    );
    good(format!("p2p {screen}:4K nvme0n1:1M+512"));
    good(format!("p2p {board}:0+4K {screen}:0 via nvme2n1:0"));
    good(format!("p2p nvme0n1:0+4K nvme2n1:0 via {board}:0"));
    assert_eq!(
        machine.providers[0].free().len(),
        1,
        "all of it is given back"
    );
    for (script, reason) in [
        (format!("p2p nvme0n1:0 {board}:0"), "how much?"),
        (format!("p2p nvme0n1:0+4K {board}:0+8K"), "lengths differ"),
        (format!("p2p nvme0n1:0+4K {board}"), "is no place"),
        (
            format!("p2p nvme9n1:0+4K {board}:0"),
            "no disk and no memory `nvme9n1`",
        ),
        (
            format!("p2p nvme0n1:0+4K {board}:512K"),
            "has not so much memory",
        ),
        (
            format!("p2p nvme0n1:100+4K {board}:0"),
            "blocks of 512 bytes",
        ),
        (
            format!("p2p nvme2n1:512+4K {board}:0"),
            "blocks of 4096 bytes",
        ),
        (format!("p2p {board}:0+4K {screen}:0"), "via DISK:OFFSET"),
        (
            format!("p2p {board}:0+4K {screen}:0 via {screen}:1M"),
            "must be a disk",
        ),
        (
            "p2p nvme0n1:0+4K nvme2n1:0 via nvme0n1:0".into(),
            "must be memory",
        ),
        (
            format!("p2p nvme0n1:0+4K {board}:0 via nvme2n1:0"),
            "leave `via` out",
        ),
        ("p2p nvme0n1:0+4K nvme0n1:2K".into(), "overlap"),
        ("p2p nvme0n1:0+4K".into(), "usage: p2p SRC DST"),
    ] {
        let (outcome, text) = run(&machine, &script);
        assert_eq!(outcome, Outcome::Failure, "{script}: {text}");
        assert!(text.contains(reason), "{script}: {text}");
    }
    let _held = machine.providers[0].claim(0, 1).unwrap();
    let (_, text) = run(&machine, &format!("p2p nvme0n1:0+4K {board}:0"));
    assert!(text.contains("somebody has a part"), "{text}");
}

#[test]
fn what_the_cpu_had_to_copy_is_said() {
    let mut machine = with_memory();
    let board = machine.providers[0].name().to_string();
    let script = format!("p2p nvme0n1:0+64K {board}:0");
    let (_, text) = run(&machine, &script);
    assert!(text.contains("nothing copied by the CPU"), "{text}");
    machine.copies = true;
    let (_, text) = run(&machine, &script);
    assert!(text.contains("64 KiB copied by the CPU"), "{text}");
}

#[test]
fn disks_and_persistent_memory_are_flushed_and_others_are_not() {
    let mut machine = with_memory();
    let module = provider("module", Kind::Persistent, phyr(0x4_0000_0000, 0x1000));
    machine.providers.push(module);
    let names = [0, 2].map(|index| machine.providers[index].name().to_string());
    let [board, module] = names;
    for name in [module.as_str(), "nvme0n1"] {
        let (outcome, text) = run(&machine, &format!("flush {name}"));
        assert_eq!(outcome, Outcome::Success, "{text}");
        assert!(text.contains("there to stay"), "{text}");
    }
    for (script, why) in [
        (format!("flush {board}"), "not persistent memory"),
        ("flush nothing".into(), "no disk"),
        ("flush".into(), "usage: flush NAME"),
    ] {
        let (outcome, text) = run(&machine, &script);
        assert_eq!(outcome, Outcome::Failure, "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn random_bytes_say_where_they_come_from() {
    let machine = with_memory();
    let printed = |script: &str| run(&machine, script).1;
    assert_eq!(printed("random 3"), "00070e\nfrom three dice\n");
    assert_eq!(printed("random 0"), "from three dice\n");
    let lines: Vec<usize> = printed("random 70").lines().map(str::len).collect();
    assert_eq!(lines, [64, 64, 12, 15]);
    for script in ["random 1025", "random x", "random 1 2"] {
        assert!(printed(script).contains("usage: random [BYTES]"));
    }
}

#[test]
fn a_balloon_is_shown_and_told_what_is_free() {
    let mut machine = with_memory();
    let (outcome, text) = run(&machine, "balloon");
    assert_eq!(outcome, Outcome::Success);
    assert_eq!(text, "the machine has no memory balloon\n");
    let (outcome, text) = run(&machine, "balloon report");
    assert_eq!(outcome, Outcome::Failure);
    assert!(text.contains("nobody asks"), "{text}");
    machine.balloons.push(Balloon {
        address: PciAddress::new(0, 0, 3, 0),
        inside: 64 << 20,
        wanted: 96 << 20,
        reports: true,
    });
    let (_, text) = run(&machine, "balloon; balloon report");
    let lines: Vec<&str> = text.lines().collect();
    let shown = "64 MiB in it, 96 MiB wanted; wants to know what is free";
    assert!(lines[0].ends_with(shown), "{text}");
    assert_eq!(lines[1], "2 phyrs reported, 3.9 GiB");
}

#[test]
fn a_file_system_is_not_overwritten_by_accident() {
    let mut machine = with_memory();
    machine.volumes[0].has_ext4 = true;
    let board = machine.providers[0].name();
    let script = format!("p2p {board}:0+4K nvme0n1:0");
    let (outcome, text) = run(&machine, &script);
    assert_eq!(outcome, Outcome::Failure);
    assert!(text.contains("add --overwrite to lose them"), "{text}");
    assert_eq!(
        run(&machine, &format!("{script} --overwrite")).0,
        Outcome::Success
    );
}

#[test]
fn a_picture_needs_a_file_system_and_a_path() {
    assert!(error("picture").contains("usage: picture PATH"));
    assert!(error("picture /p.bmp").contains("no disk has an ext4 file system"));
}

/// What is wrong is said before any memory is asked for.
#[test]
fn a_picture_needs_a_screen_that_is_there() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut header = vec![0; HEADER];
    header[..2].copy_from_slice(b"BM");
    for (at, value) in [
        (10, 66),
        (14, 40),
        (18, 64),
        (22, 64),
        (26, 32 << 16 | 1_u32),
    ] {
        header[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    std::fs::write(folder.path().join("picture.bmp"), &header).unwrap();
    std::fs::write(folder.path().join("note"), "one").unwrap();
    let mut machine = Fake {
        shares: vec![Arc::new(HostFolder {
            name: "share",
            root: folder.path().into(),
        })],
        ..Fake::default()
    };
    let refused = |machine: &Fake, script: &str| {
        let (outcome, text) = run(machine, script);
        assert_eq!(outcome, Outcome::Failure);
        text
    };
    let text = refused(&machine, "picture /picture.bmp");
    assert!(text.contains("there is no screen"), "{text}");
    let screen = |name: &str, memory| Screen {
        name: name.into(),
        memory,
    };
    let card = provider("card", Kind::Video, phyr(3 << 30, 1 << 20));
    let name = card.name().to_string();
    machine.screens = vec![screen("gpu0", None), screen(&name, Some(card))];
    let text = refused(&machine, "picture /picture.bmp on gpu1");
    let known = format!("there is no such screen; there is: gpu0, {name}");
    assert!(text.contains(&known), "{text}");
    for misused in ["picture /picture.bmp gpu0", "picture /picture.bmp on"] {
        let text = refused(&machine, misused);
        assert!(text.contains("usage: picture PATH [on SCREEN]"), "{text}");
    }
    assert!(refused(&machine, "picture /note on gpu0").contains("it is no bitmap"));
    // The one that is named takes it, and finds that there are no pixels.
    let text = refused(&machine, &format!("picture /picture.bmp on {name}"));
    assert!(text.contains("it ends before its last pixel"), "{text}");
}
